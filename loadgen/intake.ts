import { type ByteReader, ByteWriter, Kind, type MemberNo } from '../bus/index.ts'
import type { Packet } from '../nf-apps/packet/index.ts'
import { slotOf } from '../placement/index.ts'
import { peekHashes, readHead, readPacket } from './batch.ts'
import { type Batch, batchOf, Entry, type EntryPorts } from './entry.ts'
import type { Handler, IntakeOptions, IntakeStats } from './intake-options.ts'
import { Latency } from './latency.ts'

/** The flip of a slot's packets from one receiver to another, as either of them sees it. */
interface Flip {
  readonly kind: 'mark' | 'hold'
  readonly steerer: MemberNo
  readonly slot: number
  /** The steerer's number of it. */
  readonly number: number
  readonly peer: MemberNo
}

/**
 * The receiving side of steering: packets in, verdicts out, in order within each flow.
 *
 * A packet that meets an absent actor is suspended; others go on. Later packets of its flow (of its steering
 * hash) wait behind it, so that a flow's packets take effect in the order of arrival.
 *
 * When a slot's packets flip to another instance, the steerer sends MARK on the old way and HOLD on the new one. The new
 * receiver keeps the slot's packets until the old one, past MARK with none suspended, sends DRAINED
 * (PROTOCOL.md, rule 13).
 */
export class Intake {
  readonly stats: IntakeStats = {
    packets: 0,
    bytes: 0,
    malformed: 0,
    errors: 0,
    suspendedMax: 0,
    packetsDuringHandoff: 0,
  }
  /** Until the verdict, from when a packet was due at its source. */
  readonly latency = new Latency()
  /** The same, from when its batch was here: without the way, which is the bus's. */
  readonly timeHere = new Latency()
  /** Set while a view's slots are still to come. */
  inHandoff = false

  /** By steerer: packet time below which nothing of its packets is under way any more, at any instance. */
  private readonly lows = new Map<MemberNo, number>()
  /** Of batches whose outputs have been told: few, and they grow to what a batch needs. */
  private readonly writers: ByteWriter[] = []
  private readonly ports: EntryPorts = {
    receiverOf: (hash) => this.o.receiverOf(hash),
    lowUs: () => this.lowUs(),
    writer: () => this.writers.pop() ?? new ByteWriter(),
  }
  private readonly o: IntakeOptions
  private readonly pool: Entry[] = []
  private entry: Entry
  private open = 0
  /** The batch that is being read, how many of its packets have been taken up, and how many have their verdicts. */
  private reading: Batch | undefined
  private taken = 0
  private verdicts = 0
  /** Suspended packets by steering hash, each with those that wait behind it. */
  private readonly suspended = new Map<number, { first: Entry; behind: Entry[] }>()
  /** Packets of a slot that have no verdict yet though they were taken up: what MARK waits for. */
  private readonly unsettled = new Map<number, number>()
  private suspendedCount = 0
  /** Per slot and steerer: flips that are not through, and packets behind them, as they came. */
  private readonly flips = new Map<number, (Entry | Flip)[]>()
  private readonly hashes = new Uint32Array(HASHES)
  private readonly drained = new Set<string>()
  /** Per slot and steerer: the last HOLD that is through. They come and go by rising number. */
  private readonly released = new Map<number, number>()
  /** Packets behind a HOLD are kept though it is drained: until all of them may go on. */
  private keeps = false
  private holds = 0
  /** What is held back while updates have piled up, as it came. */
  private backlog: (Entry | Flip)[] = []
  private backlogAt = 0

  constructor(options: IntakeOptions) {
    this.o = options
    this.entry = new Entry(this.ports)
  }

  onPackets(from: MemberNo, r: ByteReader): void {
    const bytes = r.left
    const head = readHead(r)
    this.lows.set(from, head.lowUs)
    const { count } = head
    const batch = batchOf(from, head, bytes, this.o.wallMs())
    this.open++
    this.reading = batch
    this.taken = 0
    this.verdicts = 0
    try {
      while (this.taken < count) {
        const end = Math.min(count, this.taken + HASHES)
        if (this.o.foresees()) {
          this.o.foresee(this.hashes, peekHashes(r, this.hashes, end - this.taken))
        }
        while (this.taken < end) this.takeUp(batch, r, end)
      }
    } finally {
      this.reading = undefined
      // Their verdicts go together, now: one look at the clock tells when they were reached.
      if (this.verdicts > 0) this.time(batch, this.verdicts)
      batch.left -= this.verdicts
      // The one beyond its packets: a batch does not end while it is being read. A broken one ends where it breaks.
      this.settle(batch, 1 + count - this.taken)
      // Those that have theirs do not wait for those that are suspended or kept back.
      if (batch.left > 0 && batch.forwarded + batch.dropped > 0) this.tell(batch)
      else this.tellSoon(batch)
    }
  }

