import { type ByteReader, ByteWriter, Kind, type MemberNo } from '../bus/index.ts'
import { type Sender, slotOf, type View } from '../placement/index.ts'
import {
  type Arrival,
  BATCH_HEAD_BYTES,
  LINE,
  type Output,
  readOutput,
  writeHead,
  writePacket,
} from './batch.ts'

export interface SteererOptions {
  readonly out: Sender & { creditLeft(to: MemberNo): number }
  /** The member that steers. */
  readonly self: MemberNo
  readonly slotBits: number
  /** Wall clock in ms, the same on all processes of a machine. */
  readonly wallMs: () => number
  /** Slots whose packets flip in one `step`: a few keep latencies flat, all at once is the hard case. */
  readonly flipsPerStep: number
  /** Packets in one batch: large ones cost less, small ones wait less. */
  readonly batchPacketsMax?: number
  /** Verdicts of `count` packets have come, the first of which was due at `dueMs`. */
  readonly onVerdicts?: (dueMs: number, count: number) => void
  /** A frame that the NF emitted. */
  readonly onFrame?: (frame: Output) => void
  /** A line that it told. Left out, none are asked for: telling costs an NF something. */
  readonly onEvent?: (line: Output) => void
}

/** Bytes of a batch: with its head and the frame's it stays below the link's frame. */
const BATCH_BYTES_MAX = 28 * 1024

/**
 * Packets at one receiver without their verdicts: enough to hide some round trips, few enough that a flip's MARK does not
 * stand behind a second's worth of them when the receiver is slow.
 */
const UNDERWAY_MAX = 4096

/** Room for a first batch: a receiver of few packets needs no more. */
const FIRST_BATCH_BYTES = 2 * 1024

/** What is gathered for one receiver, and how many packets it has. */
interface Slip {
  readonly w: ByteWriter
  batch: Batch | undefined
  underway: number
}

/** Earlier receivers that are remembered of a slot: so many flips back nothing is suspended any more. */
const PAST_MAX = 8

/** An earlier receiver of a slot, and the number of the flip away from it. */
interface Past {
  readonly no: MemberNo
  readonly flip: number
}

/** Packets on the way to one receiver. */
interface Batch {
  readonly id: number
  readonly to: MemberNo
  /** Packet time at its first packet. */
  readonly firstUs: number
  readonly dueMs: number
  count: number
  /** Packets whose verdicts have come. */
  told: number
  done: boolean
}

/**
 * Packets in: stamps each with its index and packet time, and sends it to the instance that its steering hash's
 * slot names in the view. A view changes where packets go slot by slot: MARK on the old way, HOLD on the new one, so
 * that no flow's packets overtake each other (PROTOCOL.md, rule 13). No packet ever waits for a view.
 */
export class Steerer {
  index = 0
  clockUs = 0
  forwarded = 0
  dropped = 0
  /** Packets whose receiver died with them. */
  lost = 0
  /** Flips begun. */
  flips = 0

  private readonly o: SteererOptions
  private readonly batchPacketsMax: number
  private readonly current: Uint32Array
  /**
   * Slot → receivers before the current one, the last first: some of its packets may still be suspended there, and
   * each next one waits for the DRAINED of its flip.
   */
  private readonly before = new Map<number, Past[]>()
  private wanted: Uint32Array | undefined
  private members = new Set<MemberNo>()
  /** A member has died since we steer. */
  private crashed = false
  private crashesBefore = 0
  private cursor = 0
  private unflipped = 0
  private readonly writers = new Map<MemberNo, Slip>()
  private readonly batches = new Map<number, Batch>()
  /** Batches by the order in which they were begun; the first one without its verdicts says how far we are. */
  private order: Batch[] = []
  private orderAt = 0
  private nextId = 1

  constructor(options: SteererOptions) {
    this.o = options
    this.batchPacketsMax = options.batchPacketsMax ?? 64
    this.current = new Uint32Array(1 << options.slotBits)
  }

  onView(view: View): void {
    this.members = new Set(view.members.map((m) => m.no))
    const first = this.wanted === undefined
    this.wanted = view.owner
    if (first) this.crashesBefore = view.crash.members
    this.crashed = view.crash.members > this.crashesBefore
    if (first) this.current.set(view.owner)
    this.cursor = 0
    this.unflipped = 0
    for (let s = 0; s < this.current.length; s++) {
      if (this.current[s] !== view.owner[s]) this.unflipped++
    }
  }

