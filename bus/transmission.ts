import { DATA, FrameHeader, HEADER_BYTES, HELLO, PROBE, putHeader, putRiders } from './frame.ts'
import { type Link, Owes } from './link.ts'
import type { LinkLimits, LinksOptions } from './linkoptions.ts'
import type { LinkStats } from './linkstats.ts'
import { PROTOCOL_VERSION } from './message.ts'
import type { Clock, MemberNo } from './port.ts'

/** Frames that one step of a repair sends again: little waste if the peer was only slow. */
const REPAIR_FRAMES = 16
/** A frame reported missing is not sent again if it went this short a time ago. */
const REPAIR_GAP_MS = 20

/**
 * What goes out on links below the messages: closed frames through the window, acknowledgements,
 * grants and probes, and all that is sent again. The rules are in the essay of link.ts.
 */
export class Transmission {
  onCredit: (from: MemberNo) => void = () => {}
  private readonly options: LinksOptions
  private readonly limits: LinkLimits
  private readonly stats: LinkStats
  private readonly clock: Clock
  private readonly out = new FrameHeader()
  private stopped = false

  private owing: Link[] = []
  private ackTimer: { cancel(): void } | undefined = undefined
  private ackSoonSet = false
  private readonly onAckTimer = (): void => {
    this.ackTimer = undefined
    this.sendOwed(Owes.LATER)
  }
  private readonly onAckSoon = (): void => {
    this.ackSoonSet = false
    this.sendOwed(Owes.SOON)
  }

  constructor(options: LinksOptions, limits: LinkLimits, stats: LinkStats) {
    this.options = options
    this.limits = limits
    this.stats = stats
    this.clock = options.clock
  }

  // ---------------------------------------------------------------- frames

  /** Gives the open frame its number and header; what rides along is as of now. */
  close(link: Link): void {
    const { out } = this
    const { w, frameStart } = link
    const bytes = w.pos - frameStart
    this.fillHeader(link, DATA, link.frameEpoch)
    out.seq = link.next
    out.missing = 0
    putHeader(w.view, frameStart, PROTOCOL_VERSION, bytes, out)
    const frame = new Uint8Array(link.slab.buffer, link.slab.byteOffset + frameStart, bytes)
    link.frames.put(link.next++, frame, link.oldest)
    link.bytesWaiting += bytes
    link.open = false
    link.frameStart = w.pos
  }

  /** Transmits what waits, as far as the window goes. */
  pump(link: Link): void {
    const { windowFrames, windowBytes } = this.limits
    while (
      link.toSend < link.next &&
      link.toSend - link.oldest < windowFrames &&
      link.bytesInFlight < windowBytes
    ) {
      const frame = link.frames.get(link.toSend)
      if (link.toSend !== link.next - 1) this.freshen(link, frame)
      link.frames.setSentAt(link.toSend, this.clock.now())
      link.toSend++
      link.bytesInFlight += frame.length
      link.bytesWaiting -= frame.length
      this.carried(link)
      this.stats.framesOut++
      this.stats.bytesOut += frame.length
      this.options.transmit(link.no, frame)
    }
    if (link.oldest < link.toSend) this.arm(link)
  }

  private fillHeader(link: Link, flags: number, epoch: number): void {
    const { out } = this
    out.flags = flags
    out.from = this.options.self
    out.to = link.no
    out.epoch = epoch
    out.ack = link.expected - 1
    out.grant = this.grantFor(link)
  }

  /** A frame that had to wait says what holds now. It has not been handed to the bus yet. */
  private freshen(link: Link, frame: Uint8Array): void {
    const view = new DataView(frame.buffer, frame.byteOffset, frame.length)
    putRiders(view, 0, link.expected - 1, this.grantFor(link))
  }

  /** A frame to the peer has taken the acknowledgement and the grant along. */
  private carried(link: Link): void {
    link.owes = Owes.NOTHING
    link.framesOwed = 0
    link.bytesOwed = 0
    link.creditAnnounced = this.grantFor(link)
  }

  // ---------------------------------------------------------------- bare frames

  private bare(link: Link, flags: number): void {
    const { out } = this
    this.fillHeader(link, flags, this.options.epoch())
    out.seq = 0
    out.missing = link.missing()
    const frame = new Uint8Array(HEADER_BYTES)
    putHeader(new DataView(frame.buffer), 0, PROTOCOL_VERSION, HEADER_BYTES, out)
    this.carried(link)
    this.stats.bareOut++
    this.stats.bytesOut += HEADER_BYTES
    this.options.transmit(link.no, frame)
  }

  /** Sees to it that a bare frame goes if no other carries what it would say. */
  owe(link: Link, when: number): void {
    if (when > link.owes) link.owes = when
    if (!link.owing) {
      link.owing = true
      this.owing.push(link)
    }
    if (when === Owes.LATER) this.armAcks()
    else if (!this.ackSoonSet) {
      this.ackSoonSet = true
      this.clock.soon(this.onAckSoon)
    }
  }

  /** A frame with messages has come: acknowledge soon if they are many, else late. */
  received(link: Link, bytes: number): void {
    link.framesOwed++
    link.bytesOwed += bytes
    const { ackAfterFrames, ackAfterBytes } = this.limits
    const many = link.framesOwed >= ackAfterFrames || link.bytesOwed >= ackAfterBytes
    const when = many ? Owes.SOON : Owes.LATER
    if (link.owes < when) this.owe(link, when)
  }

