import type { Plain, Stale, Untether } from './define.ts'
import type { Fields, State } from './fields.ts'

/** A value where the state is at home, a promise of it where it is not: only the latter suspends. */
export type MaybePromise<T> = T | Promise<T>

/** The methods of an actor type as its callers see them: without the state. */
export type Stub<M> = {
  readonly [N in keyof M]: M[N] extends Untether<infer _S, infer X>
    ? undefined extends X
      ? (x?: X) => void
      : (x: X) => void
    : M[N] extends Stale<infer _S, infer A, infer R>
      ? (...args: A) => MaybePromise<R>
      : M[N] extends Plain<infer _S, infer A, infer R>
        ? (...args: A) => MaybePromise<R>
        : never
}

/** A copy of an actor's state, its own to keep. */
export type Snapshot<F extends Fields> = Readonly<State<F>>
/** An actor as `all()` and `local()` tell it: its key, and a copy of its state. */
export interface Found<K, F extends Fields> {
  readonly key: K
  readonly state: Snapshot<F>
}

/** What both kinds of actors have. Keys are read during the call and not kept. */
interface Reach<K, F extends Fields> {
  /** A copy of the state, from wherever its home is; undefined if there is no such actor. Never creates, never rehomes. */
  lookup(key: K): MaybePromise<Snapshot<F> | undefined>
  /** Ends the actor; false if there was none. */
  remove(key: K): MaybePromise<boolean>
  /** The actors whose home is this instance, now. */
  local(): Iterable<Found<K, F>>
  /** All actors of the type in the cluster: each that exists throughout the call once. */
  all(): Promise<Found<K, F>[]>
}

/** Actors that rehome to whoever writes them. */
export interface SingleWriter<K, F extends Fields, M> extends Reach<K, F> {
  /**
   * This actor's turn, here: it is made if there is none (`created` says so), and rehomes here first
   * if its home is elsewhere. The turn is exclusive until it returns or its promise settles. `state`
   * is a view that is valid only in the turn.
   */
  with<R>(key: K, turn: (state: State<F>, created: boolean) => MaybePromise<R>): MaybePromise<R>
  /** As `with`, for an actor that exists; otherwise the turn gets undefined and nothing is made. */
  ifPresent<R>(key: K, turn: (state: State<F> | undefined) => MaybePromise<R>): MaybePromise<R>
  /** Its methods: plain ones are turns here, stale ones read from wherever its home is. */
  at(key: K): Stub<M>
}

/** Actors that stay at their slot owner; calls travel to them. An absent one answers as a fresh one would. */
export interface MultiWriter<K, F extends Fields, M> extends Reach<K, F> {
  at(key: K): Stub<M>
  /** Makes the actor; false if it existed. */
  create(key: K): MaybePromise<boolean>
}

/**
 * Goes on with a value now or with a promise's value later: a handler of several steps without `async`. Not named
 * `then`: a module that exports that is taken for a promise by `await import()`.
 */
export function andThen<T, R>(
  value: MaybePromise<T>,
  next: (value: T) => MaybePromise<R>,
): MaybePromise<R> {
  return value instanceof Promise ? value.then(next) : next(value)
}
