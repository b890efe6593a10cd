import { Burst } from './burst.ts'
import { ByteReader, type ByteWriter } from './bytes.ts'
import { invariant, RehomeError } from './errors.ts'
import {
  DATA,
  epochOf,
  FrameHeader,
  HEADER_BYTES,
  HELLO,
  MESSAGE_HEAD_BYTES,
  PIECE,
  PROBE,
  readFrame,
} from './frame.ts'
import { Link, Owes } from './link.ts'
import {
  defaultLimits,
  KNOWN,
  kindFlags,
  type Leftovers,
  type LinkLimits,
  type LinksOptions,
  METERED,
  PATIENT,
} from './linkoptions.ts'
import { LinkStats } from './linkstats.ts'
import { LinkTable } from './linktable.ts'
import { PROTOCOL_VERSION } from './message.ts'
import { Parts } from './parts.ts'
import type { MemberNo } from './port.ts'
import { Transmission } from './transmission.ts'

/** A message of parts takes no more of them from here on: well under the room that slabs keep for one. */
const JOINED_BYTES = 768

/**
 * All links of one member: writes messages into frames and delivers those of others, in order and
 * once. The essay is in link.ts. Pure: time and the bus are handed in.
 */
export class Links {
  readonly stats = new LinkStats()
  private readonly options: LinksOptions
  private readonly limits: LinkLimits
  private readonly self: MemberNo
  private readonly transmission: Transmission
  private readonly table: LinkTable
  private stopped = false

  private writing: Link | undefined = undefined
  private kind = 0
  /** Parts of the last message that are not settled yet. */
  private readonly parts = new Parts()
  private readonly burst: Burst

  private readonly reader = new ByteReader(new Uint8Array(0))
  private readonly head = new FrameHeader()
  private delivering = false
  private readonly arrived: Uint8Array[] = []
  private failure: unknown = undefined

  constructor(options: LinksOptions) {
    this.options = options
    this.limits = options.limits ? { ...defaultLimits, ...options.limits } : defaultLimits
    this.self = options.self
    this.transmission = new Transmission(options, this.limits, this.stats)
    this.burst = new Burst(options.clock, (link) => this.close(link))
    this.table = new LinkTable(
      options.self,
      this.limits.strangersMax,
      (no) => new Link(no, this.limits.creditBytes, (link) => this.transmission.onTimer(link)),
    )
  }

  // ---------------------------------------------------------------- members

  /** The view has this member: frames from it are taken from now on. Does nothing the second time. */
  open(no: MemberNo): void {
    this.table.open(no)
  }

  /** The view has this member no more, for good: a number is never used again. */
  forget(no: MemberNo): Leftovers {
    this.settle()
    if (this.writing?.no === no) this.abandon()
    const link = this.table.remove(no)
    if (!link) return { unsent: 0, unanswered: 0 }
    const left = { unsent: link.unsentMessages(), unanswered: link.unansweredMessages() }
    link.die()
    return left
  }

  /** Numbers that have a link, also of members that only showed by their frames. */
  peers(): MemberNo[] {
    return Array.from(this.table.all(), (link) => link.no).filter((no) => no !== this.self)
  }

  // ---------------------------------------------------------------- writing

  /**
   * Starts a message to `to` and answers where to write its payload; `end` finishes it. If writing
   * throws, the next begin or flush takes back what there was. To a dead member it goes nowhere.
   */
  begin(to: MemberNo, kind: number): ByteWriter {
    if (this.parts.isOpen) this.settle()
    if (this.writing) this.abandon()
    const link = this.table.of(to) ?? this.table.nobody
    const epoch = this.options.epoch()
    if (link.open && link.frameEpoch !== epoch) this.close(link)
    const mayWait = (kindFlags[kind]! & PATIENT) !== 0
    if (!link.open) {
      this.openFrame(link, epoch, link.room)
      link.isPatient = mayWait
    } else if (!mayWait) link.isPatient = false
    const { w } = link
    link.messageStart = w.pos
    w.keepFrom = w.pos
    w.pos += MESSAGE_HEAD_BYTES
    link.partStart = w.pos
    link.joins = 0
    this.kind = kind
    this.writing = link
    return w
  }

  /**
   * The same for a kind whose payload is one or more parts, of which this is one: it goes behind the last message to `to`
   * if that is of this kind, else into a new one. So what is many costs little each.
   */
  beginPart(to: MemberNo, kind: number): ByteWriter {
    const further = this.beginFurther(to, kind)
    if (further !== undefined) return further
    const w = this.begin(to, kind)
    this.writing!.joins = kind
    return w
  }

