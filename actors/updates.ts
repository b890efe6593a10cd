import { type ByteReader, Kind, type MemberNo } from '../bus/index.ts'
import { type Call, type Calls, keepWords } from './calls.ts'
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
  private dirty: { type: RuntimeType; row: Row }[] = []
  private timer: { cancel(): void } | undefined
  private outboxes = 0
  /** Outboxes that have as many updates as may wait for one actor. */
  private full = 0

  constructor(core: Core, homes: Homes, calls: Calls) {
    this.core = core
    this.homes = homes
    this.calls = calls
    calls.goesBehind = (call) => this.putBehind(call)
  }

  // ---- the caller's side ----

  update(type: RuntimeType, key: unknown, method: RuntimeMethod, x: unknown): void {
    const { core } = this
    core.stats.untether++
    const hash = core.address(type, key)
    const row = this.homes.rowHere(type, hash)
    if (row >= 0) this.run(type, row, method, x, 1)
    else this.gather(type, core.rowFor(type, hash), method, x)
  }

  private gather(type: RuntimeType, row: Row, method: RuntimeMethod, x: unknown): void {
    const outbox = this.outboxOf(type, row)
    const queue = outbox.entries
    const last = queue[queue.length - 1]
    const merges = method.merge && this.core.model !== 'remote-only'
    if (merges && last && 'count' in last && last.method === method) {
      last.x = method.merge!(last.x, x)
      last.count++
      this.core.stats.untetherMerged++
    } else queue.push({ method, x, count: 1 })
    if (queue.length >= this.core.limits.outboxUpdatesMax && !outbox.full) {
      outbox.full = true
      this.full++
    }
    this.markDirty(type, row, outbox)
  }

  private outboxOf(type: RuntimeType, row: Row): Outbox {
    const affair = type.needAffair(row)
    if (!affair.outbox) {
      affair.outbox = {
        entries: [],
        underway: false,
        unanswered: 0,
        to: 0,
        dirty: false,
        full: false,
      }
      this.outboxes++
    }
    return affair.outbox
  }

  /** The slot owner's own calls, too, queue behind its outbox (rule 12). */
  private putBehind(call: Call): boolean {
    if (this.outboxes === 0) return false
    const { type, hash } = call
    const row = type.table.find(hash, call.words)
    const outbox = row >= 0 ? type.affairOf(row)?.outbox : undefined
    if (!outbox) return false
    keepWords(call)
    const { words } = call
    outbox.entries.push({ ...call, answered: () => this.answered(type, hash, words) })
    this.markDirty(type, row, outbox)
    return true
  }

  private markDirty(type: RuntimeType, row: Row, outbox: Outbox): void {
    if (outbox.dirty) return
    outbox.dirty = true
    this.dirty.push({ type, row })
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
    for (const { type, row } of dirty) {
      const outbox = type.affairOf(row)?.outbox
      if (!outbox?.dirty) continue // answered and closed meanwhile
      outbox.dirty = false
      this.flushOne(type, row, outbox)
    }
  }

  private flushOne(type: RuntimeType, row: Row, outbox: Outbox): void {
    if (outbox.underway) return // goes on when the answer comes
    const first = outbox.entries[0]
    if (!first) return this.close(type, row)
    outbox.to = this.core.owner(type.table.get(row, HASH))
    if (this.core.out.creditLeft(outbox.to) <= 0) return this.markDirty(type, row, outbox)
    outbox.underway = true
    if ('count' in first) this.sendBatch(type, row, outbox)
    else {
      outbox.entries.shift()
      this.calls.post(first)
    }
  }

  private sendBatch(type: RuntimeType, row: Row, outbox: Outbox): void {
    const { core } = this
    const batch = takeUpdates(outbox.entries)
    if (outbox.full && outbox.entries.length < core.limits.outboxUpdatesMax) {
      outbox.full = false
      this.full--
    }
    type.table.keyOf(row, type.words)
    const w = core.about(outbox.to, Kind.UNTETHER, type, type.table.get(row, HASH), type.words)
    w.u32(core.self)
    w.u16(batch.length)
    for (const update of batch) {
      w.u8(update.method.index)
      w.u32(update.count)
      writeValue(w, update.x)
      outbox.unanswered += update.count
    }
    core.out.end()
  }

  private close(type: RuntimeType, row: Row): void {
    const affair = type.affairOf(row)
    if (affair) affair.outbox = undefined
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
      this.markDirty(type, row, outbox)
    } else this.flushOne(type, row, outbox)
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
    this.flushOne(type, row, outbox)
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
      for (const [row, affair] of type.openAffairs()) {
        const outbox = affair.outbox
        if (!outbox?.underway || outbox.to !== no || outbox.unanswered === 0) continue
        this.core.stats.untetherLost += outbox.unanswered
        outbox.underway = false
        outbox.unanswered = 0
        this.markDirty(type, row, outbox)
      }
    }
  }

  get idle(): boolean {
    return this.outboxes === 0
  }
}

/** The updates at the head of an outbox, up to a call that must not be overtaken. */
function takeUpdates(entries: Outbox['entries']): Update[] {
  const batch: Update[] = []
  for (const entry of entries) {
    if (!('count' in entry) || batch.length === BATCH_UPDATES_MAX) break
    batch.push(entry)
  }
  entries.splice(0, batch.length)
  return batch
}

function readBatch(type: RuntimeType, r: ByteReader): Update[] {
  const batch: Update[] = []
  for (let n = r.u16(); n > 0; n--) {
    const method = type.method(r.u8())
    batch.push({ method, count: r.u32(), x: readValue(r) })
  }
  return batch
}
