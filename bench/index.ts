import type { Bench } from './bench.ts'
import { calls } from './calls.ts'
import { growth } from './growth.ts'
import { hotPath } from './hot-path.ts'
import { models } from './models.ts'
import { parts } from './parts.ts'
import { placement } from './placement.ts'
import { rehome } from './rehome.ts'
import { scaleOut } from './scale-out.ts'
import { scaleStop } from './scale-stop.ts'
import { store } from './store.ts'

export { type Bench, type BenchOptions, isReached, lineOf, type Row } from './bench.ts'

/** Every bench by its name, in the order of a whole run. */
export const benches: readonly Bench[] = [
  models,
  scaleOut,
  scaleStop,
  calls,
  store,
  hotPath,
  parts,
  growth,
  rehome,
  placement,
]
export { pictures } from './pictures.ts'
export { type Measured, page } from './report.ts'
