import type { MemberNo } from './port.ts'

/** What the simulator may do to frames and to the register; without a plan all goes well at once. */
export interface FaultPlan {
  /**
   * When a frame arrives, in ms from now, once per entry: [] loses it, [0] is usual, [3, 10] doubles
   * it. `from` is the member that the sending bus listens for, if it does.
   */
  frame?(from: MemberNo | undefined, to: MemberNo, frame: Uint8Array): readonly number[]
  /** What happens to one operation on the register. */
  register?(op: RegisterOp, name: string): RegisterFault
}
export type RegisterOp = 'get' | 'put' | 'set' | 'remove' | 'notice'
export interface RegisterFault {
  /** Until it takes effect, and from then until it is answered, in ms. A notice has the former only. */
  readonly before?: number
  readonly after?: number
  /** A `get` answers with the entry of this many changes ago. */
  readonly stale?: number
}
