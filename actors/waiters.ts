import type { AnyState, PacketTime } from './runtime-type.ts'

/** Not written where it is used: that would make one for each turn that waits. */
const nobody = () => {}

/** A turn that waits: for its actor to come, or for the turn before it to end. */
export class Waiter implements PacketTime {
  /** Gets undefined only if `mustExist` and there is no such actor. */
  readonly turn: (state: AnyState | undefined, created: boolean) => unknown
  readonly mustExist: boolean
  readonly us: number
  readonly since: number
  settle: (value: unknown) => void = nobody
  fail: (error: unknown) => void = nobody
  /** Answered already (timed out): its turn does not run. */
  over = false
  /** Behind it in its list. */
  next: Waiter | undefined = undefined

  constructor(turn: Waiter['turn'], mustExist: boolean, us: number, since: number) {
    this.turn = turn
    this.mustExist = mustExist
    this.us = us
    this.since = since
  }

  /** What its turn will answer; to be asked for once. */
  promise(): Promise<unknown> {
    return new Promise((settle, fail) => {
      this.settle = settle
      this.fail = fail
    })
  }
}

/**
 * Turns in the order in which they wait, as a list that goes through them: with an array for each actor, a burst of moves spent as much
 * on arrays as on all else that waits.
 */
export class Waiters {
  private first: Waiter | undefined = undefined
  private last: Waiter | undefined = undefined

  get isEmpty(): boolean {
    return this.first === undefined
  }

  get allMustExist(): boolean {
    for (let waiter = this.first; waiter; waiter = waiter.next) if (!waiter.mustExist) return false
    return true
  }

  push(waiter: Waiter): void {
    if (this.last) this.last.next = waiter
    else this.first = waiter
    this.last = waiter
  }

  shift(): Waiter | undefined {
    const { first } = this
    if (!first) return undefined
    this.first = first.next
    if (!this.first) this.last = undefined
    first.next = undefined
    return first
  }

  /** Takes all of the others, behind its own. */
  append(others: Waiters): void {
    if (!others.first) return
    if (this.last) this.last.next = others.first
    else this.first = others.first
    this.last = others.last
    others.clear()
  }

  /** Takes all of the others, ahead of its own. */
  prepend(others: Waiters): void {
    others.append(this)
    this.append(others)
  }

  private clear(): void {
    this.first = undefined
    this.last = undefined
  }

  *[Symbol.iterator](): Iterator<Waiter> {
    for (let waiter = this.first; waiter; waiter = waiter.next) yield waiter
  }
}
