import { type ByteReader, invariant, Kind, type MemberNo, RehomeError } from '../bus/index.ts'
import { HELD } from '../placement/index.ts'
import type { Core } from './core.ts'
import type { Directory } from './directory.ts'
import { ACTIVATION, AFFAIR, ENTRY, HASH, HOME } from './layout.ts'
import type { Affair, Held, RuntimeType, Transfer } from './runtime-type.ts'
import type { Row } from './table.ts'
import { removal, Turns } from './turns.ts'
import { type Waiter, Waiters } from './waiters.ts'

/**
 * Where actors are, and how they move.
 *
 * The slot owner keeps a directory: which instance is an actor's home, by the move of which number. It
 * serialises the moves: on ACQUIRE it names the asker the new home at once and orders the one before to send
 * the state (TRANSFER m→n); the next ACQUIRE goes to that new home, which keeps the order until the state has
 * come. So waiters queue along a chain of homes, any number of them, and nobody ever waits at the directory.
 *
 * There is one mechanism for all moves: first access, the drain of multi-writer actors to a new slot
 * owner, and a leaver's actors (RELEASE asks the slot owner to order an ordinary TRANSFER to itself). Since
 * (slot, number) names an activation for good, an order that overtakes its state is told apart from one for an
 * activation that was removed: the first is held, the second finds a tombstone and answers "fresh".
 */
export class Homes {
  /** An activation ends here: readers here must not see older values next (rule 22). */
  onGone: (type: RuntimeType, row: Row) => void = () => {}

  readonly turns: Turns
  private readonly core: Core
  /** Activations removed here whose removal the directory has not noted yet (rule 4). */
  private readonly tombs = new Set<number>()
  /** Orders held for activations still to come. */
  private heldCount = 0
  /** No turn that waits began to before then (ms). */
  private waitedSince = Number.NEGATIVE_INFINITY

  private readonly directory: Directory

  constructor(core: Core, directory: Directory) {
    this.core = core
    this.directory = directory
    this.turns = new Turns(core, this)
    directory.giveNow = (type, row, transfer) => this.giveNow(type, row, transfer)
  }

  /** The directory is here and names no home, and no life of the actor is about to end or begin here. */
  isAbsent(type: RuntimeType, hash: number, row: Row): boolean {
    if (this.core.slots.state[this.core.slot(hash)] !== HELD) return false
    return row < 0 || (type.table.aside(row, ENTRY) === 0 && type.table.get(row, AFFAIR) === 0)
  }

  /** Makes an actor whose directory entry and home are both here. */
  make(type: RuntimeType, hash: number): Row {
    const row = this.core.rowFor(type, hash)
    this.core.activate(type, row, this.core.name(type, row, this.core.self))
    type.table.reset(row)
    return row
  }

  /** A turn waits until the actor is here, and its turn comes. */
  want(type: RuntimeType, row: Row, waiter: Waiter): void {
    const affair = type.needAffair(row)
    if (type.table.get(row, ACTIVATION) !== 0 && !affair.transfer) {
      affair.queue.push(waiter)
      this.run(type, row, affair)
    } else {
      affair.waiting.push(waiter)
      if (affair.acquire === 0) this.acquire(type, row, affair, waiter.since)
    }
  }

  private acquire(type: RuntimeType, row: Row, affair: Affair, now: number): void {
    const { core } = this
    const hash = type.table.aside(row, HASH)
    affair.acquire = core.nextRequest()
    affair.askedAt = now
    if (this.directory.sendFor(type, row, affair.acquire)) return
    type.table.keyOf(row, type.words)
    const w = core.partAbout(core.owner(hash), Kind.ACQUIRE, type, hash, type.words)
    w.u32(core.crash)
    w.u32(core.self)
    w.u32(affair.acquire)
    w.u8(affair.waiting.allMustExist ? 1 : 0)
    core.endPart(w)
  }

  /** Runs what can run on an activation: waiting turns in order, then calls and reads, then it is given on (rule 10). */
  run(type: RuntimeType, row: Row, affair: Affair): void {
    // Whatever ends or leaves now would be a message that no FENCE covers.
    if (affair.transfer && this.core.frozen) return
    while (!affair.busy) {
      const waiter = affair.queue.shift()
      if (!waiter) break
      if (!waiter.over) this.runWaiter(type, row, affair, waiter)
      if (type.table.get(row, ACTIVATION) === 0) return // the turn removed it
    }
    if (affair.busy) return
    // While something went on with it, on its way above all, the sweep has passed it by.
    if (!affair.unmade && this.turns.isSwept(type, row)) return this.removeActivation(type, row)
    while (affair.deferred.length > 0) {
      this.runDeferred(type, row, affair)
      // One of them may have ended the actor; what came after it waits for the next.
      if (type.affairOf(row) !== affair || type.table.get(row, ACTIVATION) === 0) return
      if (affair.unmade) break // reads of what nobody has made wait for its end below
    }
    if (affair.unmade) {
      affair.unmade = false
      return this.removeActivation(type, row)
    }
    if (affair.transfer) this.give(type, row, affair, affair.transfer)
    else this.core.tidy(type, row)
  }