  private takeUp(batch: Batch, r: ByteReader, end: number): void {
    const { entry } = this
    if (entry.batch !== batch) entry.batch = batch
    if (this.isCalm) return this.takeCalm(entry, r, end)
    readPacket(r, entry.packet)
    if (this.isHeldBack() || this.o.pressed()) this.backlog.push(this.detach())
    else this.enter(entry)
    this.taken++
  }

  /** Nothing goes on that a packet could have to wait for. */
  private get isCalm(): boolean {
    const isFree = !this.isHeldBack() && this.flips.size === 0 && this.suspendedCount === 0
    return isFree && !this.o.pressed()
  }

  /**
   * Packets that have their verdicts at once, up to the first one that has not: most packets' way, and nothing beyond what each
   * needs. They are counted together, whatever ends it.
   */
  private takeCalm(entry: Entry, r: ByteReader, end: number): void {
    const { packet } = entry
    const { handler, pressed } = this.o
    const most = end - this.taken
    let handled = 0
    let bytes = 0
    let malformed = 0
    let forwarded = 0
    let verdicts = 0
    try {
      while (verdicts < most) {
        readPacket(r, packet)
        handled++
        bytes += packet.wireLength
        if (packet.malformed !== 0) malformed++
        const verdict = this.verdictOf(handler, entry)
        if (typeof verdict !== 'number') {
          this.await(entry, verdict)
          this.taken++
          return
        }
        verdicts++
        if (verdict !== 0) forwarded++
        if (pressed()) return
      }
    } finally {
      const { stats } = this
      stats.packets += handled
      stats.bytes += bytes
      stats.malformed += malformed
      if (this.inHandoff) stats.packetsDuringHandoff += handled
      entry.batch.forwarded += forwarded
      entry.batch.dropped += verdicts - forwarded
      this.verdicts += verdicts
      this.taken += verdicts
    }
  }

  private verdictOf(handler: Handler, entry: Entry): number | Promise<number> {
    try {
      return handler(entry.packet, entry)
    } catch (error) {
      return this.failed(entry, error)
    }
  }

  /** Makes the current entry its packet's own; the next packet gets another. */
  private detach(): Entry {
    const { entry } = this
    this.entry = this.pool.pop() ?? new Entry(this.ports)
    return entry
  }

  private isHeldBack(): boolean {
    return this.backlogAt < this.backlog.length
  }

  private enter(entry: Entry): void {
    const { hash } = entry.packet
    if (this.flips.size > 0) {
      const items = this.flips.get(this.slotKey(entry.batch.from, hash))
      if (items) {
        items.push(entry === this.entry ? this.detach() : entry)
        return
      }
    }
    this.run(entry)
  }

  private run(entry: Entry): void {
    if (this.suspendedCount > 0) {
      const flow = this.suspended.get(entry.packet.hash)
      if (flow) {
        flow.behind.push(entry === this.entry ? this.detach() : entry)
        this.countUnsettled(entry, 1)
        return
      }
    }
    this.start(entry)
  }

  private start(entry: Entry): void {
    const verdict = this.handle(entry)
    if (typeof verdict === 'number') {
      this.done(entry, verdict)
      if (entry !== this.entry) this.pool.push(entry)
    } else this.await(entry, verdict)
  }

  private await(entry: Entry, verdict: Promise<number>): void {
    const { hash } = entry.packet
    const kept = entry === this.entry ? this.detach() : entry
    this.countUnsettled(kept, 1)
    this.suspended.set(hash, { first: kept, behind: [] })
    this.suspend(kept, verdict)
  }

  private handle(entry: Entry): number | Promise<number> {
    const { packet } = entry
    this.stats.packets++
    this.stats.bytes += packet.wireLength
    if (packet.malformed !== 0) this.stats.malformed++
    if (this.inHandoff) this.stats.packetsDuringHandoff++
    return this.verdictOf(this.o.handler, entry)
  }

  private failed(entry: Entry, error: unknown): number {
    this.stats.errors++
    return this.o.onError(entry.packet, error)
  }

