import { ByteReader, type ByteWriter, Kind, type MemberNo } from '../bus/index.ts'
import type { View } from '../placement/index.ts'
import type { Core } from './core.ts'
import type { Directory } from './directory.ts'
import type { Homes } from './homes.ts'
import { ACTIVATION, ENTRY, HASH, HOME } from './layout.ts'
import type { Affair, Held, RuntimeType } from './runtime-type.ts'
import type { Row } from './table.ts'

/**
 * After a crash: the directories that died with an instance are made anew from what the survivors have, and those
 * of the survivors are rid of what went through it.
 *
 * The view tells of the crash and of who was there (`View.crash`). Each of them, on taking that view up, is deaf to the
 * dead one for good, decides nothing for its slots, gives no actor away, and sends FENCE to all. A FENCE comes behind
 * everything that its sender had sent before. So whoever has all FENCEs knows that nothing about an actor is on its way
 * any more, except what a survivor has here: activations, orders to send them on, and requests that wait. That
 * picture stands still until all is over, so it can be told piece by piece: each sends REPORT to each, those who
 * hold slots put it together, and say RECOVERED. Who has all RECOVEREDs goes on.
 *
 * For a slot whose token is lost all activations are told, and become its entries. A slot whose token survived knows
 * its entries; told is only what is not at rest, so that a chain of moves that led through the dead one is found.
 * Of such a chain that counts which still has its state; the orders and requests behind the break are void, and
 * requests are served again. An actor whose state is nowhere is gone: the next access makes it afresh.
 *
 * Another crash meanwhile begins it all again. Three messages from each to each: a cluster of a thousand instances
 * pays a million small ones for a crash, one of ten a hundred.
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
  private readonly freshOf = new Map<MemberNo, Set<number>>()
  private reports = new Map<MemberNo, Uint8Array>()
  private readonly over = new Set<MemberNo>()
  /** Slots of ours whose tokens are lost. */
  private fresh = new Set<number>()
  private tombsTold: number[] = []

  constructor(core: Core, homes: Homes, directory: Directory) {
    this.core = core
    this.homes = homes
    this.directory = directory
  }

  /** A view was taken up; `fresh` are the slots of ours that have no token any more. */
  onView(view: View, fresh: readonly number[]): void {
    const { core } = this
    for (const slot of fresh) this.fresh.add(slot)
    const here = view.memberOf(core.self)
    const news = view.crash.epoch > this.crash && core.self < view.crash.below
    if (news && here) this.begin(view, here.role === 'instance')
    else if (this.underWay) this.proceed()
    else if (fresh.length > 0) this.hold()
  }

  private begin(view: View, instance: boolean): void {
    const { core } = this
    this.crash = view.crash.epoch
    this.below = view.crash.below
    const slots = [...this.fresh]
    if (instance) {
      this.underWay = true
      this.reported = false
      this.resolved = false
      this.reports.clear()
      this.over.clear()
      core.frozen = true
      core.slots.pause()
      this.homes.dropOrdersToDead()
    }
    for (const no of this.participants('instance')) {
      const w = core.out.begin(no, Kind.FENCE)
      w.u32(this.crash)
      w.u16(slots.length)
      for (const slot of slots) w.u16(slot)
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
    const slots = new Set<number>()
    for (let n = r.u16(); n > 0; n--) slots.add(r.u16())
    this.freshOf.set(from, slots)
    this.proceed()
  }
  onReport(from: MemberNo, r: ByteReader): void {
    if (r.u32() !== this.crash || !this.underWay) return
    this.reports.set(from, new Uint8Array(r.bytes.subarray(r.pos, r.end)))
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
    const told = all(this.participants('instance'), (no) => this.reports.has(no))
    if (this.reported && told && !this.resolved) this.resolve()
    if (this.resolved && all(this.participants('instance'), (no) => this.over.has(no))) this.thaw()
  }

  // ---- REPORT ----

  private report(): void {
    const { core } = this
    this.reported = true
    const tombs = this.homes.tombNumbers()
    this.tombsTold = tombs
    for (const no of this.participants('instance')) {
      const fresh = this.freshOf.get(no) ?? new Set()
      const w = core.out.begin(no, Kind.REPORT)
      w.u32(this.crash)
      const ids = tombs.filter((id) => this.mayHold(no, slotOfId(id)))
      w.u32(ids.length)
      for (const id of ids) {
        w.u16(slotOfId(id))
        w.u32(id % 2 ** 32)
      }
      for (const type of core.types) this.reportType(type, no, fresh, w)
      core.out.end()
    }
  }

  /** A slot that moves may have its token with either; who does not have it passes over what is told of it. */
  private mayHold(no: MemberNo, slot: number): boolean {
    const view = this.core.view!
    return view.owner[slot] === no || view.holder[slot] === no
  }

  private reportType(type: RuntimeType, to: MemberNo, fresh: Set<number>, w: ByteWriter): void {
    const { core } = this
    const { table } = type
    for (const [row, affair] of type.openAffairs()) {
      const slot = core.slot(table.get(row, HASH))
      if (fresh.has(slot) || !this.mayHold(to, slot)) continue
      if (affair.transfer || affair.acquire || affair.due || affair.held) {
        this.reportRow(type, row, affair, w)
      }
    }
    for (const slot of fresh) {
      for (const row of table.rowsOfSlot(slot, core.slots.slotBits)) {
        const affair = type.affairOf(row)
        if (affair || table.get(row, ACTIVATION) !== 0) this.reportRow(type, row, affair, w)
      }
    }
  }

  private reportRow(type: RuntimeType, row: Row, affair: Affair | undefined, w: ByteWriter): void {
    const { table } = type
    table.keyOf(row, type.words)
    type.writeKey(w, table.get(row, HASH), type.words)
    w.u32(table.get(row, ACTIVATION))
    w.u32(affair?.acquire ?? 0)
    w.u8(affair?.waiting.every((waiter) => waiter.mustExist) ? 1 : 0)
    w.u32(affair?.due ?? 0)
    const orders = [...(affair?.held ?? [])]
    if (affair?.transfer) orders.push({ ...affair.transfer, from: table.get(row, ACTIVATION) })
    w.u16(orders.length)
    for (const { from, number, to, request } of orders) {
      w.u32(from)
      w.u32(number)
      w.u32(to)
      w.u32(request)
    }
  }

  // ---- what the reports come to ----

  private resolve(): void {
    const { core } = this
    this.resolved = true
    const cases = new Map<string, Case>()
    for (const [from, payload] of this.reports) this.read(from, new ByteReader(payload), cases)
    const voids = new Map<MemberNo, Void[]>()
    for (const c of cases.values()) this.resolveCase(c, voids)
    this.dropLost()
    this.fresh.clear()
    this.reports.clear()
    for (const no of this.participants('instance')) {
      const w = core.out.begin(no, Kind.RECOVERED)
      w.u32(this.crash)
      for (const v of voids.get(no) ?? []) writeVoid(w, v)
      core.out.end()
    }
    core.slots.recovered()
    for (const c of cases.values()) this.serveAgain(c)
  }

  private read(from: MemberNo, r: ByteReader, cases: Map<string, Case>): void {
    const { core } = this
    const { slots } = core
    for (let n = r.u32(); n > 0; n--) {
      const slot = r.u16()
      const number = r.u32()
      if (!slots.isRecovering(slot)) continue
      slots.countFrom(slot, number)
      this.forgetEntry(slot, number)
    }
    while (r.left > 0) {
      const type = core.type(r)
      const hash = r.u32()
      type.readWords(r)
      const told = readTold(from, r)
      const slot = core.slot(hash)
      if (!slots.isRecovering(slot)) continue
      slots.countFrom(slot, told.activation)
      for (const order of told.orders) slots.countFrom(slot, order.number)
      const atRest = told.acquire === 0 && told.due === 0 && told.orders.length === 0
      if (atRest && this.fresh.has(slot)) this.setEntry(type, hash, told.activation, from)
      else noteCase(cases, type, hash, told)
    }
  }

  private setEntry(type: RuntimeType, hash: number, number: number, home: MemberNo): void {
    if (number === 0) return
    const row = this.core.rowFor(type, hash)
    type.table.set(row, ENTRY, number)
    type.table.set(row, HOME, home)
  }

  /** A removal that its home has told us of: nobody will ask about that activation any more. */
  private forgetEntry(slot: number, number: number): void {
    for (const type of this.core.types) {
      for (const row of type.table.rowsOfSlot(slot, this.core.slots.slotBits)) {
        if (type.table.get(row, ENTRY) === number) this.clearEntry(type, row)
      }
    }
  }
  private clearEntry(type: RuntimeType, row: Row): void {
    type.table.set(row, ENTRY, 0)
    type.table.set(row, HOME, 0)
    this.core.tidy(type, row)
  }

  private resolveCase(c: Case, voids: Map<MemberNo, Void[]>): void {
    const { core } = this
    const { type, hash, words } = c
    type.words.set(words)
    const row = core.rowFor(type, hash)
    let at = this.start(c, row)
    const made = new Set<number>()
    const coming = new Map<MemberNo, number>()
    for (let order = at && orderOf(c, at); order; order = orderOf(c, at!)) {
      made.add(order.from)
      at = { number: order.number, home: order.to }
      if (order.request === 0) coming.set(order.to, (coming.get(order.to) ?? 0) + 1)
    }
    type.table.set(row, ENTRY, at?.number ?? 0)
    type.table.set(row, HOME, at?.home ?? 0)
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

  /** The activation that has the state; undefined: nobody has. */
  private start(c: Case, row: Row): At | undefined {
    const { core } = this
    const { table } = c.type
    const fresh = this.fresh.has(core.slot(c.hash))
    for (const { from, activation } of c.told) {
      // One of ours may have ended since it was told, and the directory beside it knew at once.
      const ended = !fresh && from === core.self && table.get(row, ACTIVATION) !== activation
      if (activation !== 0 && !ended) return { number: activation, home: from }
    }
    const number = table.get(row, ENTRY)
    const home = table.get(row, HOME)
    if (number === 0 || core.view!.isGone(home)) return undefined
    // It lies at rest there, unless its home itself waits for it.
    if (home === core.self && table.get(row, ACTIVATION) !== number) return undefined
    return c.told.some((told) => told.from === home) ? undefined : { number, home }
  }

  /** Entries that name a dead home and that nobody has told anything of. */
  private dropLost(): void {
    const { core } = this
    for (let slot = 0; slot < core.slots.state.length; slot++) {
      if (!core.slots.isRecovering(slot)) continue
      for (const type of core.types) {
        for (const row of type.table.rowsOfSlot(slot, core.slots.slotBits)) {
          if (type.table.get(row, ENTRY) === 0) continue
          if (!core.view!.isGone(type.table.get(row, HOME))) continue
          this.clearEntry(type, row)
        }
      }
    }
  }

  /** Requests that may have died with whom they were sent to. One served twice only moves the actor to its home again. */
  private serveAgain(c: Case): void {
    for (const { from, acquire, mustExist } of c.told) {
      if (acquire === 0) continue
      c.type.words.set(c.words)
      this.directory.acquire(c.type, c.hash, from, acquire, mustExist)
    }
  }

  // ---- the end ----

  private readVoid(r: ByteReader): void {
    const type = this.core.type(r)
    const hash = r.u32()
    type.readWords(r)
    const due = r.u32()
    const orders: number[] = []
    for (let n = r.u16(); n > 0; n--) orders.push(r.u32())
    this.homes.dropVoid(type, hash, orders, due)
  }

  private thaw(): void {
    this.underWay = false
    this.core.frozen = false
    this.homes.forgetTombs(this.tombsTold)
    this.homes.resume()
  }

  /** Nobody else can know anything of these slots. */
  private hold(): void {
    this.fresh.clear()
    this.core.slots.recovered()
  }

  get idle(): boolean {
    return !this.underWay
  }
}

/** What one member has of an actor that is not at rest. */
interface Told {
  readonly from: MemberNo
  readonly activation: number
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
}
interface At {
  readonly number: number
  readonly home: MemberNo
}
/** What will not come about at one member: orders about activations, and all but `due` of the moves it awaits. */
interface Void {
  readonly type: RuntimeType
  readonly hash: number
  readonly words: Uint32Array
  readonly orders: readonly number[]
  readonly due: number
}

function readTold(from: MemberNo, r: ByteReader): Told {
  const head = { from, activation: r.u32(), acquire: r.u32(), mustExist: r.u8() === 1 }
  const due = r.u32()
  const orders: Held[] = []
  for (let n = r.u16(); n > 0; n--) {
    orders.push({ from: r.u32(), number: r.u32(), to: r.u32(), request: r.u32() })
  }
  return { ...head, due, orders }
}

function noteCase(cases: Map<string, Case>, type: RuntimeType, hash: number, told: Told): void {
  const name = `${type.id} ${hash} ${type.words}`
  const known = cases.get(name)
  if (known) known.told.push(told)
  else cases.set(name, { type, hash, words: type.words.slice(), told: [told] })
}

function orderOf(c: Case, at: At): Held | undefined {
  const told = c.told.find((t) => t.from === at.home)
  return told?.orders.find((o) => o.from === at.number)
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
