import type { Field, Fields, NumberKind } from './fields.ts'

/**
 * How an actor's state lies in memory. Numbers lie in a record of fixed size inside a page of bytes, beside
 * the record's header and key, so that a turn touches one or two cache lines, the garbage collector sees a page
 * and not a million objects, and moving the numbers is copying bytes. Other values (texts, lists) lie in an array beside the page.
 *
 * A `Cursor` is a class generated for the definition: its properties are the declared fields, read from and
 * written to wherever the cursor is aimed. Generated, because accessors built as closures would share one
 * inline cache among all fields and turn megamorphic.
 */

/** 32-bit words at the head of each record, which every turn looks at; the key follows them. */
export const HEADER_WORDS = 2
/** Number of the activation here; 0: none. */
export const ACTIVATION = 0
/** Number of what goes on with this actor (turns, moves, updates); 0: nothing. */
export const AFFAIR = 1

/** Words beside the record: turns do not need them, and a record is the smaller for it. */
export const ASIDE_WORDS = 3
export const HASH = 0
/** The directory's entry, where this instance is the slot owner: the number it names (0: no entry) … */
export const ENTRY = 1
/** … and the home it names. */
export const HOME = 2

export interface Page {
  readonly u8: Uint8Array
  readonly u16: Uint16Array
  readonly u32: Uint32Array
  readonly i32: Int32Array
  readonly f64: Float64Array
  /** `ASIDE_WORDS` a record. */
  readonly aside: Uint32Array
  /** `plain.length` values a record. */
  readonly plain: unknown[]
}

export interface Cursor {
  /** Aims at a record of the page. */
  aim(page: Page, record: number): void
  /** A copy as a plain object. */
  copy(): Record<string, unknown>
}

export interface Layout {
  readonly keyWords: number
  /** Size of a record in units of 8 bytes. */
  readonly stride: number
  /** Where the numbers begin and end within a record, in bytes. */
  readonly numbersAt: number
  readonly numbersEnd: number
  readonly plain: readonly Field<unknown>[]
  /** Says the fields' names, kinds and order: instances with another one refuse each other. */
  readonly schema: string
  newCursor(): Cursor
  /** Source of `cursor.aim(page, record)`, for what is generated for the layout; `word` is where the record begins. */
  aim(cursor: string, page: string, record: string, word: string): string
  /** Whether the record at word `at` is that of the key. */
  readonly isKey: (words: Uint32Array, at: number, key: Uint32Array) => boolean
}

const SIZE: Record<NumberKind, number> = { f64: 8, u32: 4, i32: 4, u16: 2, u8: 1, bool: 1 }
/** Index into the typed array of the kind: shift of the 8-byte offset. */
const SHIFT: Record<NumberKind, number> = { f64: 0, u32: 1, i32: 1, u16: 2, u8: 3, bool: 3 }
/** By shift: the most used are at hand, so that an accessor is among the functions that the engine always takes in (27 bytes). */
const OFFSET = ['this.$offset', 'this.$word', '(this.$offset << 2)', '(this.$offset << 3)']

/** By declaration and key size: instances in one process share the layout, and with it code that is warm. */
const known = new WeakMap<Fields, Layout[]>()

export function layoutOf(fields: Fields, keyWords: number): Layout {
  const layouts = known.get(fields) ?? []
  known.set(fields, layouts)
  layouts[keyWords] ??= makeLayout(fields, keyWords)
  return layouts[keyWords]
}