  private suspend(entry: Entry, verdict: Promise<number>): void {
    entry.since = this.o.clock.now()
    this.suspendedCount++
    if (this.suspendedCount > this.stats.suspendedMax) {
      this.stats.suspendedMax = this.suspendedCount
    }
    verdict.then(
      (value) => this.resume(entry, value),
      (error) => this.resume(entry, this.failed(entry, error)),
    )
  }

  private resume(entry: Entry, verdict: number): void {
    const { hash } = entry.packet
    this.suspendedCount--
    this.done(entry, verdict)
    const flow = this.suspended.get(hash)!
    this.suspended.delete(hash)
    for (let i = 0; i < flow.behind.length; i++) {
      const next = flow.behind[i]!
      const result = this.handle(next)
      if (typeof result !== 'number') {
        this.suspended.set(hash, { first: next, behind: flow.behind.slice(i + 1) })
        this.suspend(next, result)
        break
      }
      this.done(next, result)
      this.countUnsettled(next, -1)
      this.pool.push(next)
    }
    // Last: a MARK that waited for this one lets packets run that come behind all of these.
    this.countUnsettled(entry, -1)
    this.pool.push(entry)
    this.o.wake()
  }

  private done(entry: Entry, verdict: number): void {
    const { batch } = entry
    if (verdict === 0) batch.dropped++
    else batch.forwarded++
    if (batch === this.reading) {
      this.verdicts++
      return
    }
    this.time(batch, 1)
    this.settle(batch, 1)
    this.tellSoon(batch)
  }

  /** What is to be sent on does not wait for packets that are suspended: else later ones of its flow would overtake it. */
  private tellSoon(batch: Batch): void {
    if (batch.left > 0 && batch.outputCount > 0) this.tell(batch)
  }

  /** So many packets of the batch have reached their verdicts now. */
  private time({ dueMs, arrivedMs }: Batch, count: number): void {
    const now = this.o.wallMs()
    this.latency.record((now - dueMs) * 1000, count)
    this.timeHere.record((now - arrivedMs) * 1000, count)
  }

  private settle(batch: Batch, n: number): void {
    batch.left -= n
    if (batch.left > 0) return
    this.open--
    this.tell(batch)
    this.o.out.consumed(batch.from, batch.bytes)
  }

  private tell(batch: Batch): void {
    const w = this.o.out.begin(batch.from, Kind.DONE)
    w.u32(batch.id)
    w.u8(batch.left > 0 ? 0 : 1)
    w.u32(batch.forwarded)
    w.u32(batch.dropped)
    w.u32(batch.outputCount)
    const { outputs } = batch
    if (outputs) {
      w.raw(outputs.written())
      outputs.pos = 0
      this.writers.push(outputs)
    }
    this.o.out.end()
    batch.forwarded = batch.dropped = batch.outputCount = 0
    batch.outputs = undefined
  }

  // ---- flips ----

  /** One number for a steerer's slot: numbers of members stay far below 2^38. */
  private slotKey(steerer: MemberNo, hash: number): number {
    return this.keyOf(steerer, slotOf(hash, this.o.slotBits))
  }
  private keyOf(steerer: MemberNo, slot: number): number {
    return steerer * 2 ** this.o.slotBits + slot
  }
  private isOf(steerer: MemberNo, key: number): boolean {
    return Math.floor(key / 2 ** this.o.slotBits) === steerer
  }

  private countUnsettled(entry: Entry, n: number): void {
    const key = this.slotKey(entry.batch.from, entry.packet.hash)
    const count = (this.unsettled.get(key) ?? 0) + n
    if (count > 0) this.unsettled.set(key, count)
    else {
      this.unsettled.delete(key)
      if (this.flips.size > 0) this.work(key)
    }
  }

  /** MARK or HOLD: the other receiver, then slots, each with its flip's number. */
  onFlip(kind: 'mark' | 'hold', steerer: MemberNo, r: ByteReader): void {
    const peer = r.u32()
    for (let n = r.u16(); n > 0; n--) {
      const flip = { kind, steerer, slot: r.u16(), number: r.u32(), peer }
      if (this.isHeldBack()) this.backlog.push(flip)
      else this.takeFlip(flip)
    }
  }

  private takeFlip(flip: Flip): void {
    if (flip.kind === 'hold') this.holds++
    const key = this.keyOf(flip.steerer, flip.slot)
    const items = this.flips.get(key)
    if (!items) this.flips.set(key, [flip])
    else {
      // A MARK for one who waited for a dead one belongs where that one's flip was, before later ones here.
      const later = items.findIndex((item) => !(item instanceof Entry) && item.number > flip.number)
      items.splice(later < 0 ? items.length : later, 0, flip)
    }
    this.work(key)
  }

