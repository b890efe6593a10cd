/**
 * # The link: a reliable ordered channel between two members
 *
 * The bus underneath may lose, double, delay and reorder frames: core NATS delivers at most once, and
 * a reconnect or a slow consumer loses whatever was under way. The rules of placement stand on
 * channels that do none of this, so a link makes one out of the other, in both directions at once.
 *
 * **Why frames.** A bus message costs microseconds, a message of ours must cost nanoseconds. So
 * messages to one peer are written one behind the other straight into an open frame, and the frame
 * goes out at the end of the burst or when it is full. The frame, not the message, is what is
 * numbered, acknowledged and sent again.
 *
 * **Why one sequence.** The rules rest on the order in which one member's messages reach another; a
 * lane for urgent messages would break it. What is large is cut into pieces instead, so that nothing
 * waits long behind it on the wire.
 *
 * **Order, once.** Frames are numbered from 1. The receiver takes the number it expects, keeps what
 * came early within the sender's window, drops what it has had. A frame is checked as a whole before
 * its number is used up, since what is sent again after that would count as a duplicate.
 *
 * **Acknowledging.** Every frame that goes anyway carries the number up to which all has come. If none
 * goes, a bare frame does: soon after many frames, late after few. Bare frames have no number and are
 * not acknowledged themselves, so two silent members do not keep each other awake. A bare frame also
 * says how many frames are missing before one that came early: those are sent again at once.
 *
 * **Sending again.** A frame is kept until it is acknowledged, and its bytes are never changed after
 * they were handed to the bus, which may still hold them: sent again are the very same bytes, with an
 * older acknowledgement in them, which does no harm since acknowledgements only ever grow. When
 * nothing is acknowledged for a while, the oldest few frames are sent again; if that is answered, the
 * next few follow at once. A peer that was only slow gets few frames twice that way. The wait doubles
 * up to a limit. After a reconnect all is sent again without waiting, and so it is to a member that says
 * that it listens from now on (HELLO): others know of it before it can hear them.
 *
 * **The window.** Unacknowledged frames are bounded in number and bytes; what is over it waits here
 * and is never dropped: these are control messages, replies and actors on their way, each bounded by
 * what its own protocol lets be under way. Receiving never waits for sending.
 *
 * **Credit.** Requests can be held back by who makes them, so their payload is metered: the receiver
 * grants bytes, in all since the beginning, and grants more as it has dealt with what came. The sender
 * starts a message only while it has credit, so a receiver holds at most the window and one message
 * of each peer. Nothing else uses credit: if replies or control messages did, two members could wait
 * for each other's credit for ever. Grants ride on every frame. A lost grant is asked for again: who is
 * short of credit sends a probe now and then, as nothing else of its own may be under way.
 *
 * **How long it lives.** A member's number is one life of it. A reconnect goes on where it was; a new
 * life is a new number and a new link. What was never sent to a dead member definitely did not
 * happen; what was sent may have.
 */
import { type ByteReader, ByteWriter } from './bytes.ts'
import { countMessages, HEADER_BYTES, MESSAGE_HEAD_BYTES } from './frame.ts'
import type { LinkLimits } from './linkoptions.ts'
import type { MemberNo } from './port.ts'

const EMPTY = new Uint8Array(0)
/** First slab of a link: a member talks to few of a thousand peers much, so slabs double as they fill. */
const FIRST_SLAB_BYTES = 16 * 1024

/** Frames by their number, between the oldest that is kept and the newest: a ring that grows. */
class FrameRing {
  private frames: (Uint8Array | undefined)[] = new Array(16).fill(undefined)
  private at = new Float64Array(16)
  private mask = 15

  get(seq: number): Uint8Array {
    return this.frames[seq & this.mask]!
  }
  sentAt(seq: number): number {
    return this.at[seq & this.mask]!
  }
  setSentAt(seq: number, ms: number): void {
    this.at[seq & this.mask] = ms
  }
  put(seq: number, frame: Uint8Array, oldest: number): void {
    if (seq - oldest > this.mask) this.grow(oldest, seq)
    this.frames[seq & this.mask] = frame
  }
  drop(seq: number): void {
    this.frames[seq & this.mask] = undefined
  }
  private grow(oldest: number, end: number): void {
    const { frames, at, mask } = this
    const size = frames.length * 2
    this.frames = new Array(size).fill(undefined)
    this.at = new Float64Array(size)
    this.mask = size - 1
    for (let seq = oldest; seq < end; seq++) {
      this.frames[seq & this.mask] = frames[seq & mask]
      this.at[seq & this.mask] = at[seq & mask]!
    }
  }
}

/** A message that comes in pieces. */
export interface Assembly {
  readonly kind: number
  readonly bytes: ByteWriter
  /** Bytes that the next pieces must still bring. */
  due: number
}

/** When an acknowledgement (or a grant) is due to go by itself, if no frame carries it before. */
export const Owes = { NOTHING: 0, LATER: 1, SOON: 2 } as const

/** What one member keeps of its link to one other. The rules are in `Links`; this is the state. */
export class Link {
  readonly no: MemberNo
  /** False once the member has been forgotten: whoever still holds the link must leave it alone. */
  alive = true

