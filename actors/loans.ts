import { type ByteReader, Kind, RehomeError } from '../bus/index.ts'
import type { Core } from './core.ts'
import type { Cursor } from './layout.ts'
import type { AnyState, PacketTime, RuntimeType } from './runtime-type.ts'
import type { MaybePromise } from './stub.ts'
import { ActorTable } from './table.ts'
import { nested } from './turns.ts'
import type { Waiter } from './waiters.ts'

/** What a TAKE is after. */
const ANY = 0
export const EXISTING = 1
export const REMOVAL = 2

/** What a LENT has. */
export const LENT = 0
export const LENT_FRESH = 1
export const NOTHING = 2
export const REMOVED = 3
export const GIVEN_UP = 4

/** A turn that waits for its state. */
interface Loan {
  readonly type: RuntimeType
  readonly turn: Waiter['turn']
  readonly settle: (value: unknown) => void
  readonly fail: (error: unknown) => void
  readonly since: number
  over: boolean
}

/** A record outside the table, for a state that is here for one turn. */
class Scratch {
  readonly table: ActorTable
  readonly cursor: Cursor & AnyState
  constructor(type: RuntimeType) {
    this.table = new ActorTable(type.table.layout, { slotBits: 1, pageBits: 0 })
    this.table.insert(0, type.words)
    this.cursor = type.newCursor()
    this.table.aim(this.cursor, 0)
  }
}

/**
 * Turns over single-writer actors of a store (the state model `remote-only`, as StatelessNF has it): the
 * state is fetched for one turn and written back after it. A turn is exclusive: the store lends a state to one at a
 * time, first come, first served (lender.ts). Nothing waits for a write to arrive, and any number of turns are under
 * way, their messages in shared frames.
 */
export class Loans {
  private readonly core: Core
  private readonly pending: (Loan | undefined)[] = []
  private readonly freeIds: number[] = []
  /** By type: records that no turn has. */
  private readonly scratch: Scratch[][]
  private suspended = 0

  constructor(core: Core) {
    this.core = core
    this.scratch = core.types.map(() => [])
  }

  turn(
    type: RuntimeType,
    key: unknown,
    turn: Waiter['turn'],
    mustExist: boolean,
    time: PacketTime,
  ): unknown {
    return this.take(type, key, turn, mustExist ? EXISTING : ANY, time)
  }

  /** Ends an actor, in a turn of its own at the store. */
  remove(type: RuntimeType, key: unknown, time: PacketTime): MaybePromise<boolean> {
    return this.take(type, key, nothing, REMOVAL, time).then((removed) => removed === true)
  }

  private take(
    type: RuntimeType,
    key: unknown,
    turn: Waiter['turn'],
    how: number,
    time: PacketTime,
  ): Promise<unknown> {
    const { core } = this
    if (core.inTurn) throw nested(type)
    const hash = core.address(type, key)
    return new Promise((settle, fail) => {
      const id = this.freeIds.pop() ?? this.pending.length
      this.pending[id] = { type, turn, settle, fail, since: core.clock.now(), over: false }
      const w = core.toOwner(Kind.TAKE, type, hash, type.words)
      w.u32(id)
      w.u8(how)
      if (type.expiry !== undefined) w.f64(time.us)
      core.out.end()
    })
  }

  onLent(r: ByteReader): void {
    const id = r.u32()
    const loan = this.pending[id]
    if (!loan) throw new RehomeError('bad-frame', 'a loan that nobody asked for', { id })
    this.pending[id] = undefined
    this.freeIds.push(id)
    const what = r.u8()
    if (what <= LENT_FRESH) this.run(loan, r, what === LENT_FRESH)
    else if (what === REMOVED) loan.settle(true)
    else if (what === GIVEN_UP) loan.fail(tooLong(loan.type))
    else this.runOverNothing(loan)
  }

  private run(loan: Loan, r: ByteReader, created: boolean): void {
    const { type } = loan
    const ticket = r.u32()
    const scratch = this.scratch[type.id]!.pop() ?? new Scratch(type)
    scratch.table.decode(0, r)
    let result: unknown
    try {
      // One that has waited too long runs no more: the state goes back as it came.
      if (!loan.over) result = this.inTurn(loan, scratch.cursor, created)
    } catch (error) {
      this.put(type, ticket, scratch)
      loan.fail(error)
      return
    }
    if (result instanceof Promise) this.suspend(loan, ticket, scratch, result)
    else {
      this.put(type, ticket, scratch)
      loan.settle(result)
    }
  }

  private runOverNothing(loan: Loan): void {
    if (loan.over) return
    try {
      loan.settle(this.inTurn(loan, undefined, false))
    } catch (error) {
      loan.fail(error)
    }
  }

  private inTurn(loan: Loan, state: AnyState | undefined, created: boolean): unknown {
    const { core } = this
    core.inTurn = true
    try {
      return loan.turn(state, created)
    } finally {
      core.inTurn = false
    }
  }

  /** The turn goes on after its return, and its state stays lent (rule 21). */
  private suspend(loan: Loan, ticket: number, scratch: Scratch, promise: Promise<unknown>): void {
    this.suspended++
    const ended = () => {
      this.suspended--
      this.put(loan.type, ticket, scratch)
    }
    promise.then(
      (value) => {
        ended()
        loan.settle(value)
      },
      (error) => {
        ended()
        loan.fail(error)
      },
    )
  }

  private put(type: RuntimeType, ticket: number, scratch: Scratch): void {
    const { core } = this
    const w = core.out.begin(core.store, Kind.PUT)
    w.u8(type.id)
    w.u32(ticket)
    scratch.table.encode(0, w)
    core.out.end()
    this.scratch[type.id]!.push(scratch)
  }

  /** Turns that have waited too long end in an error; they did not run. */
  timeOut(before: number): void {
    for (const loan of this.pending) {
      if (!loan || loan.over || loan.since > before) continue
      loan.over = true
      loan.fail(tooLong(loan.type))
    }
  }

  get idle(): boolean {
    return this.suspended === 0 && this.pending.length === this.freeIds.length
  }
}

const nothing: Waiter['turn'] = () => false

function tooLong(type: RuntimeType): RehomeError {
  const why = 'a turn waited too long for its actor: is another turn waiting for this one?'
  return new RehomeError('timeout', why, { type: type.name })
}