  /**
   * DRAINED may overtake the HOLD that it is the answer to: they come on different links. After a crash it may come a
   * second time, for a HOLD that is through; and from a steerer that is gone there is none to come.
   */
  onDrained(r: ByteReader): void {
    const steerer = r.u32()
    const key = this.keyOf(steerer, r.u16())
    const number = r.u32()
    if (number <= (this.released.get(key) ?? 0) || this.o.isGone(steerer)) return
    this.drained.add(`${steerer} ${number}`)
    this.work(key)
  }

  /** Goes on with a slot's flips and the packets behind them, as far as they may. */
  private work(key: number): void {
    const items = this.flips.get(key)
    while (items?.length) {
      const item = items[0]!
      if (!(item instanceof Entry) && !this.isThrough(item, key)) return
      items.shift() // first: what runs next may come back here
      if (items.length === 0) this.flips.delete(key)
      if (item instanceof Entry) this.run(item)
      else if (item.kind === 'mark') this.sendDrained(item)
      else this.o.onFlipped(item.slot)
    }
  }

  private isThrough(flip: Flip, key: number): boolean {
    if (flip.kind === 'mark') return !this.unsettled.has(key)
    if (this.keeps || !this.drained.delete(`${flip.steerer} ${flip.number}`)) return false
    this.holds--
    this.released.set(key, flip.number)
    return true
  }

  /** Keeps what comes behind a HOLD from now on, until `endHold`: all of it goes on together. */
  beginHold(): void {
    this.keeps = true
  }

  endHold(): void {
    this.keeps = false
    for (const key of [...this.flips.keys()]) this.work(key)
    this.o.wake()
  }

  /** HOLDs that are not through, and DRAINEDs that have come for them. */
  get held(): { holds: number; drained: number } {
    return { holds: this.holds, drained: this.drained.size }
  }

  private sendDrained(flip: Flip): void {
    const w = this.o.out.begin(flip.peer, Kind.DRAINED)
    w.u32(flip.steerer)
    w.u16(flip.slot)
    w.u32(flip.number)
    this.o.out.end()
  }

  /** A steerer that is gone sees to nothing any more; what is still here of its packets just runs. */
  memberGone(no: MemberNo): void {
    this.lows.delete(no)
    for (const waited of this.drained) if (waited.startsWith(`${no} `)) this.drained.delete(waited)
    const here = [...this.backlog.slice(this.backlogAt), ...[...this.flips.values()].flat()]
    for (const item of here) {
      if (item instanceof Entry || item.kind !== 'hold' || item.steerer !== no) continue
      this.drained.add(`${no} ${item.number}`)
    }
    for (const key of [...this.flips.keys()]) this.work(key)
    for (const key of this.released.keys()) if (this.isOf(no, key)) this.released.delete(key)
  }

  // ---- held back ----

  /** Takes up what was held back; true while there is more that may go. */
  step(): boolean {
    const end = Math.min(this.backlog.length, this.backlogAt + BACKLOG_STEP)
    while (this.backlogAt < end && !this.o.pressed()) {
      const item = this.backlog[this.backlogAt++]!
      if (item instanceof Entry) this.enter(item)
      else this.takeFlip(item)
    }
    if (this.isHeldBack()) return !this.o.pressed()
    this.backlog = []
    this.backlogAt = 0
    return false
  }

  /** Packet time (µs) below which nothing is under way any more of all steerers that have sent packets here, or of all but one. */
  lowUs(but?: MemberNo): number {
    let low = Number.POSITIVE_INFINITY
    for (const [no, us] of this.lows) if (no !== but) low = Math.min(low, us)
    return low
  }

  /** No packet is here that has no verdict, and no flip is under way. */
  get idle(): boolean {
    return this.open === 0 && this.flips.size === 0
  }

  /** Packets that are suspended now, without those behind them. */
  get suspendedNow(): number {
    return this.suspendedCount
  }

  *waiting(): Iterable<{ packet: Packet; since: number; behind: number }> {
    for (const { first, behind } of this.suspended.values()) {
      yield { packet: first.packet, since: first.since, behind: behind.length }
    }
  }
}

const BACKLOG_STEP = 256
/** Packets that are foreseen at a time. */
const HASHES = 64
