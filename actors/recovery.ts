import { ByteReader, ByteWriter, Kind, type MemberNo } from '../bus/index.ts'
import type { View } from '../placement/index.ts'
import type { Core } from './core.ts'
import type { Directory } from './directory.ts'
import type { Homes } from './homes.ts'
import { ACTIVATION, ENTRY, HASH, HOME } from './layout.ts'
import type { Affair, Held, RuntimeType } from './runtime-type.ts'
import type { Row } from './table.ts'

/** Bytes of one REPORT, about: it is put together in memory, and others go between. */
const REPORT_BYTES = 256 * 1024

/**
 * After a crash: all directories are made anew from what the survivors have.
 *
 * The view tells of the crash and of who was there (`View.crash`). Each of them, on taking that view up, is deaf to the
 * dead one for good, decides nothing for its slots, gives no actor away, and sends FENCE to all. A FENCE comes behind
 * everything that its sender had sent before. So whoever has all FENCEs knows that nothing about an actor is on its way
 * any more, except what a survivor has here: activations, orders to send them on, and requests that wait. That
 * picture stands still until all is over, so it can be told piece by piece: each sends REPORT to each, those who
 * hold slots put it together, and say RECOVERED. Who has all RECOVEREDs goes on.
 *
 * Also a directory that survived is made anew: its entries may be of moves whose orders died on their way from an
 * owner before, and then it is not there that the state is. Of a chain of moves that counts which still has its
 * state; the orders and requests behind a break are void, and requests are served again. An actor whose state is
 * nowhere is gone: the next access makes it afresh.
 *
 * Another crash meanwhile begins it all again. Three messages from each to each, and some 17 bytes for each actor: a
 * million actors are told in about a second, beside the seconds that it takes to notice a crash.
 */
export class Recovery {
  private readonly core: Core
  private readonly homes: Homes
  private readonly directory: Directory
  /** The crash that was or is recovered from: its epoch. */
  private crash = 0
  private underWay = false
  private reported = false
  private resolved = false
  private below: MemberNo = 0
  /** Who has sent FENCE for which crash; REPORTs and RECOVEREDs are of this one. */
  private readonly fences = new Map<MemberNo, number>()
  private readonly reports = new Map<MemberNo, Uint8Array[]>()
  private readonly told = new Set<MemberNo>()
  private readonly over = new Set<MemberNo>()
  private tombsTold: number[] = []

  constructor(core: Core, homes: Homes, directory: Directory) {
    this.core = core
    this.homes = homes
    this.directory = directory
  }

  /** A view was taken up; `fresh`: some slots of ours have no token any more. */
  onView(view: View, fresh: boolean): void {
    const { core } = this
    const here = view.memberOf(core.self)
    const news = view.crash.epoch > this.crash && core.self < view.crash.below
    if (news && here) this.begin(view, here.role === 'instance')
    else if (this.underWay) this.proceed()
    // Nobody else can know anything of these slots.
    else if (fresh) core.slots.recovered(() => {})
  }

  private begin(view: View, instance: boolean): void {
    const { core } = this
    this.crash = view.crash.epoch
    this.below = view.crash.below
    if (instance) {
      this.underWay = true
      this.reported = false
      this.resolved = false
      this.reports.clear()
      this.told.clear()
      this.over.clear()
      core.frozen = true
      core.fencing = true
      core.slots.pause()
      this.homes.dropOrdersToDead()
    }
    for (const no of this.participants('instance')) {
      core.out.begin(no, Kind.FENCE).u32(this.crash)
      core.out.end()
    }
  }

  /** Those who were there at the crash, and still are. */
  private *participants(role?: 'instance'): Iterable<MemberNo> {
    for (const m of this.core.view!.members) {
      if (m.no < this.below && (role === undefined || m.role === role)) yield m.no
    }
  }

  onFence(from: MemberNo, r: ByteReader): void {
    this.fences.set(from, r.u32())
    this.proceed()
  }
  onReport(from: MemberNo, r: ByteReader): void {
    if (r.u32() !== this.crash || !this.underWay) return
    const last = r.u8() === 1
    const part = new Uint8Array(r.bytes.subarray(r.pos, r.end))
    const parts = this.reports.get(from)
    if (parts) parts.push(part)
    else this.reports.set(from, [part])
    if (!last) return
    this.told.add(from)
    this.proceed()
  }
  onRecovered(from: MemberNo, r: ByteReader): void {
    const crash = r.u32()
    // Also one of an older crash: what is void stays so.
    while (r.left > 0) this.readVoid(r)
    if (crash === this.crash && this.underWay) this.over.add(from)
    this.proceed()
  }

  private proceed(): void {
    if (!this.underWay) return
    const fenced = all(this.participants(), (no) => this.fences.get(no) === this.crash)
    if (fenced && !this.reported) this.report()
    const told = all(this.participants('instance'), (no) => this.told.has(no))
    if (this.reported && told && !this.resolved) this.resolve()
    if (this.resolved && all(this.participants('instance'), (no) => this.over.has(no))) this.thaw()
  }

  // ---- REPORT ----

