import type { Clock, MemberNo } from '../../../bus/index.ts'
import { mix } from '../../../placement/index.ts'

/** Chances from 0 to 1, per frame below the links: that it is lost, comes twice, comes late. */
export interface Faults {
  readonly drop: number
  readonly double: number
  readonly late: number
}
/** A network that loses, doubles and delays nothing. */
export const noFaults: Faults = { drop: 0, double: 0, late: 0 }

/** A usual way (virtual ms), and that of what is late. */
const USUAL_MS = 0.5
const LATE_MS = 30
/** Now and then the register is later than any message: members then go by views that are long gone. */
const SLOW_MS = 200

/**
 * What is below the links: frames and the register, with delays and faults. What befalls a frame depends on the seed, its
 * link and its place there alone, so a script of which a part is left out meets the same chances elsewhere.
 */
export class Network {
  faults: Faults
  /** How often each fault has come. */
  readonly seen = {
    dropped: 0,
    doubled: 0,
    late: 0,
    /** Answers of the register that were older than its newest entry. */
    outdated: 0,
    paused: 0,
  }
  private readonly seed: number
  private readonly clock: Clock
  private readonly counts = new Map<number, number>()
  private state = 0
  /** Instances that are stopped, and until when. */
  private readonly paused = new Map<MemberNo, number>()

  constructor(seed: number, clock: Clock, faults: Faults) {
    this.seed = mix(seed)
    this.clock = clock
    this.faults = faults
  }

  /** Begins the draws of the next event of that kind. */
  private next(kind: number): void {
    const count = this.counts.get(kind) ?? 0
    this.counts.set(kind, count + 1)
    this.state = mix(mix(this.seed ^ kind) + count) | 0
  }
  /** At least 0, less than 1. */
  private unit(): number {
    const drawn = mix((this.state + 0x9e3779b9) | 0)
    this.state = drawn | 0 // a small integer is no object
    return drawn / 2 ** 32
  }

  private delay(): number {
    const { late } = this.faults
    if (late === 0 || this.unit() >= late) return this.unit() * USUAL_MS
    this.seen.late++
    return this.unit() * LATE_MS
  }

  readonly register = () => {
    this.next(0)
    const { late } = this.faults
    const stale = late > 0 && this.unit() < late / 2 ? 1 : 0
    this.seen.outdated += stale
    const slow = late > 0 && this.unit() < late / 4 ? this.unit() * SLOW_MS : 0
    return { before: this.delay() + slow, after: this.delay(), stale }
  }

  readonly frame = (from: MemberNo = 0, to: MemberNo): number[] => {
    this.next((from + 1) * 0x1_0000 + to)
    const { drop, double } = this.faults
    if (drop + double > 0) {
      const r = this.unit()
      if (r < drop) {
        this.seen.dropped++
        return []
      }
      if (r < drop + double) {
        this.seen.doubled++
        return [this.afterPause(from, to), this.afterPause(from, to)]
      }
    }
    return [this.afterPause(from, to)]
  }

  private afterPause(from: MemberNo, to: MemberNo): number {
    if (this.paused.size === 0) return this.delay()
    const until = Math.max(this.paused.get(from) ?? 0, this.paused.get(to) ?? 0)
    return Math.max(0, until - this.clock.now()) + this.delay()
  }

  /** For so long nothing comes to that member, nor from it. */
  pause(no: MemberNo, ms: number): void {
    this.seen.paused++
    this.paused.set(no, this.clock.now() + ms)
  }

  heal(): void {
    this.faults = noFaults
    this.paused.clear()
  }
}