  private runDeferred(type: RuntimeType, row: Row, affair: Affair): void {
    const deferred = affair.deferred
    affair.deferred = []
    for (const go of deferred) {
      const here = type.affairOf(row) === affair && type.table.get(row, ACTIVATION) !== 0
      go(here ? row : -1)
    }
  }

  private runWaiter(type: RuntimeType, row: Row, affair: Affair, waiter: Waiter): void {
    const exists = !affair.unmade
    try {
      if (!exists && waiter.mustExist) return waiter.settle(this.turns.overNothing(waiter.turn))
      affair.unmade = false
      if (waiter.turn === removal) return waiter.settle(this.turns.end(type, row, waiter))
      waiter.settle(this.turns.over(type, row, waiter.turn, waiter.mustExist, !exists, waiter))
    } catch (error) {
      waiter.fail(error)
    }
  }

  /** The activation here is gone for good; whoever was to get it is told. */
  removeActivation(type: RuntimeType, row: Row): void {
    const { core } = this
    const { table } = type
    const number = table.get(row, ACTIVATION)
    const hash = table.aside(row, HASH)
    const affair = type.affairOf(row)
    table.keyOf(row, type.words)
    this.onGone(type, row)
    core.deactivate(type, row)
    if (affair?.transfer) {
      this.sendGone(type, hash, affair.transfer)
      affair.transfer = undefined
    } else if (table.aside(row, ENTRY) === number) {
      table.setAside(row, ENTRY, 0) // the token is here: the directory notes it at once
      table.setAside(row, HOME, 0)
    } else {
      this.tombs.add(core.activationId(hash, number))
      const w = core.partAbout(core.owner(hash), Kind.REMOVED, type, hash, type.words)
      w.u32(number)
      w.u32(core.crash)
      core.endPart(w)
    }
    if (affair) this.afterLife(type, row, affair)
    core.tidy(type, row)
  }

  /** Turns left over after a removal or a move go ahead of later ones (rule 10); reads look again. */
  private afterLife(type: RuntimeType, row: Row, affair: Affair): void {
    affair.released = 0
    affair.waiting.prepend(affair.queue)
    if (!affair.waiting.isEmpty && affair.acquire === 0)
      this.acquire(type, row, affair, this.core.clock.now())
    if (affair.deferred.length > 0) this.runDeferred(type, row, affair)
  }

  private sendGone(type: RuntimeType, hash: number, transfer: Transfer): void {
    const w = this.core.partAbout(transfer.to, Kind.STATE, type, hash, type.words)
    w.u32(transfer.number)
    w.u32(transfer.request)
    w.u8(0)
    this.core.endPart(w)
  }

  /** Sends the state on: at once where nothing else goes on with the actor, as with most. */
  private give(type: RuntimeType, row: Row, affair: Affair | undefined, transfer: Transfer): void {
    const { core } = this
    const { table } = type
    table.keyOf(row, type.words)
    const w = core.partAbout(transfer.to, Kind.STATE, type, table.aside(row, HASH), type.words)
    w.u32(transfer.number)
    w.u32(transfer.request)
    w.u8(1)
    table.encode(row, w)
    core.endPart(w)
    this.onGone(type, row)
    core.deactivate(type, row)
    if (transfer.to !== core.self) core.stats.rehomedOut++
    if (affair) {
      affair.transfer = undefined
      this.afterLife(type, row, affair)
    }
    core.tidy(type, row)
  }

  onTransfer(r: ByteReader): void {
    const { core } = this
    const type = core.type(r)
    const hash = r.u32()
    type.readWords(r)
    const number = r.u32()
    const transfer = { number: r.u32(), to: r.u32(), request: r.u32() }
    // The one who ordered this did not know of the crash yet: the recovery puts it right.
    if (core.view?.isGone(transfer.to)) return
    const row = type.table.find(hash, type.words)
    if (row >= 0 && type.table.get(row, ACTIVATION) === number) {
      const still = type.table.get(row, AFFAIR) === 0 && !core.frozen
      if (still) return this.give(type, row, undefined, transfer)
      const affair = type.needAffair(row)
      invariant(!affair.transfer, 'an activation is ordered away once')
      affair.transfer = transfer
      return this.run(type, row, affair)
    }
    const id = core.activationId(hash, number)
    // It is reported as ended, and the recovery serves who was to get it.
    if (core.fencing && this.tombs.has(id)) return
    if (this.tombs.delete(id)) this.sendGone(type, hash, transfer)
    else this.hold(type, core.rowFor(type, hash), { ...transfer, from: number })
  }

