import type { Bench } from './bench.ts'
import { hotPath } from './hot-path.ts'

export { type Bench, type BenchOptions, isReached, lineOf, type Row } from './bench.ts'

/** Every bench by its name, in the order of a whole run. */
export const benches: readonly Bench[] = [hotPath]
