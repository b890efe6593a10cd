import { spreadHash } from './core.ts'
import type { Definition } from './define.ts'
import type { InPlace, KeyType } from './keys.ts'
import { ACTIVATION, AFFAIR, HEADER_WORDS, type Layout } from './layout.ts'
import type { AnyState } from './runtime-type.ts'

/**
 * The straight way of a turn: over an actor that lies still here, which is nearly every packet's. Looking up, comparing
 * the key, aiming and running the turn are one function, generated for the definition: what the engine learns of it is of this type
 * alone, and it is short enough to become part of the handler, so that the turn, a closure of the packet, is never made. Whatever is
 * not straight goes `aside`, to `Turns.turn`, which knows all cases.
 */

/** A class of what `Base` (handles.ts) has, whose `with` and `ifPresent` are generated. */
type Extended<Base> = (base: Base) => Base

interface Kind {
  readonly layout: Layout
  readonly pageBits: number
  readonly isSpread: boolean
}

/**
 * By definition, page size and placement: instances in one process share what was generated for them, as their handlers, which
 * they share as well, are to meet one class.
 */
const known = new WeakMap<Definition, unknown[]>()
let made = 0

export function straight<Base>(base: Base, definition: Definition, kind: Kind): Base {
  const classes = known.get(definition) ?? []
  known.set(definition, classes)
  const place = 2 * kind.pageBits + Number(kind.isSpread)
  classes[place] ??= generate<Base>(definition, kind)(base)
  return classes[place] as Base
}

function generate<Base>({ key, type }: Definition, kind: Kind): Extended<Base> {
  const { inPlace, write } = key as KeyType<unknown>
  const way = (mustExist: boolean) =>
    turnSource(kind, inPlace !== undefined, type.expiry !== undefined, mustExist)
  // The number makes each source another one: the engine would share what it learns among equal ones.
  const source = `
    return (Base) => class Straight${made++} extends Base {
      with(key, turn) { ${way(false)} }
      ifPresent(key, turn) { ${way(true)} }
    }`
  const due = (state: AnyState) => type.expiry!.due(state)
  const { isReady, hash, is } = inPlace ?? ({} as Partial<InPlace<unknown>>)
  const make = new Function('write', 'isReady', 'hashOf', 'isKey', 'due', 'spread', source)
  return make(write.bind(key), isReady, hash, is, due, spreadHash) as Extended<Base>
}

/** The body of `with(key, turn)`. Whatever ends the search goes aside. */
function turnSource(
  { layout, pageBits, isSpread }: Kind,
  inPlace: boolean,
  hasExpiry: boolean,
  mustExist: boolean,
): string {
  const own = inPlace ? 'hashOf(key)' : 'write(key, this.words) | 0'
  const isKey = inPlace
    ? `isKey(key, words, at + ${HEADER_WORDS})`
    : Array.from(
        { length: layout.keyWords },
        (_, i) => `words[at + ${HEADER_WORDS + i}] === (this.words[${i}] | 0)`,
      ).join(' && ') || 'true'
  const record = `(row & ${(1 << pageBits) - 1})`
  return `
    const { core } = this
    if (!core.inTurn${inPlace ? ' && isReady(key)' : ''}) {
      const row = this.index.rowOf(${isSpread ? `spread(${own}) | 0` : own})
      if (row >= 0) {
        const page = this.pages[row >> ${pageBits}]
        const words = page.i32
        const at = ${record} * ${layout.stride * 2}
        if (${isKey} && !words[at + ${AFFAIR}] && words[at + ${ACTIVATION}]) {
          const { cursor } = this.type
          ${layout.aim('cursor', 'page', record, 'at')}
          ${hasExpiry ? 'if (due(cursor) > this.time.us) {' : ''}
          core.inTurn = true
          let result
          try {
            result = turn(cursor, false)
          } catch (error) {
            core.inTurn = false
            throw error
          }
          core.inTurn = false
          return typeof result === 'object' ? this.ended(row, result) : result
          ${hasExpiry ? '}' : ''}
        }
      }
    }
    return this.aside(key, turn, ${mustExist})`
}
