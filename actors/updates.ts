import { type ByteReader, Kind, type MemberNo, RehomeError } from '../bus/index.ts'
import type { Call, Calls, Unsent } from './calls.ts'
import type { Core } from './core.ts'
import type { Homes } from './homes.ts'
import { HASH } from './layout.ts'
import type { Outbox, RuntimeMethod, RuntimeType, Update } from './runtime-type.ts'
import type { Row } from './table.ts'
import { readValue, writeValue } from './values.ts'

/** Updates in one batch: a fraction of a frame. */
const BATCH_UPDATES_MAX = 512
/** From here on an answered outbox sends at once instead of gathering for `flushMs`. */
const EAGER_UPDATES = 64
/** Some 150 bytes each. */
const OUTBOXES_KEPT_MAX = 16_384

/**
 * Untethered updates: the caller goes on at once.
 *
 * They gather in an outbox for each actor, where neighbours of one method merge, and leave within `flushMs`. At most
 * one batch of an outbox is unanswered: the home answers APPLIED once it has run it, or REJECT, and a
 * batch is never forwarded; so updates of one caller to one actor take effect in order however the slot moves,
 * each once (rule 12; a link's acknowledgement would only mean that it has been received). What comes meanwhile
 * merges. A plain call goes behind the caller's own updates of that actor, in the same outbox; as somebody waits for it,
 * they leave at once. Calls that stand next to each other leave together: each may overtake the other, but no update.
 */
export class Updates {
  /** An update's method threw at its home: there is nobody to tell but the log. */
  onError: (type: RuntimeType, error: unknown) => void = () => {}
  judgeAgain: (kind: number, payload: Uint8Array) => void = () => {}

  private readonly core: Core
  private readonly homes: Homes
  private readonly calls: Calls
  private dirty: Outbox[] = []
  /** Outboxes with a batch under way, by the number that its answer names. */
  private readonly sent: (Outbox | undefined)[] = []
  private readonly freeIds: number[] = []
  /** Of actors for which nothing waits any more: a burst of updates would make garbage of one each. */
  private readonly free: Outbox[] = []
  private timer: { cancel(): void } | undefined
  private outboxes = 0
  /** Outboxes that have as many updates as may wait for one actor. */
  private full = 0

  constructor(core: Core, homes: Homes, calls: Calls) {
    this.core = core
    this.homes = homes
    this.calls = calls
    calls.goesBehind = (call, hash, method, args) => this.putBehind(call, hash, method, args)
  }

  // ---- the caller's side ----

  update(type: RuntimeType, key: unknown, method: RuntimeMethod, x: unknown): void {
    const { core } = this
    core.stats.untether++
    const { recent } = type
    if (recent !== undefined && type.recentKey === key && this.mergesInto(recent, method, x)) return
    const hash = core.address(type, key)
    const here = this.homes.rowHere(type, hash)
    if (here >= 0) return this.run(type, here, method, x, 1)
    const row = core.rowFor(type, hash)
    this.gather(type, row, method, x)
    if (typeof key === 'object') return // what it says may change
    type.recentKey = key
    type.recent = type.affairOf(row)?.outbox
  }

  /** The way of a hot actor's updates; false: it is no neighbour of the last one, and nothing has been done. */
  private mergesInto(outbox: Outbox, method: RuntimeMethod, x: unknown): boolean {
    const { entries } = outbox
    const last = entries[entries.length - 1]
    if (last === undefined || !('count' in last) || last.method !== method) return false
    if (method.merge === undefined || this.core.model === 'remote-only') return false
    last.x = method.merge(last.x, x)
    last.count++
    this.core.stats.untetherMerged++
    if (!outbox.dirty) this.markDirty(outbox)
    return true
  }

  private gather(type: RuntimeType, row: Row, method: RuntimeMethod, x: unknown): void {
    const outbox = this.outboxOf(type, row)
    if (this.mergesInto(outbox, method, x)) return
    const queue = outbox.entries
    queue.push({ method, x, count: 1 })
    if (queue.length >= this.core.limits.outboxUpdatesMax && !outbox.full) {
      outbox.full = true
      this.full++
    }
    this.markDirty(outbox)
  }

  private outboxOf(type: RuntimeType, row: Row): Outbox {
    const affair = type.needAffair(row)
    if (!affair.outbox) {
      const outbox = this.free.pop() ?? newOutbox(type)
      outbox.type = type
      outbox.row = row
      affair.outbox = outbox
      this.outboxes++
    }
    return affair.outbox
  }