  /** Takes a packet; false if its receiver has no room now: offer it again when there is credit. */
  offer(a: Arrival, hash: number): boolean {
    const to = this.current[slotOf(hash, this.o.slotBits)]!
    const slip = this.writerOf(to)
    const full =
      slip.batch !== undefined &&
      (slip.batch.count >= this.batchPacketsMax || slip.w.pos + (a.end - a.start) > BATCH_BYTES_MAX)
    if (full && !this.send(to)) return false
    const clockUs = Math.max(this.clockUs, a.timeUs)
    const batch = slip.batch ?? this.begin(to, slip, clockUs)
    this.clockUs = clockUs
    writePacket(slip.w, a, { index: this.index++, clockUs, hash })
    batch.count++
    return true
  }

  private writerOf(to: MemberNo): Slip {
    let slip = this.writers.get(to)
    if (!slip) {
      slip = { w: new ByteWriter(FIRST_BATCH_BYTES), batch: undefined, underway: 0 }
      this.writers.set(to, slip)
    }
    return slip
  }

  private begin(to: MemberNo, slip: Slip, firstUs: number): Batch {
    const dueMs = this.o.wallMs()
    const batch: Batch = { id: this.nextId++, to, firstUs, dueMs, count: 0, told: 0, done: false }
    slip.batch = batch
    slip.w.pos = BATCH_HEAD_BYTES // filled in when the count is known
    this.batches.set(batch.id, batch)
    this.order.push(batch)
    return batch
  }

  /** Sends what is gathered for a receiver; false if it has no credit. `anyway`: one batch beyond it. */
  private send(to: MemberNo, anyway = false): boolean {
    const slip = this.writers.get(to)
    const batch = slip?.batch
    if (!slip || !batch) return true
    const alive = this.members.has(to)
    const full = slip.underway >= UNDERWAY_MAX || this.o.out.creditLeft(to) <= 0
    if (alive && !anyway && full) return false
    const end = slip.w.pos
    slip.w.pos = 0
    const { id, dueMs, count } = batch
    const takesEvents = this.o.onEvent !== undefined
    writeHead(slip.w, { id, dueMs, count, lowUs: this.lowUs(), takesEvents })
    slip.w.pos = end
    this.o.out.begin(to, Kind.PACKETS).raw(slip.w.written())
    this.o.out.end()
    slip.batch = undefined
    slip.underway += batch.count
    if (!alive) this.lose(batch)
    return true
  }

  /** Packet time at the first packet that has no verdict yet. */
  lowUs(): number {
    while (this.order[this.orderAt]?.done) this.orderAt++
    if (this.orderAt > 1024) {
      this.order.splice(0, this.orderAt)
      this.orderAt = 0
    }
    return this.order[this.orderAt]?.firstUs ?? this.clockUs
  }

  /** Sends what there is, as far as credit goes. */
  flush(): void {
    for (const to of this.writers.keys()) this.send(to)
  }

  /** DONE: verdicts of a batch, all there are yet. */
  onDone(r: ByteReader): void {
    const batch = this.batches.get(r.u32())
    if (!batch) return
    const last = r.u8() === 1
    const [forwarded, dropped] = [r.u32(), r.u32()]
    this.forwarded += forwarded
    this.dropped += dropped
    batch.told += forwarded + dropped
    for (let n = r.u32(); n > 0; n--) {
      const output = readOutput(r)
      if (output.linkType === LINE) this.o.onEvent?.(output)
      else this.o.onFrame?.(output)
    }
    this.o.onVerdicts?.(batch.dueMs, forwarded + dropped)
    if (last) this.close(batch)
  }

  private lose(batch: Batch): void {
    if (batch.done) return
    this.lost += batch.count - batch.told
    this.close(batch)
  }

  private close(batch: Batch): void {
    this.batches.delete(batch.id)
    batch.done = true
    const slip = this.writers.get(batch.to)
    if (slip) slip.underway -= batch.count
  }

  /**
   * A receiver is gone. One that died takes with it what it had, counted; one that said BYE had nothing, and neither
   * had those before it for which it waited. But a MARK that mends may have come to it behind its BYE, and what it
   * said then is lost: after a crash all are taken to be dead, and some hear twice that they need not wait.
   */
  memberGone(no: MemberNo): void {
    for (const batch of [...this.batches.values()]) {
      if (batch.to === no && this.writers.get(no)?.batch !== batch) this.lose(batch)
    }
    for (const [slot, past] of this.before) {
      if (this.crashed) this.mendFlips(slot, past)
      else this.forget(slot, past, no)
    }
  }

