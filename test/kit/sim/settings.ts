import type { StateModel } from '../../../actors/index.ts'
import { Random } from '../../../loadgen/index.ts'
import type { Faults } from './network.ts'

/** What a walk is to be like; times are virtual ms, the rest are counts unless they say otherwise. */
export interface WalkSettings {
  readonly seed: number
  readonly slotBits: number
  readonly startInstances: number
  readonly joins: number
  readonly leaves: number
  readonly ops: number
  /** How long operations go on (virtual ms): views follow each other within some round trips. */
  readonly spanMs: number
  readonly keys: number
  readonly flows: number
  readonly pauses: number
  readonly crashes: number
  readonly sources: number
  readonly faults: Faults
  readonly spread: boolean
  /** How many operations on actors are stale reads beyond the usual. */
  readonly reading: number
  readonly frameBytes: number
  readonly creditBytes: number
  readonly model: StateModel
}

/** A mix that is drawn from the seed: few slots and many views, so that races meet. */
export function settingsFor(seed: number): WalkSettings {
  const r = new Random(seed ^ 0x5eed)
  const lossy = r.unit() < 0.7
  const crashes = r.unit() < 0.2 ? 1 + r.below(3) : 0
  return {
    seed,
    slotBits: 1 + r.below(4),
    startInstances: 1 + r.below(4),
    joins: 2 + r.below(4),
    leaves: r.below(5),
    ops: 110 + r.below(130),
    // A crash is noticed after 3 s: operations go on until then, or are over.
    spanMs: r.unit() < 0.8 ? 90 : crashes > 0 ? 3600 : 400,
    keys: 2 + r.below(4),
    flows: 2 + r.below(5),
    pauses: r.below(3),
    crashes,
    sources: r.unit() < 0.7 ? 1 : 2,
    faults: {
      drop: lossy ? r.unit() * 0.1 : 0,
      double: lossy ? r.unit() * 0.1 : 0,
      late: r.unit() * 0.2,
    },
    spread: r.unit() < 0.5,
    reading: r.unit() < 0.3 ? 0.6 : 0,
    frameBytes: 256 << r.below(4),
    creditBytes: r.unit() < 0.5 ? 1 << 20 : 256 << r.below(4),
    model: crashes > 0 ? 'shared' : modelOf(r.unit()),
  }
}

/** Nearly all walks are of the shared space; some of the models that it is compared with, whose results are the same. */
function modelOf(u: number): StateModel {
  if (u < 0.05) return 'remote-only'
  return u < 0.1 ? 'stop-and-sync' : 'shared'
}