  /** Bare frames to those that are owed one at least as urgently; the others stay listed. */
  private sendOwed(least: number): void {
    if (this.stopped) return
    const links = this.owing
    this.owing = []
    for (const link of links) {
      if (link.alive && link.owes >= least) this.bare(link, 0)
      link.owing = link.alive && link.owes !== Owes.NOTHING
      if (link.owing) this.owing.push(link)
    }
    if (this.owing.length > 0) this.armAcks()
  }

  private armAcks(): void {
    this.ackTimer ??= this.clock.after(this.limits.ackAfterMs, this.onAckTimer)
  }

  // ---------------------------------------------------------------- sending again

  private arm(link: Link): void {
    if (link.timer || this.stopped) return
    if (link.waitMs === 0) link.waitMs = this.limits.resendMs
    link.timer = this.clock.after(link.waitMs, link.onTimer)
  }

  /**
   * The timer is not moved with every frame and acknowledgement, that would cost more than the frame:
   * when it rings it looks how old the oldest frame is, and is set anew for the rest.
   */
  onTimer(link: Link): void {
    link.timer = undefined
    if (!link.alive || this.stopped) return
    if (link.oldest < link.toSend) {
      const age = this.clock.now() - link.frames.sentAt(link.oldest)
      if (age < link.waitMs) {
        // Not less than 1 ms: a rest that rounding swallows would ring at the same moment again.
        link.timer = this.clock.after(Math.max(1, link.waitMs - age), link.onTimer)
        return
      }
      link.repairNext = link.oldest
      link.repairEnd = link.toSend
      this.repair(link)
    } else if (link.short) this.bare(link, PROBE)
    else return
    link.waitMs = Math.min(link.waitMs * 2, this.limits.resendMsMax)
    this.arm(link)
  }

  /** The peer answers again: the wait is short again, also the one that is running. */
  private calm(link: Link): void {
    if (link.waitMs <= this.limits.resendMs) return
    link.waitMs = this.limits.resendMs
    link.timer?.cancel()
    link.timer = undefined
    if (link.oldest < link.toSend || link.short) this.arm(link)
  }

  private repair(link: Link): void {
    const from = Math.max(link.repairNext, link.oldest)
    const to = Math.min(from + REPAIR_FRAMES, link.repairEnd)
    for (let seq = from; seq < to; seq++) this.resend(link, seq)
    link.repairNext = to
  }

  private resend(link: Link, seq: number): void {
    const frame = link.frames.get(seq)
    link.frames.setSentAt(seq, this.clock.now())
    this.stats.resent++
    this.stats.bytesOut += frame.length
    this.options.transmit(link.no, frame)
  }

  /** All that is unacknowledged goes again, and who is short of credit asks. */
  kick(link: Link): void {
    for (let seq = link.oldest; seq < link.toSend; seq++) this.resend(link, seq)
    link.repairNext = link.repairEnd
    if (link.short) this.bare(link, PROBE)
    this.calm(link)
  }

  greet(link: Link): void {
    this.bare(link, HELLO)
  }

  /** What a frame of the peer says of ours; `ack` names none that was not sent. */
  acknowledged(link: Link, h: FrameHeader): void {
    if (h.ack >= link.oldest) {
      for (; link.oldest <= h.ack; link.oldest++) {
        link.bytesInFlight -= link.frames.get(link.oldest).length
        link.frames.drop(link.oldest)
      }
      if (link.repairNext < link.repairEnd) this.repair(link)
      this.calm(link)
      this.pump(link)
    }
    if (h.missing > 0 && h.ack === link.oldest - 1) this.resendMissing(link, h.missing)
    this.granted(link, h.grant)
  }

  private resendMissing(link: Link, count: number): void {
    const before = this.clock.now() - REPAIR_GAP_MS
    const end = Math.min(link.oldest + count, link.toSend)
    for (let seq = link.oldest; seq < end; seq++)
      if (link.frames.sentAt(seq) <= before) this.resend(link, seq)
  }

  // ---------------------------------------------------------------- credit

  grantFor(link: Link): number {
    return this.limits.creditBytes + link.creditConsumed
  }

  /** Below a quarter of the window somebody waits for more, so a lost grant must be asked for. */
  creditLeft(link: Link): number {
    const left = link.creditGranted - link.creditSent
    if (left < this.limits.creditBytes / 4 && !link.short) {
      link.short = true
      if (link.no !== this.options.self) this.arm(link)
    }
    return left
  }

  granted(link: Link, grant: number): void {
    // A peer cannot have dealt with more than was sent: a forged grant opens the window, no more.
    const granted = Math.min(grant, link.creditSent + this.limits.creditBytes)
    if (granted <= link.creditGranted) return
    link.creditGranted = granted
    if (!link.short || granted - link.creditSent < this.limits.creditBytes / 4) return
    link.short = false
    this.calm(link)
    this.onCredit(link.no)
  }

  /** Announces a grant by itself once it is worth a frame. */
  grantDue(link: Link): void {
    if (this.grantFor(link) - link.creditAnnounced >= this.limits.creditBytes / 4)
      this.owe(link, Owes.SOON)
  }

  stop(): void {
    this.stopped = true
    this.ackTimer?.cancel()
  }
}
