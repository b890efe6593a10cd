/**
 * The fields of an actor's state. They are declared, since TypeScript's types are gone when the program runs:
 * from the declaration follow the layout in memory, the bytes on the wire and the schema's hash.
 */
export type NumberKind = 'u8' | 'u16' | 'u32' | 'i32' | 'f64' | 'bool'

/** `T` is carried in `initial` alone. */
export interface Field<T> {
  readonly kind: NumberKind | 'plain'
  /** Said in the schema's hash: a plain field whose shape changes gets another name. */
  readonly shape: string
  readonly initial: () => T
}
export type Fields = Readonly<Record<string, Field<unknown>>>

/** What methods and turns see of an actor: its fields, readable and writable. */
export type State<F extends Fields> = {
  -readonly [N in keyof F]: F[N] extends Field<infer T> ? T : never
}

const number = (kind: NumberKind): Field<number> => ({ kind, shape: kind, initial: () => 0 })

/** A whole number from 0 to 255, 1 byte; what is more wraps, as in a typed array. Begins as 0, as all numbers do. */
export const u8 = number('u8')
/** A whole number from 0 to 65,535, 2 bytes; what is more wraps. */
export const u16 = number('u16')
/** A whole number from 0 to 2^32 - 1, 4 bytes; what is more wraps. */
export const u32 = number('u32')
/** A whole number from -2^31 to 2^31 - 1, 4 bytes; what is more wraps. */
export const i32 = number('i32')
/** A double, 8 bytes: counters of bytes, times in microseconds. Exact for whole numbers up to 2^53. */
export const f64 = number('f64')
/** True or false, 1 byte; begins as false. */
export const bool: Field<boolean> = { kind: 'bool', shape: 'bool', initial: () => false }
/** A text of any length, beside the record of the numbers; begins as ''. */
export const text: Field<string> = { kind: 'plain', shape: 'text', initial: () => '' }

/**
 * Any plain data that MessagePack carries: null, booleans, numbers, texts, bytes, arrays and objects of them.
 * `shape` names its form in the schema's hash; `initial` makes a fresh value for each actor.
 */
export function plain<T>(shape: string, initial: () => T): Field<T> {
  return { kind: 'plain', shape, initial }
}
/** An array, plain data like its elements; begins as []. `shape` names what an element looks like. */
export const list = <T>(shape: string): Field<T[]> => plain<T[]>(`list ${shape}`, () => [])
