import type { Space } from '../actors/index.ts'
import type { Clock } from '../bus/index.ts'
import type { Intake } from '../loadgen/index.ts'
import type { View } from '../placement/index.ts'

/** Packets that have not been stopped by then are not waited for: a steerer may not have this view. */
const STOP_MS_MAX = 1_000

/**
 * A scale event under `stop-and-sync`, at an instance that gets slots. The steerer, which is the controller,
 * has flipped all affected slots in one step: their packets are kept here (HOLD) until the instances that had them are through
 * (DRAINED). Then all state of these slots is fetched in bulk, and when the last actor has come the packets
 * that were kept go on. While no event is under way nothing differs from the shared space.
 *
 * What the steerer sends for a slot that this instance was not told to fetch is kept as well: one event at a time.
 */
export class BulkMove {
  private readonly space: Space
  private readonly intake: Intake
  private readonly clock: Clock
  private steerers = 0
  private phase: 'none' | 'stopping' | 'moving' = 'none'
  private since = 0

  constructor(space: Space, intake: Intake, clock: Clock) {
    this.space = space
    this.intake = intake
    this.clock = clock
    space.core.mayMove = false
  }

  get isOver(): boolean {
    return this.phase === 'none'
  }

  onView(view: View): void {
    this.steerers = view.members.filter((m) => m.role === 'steerer').length
    if (this.space.moved || this.phase !== 'none') return
    this.phase = 'stopping'
    this.since = this.clock.now()
    this.intake.beginHold()
  }

  step(): void {
    if (this.phase === 'stopping' && this.isStopped()) {
      this.phase = 'moving'
      this.space.core.mayMove = true
    }
    if (this.phase !== 'moving' || !this.space.moved) return
    this.phase = 'none'
    this.space.core.mayMove = false
    this.intake.endHold()
  }

  private isStopped(): boolean {
    const { holds, drained } = this.intake.held
    if (holds >= this.space.slotsDue * this.steerers && drained >= holds) return true
    return this.clock.now() - this.since >= STOP_MS_MAX
  }
}