  /** The slot owner's own calls, too, queue behind its outbox (rule 12). */
  private putBehind(call: Call, hash: number, method: number, args: readonly unknown[]): boolean {
    return this.outboxes > 0 && this.isPutBehind(call, hash, method, args)
  }

  private isPutBehind(call: Call, hash: number, method: number, args: readonly unknown[]): boolean {
    const { type } = call
    const row = type.table.find(hash, type.words)
    const outbox = row >= 0 ? type.affairOf(row)?.outbox : undefined
    if (!outbox) return false
    const words = type.words.slice()
    call.answered = () => this.answered(outbox)
    outbox.entries.push({ call, hash, words, method, args })
    this.flushOne(outbox)
    return true
  }

  private markDirty(outbox: Outbox): void {
    if (outbox.dirty) return
    outbox.dirty = true
    this.dirty.push(outbox)
    this.timer ??= this.core.clock.after(this.core.limits.flushMs, () => {
      this.timer = undefined
      this.flush()
    })
  }

  /** Updates have piled up: packets should be held back at their source (rule 23). */
  get pressed(): boolean {
    const { outboxesMax } = this.core.limits
    return this.full > 0 || this.outboxes > outboxesMax || this.calls.stalledCount > 0
  }

  /** Sends what waits, as far as credit goes. */
  flush(): void {
    const dirty = this.dirty
    this.dirty = []
    for (const outbox of dirty) {
      if (!outbox.dirty) continue // answered and closed meanwhile
      outbox.dirty = false
      this.flushOne(outbox)
    }
  }

  private flushOne(outbox: Outbox): void {
    if (outbox.unanswered > 0) return // goes on when the answer comes
    const first = outbox.entries[0]
    if (!first && outbox.underway === 0) this.close(outbox)
    if (!first || ('count' in first && outbox.underway > 0)) return
    outbox.to = this.core.owner(outbox.type.table.aside(outbox.row, HASH))
    if (this.core.out.creditLeft(outbox.to) <= 0) return this.markDirty(outbox)
    if ('count' in first) this.sendBatch(outbox)
    else this.sendCalls(outbox)
  }

  /** The calls at the head of an outbox, up to an update. */
  private sendCalls(outbox: Outbox): void {
    const { entries } = outbox
    for (let first = entries[0]; first && !('count' in first); first = entries[0]) {
      entries.shift()
      outbox.underway++
      this.calls.post(first)
    }
  }

  /** The updates at the head of an outbox, up to a call that must not be overtaken. */
  private sendBatch(outbox: Outbox): void {
    const { core } = this
    const { type, row, entries } = outbox
    const { words } = type
    outbox.underway = 1
    let count = 0
    while (count < entries.length && count < BATCH_UPDATES_MAX && 'count' in entries[count]!)
      count++
    type.table.keyOf(row, words)
    const hash = type.table.aside(row, HASH)
    const w = core.partAbout(outbox.to, Kind.UNTETHER, type, hash, words)
    w.ensure(10)
    w.view.setUint32(w.pos, core.self, true)
    w.view.setUint32(w.pos + 4, this.number(outbox), true)
    w.view.setUint16(w.pos + 8, count, true)
    w.pos += 10
    for (let i = 0; i < count; i++) {
      const update = entries[i]!
      if (!('count' in update)) break
      w.ensure(5)
      w.view.setUint8(w.pos, update.method.index)
      w.view.setUint32(w.pos + 1, update.count, true)
      w.pos += 5
      writeValue(w, update.x)
      outbox.unanswered += update.count
    }
    core.endPart(w)
    if (count === 1 && entries.length === 1)
      entries.pop() // keeps its room
    else entries.splice(0, count)
    if (outbox.full && entries.length < core.limits.outboxUpdatesMax) {
      outbox.full = false
      this.full--
    }
  }

  private number(outbox: Outbox): number {
    const id = this.freeIds.pop() ?? this.sent.length
    this.sent[id] = outbox
    outbox.id = id
    return id
  }

  private freeNumber(id: number): void {
    this.sent[id] = undefined
    this.freeIds.push(id)
  }

  private close(outbox: Outbox): void {
    const { type, row } = outbox
    type.needAffair(row).outbox = undefined
    if (type.recent === outbox) type.recent = undefined
    outbox.dirty = false
    if (this.free.length < OUTBOXES_KEPT_MAX) this.free.push(outbox)
    this.outboxes--
    this.core.tidy(type, row)
  }

  /** The batch or a call under way is through: the next may go. */
  private answered(outbox: Outbox): void {
    outbox.underway--
    outbox.unanswered = 0
    const { length } = outbox.entries
    if (length > 0 && length < EAGER_UPDATES && !outbox.entries.some(isCall)) this.markDirty(outbox)
    else this.flushOne(outbox)
  }

