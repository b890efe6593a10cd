import { RehomeError } from '../bus/index.ts'
import type { Field, Fields, State } from './fields.ts'
import { type KeyType, onlyKey } from './keys.ts'

/**
 * Fire-and-forget update: the caller never waits. With `merge`, neighbouring updates of this
 * method to one actor become one before they are sent.
 */
export interface Untether<S, X> {
  readonly access: 'untether'
  readonly run: (state: S, x: X) => void
  readonly merge: ((earlier: X, later: X) => X) | undefined
}

/** Cached read: answers at once with a value younger than `withinMs`, else asks the home. */
export interface Stale<S, A extends unknown[], R> {
  readonly access: 'stale'
  readonly run: (state: S, ...args: A) => R
  readonly withinMs: number
}

/** Runs at the home; the caller gets the result. */
export type Plain<S, A extends unknown[], R> = (state: S, ...args: A) => R

// biome-ignore lint/suspicious/noExplicitAny: a bound that any arguments meet; inference keeps the real ones
type AnyMethod<S> = Plain<S, any, unknown> | Untether<S, any> | Stale<S, any, unknown>
export type Methods<S> = Readonly<Record<string, AnyMethod<S>>>

/**
 * Makes a method of a multi-writer type an update that nobody waits for: `run` takes the state and one argument, and its
 * callers get nothing. It is applied exactly once while both ends live, within some 10 ms, in order for one caller and in
 * any order between callers: fit for what commutes. With `merge`, neighbouring arguments become one before they are sent.
 */
export function untether<S, X = undefined>(
  run: (state: S, x: X) => void,
  options: { merge?: (earlier: X, later: X) => X } = {},
): Untether<S, X> {
  return { access: 'untether', run, merge: options.merge }
}

/**
 * Makes a method a read that may be old: its callers get a value at once where the actor is here or one younger than `withinMs`
 * (ms) is cached, else a promise. It never waits for a turn elsewhere, must not write, and never goes back for one reader.
 */
export function stale<S, A extends unknown[], R>(
  run: (state: S, ...args: A) => R,
  options: { withinMs: number },
): Stale<S, A, R> {
  return { access: 'stale', run, withinMs: options.withinMs }
}

export type Writers = 'single' | 'multi'

/**
 * Removes actors that have been left alone. A turn judges by the time of the packet that it is for; idle ones go behind the oldest
 * packet that is under way, some time later.
 */
export interface Expiry<S> {
  /** Packet time (µs) at which this actor is due, as its state says; Infinity for never. */
  due(state: S): number
  /** Runs in the actor's turn when it is due; true removes it. */
  expire(state: S, dueUs: number): boolean
}

/** An actor type as its author declares it; `keyedBy` or `only` makes it usable in an NF's state. */
export interface ActorType<W extends Writers, F extends Fields, M> {
  readonly writers: W
  readonly name: string
  readonly fields: F
  readonly methods: Methods<State<F>>
  /** Carries the methods' own types to the stubs; never present at run time. */
  readonly signatures?: M
  readonly expiry: Expiry<State<F>> | undefined
  keyedBy<K>(key: KeyType<K>): KeyedType<W, K, F, M>
  only(): KeyedType<W, 'only', F, M>
}
export interface KeyedType<W extends Writers, K, F extends Fields, M> {
  readonly type: ActorType<W, F, M>
  readonly key: KeyType<K>
}
// biome-ignore lint/suspicious/noExplicitAny: the author's types end here; the runtime sees plain values
export type Definition = KeyedType<Writers, any, any, any>

/**
 * Declares an actor type that rehomes to whoever writes it: for state that one instance at a time works on, such as a flow.
 * `fields` are its state (`u8` … `f64`, `bool`, `text`, `list`, `plain`), `methods` functions over it, `expiry` what ends
 * idle ones. Throws `bad-definition` for a name, field or method that cannot be; it has no `untether` methods.
 */
export function singleWriter<F extends Fields, M = Record<never, never>>(
  name: string,
  fields: F,
  methods?: M & Methods<State<F>>,
  expiry?: Expiry<State<F>>,
): ActorType<'single', F, M> {
  return define('single', name, fields, methods, expiry)
}

/**
 * Declares an actor type that stays at its slot owner, whose calls travel to it: for state that every instance writes. Its methods are
 * plain (the caller waits), `untether` or `stale`. Throws `bad-definition` for a name, field or method that cannot be.
 */
export function multiWriter<F extends Fields, M = Record<never, never>>(
  name: string,
  fields: F,
  methods?: M & Methods<State<F>>,
  expiry?: Expiry<State<F>>,
): ActorType<'multi', F, M> {
  return define('multi', name, fields, methods, expiry)
}

const NAME = /^[a-zA-Z][\w-]{0,63}$/
/** Taken by the record itself (layout.ts). */
const RESERVED = new Set(['constructor', '__proto__', 'toString', 'toJSON', 'valueOf'])

function define<W extends Writers, F extends Fields, M>(
  writers: W,
  name: string,
  fields: F,
  given: (M & Methods<State<F>>) | undefined,
  expiry: Expiry<State<F>> | undefined,
): ActorType<W, F, M> {
  if (!NAME.test(name)) {
    throw new RehomeError('bad-definition', `actor type name '${name}': letters, digits, - and _`)
  }
  for (const [field, f] of Object.entries<Field<unknown>>(fields)) {
    if (!NAME.test(field) || RESERVED.has(field) || typeof f?.initial !== 'function') {
      throw new RehomeError('bad-definition', `actor type '${name}': '${field}' is not a field`)
    }
  }
  const methods: Methods<State<F>> = given ?? {}
  for (const [method, m] of Object.entries(methods)) checkMethod(writers, name, method, m)
  const type: ActorType<W, F, M> = {
    writers,
    name,
    fields,
    methods,
    expiry,
    keyedBy: (key) => ({ type, key }),
    only: () => ({ type, key: onlyKey }),
  }
  return type
}

function checkMethod<S>(writers: Writers, type: string, name: string, m: AnyMethod<S>): void {
  const where = `actor type '${type}', method '${name}'`
  if (!NAME.test(name))
    throw new RehomeError('bad-definition', `${where}: letters, digits, - and _`)
  if (typeof m === 'function') return
  if (typeof m?.run !== 'function') {
    throw new RehomeError('bad-definition', `${where}: neither a function, untether() nor stale()`)
  }
  if (m.access === 'untether' && writers === 'single') {
    const why = 'a single-writer actor rehomes to whoever writes it: use a turn'
    throw new RehomeError('bad-definition', `${where}: ${why}`)
  }
}
