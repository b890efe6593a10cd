import type { ByteReader, ByteWriter, MemberNo } from '../../../bus/index.ts'
import type { Instance, Source } from '../../../cli/index.ts'

/**
 * The inside of a simulated member, for mutants: they replace a method by one that leaves a rule out, so the product
 * needs no switch for them. What is named here and is not there fails loudly.
 */

/** Words of an actor's record, and beside it, as actors/layout.ts has them. */
export const ACTIVATION = 0
export const AFFAIR = 1
export const HASH = 0
export const ENTRY = 1
export const HOME = 2

/** Turns that wait, in their order. */
interface Waiters {
  append(others: Waiters): void
}
export interface Affair {
  busy: boolean
  askedAt: number
  transfer: object | undefined
  readonly queue: Waiters
  readonly waiting: Waiters
  outbox: { entries: { method?: object; x?: unknown }[] } | undefined
}
export interface ActorType {
  readonly name: string
  readonly writers: string
  readonly words: Uint32Array
  readonly table: {
    get(row: number, word: number): number
    aside(row: number, word: number): number
    find(hash: number, words: Uint32Array): number
    keyOf(row: number, words: Uint32Array): void
  }
  readWords(r: ByteReader): void
  keyText(words: Uint32Array): string
  affairOf(row: number): Affair | undefined
  needAffair(row: number): Affair
  openAffairs(): Iterable<[number, Affair]>
}
export interface CoreInside {
  readonly self: MemberNo
  readonly types: readonly ActorType[]
  readonly limits: object
  readonly out: { begin(to: MemberNo, kind: number): ByteWriter; end(): void }
  owner(hash: number): MemberNo
  slot(hash: number): number
  type(r: ByteReader): ActorType
  name(type: ActorType, row: number, to: MemberNo): number
  about(to: MemberNo, kind: number, type: ActorType, hash: number, words: Uint32Array): ByteWriter
}

export function part(of: object, name: string): object {
  const found: unknown = Reflect.get(of, name)
  if (typeof found !== 'object' || found === null) throw new Error(`a member has no ${name}`)
  return found
}

export function method<A extends unknown[], R>(of: object, name: string): (...args: A) => R {
  const found: unknown = Reflect.get(of, name)
  if (typeof found !== 'function') throw new Error(`a member has no method ${name}`)
  return (...args) => Reflect.apply(found, of, args) as R
}

/** Puts another method in the place of one; it is handed the one that was there. */
export function replace<A extends unknown[], R>(
  of: object,
  name: string,
  make: (original: (...args: A) => R) => (...args: A) => R,
): void {
  Reflect.set(of, name, make(method<A, R>(of, name)))
}

export type Inside = ReturnType<typeof insideOf>

export function insideOf(body: Instance | Source) {
  const { member } = body
  const { space, links } = member
  const core = part(space, 'core') as CoreInside & object
  return {
    body,
    member,
    space,
    links,
    core,
    slots: space.core.slots,
    homes: part(space, 'homes'),
    directory: part(space, 'directory'),
    sweeps: part(space, 'sweeps'),
    calls: part(space, 'calls'),
    updates: part(space, 'updates'),
    reads: part(space, 'reads'),
    collects: part(space, 'collects'),
    recovery: part(space, 'recovery'),
    steerer: 'steerer' in body ? body.steerer : undefined,
    intake: 'intake' in body ? body.intake : undefined,
  }
}
