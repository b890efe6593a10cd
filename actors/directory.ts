import { type ByteReader, type ByteWriter, Kind, type MemberNo } from '../bus/index.ts'
import { DUE, HELD } from '../placement/index.ts'
import type { Core } from './core.ts'
import { ENTRY, HASH, HOME } from './layout.ts'
import type { Held, RuntimeType } from './runtime-type.ts'
import type { Row } from './table.ts'

/** Actors fetched at once in the background: a round trip's worth. */
const FETCHES_MAX = 2048
/** Actors sent for in one step, give or take a slot's: what a packet may find itself behind. */
const FETCHES_STEP = 512

/**
 * The directory of the slots whose tokens are here: who is home, by the move of which number. It
 * serialises the moves of its actors, and never waits for one (see homes.ts for the whole).
 *
 * Its entries lie in the actors' records; whoever serves a message has put the key into `type.words`.
 */
export class Directory {
  private readonly core: Core
  /** Slots that have come, whose multi-writer actors are to be fetched. */
  private readonly toFetch: number[] = []
  /** Slots whose packets come here now: their actors follow. */
  private readonly toFollow: number[] = []
  private fetching = 0
  /** The order is about an activation that lies still here: it goes at once, without a message to ourselves. */
  giveNow: (type: RuntimeType, row: Row, order: Held) => boolean = () => false

  constructor(core: Core) {
    this.core = core
    core.slots.onHeld = (slot) => this.toFetch.push(slot)
  }

  serveAcquire(type: RuntimeType, hash: number, r: ByteReader): void {
    if (this.core.isOld(r.u32())) return // its asker has reported it, and it has been served
    const asker = r.u32()
    const request = r.u32()
    this.acquire(type, hash, asker, request, r.u8() === 1)
  }

  /** The actor in `type.words` is wanted by `asker`. */
  acquire(
    type: RuntimeType,
    hash: number,
    asker: MemberNo,
    request: number,
    mustExist: boolean,
  ): void {
    const { core } = this
    const row = type.table.find(hash, type.words)
    if (row >= 0 && type.table.aside(row, ENTRY) !== 0) {
      return this.order(type, row, asker, request)
    }
    const w = core.out.beginPart(asker, mustExist ? Kind.ABSENT : Kind.GRANT)
    type.writeKey(w, hash, type.words)
    if (!mustExist) w.u32(core.name(type, core.rowFor(type, hash), asker))
    w.u32(request)
    core.out.end()
  }

  /**
   * Sends for an actor that is elsewhere, as ACQUIRE to ourselves would, if its directory is here. What is here or nowhere is
   * left to the message: its answer may come only when the caller is through.
   */
  sendFor(type: RuntimeType, row: Row, request: number): boolean {
    const { core } = this
    const { table } = type
    if (core.slots.state[core.slot(table.aside(row, HASH))] !== HELD) return false
    if (table.aside(row, ENTRY) === 0 || table.aside(row, HOME) === core.self) return false
    this.order(type, row, core.self, request)
    return true
  }

  /** Names `to` the home and orders the home before to send it the state; `to` may be that very one (rule 6). */
  private order(type: RuntimeType, row: Row, to: MemberNo, request: number): void {
    const { core } = this
    const { table } = type
    const number = table.aside(row, ENTRY)
    const home = table.aside(row, HOME)
    const next = core.name(type, row, to)
    if (home === core.self && to !== home) {
      if (this.giveNow(type, row, { from: number, number: next, to, request })) return
    }
    table.keyOf(row, type.words)
    const w = core.partAbout(home, Kind.TRANSFER, type, table.aside(row, HASH), type.words)
    w.u32(number)
    w.u32(next)
    w.u32(to)
    w.u32(request)
    core.endPart(w)
  }