  /** An order of the directory here about an activation here; false: it is not here yet, or something goes on with it. */
  private giveNow(type: RuntimeType, row: Row, order: Held): boolean {
    const { table } = type
    const isIt = table.get(row, ACTIVATION) === order.from
    if (!isIt || table.get(row, AFFAIR) !== 0 || this.core.frozen) return false
    this.give(type, row, undefined, order)
    return true
  }

  private hold(type: RuntimeType, row: Row, order: Held): void {
    const affair = type.needAffair(row)
    if (affair.held) affair.held.push(order)
    else affair.held = [order]
    this.heldCount++
  }

  /** The order that has waited for the activation that is here now. */
  private takeHeld(affair: Affair, number: number): Transfer | undefined {
    const order = affair.held?.find((held) => held.from === number)
    if (order) this.dropHeld(affair, (held) => held === order)
    return order
  }
  private dropHeld(affair: Affair, isOver: (order: Held) => boolean): void {
    const left = affair.held?.filter((order) => !isOver(order)) ?? []
    this.heldCount -= (affair.held?.length ?? 0) - left.length
    affair.held = left.length > 0 ? left : undefined
  }

  /** STATE: the actor's home is here now, with the state that left the previous one, or none. */
  onState(from: MemberNo, r: ByteReader): void {
    const { core } = this
    const type = core.type(r)
    const hash = r.u32()
    type.readWords(r)
    const number = r.u32()
    const request = r.u32()
    const row = core.rowFor(type, hash)
    invariant(type.table.get(row, ACTIVATION) === 0, 'one activation of an actor')
    const present = r.u8() === 1
    if (present) type.table.decode(row, r)
    else type.table.reset(row)
    if (present && from !== core.self) core.stats.rehomedIn++
    this.arrive(type, row, number, request, !present)
  }

  /** One or more. */
  onGrants(r: ByteReader): void {
    while (r.left > 0) this.onGrant(r)
  }

  private onGrant(r: ByteReader): void {
    const { core } = this
    const type = core.type(r)
    const hash = r.u32()
    type.readWords(r)
    const number = r.u32()
    const row = core.rowFor(type, hash)
    invariant(type.table.get(row, ACTIVATION) === 0, 'one activation of an actor')
    type.table.reset(row)
    this.arrive(type, row, number, r.u32(), true)
  }

  private arrive(
    type: RuntimeType,
    row: Row,
    number: number,
    request: number,
    fresh: boolean,
  ): void {
    const { core } = this
    core.activate(type, row, number)
    const affair = type.needAffair(row)
    if (request === 0) {
      affair.due--
      this.directory.fetched()
    } else if (affair.acquire === request) affair.acquire = 0
    affair.unmade = fresh
    affair.queue.append(affair.waiting)
    if (affair.held) affair.transfer = this.takeHeld(affair, number)
    this.run(type, row, affair)
  }

  /** One or more. */
  onAbsents(r: ByteReader): void {
    while (r.left > 0) this.onAbsent(r)
  }

  /**
   * ABSENT: those who only asked for an existing actor know; others still want one. Who came after ACQUIRE had been sent may
   * have seen the actor made since: they ask again.
   */
  private onAbsent(r: ByteReader): void {
    const type = this.core.type(r)
    const hash = r.u32()
    type.readWords(r)
    const row = type.table.find(hash, type.words)
    const request = r.u32()
    const affair = row >= 0 ? type.affairOf(row) : undefined
    if (!affair || affair.acquire !== request) return
    affair.acquire = 0
    const asked = new Waiters()
    asked.append(affair.waiting)
    for (let waiter = asked.shift(); waiter; waiter = asked.shift()) {
      if (waiter.over) continue
      if (!waiter.mustExist || waiter.since > affair.askedAt) affair.waiting.push(waiter)
      else if (waiter.turn === removal) waiter.settle(false)
      else {
        try {
          waiter.settle(this.turns.overNothing(waiter.turn))
        } catch (error) {
          waiter.fail(error)
        }
      }
    }
    if (!affair.waiting.isEmpty) this.acquire(type, row, affair, this.core.clock.now())
    else this.runDeferred(type, row, affair)
    this.core.tidy(type, row)
  }

  /** One or more. */
  onRemovedOk(r: ByteReader): void {
    while (r.left > 0) {
      const type = this.core.type(r)
      const hash = r.u32()
      type.readWords(r)
      this.tombs.delete(this.core.activationId(hash, r.u32()))
    }
  }

  /** A call makes the actor if so far it was only granted; true if it did. */
  nowMade(type: RuntimeType, row: Row): boolean {
    const affair = type.affairOf(row)
    if (!affair?.unmade) return false
    affair.unmade = false
    return true
  }
  isUnmade(type: RuntimeType, row: Row): boolean {
    return type.affairOf(row)?.unmade === true
  }