  private report(): void {
    this.reported = true
    this.core.fencing = false
    this.tombsTold = this.homes.tombNumbers()
    const scribes = new Map<MemberNo, Scribe>()
    for (const no of this.participants('instance')) {
      const scribe = new Scribe(this.core.out, no, this.crash)
      scribes.set(no, scribe)
      const ids = this.tombsTold.filter((id) => this.holders(slotOfId(id)).includes(no))
      scribe.w.u32(ids.length)
      for (const id of ids) {
        scribe.w.u16(slotOfId(id))
        scribe.w.u32(id % 2 ** 32)
      }
    }
    for (const type of this.core.types) {
      for (let row = 0; row < type.table.rowsEnd; row++) this.reportRow(type, row, scribes)
    }
    for (const scribe of scribes.values()) scribe.end()
  }

  /** A slot that moves may have its token with either; who does not have it passes over what is told of it. */
  private holders(slot: number): MemberNo[] {
    const view = this.core.view!
    const owner = view.owner[slot]!
    const holder = view.holder[slot]!
    return owner === holder ? [owner] : [owner, holder]
  }

  private reportRow(type: RuntimeType, row: Row, scribes: Map<MemberNo, Scribe>): void {
    const { table } = type
    if (table.isFree(row)) return
    const number = table.get(row, ACTIVATION)
    const affair = type.affairOf(row)
    const asks = affair !== undefined && this.asksInVain(affair)
    const moves = affair && (affair.transfer || asks || affair.due || affair.held)
    if (number === 0 && !moves) return
    const hash = table.aside(row, HASH)
    for (const no of this.holders(this.core.slot(hash))) {
      const w = scribes.get(no)?.room()
      if (!w) continue // it came after the crash, and has no part in this
      table.keyOf(row, type.words)
      type.writeKey(w, hash, type.words)
      w.u32(number)
      w.u8(moves ? 1 : 0)
      if (affair && moves) writeMoves(w, affair, number, asks)
    }
  }

  /** It asked before the crash. A later ACQUIRE finds its way by itself, and must not be served twice. */
  private asksInVain(affair: Affair): boolean {
    return affair.acquire !== 0 && this.core.isOld(affair.askedCrash)
  }

  // ---- what the reports come to ----

  private resolve(): void {
    const { core } = this
    this.resolved = true
    const cases = new Map<string, Case>()
    for (const [from, parts] of this.reports) this.read(from, parts, cases)
    const voids = new Map<MemberNo, Void[]>()
    for (const c of cases.values()) this.resolveCase(c, voids)
    this.reports.clear()
    // Our own at once: what goes on below may order the same actors here anew.
    for (const v of voids.get(core.self) ?? []) this.dropVoid(v)
    voids.delete(core.self)
    for (const no of this.participants('instance')) {
      const w = core.out.begin(no, Kind.RECOVERED)
      w.u32(this.crash)
      for (const v of voids.get(no) ?? []) writeVoid(w, v)
      core.out.end()
    }
    core.slots.recovered(() => {
      for (const c of cases.values()) this.serveAgain(c)
    })
  }

  private read(from: MemberNo, parts: readonly Uint8Array[], cases: Map<string, Case>): void {
    const { core } = this
    parts.forEach((part, i) => {
      const r = new ByteReader(part)
      for (let n = i === 0 ? r.u32() : 0; n > 0; n--) core.slots.countFrom(r.u16(), r.u32())
      while (r.left > 0) this.readRow(from, r, cases)
    })
  }

  private readRow(from: MemberNo, r: ByteReader, cases: Map<string, Case>): void {
    const { core } = this
    const { type, hash } = this.readActor(r)
    const activation = r.u32()
    const told = r.u8() === 1 ? readMoves(from, r) : undefined
    const slot = core.slot(hash)
    if (!core.slots.isRecovering(slot)) return
    core.slots.countFrom(slot, activation)
    if (told) {
      for (const order of told.orders) core.slots.countFrom(slot, order.number)
      noteCase(cases, type, hash, told)
    }
    if (activation === 0) return
    const row = core.rowFor(type, hash)
    type.table.setAside(row, ENTRY, activation)
    type.table.setAside(row, HOME, from)
  }

  /** Follows the orders from where the state is; what they do not reach will not come about. */
  private resolveCase(c: Case, voids: Map<MemberNo, Void[]>): void {
    const { core } = this
    const { type, hash, words } = c
    type.words.set(words)
    const row = core.rowFor(type, hash)
    const { table } = type
    const made = new Set<number>()
    const coming = new Map<MemberNo, number>()
    let at = table.aside(row, ENTRY)
    let home = table.aside(row, HOME)
    for (let order = orderOf(c, home, at); order; order = orderOf(c, home, at)) {
      made.add(order.from)
      c.served.add(`${order.to} ${order.request}`)
      at = order.number
      home = order.to
      if (order.request === 0) coming.set(home, (coming.get(home) ?? 0) + 1)
    }
    table.setAside(row, ENTRY, at)
    table.setAside(row, HOME, home)
    for (const told of c.told) {
      const orders = told.orders.map((o) => o.from).filter((from) => !made.has(from))
      const due = coming.get(told.from) ?? 0
      if (orders.length === 0 && due === told.due) continue
      const list = voids.get(told.from) ?? []
      list.push({ type, hash, words, orders, due })
      voids.set(told.from, list)
    }
    core.tidy(type, row)
  }

