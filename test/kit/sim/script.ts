import { Random } from '../../../loadgen/index.ts'
import type { Faults } from './network.ts'
import type { WalkSettings } from './settings.ts'
import { WAYS } from './walk-packet.ts'

/** What a walk does, by itself and to actors. */
export const ACTS = [
  'faults',
  'join',
  'leave',
  'pause',
  'crash',
  'packets',
  'singles.with',
  'singles.ifPresent',
  'singles.remove',
  'singles.lookup',
  'singles.stale',
  'multis.append',
  'multis.post',
  'multis.remove',
  'multis.lookup',
  'multis.stale',
  'sums.add',
] as const
export type Act = (typeof ACTS)[number]

/** One entry of a walk's script. */
export interface Entry {
  /** Virtual ms after the first instances have joined. */
  readonly at: number
  readonly do: Act
  /** The instance that it is about: the one of this number if it is there, else one that is. */
  readonly on: number
  /** The actor's key, or the packets' flow. */
  readonly key: number
  /** What is added; how long is paused, faults go on, or the turn is suspended (ms; 0: it is not). */
  readonly x: number
  /** Of packets: how each goes about its turn. */
  readonly ways: readonly number[]
  readonly faults: Faults | undefined
}

/** How a source sends: packets in a batch, slots whose packets flip in a step, and ms between two steps. */
export interface SourceScript {
  readonly batch: number
  readonly flips: number
  readonly every: number
}

/** All that a walk does, drawn before it begins: the seed is only the network's from then on. */
export interface Script {
  readonly settings: WalkSettings
  readonly sources: readonly SourceScript[]
  /** By rising time. */
  readonly entries: readonly Entry[]
}

/** Faults are cut into stretches, so that those that a violation does not need can be left out. */
const FAULT_STRETCHES = 8
/** What is together: within some round trips (ms). */
const NEAR_MS = 6
const NONE: readonly number[] = []

/** Draws a walk's script from its settings: the same for the same seed. */
export function scriptFor(settings: WalkSettings): Script {
  return new Drawing(settings).script()
}

class Drawing {
  private readonly s: WalkSettings
  private readonly random: Random
  private readonly entries: Entry[] = []

  constructor(settings: WalkSettings) {
    this.s = settings
    this.random = new Random(settings.seed)
  }

  script(): Script {
    const { s, random, entries } = this
    const upTo = (n: number) => 1 + random.below(n)
    const sources = Array.from({ length: s.sources }, () => {
      return { batch: upTo(4), flips: upTo(4), every: random.unit() * 5 }
    })
    for (let i = 0; i < s.ops; i++) this.operation()
    for (let i = 0; i < s.joins; i++) this.change('join')
    for (let i = 0; i < s.leaves; i++) this.change('leave')
    for (let i = 0; i < s.crashes; i++) this.add('crash')
    for (let i = 0; i < s.pauses; i++) this.add('pause', 0, 10 + random.unit() * 200)
    entries.sort((a, b) => a.at - b.at)
    return { settings: s, sources, entries: [...this.faults(), ...entries].sort(byTime) }
  }

  /** Joins and leaves come together as often as alone: views then follow each other before the last one settled. */
  private change(act: Act): void {
    const { random, s } = this
    const near = random.unit() < 0.6
    const at = near ? this.changedAt + random.unit() * NEAR_MS : random.unit() * s.spanMs
    this.changedAt = Math.min(at, s.spanMs)
    this.add(act, 0, 0, NONE, this.changedAt)
  }
  private changedAt = 0

  private add(
    act: Act,
    key = 0,
    x = 0,
    ways = NONE,
    at = this.random.unit() * this.s.spanMs,
  ): void {
    const on = this.random.below(this.s.startInstances + this.s.joins)
    this.entries.push({ at, do: act, on, key, x, ways, faults: undefined })
  }

  private faults(): Entry[] {
    const { faults, spanMs } = this.s
    if (faults.drop + faults.double + faults.late === 0) return []
    const x = spanMs / FAULT_STRETCHES
    return Array.from({ length: FAULT_STRETCHES }, (_, i) => {
      return { at: i * x, do: 'faults', on: 0, key: 0, x, ways: NONE, faults }
    })
  }

  private operation(): void {
    const { random, s } = this
    const key = random.below(s.keys)
    const r = random.unit()
    if (r < 0.4) {
      const ways = Array.from({ length: 1 + random.below(3) }, () => random.below(WAYS))
      this.add('packets', random.below(s.flows), 0, ways)
    } else if (r < 0.65) this.single(key)
    else this.multi(key)
  }

  /** Which operation: the last of each list is the stale read. */
  private kind(): number {
    return this.random.unit() < this.s.reading ? 1 : this.random.unit()
  }

  private single(key: number): void {
    const kind = this.kind()
    if (kind < 0.15) this.add('singles.with', key, this.random.unit() * 10)
    else if (kind < 0.55) this.add('singles.with', key)
    else if (kind < 0.65) this.add('singles.ifPresent', key)
    else if (kind < 0.8) this.add('singles.remove', key)
    else if (kind < 0.9) this.add('singles.lookup', key)
    else this.add('singles.stale', key)
  }

  private multi(key: number): void {
    const kind = this.kind()
    if (kind < 0.25) this.add('multis.append', key)
    else if (kind < 0.55) this.add('multis.post', key)
    else if (kind < 0.7) this.add('sums.add', key, 1 + this.random.below(9))
    else if (kind < 0.78) this.add('multis.remove', key)
    else if (kind < 0.88) this.add('multis.lookup', key)
    else this.add('multis.stale', key)
  }
}

function byTime(a: Entry, b: Entry): number {
  return a.at - b.at
}