  /** Only behind another part, in a message that has been begun: it needs no credit of its own. Undefined: there is none. */
  beginFurther(to: MemberNo, kind: number): ByteWriter | undefined {
    if (this.parts.isOpen) this.settle()
    const link = this.table.of(to)
    if (link === undefined || link.joins !== kind || !link.open || this.writing) return undefined
    if (link.frameEpoch !== this.options.epoch()) return undefined
    link.partStart = link.w.pos
    this.kind = kind
    this.writing = link
    return link.w
  }

  /** After `beginPart` and `end`, for what is many: what takes further parts to `to`; undefined where the message has no room. */
  openParts(to: MemberNo): Parts | undefined {
    this.settle()
    const link = this.table.of(to)
    if (link === undefined || link.joins === 0 || !link.open) return undefined
    return this.parts.open(link, link.messageStart + MESSAGE_HEAD_BYTES + JOINED_BYTES)
  }

  /** What `parts` has taken goes on as one part: before anything else is written or sent, and before our view changes. */
  settle(): void {
    if (!this.parts.settle()) return
    this.writing = this.parts.link
    this.kind = this.writing.joins
    this.end()
  }

  end(): void {
    const link = this.writing
    invariant(link !== undefined, 'a message is begun before it ends')
    this.writing = undefined
    if (link === this.table.nobody) {
      this.stats.toNobody++
      return link.takeBack()
    }
    const { w } = link
    const { kind } = this
    const bytes = w.pos - link.messageStart - MESSAGE_HEAD_BYTES
    const partBytes = w.pos - link.partStart
    if (bytes > link.room || w.bytes !== link.slab) this.endLarge(link, kind, bytes)
    else w.view.setUint32(link.messageStart, kind | (bytes << 8), true)
    if (partBytes === bytes) this.stats.messagesOut[kind]!++
    if ((kindFlags[kind]! & METERED) !== 0) link.creditSent += partBytes
    if (bytes >= JOINED_BYTES) link.joins = 0
    if (w.pos >= link.fullAt) this.close(link)
  }

  /** Transmits what has been written, at the end of a burst; what may wait for the next one, in some ms at the latest. */
  flush(): void {
    this.settle()
    if (this.writing) this.abandon()
    this.burst.flush()
  }

  private openFrame(link: Link, epoch: number, need: number): void {
    link.openFrame(epoch, need + MESSAGE_HEAD_BYTES, this.limits)
    if (link !== this.table.home && link !== this.table.nobody) this.burst.add(link)
  }

  private close(link: Link): void {
    if (this.parts.isOpen && this.parts.link === link) {
      this.settle()
      if (!link.open) return
    }
    this.transmission.close(link)
    if (link !== this.table.home) this.transmission.pump(link)
  }

  /** Takes back a message whose writing did not come to its end. */
  private abandon(): void {
    const link = this.writing!
    this.writing = undefined
    this.stats.abandoned++
    link.takeBack()
  }

  /** Messages that are the largest so far, outgrew their slab, or are too large for one frame. */
  private endLarge(link: Link, kind: number, bytes: number): void {
    const { w } = link
    const { frameBytes, messageBytesMax } = this.limits
    if (bytes > messageBytesMax) {
      link.takeBack()
      const facts = { bytes, limit: messageBytesMax }
      throw new RehomeError('too-big', `a message of ${bytes} bytes is over the limit`, facts)
    }
    link.room = Math.max(link.room, Math.min(bytes, frameBytes))
    if (bytes <= frameBytes && w.bytes === link.slab) {
      w.view.setUint32(link.messageStart, kind | (bytes << 8), true)
      return
    }
    const payload = w.bytes.subarray(link.messageStart + MESSAGE_HEAD_BYTES, w.pos)
    link.partStart = link.messageStart + MESSAGE_HEAD_BYTES // it goes as a whole
    link.joins = 0
    this.leaveSlab(link)
    if (bytes <= frameBytes) this.putWhole(link, kind, payload)
    else this.putPieces(link, kind, payload)
  }

  /** Sends what came before the message at hand, whose bytes stay where they are until copied. */
  private leaveSlab(link: Link): void {
    link.takeBack()
    if (link.open) this.close(link)
    link.retireSlab()
  }

  private putWhole(link: Link, kind: number, payload: Uint8Array): void {
    this.openFrame(link, link.frameEpoch, link.room)
    link.w.u32(kind | (payload.length << 8))
    link.w.raw(payload)
  }