  /**
   * Requests that died with whom they were sent to, or with the home before. Not one that is served by an order that
   * stands: it would move the actor to its asker once more, who may have left by then.
   */
  private serveAgain(c: Case): void {
    for (const { from, acquire, mustExist } of c.told) {
      if (acquire === 0 || c.served.has(`${from} ${acquire}`)) continue
      c.type.words.set(c.words)
      this.directory.acquire(c.type, c.hash, from, acquire, mustExist)
    }
  }

  // ---- the end ----

  private readVoid(r: ByteReader): void {
    const { type, hash } = this.readActor(r)
    const words = type.words
    const due = r.u32()
    const orders: number[] = []
    for (let n = r.u16(); n > 0; n--) orders.push(r.u32())
    this.dropVoid({ type, hash, words, orders, due })
  }
  private dropVoid({ type, hash, words, orders, due }: Void): void {
    type.words.set(words)
    this.homes.dropVoid(type, hash, orders, due)
  }

  private readActor(r: ByteReader): { type: RuntimeType; hash: number } {
    const type = this.core.type(r)
    const hash = r.u32()
    type.readWords(r)
    return { type, hash }
  }

  private thaw(): void {
    this.underWay = false
    this.core.frozen = false
    this.homes.forgetTombs(this.tombsTold)
    this.homes.resume()
  }

  get idle(): boolean {
    return !this.underWay
  }
}

/** Writes what one member is told, in messages of a bounded size. */
class Scribe {
  readonly w = new ByteWriter(4096)
  private readonly out: Core['out']
  private readonly to: MemberNo
  private readonly crash: number

  constructor(out: Core['out'], to: MemberNo, crash: number) {
    this.out = out
    this.to = to
    this.crash = crash
  }

  /** Where the next row goes. */
  room(): ByteWriter {
    if (this.w.pos >= REPORT_BYTES) this.send(false)
    return this.w
  }
  end(): void {
    this.send(true)
  }

  private send(last: boolean): void {
    const w = this.out.begin(this.to, Kind.REPORT)
    w.u32(this.crash)
    w.u8(last ? 1 : 0)
    w.raw(this.w.written())
    this.out.end()
    this.w.pos = 0
  }
}

/** What one member has of an actor that is not at rest. */
interface Told {
  readonly from: MemberNo
  readonly acquire: number
  readonly mustExist: boolean
  readonly due: number
  readonly orders: readonly Held[]
}
/** All that is told of one such actor. */
interface Case {
  readonly type: RuntimeType
  readonly hash: number
  readonly words: Uint32Array
  readonly told: Told[]
  /** Whose requests an order that stands will serve: member and request. */
  readonly served: Set<string>
}
/** What will not come about at one member: orders about activations, and all but `due` of the moves it awaits. */
interface Void {
  readonly type: RuntimeType
  readonly hash: number
  readonly words: Uint32Array
  readonly orders: readonly number[]
  readonly due: number
}

function writeMoves(w: ByteWriter, affair: Affair, activation: number, asks: boolean): void {
  w.u32(asks ? affair.acquire : 0)
  w.u8(affair.waiting.allMustExist ? 1 : 0)
  w.u32(affair.due)
  const orders = [...(affair.held ?? [])]
  if (affair.transfer) orders.push({ ...affair.transfer, from: activation })
  w.u16(orders.length)
  for (const { from, number, to, request } of orders) {
    w.u32(from)
    w.u32(number)
    w.u32(to)
    w.u32(request)
  }
}

function readMoves(from: MemberNo, r: ByteReader): Told {
  const head = { from, acquire: r.u32(), mustExist: r.u8() === 1, due: r.u32() }
  const orders: Held[] = []
  for (let n = r.u16(); n > 0; n--) {
    orders.push({ from: r.u32(), number: r.u32(), to: r.u32(), request: r.u32() })
  }
  return { ...head, orders }
}

function noteCase(cases: Map<string, Case>, type: RuntimeType, hash: number, told: Told): void {
  const name = `${type.id} ${hash} ${type.words}`
  const known = cases.get(name)
  if (known) known.told.push(told)
  else cases.set(name, { type, hash, words: type.words.slice(), told: [told], served: new Set() })
}

function orderOf(c: Case, home: MemberNo, activation: number): Held | undefined {
  const told = c.told.find((t) => t.from === home)
  return told?.orders.find((o) => o.from === activation)
}

function writeVoid(w: ByteWriter, v: Void): void {
  v.type.writeKey(w, v.hash, v.words)
  w.u32(v.due)
  w.u16(v.orders.length)
  for (const from of v.orders) w.u32(from)
}

function slotOfId(id: number): number {
  return Math.floor(id / 2 ** 32)
}

function all<T>(items: Iterable<T>, is: (item: T) => boolean): boolean {
  for (const item of items) if (!is(item)) return false
  return true
}