  serveRemoved(type: RuntimeType, hash: number, r: ByteReader): void {
    const { core } = this
    const number = r.u32()
    if (core.isOld(r.u32())) return
    const row = type.table.find(hash, type.words)
    // Another number: a TRANSFER is on its way to that home, which answers from its tombstone (rule 4).
    if (row < 0 || type.table.aside(row, ENTRY) !== number) return
    const home = type.table.aside(row, HOME)
    type.table.setAside(row, ENTRY, 0)
    type.table.setAside(row, HOME, 0)
    const w = core.out.beginPart(home, Kind.REMOVED_OK)
    type.writeKey(w, hash, type.words)
    w.u32(number)
    core.out.end()
    core.tidy(type, row)
  }

  /** RELEASE: an ordinary move, to the slot owner itself (rule 14). */
  serveRelease(type: RuntimeType, hash: number, r: ByteReader): void {
    const number = r.u32()
    if (this.core.isOld(r.u32())) return
    const row = type.table.find(hash, type.words)
    if (row < 0 || type.table.aside(row, ENTRY) !== number) return
    this.fetch(type, row)
  }

  /** Moves an actor here, as its slot owner. */
  fetch(type: RuntimeType, row: Row): void {
    type.needAffair(row).due++
    this.fetching++
    this.order(type, row, this.core.self, 0)
  }

  /** An entry of the directory as it travels in SLOT: forgotten here, taken there. */
  writeEntry(type: RuntimeType, row: Row, w: ByteWriter): void {
    const { table } = type
    table.keyOf(row, type.words)
    w.u32(table.aside(row, HASH))
    for (let i = 0; i < type.keyWords; i++) w.u32(type.words[i]!)
    w.u32(table.aside(row, ENTRY))
    w.u32(table.aside(row, HOME))
    table.setAside(row, ENTRY, 0)
    table.setAside(row, HOME, 0)
  }

  readEntry(type: RuntimeType, r: ByteReader): void {
    const hash = r.u32()
    type.readWords(r)
    const row = this.core.rowFor(type, hash)
    type.table.setAside(row, ENTRY, r.u32())
    type.table.setAside(row, HOME, r.u32())
  }

  /**
   * The packets of a slot come here from now on: its actors are sent for before the packets ask for them, those that lie
   * where their packets are steered to. It is an ordinary move; whatever this misses moves on first access.
   */
  follow(slot: number): void {
    const { slots, model, types } = this.core
    if (model !== 'shared' || !types.some((type) => this.core.isSteered(type))) return
    const state = slots.state[slot]
    if (state === HELD) this.toFollow.push(slot)
    else if (state === DUE) slots.whenHeld(slot, () => this.follow(slot))
  }

  private fetchSlot(slot: number, follows: boolean): void {
    if (this.core.slots.state[slot] !== HELD) return
    for (const type of this.core.types) {
      const moves = type.writers === 'multi' || this.core.model === 'stop-and-sync'
      if (follows ? !this.core.isSteered(type) : !moves) continue
      for (const row of type.table.rowsOfSlot(slot, this.core.slots.slotBits)) {
        const home = type.table.aside(row, HOME)
        if (home !== 0 && home !== this.core.self) this.fetch(type, row)
      }
    }
  }

  /** An actor that was fetched has come. */
  fetched(): void {
    this.fetching--
  }

  /** Hands over some tokens, and fetches some actors; the others when these are here. True: there are more now. */
  step(): boolean {
    const gives = this.core.slots.give()
    return (this.core.mayMove && this.fetchSome()) || gives
  }

  /** Of slots that have come. */
  private fetchSome(): boolean {
    this.core.slots.drain()
    const most = Math.min(FETCHES_MAX, this.fetching + FETCHES_STEP)
    while (this.toFollow.length > 0 && this.fetching < most) {
      this.fetchSlot(this.toFollow.shift()!, true)
    }
    while (this.toFetch.length > 0 && this.fetching < most) {
      this.fetchSlot(this.toFetch.pop()!, false)
    }
    return this.fetching < FETCHES_MAX && this.toFetch.length + this.toFollow.length > 0
  }

  get idle(): boolean {
    return this.fetching === 0
  }

  /** All that is to be fetched has come. */
  get settled(): boolean {
    return this.idle && this.toFetch.length + this.toFollow.length === 0
  }
}
