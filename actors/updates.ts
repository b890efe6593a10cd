import { type ByteReader, Kind, type MemberNo } from '../bus/index.ts'
import type { Call, Calls } from './calls.ts'
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
 * merges. A plain call goes behind the caller's own updates of that actor, in the same outbox.
 */
export class Updates {
  /** An update's method threw at its home: there is nobody to tell but the log. */
  onError: (type: RuntimeType, error: unknown) => void = () => {}
  judgeAgain: (kind: number, payload: Uint8Array) => void = () => {}

  private readonly core: Core
  private readonly homes: Homes
  private readonly calls: Calls
  private dirty: Outbox[] = []
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
    if (this.outboxes === 0) return false
    const { type } = call
    const row = type.table.find(hash, type.words)
    const outbox = row >= 0 ? type.affairOf(row)?.outbox : undefined
    if (!outbox) return false
    const words = type.words.slice()
    call.answered = () => this.answered(type, hash, words)
    outbox.entries.push({ call, hash, words, method, args })
    this.markDirty(outbox)
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
    if (outbox.underway) return // goes on when the answer comes
    const first = outbox.entries[0]
    if (!first) return this.close(outbox)
    outbox.to = this.core.owner(outbox.type.table.get(outbox.row, HASH))
    if (this.core.out.creditLeft(outbox.to) <= 0) return this.markDirty(outbox)
    outbox.underway = true
    if ('count' in first) this.sendBatch(outbox)
    else {
      outbox.entries.shift()
      this.calls.post(first)
    }
  }

  /** The updates at the head of an outbox, up to a call that must not be overtaken. */
  private sendBatch(outbox: Outbox): void {
    const { core } = this
    const { type, row, entries } = outbox
    const { words } = type
    let count = 0
    while (count < entries.length && count < BATCH_UPDATES_MAX && 'count' in entries[count]!)
      count++
    type.table.keyOf(row, words)
    const w = core.about(outbox.to, Kind.UNTETHER, type, type.table.get(row, HASH), words)
    w.u32(core.self)
    w.u16(count)
    for (let i = 0; i < count; i++) {
      const update = entries[i]!
      if (!('count' in update)) break
      w.u8(update.method.index)
      w.u32(update.count)
      writeValue(w, update.x)
      outbox.unanswered += update.count
    }
    core.out.end()
    if (count === 1 && entries.length === 1)
      entries.pop() // keeps its room
    else entries.splice(0, count)
    if (outbox.full && entries.length < core.limits.outboxUpdatesMax) {
      outbox.full = false
      this.full--
    }
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

  /** The batch or call under way is through: the next may go. */
  private answered(type: RuntimeType, hash: number, words: Uint32Array): void {
    const row = type.table.find(hash, words)
    const outbox = row >= 0 ? type.affairOf(row)?.outbox : undefined
    if (!outbox) return
    outbox.underway = false
    outbox.unanswered = 0
    const first = outbox.entries[0]
    if (first && 'count' in first && outbox.entries.length < EAGER_UPDATES) {
      this.markDirty(outbox)
    } else this.flushOne(outbox)
  }

  onApplied(r: ByteReader): void {
    const type = this.core.type(r)
    const hash = r.u32()
    type.readWords(r)
    this.answered(type, hash, type.words)
  }

  /** REJECT: nothing of the batch ran; it goes first again, to whoever is the slot owner now. */
  onReject(payload: ByteReader): void {
    const { core } = this
    const type = core.type(payload)
    const hash = payload.u32()
    type.readWords(payload)
    payload.u32()
    core.stats.rejected++
    const row = core.rowFor(type, hash)
    const outbox = this.outboxOf(type, row)
    outbox.entries.unshift(...readBatch(type, payload))
    outbox.underway = false
    outbox.unanswered = 0
    this.flushOne(outbox)
  }

  // ---- the slot owner's side; the key is in `type.words` ----

  serve(type: RuntimeType, hash: number, r: ByteReader, start: number): void {
    const by = r.u32()
    const batch = readBatch(type, r)
    const row = this.homes.ownRow(type, hash)
    if (row >= 0) return this.apply(type, row, hash, type.words, by, batch)
    const copy = new Uint8Array(r.bytes.subarray(start, r.end))
    const words = type.words.slice()
    this.homes.whenOwn(type, hash, (come) => {
      if (come < 0) this.judgeAgain(Kind.UNTETHER, copy)
      else this.apply(type, come, hash, words, by, batch)
    })
  }

  private apply(
    type: RuntimeType,
    row: Row,
    hash: number,
    words: Uint32Array,
    by: MemberNo,
    batch: readonly Update[],
  ): void {
    this.homes.nowMade(type, row)
    for (const { method, x, count } of batch) this.run(type, row, method, x, count)
    this.core.about(by, Kind.APPLIED, type, hash, words)
    this.core.out.end()
  }

  private run(type: RuntimeType, row: Row, method: RuntimeMethod, x: unknown, count: number): void {
    const { core } = this
    core.stats.untetherApplied += count
    type.table.aim(type.cursor, row)
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
        if (!outbox?.underway || outbox.to !== no || outbox.unanswered === 0) continue
        this.core.stats.untetherLost += outbox.unanswered
        outbox.underway = false
        outbox.unanswered = 0
        this.markDirty(outbox)
      }
    }
  }

  get idle(): boolean {
    return this.outboxes === 0
  }
}

function newOutbox(type: RuntimeType): Outbox {
  const none = { underway: false, unanswered: 0, to: 0, dirty: false, full: false }
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