  private forget(slot: number, past: Past[], no: MemberNo): void {
    const at = past.findIndex((p) => p.no === no)
    if (at === 0) this.before.delete(slot)
    else if (at > 0) past.splice(at)
  }

  /**
   * The dead drain nothing. Who waits for one of them gets its DRAINED from the one before it, which may still have
   * suspended packets of the slot; if there is none, from here.
   */
  private mendFlips(slot: number, past: readonly Past[]): void {
    let waiter = this.current[slot]!
    let flip = 0
    const left: Past[] = []
    for (const entry of past) {
      if (!this.members.has(entry.no)) {
        flip ||= entry.flip
        continue
      }
      if (flip !== 0) this.drain(entry.no, waiter, slot, flip)
      left.push(flip === 0 ? entry : { no: entry.no, flip })
      flip = 0
      waiter = entry.no
    }
    if (flip !== 0) this.drain(0, waiter, slot, flip)
    if (left.length > 0) this.before.set(slot, left)
    else this.before.delete(slot)
  }

  /** Nobody before, or the same one, whose earlier packets are in front of its later ones anyway. */
  private drain(before: MemberNo, waiter: MemberNo, slot: number, flip: number): void {
    if (!this.members.has(waiter)) return
    if (before !== 0 && before !== waiter) {
      this.announce(before, Kind.MARK, waiter, [slot], flip)
      return
    }
    const w = this.o.out.begin(waiter, Kind.DRAINED)
    w.u32(this.o.self)
    w.u16(slot)
    w.u32(flip)
    this.o.out.end()
  }

  /** Flips some slots to where the view wants them; true while there are more. */
  step(): boolean {
    const { wanted } = this
    if (!wanted || this.unflipped === 0) return false
    const pairs = new Map<string, { from: MemberNo; to: MemberNo; slots: number[] }>()
    for (let n = 0; n < this.o.flipsPerStep && this.cursor < wanted.length; this.cursor++) {
      const slot = this.cursor
      const from = this.current[slot]!
      const to = wanted[slot]!
      if (from === to) continue
      const pair = pairs.get(`${from} ${to}`)
      if (pair) pair.slots.push(slot)
      else pairs.set(`${from} ${to}`, { from, to, slots: [slot] })
      n++
    }
    for (const { from, to, slots } of pairs.values()) this.flip(from, to, slots)
    return this.unflipped > 0
  }

  private flip(from: MemberNo, to: MemberNo, slots: readonly number[]): void {
    // What is gathered for the old receiver goes before its MARK, credit or not: MARK must be the last.
    this.send(from, true)
    const first = this.flips + 1
    const alive = this.members.has(from)
    if (alive) {
      this.announce(from, Kind.MARK, to, slots, first)
      this.announce(to, Kind.HOLD, from, slots, first)
    }
    slots.forEach((slot, i) => {
      const past = this.before.get(slot)?.slice(0, PAST_MAX - 1) ?? []
      if (alive) past.unshift({ no: from, flip: first + i })
      else this.flipFromDead(slot, to, past, first + i)
      this.current[slot] = to
      if (past.length > 0) this.before.set(slot, past)
      else this.before.delete(slot)
    })
    this.flips += slots.length
    this.unflipped -= slots.length
  }

  /** What a dead receiver had is gone. But it may itself have waited for one before it, whose packets come first. */
  private flipFromDead(slot: number, to: MemberNo, past: Past[], flip: number): void {
    const at = past.findIndex((p) => this.members.has(p.no))
    if (at < 0) {
      past.length = 0
      return
    }
    const { no } = past[at]!
    if (no === to) {
      past.splice(0, at + 1)
      return
    }
    this.announce(no, Kind.MARK, to, [slot], flip)
    this.announce(to, Kind.HOLD, no, [slot], flip)
    past.splice(0, at + 1, { no, flip })
  }

  private announce(
    to: MemberNo,
    kind: number,
    peer: MemberNo,
    slots: readonly number[],
    first: number,
  ): void {
    const w = this.o.out.begin(to, kind)
    w.u32(peer)
    w.u16(slots.length)
    slots.forEach((slot, i) => {
      w.u16(slot)
      w.u32(first + i)
    })
    this.o.out.end()
  }

  /** Packets go to this member, or are gathered for it. */
  steersTo(no: MemberNo): boolean {
    return this.writers.get(no)?.batch !== undefined || this.current.includes(no)
  }

  /** Batches that have no verdicts yet, sent or not. */
  get outstanding(): number {
    return this.batches.size
  }
  /** No slot's packets are still to flip. */
  get settled(): boolean {
    return this.unflipped === 0
  }
}
