import { memberTargets } from './members.ts'
import { nfTargets } from './nfs.ts'
import type { Target } from './run.ts'
import { textTargets } from './texts.ts'

export { type FuzzOptions, type FuzzReport, fuzz } from './run.ts'
export const fuzzTargets: readonly Target[] = [...memberTargets, ...textTargets, ...nfTargets]