  // -- the open frame: it lies at frameStart in the slab, the writer stands at its end
  readonly w: ByteWriter
  slab: Uint8Array = EMPTY
  open = false
  /** Listed for the next flush. */
  listed = false
  /** All that is in the open frame may wait for what may not. */
  isPatient = false
  frameStart = 0
  messageStart = 0
  /** Where what is being written begins: the message's payload, or a further part of it. */
  partStart = 0
  /** The last message's kind, if a part of that kind may go behind it in the open frame; else 0. */
  joins = 0
  frameEpoch = 0
  /** The frame is closed once the writer stands here or behind: it is large enough, or the slab ends. */
  fullAt = 0
  /** Room that a slab must have left to be used on: the largest whole message so far. In bytes. */
  room = 1024
  private nextSlabBytes = FIRST_SLAB_BYTES

  // -- sending: oldest <= toSend <= next; [oldest, toSend) is unacknowledged, [toSend, next) waits
  readonly frames = new FrameRing()
  oldest = 1
  toSend = 1
  next = 1
  bytesInFlight = 0
  bytesWaiting = 0
  /** Frames from here up to repairEnd are still to be sent again in the repair that is under way. */
  repairNext = 1
  repairEnd = 1
  waitMs = 0
  timer: { cancel(): void } | undefined = undefined
  readonly onTimer: () => void

  // -- credit for what I send: granted >= what the peer has dealt with; short: somebody waits for more
  creditSent = 0
  creditGranted: number
  short = false

  // -- receiving: every frame below expected has been taken; early ones are all above it
  expected = 1
  readonly early = new Map<number, Uint8Array>()
  earlyBytes = 0
  assembly: Assembly | undefined = undefined
  owes: number = Owes.NOTHING
  owing = false
  framesOwed = 0
  bytesOwed = 0

  // -- credit for what I receive: consumed <= received; announced is the last grant sent
  creditReceived = 0
  creditConsumed = 0
  creditAnnounced: number

  constructor(no: MemberNo, creditBytes: number, onTimer: (link: Link) => void) {
    this.no = no
    this.w = new ByteWriter(0)
    this.creditGranted = creditBytes
    this.creditAnnounced = creditBytes
    this.onTimer = () => onTimer(this)
  }

  /** Makes the writer stand behind the header of a new frame, with `need` bytes of room for messages. */
  openFrame(epoch: number, need: number, limits: LinkLimits): void {
    const w = this.w
    if (this.slab.length - this.frameStart < HEADER_BYTES + need)
      this.takeSlab(need, limits.slabBytes)
    w.pos = this.frameStart + HEADER_BYTES
    this.frameEpoch = epoch
    this.open = true
    this.isPatient = false
    this.fullAt = Math.min(this.frameStart + limits.frameBytes, this.slab.length - this.room)
  }

  /**
   * Slabs are not used again after their frames were acknowledged: a bus may deliver the same bytes
   * once more, and readers may have kept views. They go when nobody holds one of their frames.
   */
  private takeSlab(need: number, slabBytesMax: number): void {
    const bytes = Math.max(this.nextSlabBytes, 2 * (need + HEADER_BYTES))
    this.nextSlabBytes = Math.min(slabBytesMax, this.nextSlabBytes * 2)
    this.slab = Buffer.allocUnsafeSlow(bytes)
    this.w.use(this.slab)
    this.frameStart = 0
  }

  /** The slab's remaining bytes are given up; the next frame starts on a new one. */
  retireSlab(): void {
    this.slab = EMPTY
  }

  get openBytes(): number {
    return this.open ? this.w.pos - this.frameStart - HEADER_BYTES : 0
  }

  /** The part at hand goes behind another. */
  get isFurther(): boolean {
    return this.partStart !== this.messageStart + MESSAGE_HEAD_BYTES
  }

  /** Takes back the message or part at hand, and the frame if there is nothing else in it. */
  takeBack(): void {
    if (this.w.bytes !== this.slab) this.w.use(this.slab)
    this.w.pos = this.isFurther ? this.partStart : this.messageStart
    if (!this.isFurther) this.joins = 0
    if (this.openBytes > 0) return
    this.open = false
    this.w.pos = this.frameStart
  }

  /** Takes a piece of a message, which is whole once nothing is due; false: it does not belong to the pieces before it, or is too much. */
  addPiece(kind: number, r: ByteReader, bytesMax: number): boolean {
    const toCome = r.left >= 4 ? r.u32() : Number.POSITIVE_INFINITY
    const due = toCome + r.left
    if (due > bytesMax || (this.assembly && this.assembly.due !== due)) return false
    // Grows with what comes, not with what is announced: a forged piece gets no memory.
    this.assembly ??= { kind, bytes: new ByteWriter(2 * r.left), due }
    this.assembly.bytes.raw(r.raw(r.left))
    this.assembly.due = toCome
    return true
  }

  /** Its member is gone for good. */
  die(): void {
    this.alive = false
    this.open = false
    this.timer?.cancel()
  }

  /** How many frames are missing in a row before the first that came early. */
  missing(): number {
    if (this.early.size === 0) return 0
    let seq = this.expected
    while (!this.early.has(seq)) seq++
    return seq - this.expected
  }

  unsentMessages(): number {
    const inOpen =
      this.openBytes > 0
        ? countMessages(
            new Uint8Array(this.slab.buffer, this.frameStart, this.w.pos - this.frameStart),
          )
        : 0
    return inOpen + this.messagesIn(this.toSend, this.next)
  }
  unansweredMessages(): number {
    return this.messagesIn(this.oldest, this.toSend)
  }
  private messagesIn(from: number, to: number): number {
    let count = 0
    for (let seq = from; seq < to; seq++) count += countMessages(this.frames.get(seq))
    return count
  }
}
