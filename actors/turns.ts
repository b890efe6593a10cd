import { RehomeError } from '../bus/index.ts'
import type { Core } from './core.ts'
import type { Affair, AnyState, PacketTime, RuntimeType } from './runtime-type.ts'
import type { Row } from './table.ts'
import { Waiter } from './waiters.ts'

/** What turns need of how actors move (homes.ts). */
interface Moves {
  isAbsent(type: RuntimeType, hash: number, row: Row): boolean
  make(type: RuntimeType, hash: number): Row
  want(type: RuntimeType, row: Row, waiter: Waiter): void
  run(type: RuntimeType, row: Row, affair: Affair): void
  removeActivation(type: RuntimeType, row: Row): void
}

/** Turns over single-writer actors. What lies still here is reached by a shorter way (straight.ts), as a rule. */
export class Turns {
  readonly core: Core
  private readonly moves: Moves

  constructor(core: Core, moves: Moves) {
    this.core = core
    this.moves = moves
  }

  /** A turn over a single-writer actor: now if it is idle here, else as soon as it has come. */
  turn(
    type: RuntimeType,
    key: unknown,
    turn: Waiter['turn'],
    mustExist: boolean,
    time: PacketTime,
  ): unknown {
    if (this.core.inTurn) throw nested(type)
    const hash = this.core.address(type, key)
    const row = type.table.find(hash, type.words)
    if (row >= 0 && type.table.isStill(row)) {
      return this.over(type, row, turn, mustExist, false, time)
    }
    return this.turnElsewhere(type, hash, row, turn, mustExist, time)
  }

  private turnElsewhere(
    type: RuntimeType,
    hash: number,
    found: Row,
    turn: Waiter['turn'],
    mustExist: boolean,
    time: PacketTime,
  ): unknown {
    if (this.moves.isAbsent(type, hash, found)) {
      if (mustExist) return this.overNothing(turn)
      return this.over(type, this.moves.make(type, hash), turn, false, true, time)
    }
    const row = found >= 0 ? found : type.table.insert(hash, type.words)
    return this.whenHere(type, row, new Waiter(turn, mustExist, time.us, this.core.clock.now()))
  }

  private whenHere(type: RuntimeType, row: Row, waiter: Waiter): Promise<unknown> {
    const promise = waiter.promise()
    this.moves.want(type, row, waiter)
    return promise
  }

  /** A turn that wanted an existing actor, and there is none. */
  overNothing(turn: Waiter['turn']): unknown {
    this.core.inTurn = true
    try {
      return turn(undefined, false)
    } finally {
      this.core.inTurn = false
    }
  }

  /** A turn over the activation here: a fresh one where the actor is over. */
  over(
    type: RuntimeType,
    row: Row,
    turn: Waiter['turn'],
    mustExist: boolean,
    created: boolean,
    time: PacketTime,
  ): unknown {
    const { cursor } = type
    type.table.aim(cursor, row)
    let fresh = created
    if (type.expiry !== undefined && !created && this.isOver(type, cursor, time)) {
      if (mustExist) {
        this.moves.removeActivation(type, row)
        return this.overNothing(turn)
      }
      type.table.reset(row) // a new life under the same number: nobody else could have seen the end of the old one
      fresh = true
    }
    return this.runAimed(type, row, turn, fresh)
  }

  /** A turn over the actor that the cursor is aimed at. */
  private runAimed(type: RuntimeType, row: Row, turn: Waiter['turn'], created: boolean): unknown {
    const { core } = this
    core.inTurn = true
    let result: unknown
    try {
      result = turn(type.cursor, created)
    } catch (error) {
      core.inTurn = false
      throw error
    }
    core.inTurn = false
    if (typeof result !== 'object') return result // a verdict, as a rule
    return result instanceof Promise ? this.suspend(type, row, result) : result
  }

  /** The turn goes on after its return: the actor is its own until the promise settles (rule 21). */
  suspend(type: RuntimeType, row: Row, promise: Promise<unknown>): Promise<unknown> {
    type.needAffair(row).busy = true
    type.cursor = type.newCursor() // the turn keeps the one it has
    const ended = () => {
      const affair = type.needAffair(row)
      affair.busy = false
      this.moves.run(type, row, affair)
    }
    return promise.then(
      (value) => {
        ended()
        return value
      },
      (error) => {
        ended()
        throw error
      },
    )
  }

  /** Ends a single-writer actor, in a turn of its own. */
  remove(type: RuntimeType, key: unknown, time: PacketTime): unknown {
    const { core } = this
    if (core.inTurn) throw nested(type)
    const hash = core.address(type, key)
    const row = type.table.find(hash, type.words)
    if (this.moves.isAbsent(type, hash, row)) return false
    const at = row >= 0 ? row : type.table.insert(hash, type.words)
    if (type.table.isStill(at)) {
      return this.end(type, at, time)
    }
    return this.whenHere(type, at, new Waiter(removal, true, time.us, core.clock.now()))
  }

  /** Removes the activation here; false if its time was over already, so that it does not matter who has looked since. */
  end(type: RuntimeType, row: Row, time: PacketTime): boolean {
    let over = false
    if (type.expiry !== undefined) {
      type.table.aim(type.cursor, row)
      over = this.isOver(type, type.cursor, time)
    }
    this.moves.removeActivation(type, row)
    return !over
  }

  /** Whether the actor here would have been ended by the sweeps so far. */
  isSwept(type: RuntimeType, row: Row): boolean {
    const us = this.core.sweptUs
    if (type.expiry === undefined || us === 0) return false
    type.table.aim(type.cursor, row)
    return this.isOver(type, type.cursor, { us })
  }

  /** Whether the actor's time is over by the packet's clock, and its author lets it go. */
  isOver(type: RuntimeType, state: AnyState, time: PacketTime): boolean {
    const due = type.expiry!.due(state)
    if (due > time.us || !type.expiry!.expire(state, due)) return false
    this.core.stats.expired++
    return true
  }
}

/** Stands for the turn of `remove`. */
export const removal: Waiter['turn'] = () => false

export function nested(type: RuntimeType): RehomeError {
  const why = `a turn asked for a turn of '${type.name}': end the first one, then begin the second`
  return new RehomeError('nested-turn', why, { type: type.name })
}