  /**
   * The record that a call on a multi-writer actor may run on here and now: the actor is here, its slot's token too, and nothing of
   * ours has to go first (an affair may be an outbox). The directory may name a later activation: that one waits for what is
   * here. Made if the directory is here and has none; -1: elsewhere.
   */
  rowHere(type: RuntimeType, hash: number): Row {
    // First, since a call that goes elsewhere need not look the actor up.
    return this.core.slots.state[this.core.slot(hash)] === HELD ? this.rowHeld(type, hash) : -1
  }

  private rowHeld(type: RuntimeType, hash: number): Row {
    const row = type.table.find(hash, type.words)
    if (row < 0) return this.make(type, hash)
    return type.table.isStill(row) ? row : -1
  }

  /** As slot owner: the record of the actor if it is here, a fresh one if there is none; -1: elsewhere. */
  ownRow(type: RuntimeType, hash: number): Row {
    const { table } = type
    const row = table.find(hash, type.words)
    if (row >= 0 && table.get(row, ACTIVATION) !== 0) return row
    return row < 0 || table.aside(row, ENTRY) === 0 ? this.make(type, hash) : -1
  }

  /**
   * As slot owner, of an actor that `ownRow` found elsewhere: sends for it. `go` gets its record when it has come, or -1 if
   * it has ended meanwhile: what was wanted of it must be judged again.
   */
  whenOwn(type: RuntimeType, hash: number, go: (row: Row) => void): void {
    const row = type.table.find(hash, type.words)
    if (type.table.aside(row, HOME) !== this.core.self) this.directory.fetch(type, row)
    type.needAffair(row).deferred.push(go)
  }

  // ---- after a crash: see recovery.ts ----

  /** Orders to give an actor to one who is dead: it stays. */
  dropOrdersToDead(): void {
    const { view } = this.core
    for (const type of this.core.types) {
      for (const [, affair] of type.openAffairs()) {
        if (affair.transfer && view?.isGone(affair.transfer.to)) affair.transfer = undefined
        if (affair.held) this.dropHeld(affair, (order) => view?.isGone(order.to) === true)
      }
    }
  }

  /** Orders about activations that will never come, and how many of the moves expected here will. */
  dropVoid(type: RuntimeType, hash: number, orders: readonly number[], due: number): void {
    const row = type.table.find(hash, type.words)
    const affair = row >= 0 ? type.affairOf(row) : undefined
    if (!affair) return
    this.dropHeld(affair, (order) => orders.includes(order.from))
    for (; affair.due > due; affair.due--) this.directory.fetched()
  }

  tombNumbers(): number[] {
    return [...this.tombs]
  }
  forgetTombs(ids: readonly number[]): void {
    for (const id of ids) this.tombs.delete(id)
  }

  /** Everything goes on, and what was told the dead one is told anew. */
  resume(): void {
    for (const type of this.core.types) {
      for (const [row, affair] of [...type.openAffairs()]) {
        affair.released = 0
        if (type.table.get(row, ACTIVATION) !== 0) this.run(type, row, affair)
        else if (affair.acquire === 0 && affair.due === 0) this.runDeferred(type, row, affair)
        if (type.affairOf(row) === affair) this.core.tidy(type, row)
      }
    }
  }

  /**
   * Turns that have waited too long end in an error: it says which actor, and that they did not run. Going through all that
   * goes on takes a millisecond in a burst of moves, so it is done when one of them can have waited for so long.
   */
  timeOut(before: number, now: number): void {
    if (this.waitedSince > before) return
    this.waitedSince = now
    for (const type of this.core.types) {
      for (const [, affair] of type.openAffairs()) {
        for (const waiter of affair.queue) this.lookAt(waiter, before, type)
        for (const waiter of affair.waiting) this.lookAt(waiter, before, type)
      }
    }
  }

  private lookAt(waiter: Waiter, before: number, type: RuntimeType): void {
    giveUp(waiter, before, type)
    if (!waiter.over) this.waitedSince = Math.min(this.waitedSince, waiter.since)
  }

  /** The activation was removed here, and the directory may not have noted it yet. */
  isTomb(hash: number, number: number): boolean {
    return this.tombs.has(this.core.activationId(hash, number))
  }

  get idle(): boolean {
    return this.tombs.size === 0 && this.heldCount === 0
  }
}

function giveUp(waiter: Waiter, before: number, type: RuntimeType): void {
  if (waiter.over || waiter.since > before) return
  waiter.over = true
  const why = 'a turn waited too long for its actor: is another turn waiting for this one?'
  waiter.fail(new RehomeError('timeout', why, { type: type.name }))
}