  /** The last piece's frame stays open: others may follow it. */
  private putPieces(link: Link, kind: number, payload: Uint8Array): void {
    const most = this.limits.frameBytes - HEADER_BYTES - MESSAGE_HEAD_BYTES - 4
    for (let at = 0; at < payload.length; at += most) {
      const piece = payload.subarray(at, at + most)
      const toCome = payload.length - at - piece.length
      this.openFrame(link, link.frameEpoch, this.limits.frameBytes)
      link.w.u32(kind | PIECE | ((piece.length + 4) << 8))
      link.w.u32(toCome)
      link.w.raw(piece)
      if (toCome > 0) this.close(link)
    }
  }

  // ---------------------------------------------------------------- receiving

  /** Takes a frame from the bus. What it is made of never makes this throw; a failing handler does. */
  receive(frame: Uint8Array): void {
    if (this.stopped) return
    if (this.delivering) {
      this.arrived.push(frame)
      return
    }
    this.deliverAll(frame)
  }

  /** Delivers what this member has sent to itself; within a delivery that comes after it anyway. */
  drainSelf(): void {
    if (!this.delivering && !this.stopped) this.deliverAll(undefined)
  }

  private deliverAll(first: Uint8Array | undefined): void {
    this.delivering = true
    try {
      for (let next = first; next; next = this.arrived.shift()) this.take(next)
      this.deliverSelf()
    } finally {
      this.delivering = false
    }
    // An error that a handler threw for other reasons than the bytes: a bug, to be seen.
    const { failure } = this
    this.failure = undefined
    if (failure !== undefined) throw failure
  }

  /** The bus was cut and is back: frames in between may be gone. */
  kick(): void {
    for (const link of this.table.all()) if (link !== this.table.home) this.transmission.kick(link)
  }

  /** This member listens from now on: what was sent to it before went nowhere, and is to be sent again. */
  greet(): void {
    for (const link of this.table.all()) if (link !== this.table.home) this.transmission.greet(link)
  }

  private take(frame: Uint8Array): void {
    const h = this.head
    this.aim(frame)
    this.stats.bytesIn += frame.length
    const { view } = this.reader
    const fault = readFrame(view, frame.byteOffset, frame.length, PROTOCOL_VERSION, h)
    if (fault === 'version') this.refuse(fault, h.from)
    else if (fault) this.malformed(fault, h.from)
    else if (h.to !== this.self || h.from === this.self || h.from === 0)
      this.refuse('not for us', h.from)
    else this.takeFrom(this.table.of(h.from), frame, h)
  }

  private takeFrom(link: Link | undefined, frame: Uint8Array, h: FrameHeader): void {
    if (!link) this.refuse('not a member', h.from)
    else if (h.ack >= link.toSend) this.malformed('ack', h.from)
    else {
      const { seq, epoch, flags } = h
      this.transmission.acknowledged(link, h)
      if ((flags & PROBE) !== 0) this.transmission.owe(link, Owes.SOON)
      if ((flags & HELLO) !== 0) this.transmission.kick(link)
      if ((flags & DATA) === 0 || !link.alive) return
      this.stats.framesIn++
      if (seq === link.expected) this.takeNext(link, frame, epoch)
      else this.takeEarly(link, frame, seq)
    }
  }

  private takeNext(link: Link, frame: Uint8Array, epoch: number): void {
    link.expected++
    this.transmission.received(link, frame.length)
    this.deliver(link, frame, epoch)
    while (link.early.size > 0 && link.alive) {
      const next = link.early.get(link.expected)
      if (!next) break
      link.early.delete(link.expected++)
      link.earlyBytes -= next.length
      this.transmission.received(link, next.length)
      this.aim(next)
      this.deliver(link, next, epochOf(this.reader.view, next.byteOffset))
    }
  }

  private takeEarly(link: Link, frame: Uint8Array, seq: number): void {
    const { windowFrames, windowBytes, frameBytes } = this.limits
    this.transmission.owe(link, Owes.SOON)
    if (seq < link.expected || link.early.has(seq)) this.stats.duplicates++
    else if (
      seq - link.expected >= windowFrames ||
      link.earlyBytes + frame.length > windowBytes + 2 * frameBytes
    )
      this.stats.beyondWindow++
    else {
      this.stats.gaps++
      link.early.set(seq, frame)
      link.earlyBytes += frame.length
    }
  }

  /** Points the reader at a frame. Small frames share a buffer of the socket, so its view is kept. */
  private aim(frame: Uint8Array): void {
    const r = this.reader
    if (r.bytes.buffer === frame.buffer) return
    r.bytes = new Uint8Array(frame.buffer)
    r.view = new DataView(frame.buffer)
  }