  /** One or more batches have run. */
  onApplied(r: ByteReader): void {
    while (r.left > 0) {
      const id = r.u32()
      const outbox = this.sentBatch(id)
      this.freeNumber(id)
      this.answered(outbox)
    }
  }

  private sentBatch(id: number): Outbox {
    const outbox = this.sent[id]
    if (!outbox) throw new RehomeError('bad-frame', 'an answer to no batch', { id })
    return outbox
  }

  /** REJECT: nothing of the batch ran; it goes first again, to whoever is the slot owner now. */
  onReject(payload: ByteReader): void {
    const type = this.core.type(payload)
    payload.u32()
    type.readWords(payload)
    payload.u32()
    const id = payload.u32()
    const outbox = this.sentBatch(id)
    const batch = readBatch(type, payload)
    this.freeNumber(id)
    this.core.stats.rejected++
    outbox.entries.unshift(...batch)
    outbox.underway = 0
    outbox.unanswered = 0
    this.flushOne(outbox)
  }

  // ---- the slot owner's side; the key is in `type.words` ----

  serve(type: RuntimeType, hash: number, r: ByteReader, start: number): void {
    const at = r.skip(8)
    const by = r.view.getUint32(at, true)
    const id = r.view.getUint32(at + 4, true)
    if (type.table.aimAtStill(type.cursor, hash, type.words) >= 0) {
      this.runAll(type, r) // most batches' way
      return this.applied(by, id)
    }
    const batch = readBatch(type, r)
    const row = this.homes.ownRow(type, hash)
    if (row >= 0) return this.apply(type, row, by, id, batch)
    const copy = new Uint8Array(r.bytes.subarray(start, r.end))
    this.homes.whenOwn(type, hash, (come) => {
      if (come < 0) this.judgeAgain(Kind.UNTETHER, copy)
      else this.apply(type, come, by, id, batch)
    })
  }

  private apply(
    type: RuntimeType,
    row: Row,
    by: MemberNo,
    id: number,
    batch: readonly Update[],
  ): void {
    this.homes.nowMade(type, row)
    for (const { method, x, count } of batch) this.run(type, row, method, x, count)
    this.applied(by, id)
  }

  private applied(by: MemberNo, id: number): void {
    this.core.out.beginPart(by, Kind.APPLIED).u32(id)
    this.core.out.end()
  }

  /** A batch over the actor that the cursor is aimed at, one update after the other as they are read. */
  private runAll(type: RuntimeType, r: ByteReader): void {
    const at = r.skip(2)
    for (let n = r.view.getUint16(at, true); n > 0; n--) {
      const head = r.skip(5)
      const method = type.method(r.view.getUint8(head))
      const count = r.view.getUint32(head + 1, true)
      this.runAimed(type, method, readValue(r), count)
    }
  }

  private run(type: RuntimeType, row: Row, method: RuntimeMethod, x: unknown, count: number): void {
    type.table.aim(type.cursor, row)
    this.runAimed(type, method, x, count)
  }

  private runAimed(type: RuntimeType, method: RuntimeMethod, x: unknown, count: number): void {
    const { core } = this
    core.stats.untetherApplied += count
    const outer = core.inTurn
    core.inTurn = true
    try {
      method.run(type.cursor, x)
    } catch (error) {
      this.onError(type, error)
    } finally {
      core.inTurn = outer
    }
  }

  /** A member is gone for good: whether it ran the batches it had is not known; they are counted. */
  memberGone(no: MemberNo): void {
    for (const type of this.core.types) {
      for (const [, affair] of type.openAffairs()) {
        const outbox = affair.outbox
        if (!outbox || outbox.to !== no || outbox.unanswered === 0) continue
        this.core.stats.untetherLost += outbox.unanswered
        this.freeNumber(outbox.id)
        outbox.underway = 0
        outbox.unanswered = 0
        this.markDirty(outbox)
      }
    }
  }

  get idle(): boolean {
    return this.outboxes === 0
  }
}

const isCall = (entry: Update | Unsent) => !('count' in entry)

function newOutbox(type: RuntimeType): Outbox {
  const none = { underway: 0, id: 0, unanswered: 0, to: 0, dirty: false, full: false }
  return { type, row: -1, entries: [], ...none }
}

function readBatch(type: RuntimeType, r: ByteReader): Update[] {
  const batch: Update[] = []
  for (let n = r.u16(); n > 0; n--) {
    const method = type.method(r.u8())
    batch.push({ method, count: r.u32(), x: readValue(r) })
  }
  return batch
}