function makeLayout(fields: Fields, keyWords: number): Layout {
  const numbers: [string, NumberKind][] = []
  const plain: [string, Field<unknown>][] = []
  for (const [name, field] of Object.entries<Field<unknown>>(fields)) {
    if (field.kind === 'plain') plain.push([name, field])
    else numbers.push([name, field.kind])
  }
  numbers.sort(([, a], [, b]) => SIZE[b] - SIZE[a]) // large first: each is aligned without padding
  const numbersAt = Math.ceil(((HEADER_WORDS + keyWords) * 4) / 8) * 8
  let at = numbersAt
  const properties: string[] = []
  const copied: string[] = []
  for (const [name, kind] of numbers) {
    properties.push(numberAccessors(name, kind, at / SIZE[kind]))
    copied.push(name)
    at += SIZE[kind]
  }
  plain.forEach(([name], i) => {
    properties.push(
      `get ${name}() { return this.$page.plain[this.$at + ${i}] }`,
      `set ${name}(v) { this.$page.plain[this.$at + ${i}] = v }`,
    )
    copied.push(name)
  })
  const stride = Math.ceil(at / 8)
  const aim = (cursor: string, page: string, record: string, word: string) =>
    `${cursor}.$page = ${page}; ${cursor}.$word = ${word}; ${cursor}.$offset = ${word} >> 1;` +
    (plain.length > 0 ? `${cursor}.$at = ${record} * ${plain.length};` : '')
  const CursorClass = generate(
    properties,
    copied,
    aim('this', 'page', 'record', `record * ${2 * stride}`),
  )
  return {
    keyWords,
    stride,
    numbersAt,
    numbersEnd: at,
    plain: plain.map(([, field]) => field),
    schema: Object.entries<Field<unknown>>(fields)
      .map(([name, field]) => `${name}:${field.shape}`)
      .join(','),
    newCursor: () => new CursorClass(),
    aim,
    isKey: comparison(keyWords),
  }
}

function numberAccessors(name: string, kind: NumberKind, index: number): string {
  // What the header and the key are read by serves u32 as well: one array less to look up, and stores wrap alike.
  const array = kind === 'bool' ? 'u8' : kind === 'u32' ? 'i32' : kind
  const at = `this.$page.${array}[${OFFSET[SHIFT[kind]]} + ${index}]`
  const read = kind === 'bool' ? `${at} !== 0` : kind === 'u32' ? `${at} >>> 0` : at
  const written = kind === 'bool' ? 'v ? 1 : 0' : 'v'
  return `get ${name}() { return ${read} }\nset ${name}(v) { ${at} = ${written} }`
}

/** Names were checked by `define`, so nothing but identifiers enters the source. */
function generate(
  properties: readonly string[],
  copied: readonly string[],
  aim: string,
): new () => Cursor {
  const source = `
    return class State {
      constructor() {
        this.$page = undefined; this.$offset = 0; this.$word = 0; this.$at = 0
      }
      aim(page, record) { ${aim} }
      copy() { return { ${copied.map((name) => `${name}: this.${name}`).join(', ')} } }
      toJSON() { return this.copy() }
      ${properties.join('\n')}
    }`
  return cursorClasses.get(source) ?? kept(cursorClasses, source, new Function(source)())
}

/**
 * By their sources: instances of one NF in one process share what was generated for it, so that its handlers, which
 * they share as well, meet one class and not one for each instance.
 */
const cursorClasses = new Map<string, new () => Cursor>()
const comparisons = new Map<string, Layout['isKey']>()

function kept<T>(all: Map<string, T>, source: string, made: T): T {
  all.set(source, made)
  return made
}

/** Word by word without a loop: half the time of one that counts to a number it has to look up. */
function comparison(keyWords: number): Layout['isKey'] {
  const same = Array.from(
    { length: keyWords },
    (_, i) => `w[at + ${HEADER_WORDS + i}] === key[${i}]`,
  )
  const source = `return ${same.join(' && ') || 'true'}`
  const made = () => new Function('w', 'at', 'key', source) as Layout['isKey']
  return comparisons.get(source) ?? kept(comparisons, source, made())
}

/** Memory begins 16 bytes behind a line of the cache, as a rule: so records of 64 bytes lie in one each. */
const LINE_BYTES = 64
const BEGIN_BYTES = LINE_BYTES - 16

export function newPage(records: number, layout: Layout): Page {
  const size = records * layout.stride * 8
  const bytes = new ArrayBuffer(BEGIN_BYTES + size)
  return {
    u8: new Uint8Array(bytes, BEGIN_BYTES),
    u16: new Uint16Array(bytes, BEGIN_BYTES),
    u32: new Uint32Array(bytes, BEGIN_BYTES),
    i32: new Int32Array(bytes, BEGIN_BYTES),
    f64: new Float64Array(bytes, BEGIN_BYTES),
    aside: new Uint32Array(records * ASIDE_WORDS),
    plain: layout.plain.length ? new Array(records * layout.plain.length).fill(undefined) : [],
  }
}