  private deliver(link: Link, frame: Uint8Array, epoch: number): void {
    const r = this.reader
    const { view } = r
    const end = frame.byteOffset + frame.length
    let at = frame.byteOffset + HEADER_BYTES
    while (at < end && link.alive) {
      const word = view.getUint32(at, true)
      const kind = word & 0xff
      at += MESSAGE_HEAD_BYTES
      r.pos = at
      at += word >>> 8
      r.end = at
      if ((kind & PIECE) !== 0) this.takePiece(link, kind & ~PIECE, r, epoch)
      else if (link.assembly) this.dropAssembly(link)
      else this.handOver(link, kind, r, epoch)
    }
  }

  private handOver(link: Link, kind: number, r: ByteReader, epoch: number): void {
    const flags = kindFlags[kind]!
    if ((flags & KNOWN) === 0) {
      this.malformed('kind', link.no)
      return
    }
    this.stats.messagesIn[kind]!++
    if ((flags & METERED) !== 0) {
      if (link.creditReceived >= this.transmission.grantFor(link)) this.stats.overdrawn++
      link.creditReceived += r.end - r.pos
    }
    try {
      this.options.onMessage(link.no, kind, r, epoch)
    } catch (e) {
      if (e instanceof RehomeError && e.code === 'bad-frame') this.malformed('message', link.no)
      else this.failure ??= e
    }
  }

  private takePiece(link: Link, kind: number, r: ByteReader, epoch: number): void {
    if (!link.addPiece(kind, r, this.limits.messageBytesMax)) return this.dropAssembly(link)
    const { assembly } = link
    if (!assembly || assembly.due > 0) return
    link.assembly = undefined
    this.handOver(link, assembly.kind, new ByteReader(assembly.bytes.written()), epoch)
  }

  private dropAssembly(link: Link): void {
    link.assembly = undefined
    this.malformed('piece', link.no)
  }

  private deliverSelf(): void {
    const link = this.table.home
    while (link.openBytes > 0 || link.oldest < link.next) {
      if (link.oldest === link.next) this.close(link)
      const seq = link.oldest++
      const frame = link.frames.get(seq)
      link.frames.drop(seq)
      link.toSend = link.oldest
      link.bytesWaiting -= frame.length
      this.aim(frame)
      this.deliver(link, frame, epochOf(this.reader.view, frame.byteOffset))
    }
  }

  private refuse(reason: string, from: MemberNo): void {
    this.stats.refused++
    this.stats.cause(reason)
    this.options.onRefused?.(reason, from)
  }

  private malformed(cause: string, from: MemberNo): void {
    this.stats.malformed++
    this.stats.cause(cause)
    this.options.onRefused?.(`malformed: ${cause}`, from)
  }

  // ---------------------------------------------------------------- credit and state

  /**
   * Bytes of credit-class payload that may still go to `to`. While it is above 0 one more message may
   * be begun, whatever its size. Below a quarter of the window `onCredit` will tell when there is more.
   */
  creditLeft(to: MemberNo): number {
    this.settle()
    const link = this.table.of(to)
    return link ? this.transmission.creditLeft(link) : 0
  }

  /** Told when credit is back that `creditLeft` found short; called within receive() or consumed(). */
  set onCredit(listener: (from: MemberNo) => void) {
    this.transmission.onCredit = listener
  }

  /** Credit-class payload of `bytes` from that member has been dealt with and holds no memory now. */
  consumed(from: MemberNo, bytes: number): void {
    const link = this.table.of(from)
    if (!link) return
    link.creditConsumed += bytes
    invariant(link.creditConsumed <= link.creditReceived, 'no more is consumed than has come')
    if (link === this.table.home) this.transmission.granted(link, this.transmission.grantFor(link))
    else this.transmission.grantDue(link)
  }

  /** Nothing for `to` is unsent or unacknowledged. */
  idle(to: MemberNo): boolean {
    const link = this.table.get(to)
    return !link || (link.oldest === link.next && link.openBytes === 0)
  }

  /** Bytes for `to` that are unsent or unacknowledged: by it a background task holds back. */
  backlog(to: MemberNo): number {
    const link = this.table.get(to)
    return link ? link.bytesInFlight + link.bytesWaiting + link.openBytes : 0
  }

  /** Bytes that have come and cannot be delivered yet: early frames, and messages in pieces. */
  held(): number {
    let bytes = 0
    for (const link of this.table.all()) bytes += link.earlyBytes + (link.assembly?.bytes.pos ?? 0)
    return bytes
  }

  /** Ends all timers; nothing is received any more. */
  stop(): void {
    this.stopped = true
    this.burst.stop()
    this.transmission.stop()
    for (const link of this.table.all()) link.timer?.cancel()
  }
}
