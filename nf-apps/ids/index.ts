export { ids } from './ids.ts'
export { compileTexts, type LoadedRules, loadRules, type RuleOptions } from './rule-files.ts'
export { type Refusal, refusalText } from './rules.ts'
export type { Signature } from './signature.ts'
