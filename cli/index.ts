export { type Entered, type EnterOptions, enter } from './enter.ts'
export { Instance, type InstancePorts } from './instance.ts'
export type { Member, MemberPorts } from './member.ts'
export { Source, type SourceOptions } from './source.ts'
