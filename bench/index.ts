import type { Bench } from './bench.ts'
import { calls } from './calls.ts'
import { hotPath } from './hot-path.ts'
import { placement } from './placement.ts'
import { rehome } from './rehome.ts'

export { type Bench, type BenchOptions, isReached, lineOf, type Row } from './bench.ts'

/** Every bench by its name, in the order of a whole run. */
export const benches: readonly Bench[] = [hotPath, calls, rehome, placement]
