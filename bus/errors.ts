/** What went wrong, in one word. */
export type ErrorCode =
  | 'bad-argument' // a caller's mistake: wrong option, key or argument
  | 'bad-definition' // an actor or NF definition that cannot be used
  | 'bad-input' // a file, rule or signature that is not what it should be
  | 'bad-frame' // bytes on the bus that are no frame of ours
  | 'mismatch' // another protocol version or another state schema
  | 'bus-unavailable' // no NATS server to be had
  | 'not-ready' // the instance has no view yet, or is leaving
  | 'too-big' // a message over its limit
  | 'overloaded' // a bounded queue is full
  | 'timeout' // no answer in time
  | 'peer-gone' // the instance that should answer has left or died
  | 'nested-turn' // a turn asked for another turn: it could wait in a circle
  | 'handler' // a method or handler threw
  | 'closed' // the instance was stopped
  | 'conflict' // a compare-and-set lost against another writer

export type Outcome = 'definite' | 'indefinite'
export type Facts = Readonly<Record<string, string | number | boolean | undefined>>

/**
 * Every error that Rehome raises is a `RehomeError`: a code, the facts that go
 * with it, and whether the work may have been done.
 *
 * `definite`: the operation did not and will not take effect, so it is safe to try again.
 * `indefinite`: it may have taken effect (the instance that ran it died, or its answer was late).
 */
export class RehomeError extends Error {
  readonly code: ErrorCode
  readonly outcome: Outcome
  readonly facts: Facts

  constructor(code: ErrorCode, message: string, facts: Facts = {}, outcome: Outcome = 'definite') {
    super(message)
    this.name = 'RehomeError'
    this.code = code
    this.outcome = outcome
    this.facts = facts
  }
}

/** For states that the protocol rules out: reaching one is a bug of ours, never of the input. */
export function invariant(holds: boolean, what: string): asserts holds {
  if (!holds) throw new Error(`invariant broken: ${what}`)
}
