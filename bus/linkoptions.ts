import type { ByteReader } from './bytes.ts'
import { allKinds } from './message.ts'
import type { Clock, MemberNo } from './port.ts'

/** The bounds of a link. All members of a cluster must agree on creditBytes. */
export interface LinkLimits {
  /** A frame is closed when it has this many bytes: measured best, more waits and copies more. */
  frameBytes: number
  /** A larger message is refused at its sender ('too-big'): it is put together in memory. */
  messageBytesMax: number
  /** Unacknowledged frames, and their bytes: some ms of a fast link. */
  windowFrames: number
  windowBytes: number
  /** Credit-class payload that a receiver holds of one peer. */
  creditBytes: number
  /** A bare acknowledgement goes after this time, or this many frames or bytes. */
  ackAfterMs: number
  ackAfterFrames: number
  ackAfterBytes: number
  /** First and longest wait before frames are sent again. */
  resendMs: number
  resendMsMax: number
  /** Memory that frames are carved from: small enough to be let go soon, large enough to be cheap. */
  slabBytes: number
  /** Links to numbers above all that `open` has named: members of a view that is still to come. */
  strangersMax: number
}

export const defaultLimits: LinkLimits = {
  frameBytes: 32 * 1024,
  messageBytesMax: 64 * 1024 * 1024,
  windowFrames: 1024,
  windowBytes: 4 * 1024 * 1024,
  creditBytes: 1024 * 1024,
  ackAfterMs: 10,
  ackAfterFrames: 128,
  ackAfterBytes: 256 * 1024,
  resendMs: 200,
  resendMsMax: 2000,
  slabBytes: 256 * 1024,
  strangersMax: 64,
}

export interface LinksOptions {
  readonly self: MemberNo
  readonly clock: Clock
  /** Hands a frame to the bus. Its bytes are never changed any more. */
  transmit(to: MemberNo, frame: Uint8Array): void
  /** Our view's epoch; each message arrives with the one that held when it was written. */
  epoch(): number
  /**
   * One message, in order and exactly once per member. The payload is r.pos..r.end, valid during the
   * call only (copy what is kept: a view holds a whole slab). Throwing 'bad-frame' gives up this
   * message only.
   */
  onMessage(from: MemberNo, kind: number, r: ByteReader, epoch: number): void
  /** Told why a frame or a message was dropped. */
  onRefused?(reason: string, from: MemberNo): void
  readonly limits?: Partial<LinkLimits>
}

/** What a forgotten member leaves behind, in messages. */
export interface Leftovers {
  /** Never sent: definitely without effect. */
  readonly unsent: number
  /** Sent, but not acknowledged: received or not, nobody knows. */
  readonly unanswered: number
}

/** In a kind's entry: known, whether it uses credit, and whether it may wait. Other kinds are not delivered. */
export const KNOWN = 1
export const METERED = 2
export const PATIENT = 4
export const kindFlags = new Uint8Array(256)
for (const { code, credit, patient } of allKinds) {
  kindFlags[code] = KNOWN | (credit ? METERED : 0) | (patient ? PATIENT : 0)
}
