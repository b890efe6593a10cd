import { FOLD, type Regex } from '../pattern/index.ts'

/**
 * Matching a list of payload options against one buffer: each option looks from where the one before has
 * stopped, and a content or pcre that later ones depend on is tried again further on when they fail.
 */

export interface Content {
  readonly kind: 'content'
  readonly bytes: Uint8Array
  readonly nocase: boolean
  readonly negated: boolean
  /** Numbers, or names of byte_extract variables; depth 0 is none. */
  offset: number | string
  depth: number | string
  distance: number | string | undefined
  within: number | string | undefined
  endsWith: boolean
  fastPattern: boolean
  /** Looked for anywhere, and no place for others to go on from. */
  fastPatternOnly: boolean
  /** The next option is relative to this one: another occurrence may serve it. */
  leads: boolean
}

export interface Pcre {
  readonly kind: 'pcre'
  readonly regex: Regex
  readonly negated: boolean
  readonly relative: boolean
  leads: boolean
}

export interface IsDataAt {
  readonly kind: 'isdataat'
  readonly at: number | string
  readonly relative: boolean
  readonly negated: boolean
}

/** Where and how a number stands in the buffer. */
export interface NumberField {
  readonly bytes: number | string
  readonly offset: number | string
  readonly relative: boolean
  readonly little: boolean
  /** Digits in text; 0 is by their prefix, as in C. */
  readonly base: 0 | 8 | 10 | 16 | undefined
}

export type Comparison = '=' | '<' | '>' | '<=' | '>=' | '&' | '^'

export interface ByteTest {
  readonly kind: 'byte_test'
  readonly field: NumberField
  readonly negated: boolean
  readonly comparison: Comparison
  readonly value: bigint | string
  readonly mask: bigint | undefined
}

export interface ByteJump {
  readonly kind: 'byte_jump'
  readonly field: NumberField
  readonly multiplier: bigint
  readonly align: boolean
  readonly from: 'here' | 'beginning' | 'end'
  readonly post: bigint
}

export interface ByteExtract {
  readonly kind: 'byte_extract'
  readonly field: NumberField
  readonly name: string
  readonly multiplier: bigint
  readonly align: number
  readonly mask: bigint | undefined
}

export interface ByteMath {
  readonly kind: 'byte_math'
  readonly field: NumberField
  readonly operator: '+' | '-' | '*' | '/' | '<<' | '>>'
  readonly value: bigint | string
  readonly name: string
  readonly mask: bigint | undefined
}

/** The buffer's own length: bsize and urilen. */
export interface LengthTest {
  readonly kind: 'length'
  readonly test: (length: number) => boolean
}

export type Matcher =
  | Content
  | Pcre
  | IsDataAt
  | ByteTest
  | ByteJump
  | ByteExtract
  | ByteMath
  | LengthTest

/** Options tried on one buffer for one rule: nested occurrences multiply, and this is where it ends. */
const ATTEMPTS_MAX = 3000
/** Digits that a number in text may have. */
const DIGITS_MAX = 23

export class Inspection {
  private matchers: readonly Matcher[] = []
  private bytes: Uint8Array = new Uint8Array(0)
  private low = 0
  private length = 0
  /** Where the last option stopped; later relative ones count from here. */
  private cursor = 0
  private attempts = 0
  /** Nothing further on can change the outcome. */
  private hopeless = false
  /** Lists of options that were given up at `ATTEMPTS_MAX`, ever. */
  limited = 0
  private retryFrom = 0
  private readonly variables = new Map<string, bigint>()

  /** Whether all of the options hold on bytes [low, high). */
  matches(matchers: readonly Matcher[], bytes: Uint8Array, low: number, high: number): boolean {
    this.matchers = matchers
    this.bytes = bytes
    this.low = low
    this.length = high - low
    this.cursor = 0
    this.attempts = 0
    this.hopeless = false
    return this.from(0)
  }

  private from(i: number): boolean {
    if (i === this.matchers.length) return true
    if (++this.attempts >= ATTEMPTS_MAX) {
      if (this.attempts === ATTEMPTS_MAX) this.limited++
      this.hopeless = true
      return false
    }
    const m = this.matchers[i]!
    switch (m.kind) {
      case 'content':
        return this.content(m, i)
      case 'pcre':
        return this.pcre(m, i)
      case 'isdataat':
        return this.isDataAt(m) && this.from(i + 1)
      case 'byte_test':
        return this.byteTest(m) && this.from(i + 1)
      case 'byte_jump':
        return this.byteJump(m) && this.from(i + 1)
      case 'byte_extract':
        return this.byteExtract(m) && this.from(i + 1)
      case 'byte_math':
        return this.byteMath(m) && this.from(i + 1)
      default:
        if (m.test(this.length)) return this.from(i + 1)
        this.hopeless = true
        return false
    }
  }

  private value(v: number | string): number {
    return typeof v === 'number' ? v : Number(BigInt.asIntN(64, this.variables.get(v) ?? 0n))
  }

  private content(c: Content, i: number): boolean {
    const relative = c.distance !== undefined || c.within !== undefined
    const start = relative ? this.cursor : 0
    let [offset, depth] = relative ? this.relativeWindow(c, start) : this.absoluteWindow(c)
    if (typeof c.offset === 'string' || typeof c.depth === 'string') depth += offset
    if (depth > this.length) depth = this.length
    for (;;) {
      const found = offset > depth || depth === 0 ? -2 : this.find(c, offset, depth)
      if (found < 0) return this.absent(c, i, relative, found === -2)
      const end = found + c.bytes.length
      if (c.negated) return this.present(c, i, end)
      this.cursor = end
      if (!c.endsWith || end === this.length) {
        if (c.fastPatternOnly) this.cursor = start
        if (this.from(i + 1)) return true
        if (this.hopeless) return false
        if (!c.leads) {
          this.hopeless = true
          return false
        }
      }
      offset = found + 1
    }
  }

  private relativeWindow(c: Content, start: number): [number, number] {
    let offset = start
    let depth = this.length
    const distance = c.distance === undefined ? 0 : this.value(c.distance)
    if (c.distance !== undefined)
      offset = distance < 0 && -distance > offset ? 0 : offset + distance
    if (c.within !== undefined) {
      depth = Math.min(depth, start + this.value(c.within) + distance)
    }
    const limit = this.value(c.depth)
    if (limit !== 0) depth = Math.min(depth, start + limit)
    return [Math.max(offset, this.value(c.offset)), depth]
  }

  private absoluteWindow(c: Content): [number, number] {
    const depth = this.value(c.depth)
    return [this.value(c.offset), depth === 0 ? this.length : depth]
  }

  /** Not there: what a negated content wants. */
  private absent(c: Content, i: number, relative: boolean, outside: boolean): boolean {
    if (c.negated) return this.from(i + 1)
    if (!relative && !outside) this.hopeless = true
    return false
  }

  private present(c: Content, i: number, end: number): boolean {
    if (c.endsWith && end !== this.length) return this.from(i + 1)
    if (isSingle(c)) this.hopeless = true
    return false
  }

  /** First place of the pattern in [offset, depth), or −1. */
  private find(c: Content, offset: number, depth: number): number {
    if (c.endsWith && depth < this.length) return -1
    const { bytes, low } = this
    const pattern = c.bytes
    const last = low + depth - pattern.length
    const first = pattern[0]!
    const fold = c.nocase ? FOLD : SAME
    for (let at = low + offset; at <= last; at++) {
      if (fold[bytes[at]!] !== first) continue
      let k = 1
      while (k < pattern.length && fold[bytes[at + k]!] === pattern[k]) k++
      if (k === pattern.length) return at - low
    }
    return -1
  }

  private pcre(p: Pcre, i: number): boolean {
    const start = this.cursor
    const low = this.low + (p.relative ? Math.min(start, this.length) : 0)
    const high = this.low + this.length
    let from = low
    for (;;) {
      const found = from <= high && p.regex.search(this.bytes, low, high, from)
      if (found === p.negated) return false
      if (found) this.cursor = p.regex.end - this.low
      this.retryFrom = found ? p.regex.start + 1 : 0
      if (!p.leads) return this.from(i + 1)
      const again = this.retryFrom
      if (this.from(i + 1)) return true
      if (this.hopeless || again === 0) return false
      this.cursor = start
      from = again
    }
  }

  private isDataAt(d: IsDataAt): boolean {
    const at = this.value(d.at)
    const there = d.relative ? this.cursor + at <= this.length : at < this.length
    return there !== d.negated
  }

  /** Where a number field starts, or −1 where it is not inside. */
  private fieldAt(f: NumberField, bytes: number): number {
    const at = (f.relative ? this.cursor : 0) + this.value(f.offset)
    if (this.length === 0 || at < 0 || at + bytes > this.length) return -1
    if (bytes > 0 && at >= this.length) return -1
    return at
  }

  /** The number at `at`; `digits` says how many bytes it took. */
  private digits = 0
  private number(f: NumberField, at: number, bytes: number): bigint | undefined {
    if (f.base !== undefined) return this.textNumber(f.base, at, Math.min(bytes, DIGITS_MAX))
    if (bytes > 8) return undefined
    let value = 0n
    for (let k = 0; k < bytes; k++) {
      const byte = this.bytes[this.low + at + (f.little ? bytes - 1 - k : k)]!
      value = (value << 8n) | BigInt(byte)
    }
    this.digits = bytes
    return value
  }

  /** As C's strtoull reads: blanks, a sign, a prefix, digits. */
  private textNumber(base: number, at: number, bytes: number): bigint | undefined {
    let text = ''
    for (let k = 0; k < bytes; k++) text += String.fromCharCode(this.bytes[this.low + at + k]!)
    const m = NUMBER_TEXT[base]!.exec(text)
    if (!m) return undefined
    this.digits = m[0].length
    const radix = base !== 0 ? base : m[2] ? 16 : m[3]!.startsWith('0') ? 8 : 10
    const value = parseDigits(m[3]!, radix)
    return BigInt.asUintN(64, m[1] === '-' ? -value : value)
  }

  private byteTest(t: ByteTest): boolean {
    const bytes = this.value(t.field.bytes)
    const at = this.fieldAt(t.field, bytes)
    if (at < 0) return false
    let value = this.number(t.field, at, bytes)
    if (value === undefined) return false
    if (t.mask !== undefined) value = masked(value, t.mask)
    const other = typeof t.value === 'bigint' ? t.value : (this.variables.get(t.value) ?? 0n)
    return compare(value, t.comparison, other) !== t.negated
  }

  private byteJump(j: ByteJump): boolean {
    const bytes = this.value(j.field.bytes)
    const at = this.fieldAt(j.field, bytes)
    if (at < 0) return false
    let value = bytes === 0 && j.field.base === undefined ? 0n : this.number(j.field, at, bytes)
    if (value === undefined) return false
    const taken = bytes === 0 && j.field.base === undefined ? 0 : this.digits
    value = BigInt.asUintN(64, value * j.multiplier)
    if (j.align && value % 4n !== 0n) value += 4n - (value % 4n)
    const jump = Number(BigInt.asIntN(64, value + j.post))
    const to =
      j.from === 'beginning' ? jump : j.from === 'end' ? this.length + jump : at + jump + taken
    if (to > this.length) return false
    this.cursor = Math.max(0, to)
    return true
  }

  private byteExtract(e: ByteExtract): boolean {
    const bytes = this.value(e.field.bytes)
    const at = this.fieldAt(e.field, bytes)
    if (at < 0) return false
    let value = this.number(e.field, at, bytes)
    if (value === undefined) return false
    value *= e.multiplier
    if (e.mask !== undefined) value = masked(value, e.mask)
    if (e.align > 0 && value % BigInt(e.align) !== 0n) {
      value += BigInt(e.align) - (value % BigInt(e.align))
    }
    this.cursor = at + (e.field.base === undefined ? bytes : this.digits)
    this.variables.set(e.name, BigInt.asUintN(64, value))
    return true
  }

  private byteMath(e: ByteMath): boolean {
    const bytes = this.value(e.field.bytes)
    const at = this.fieldAt(e.field, bytes)
    if (at < 0) return false
    const value = this.number(e.field, at, bytes)
    if (value === undefined) return false
    const other = typeof e.value === 'bigint' ? e.value : (this.variables.get(e.value) ?? 0n)
    const result = calculate(value, e.operator, other)
    if (result === undefined) return false
    this.cursor = at + bytes
    const kept = BigInt.asUintN(64, result)
    this.variables.set(e.name, e.mask === undefined ? kept : masked(kept, e.mask))
    return true
  }
}

function isSingle(c: Content): boolean {
  return (
    c.distance === undefined &&
    c.within === undefined &&
    c.offset === 0 &&
    c.depth === 0 &&
    !c.leads
  )
}

const SAME = Uint8Array.from({ length: 256 }, (_, c) => c)

const NUMBER_TEXT: Readonly<Record<number, RegExp>> = {
  0: /^\s*([+-]?)(0[xX](?=[0-9a-fA-F]))?([0-9a-fA-F]+)/,
  8: /^\s*([+-]?)()([0-7]+)/,
  10: /^\s*([+-]?)()([0-9]+)/,
  16: /^\s*([+-]?)(0[xX](?=[0-9a-fA-F]))?([0-9a-fA-F]+)/,
}

function parseDigits(digits: string, radix: number): bigint {
  let value = 0n
  for (const c of digits) {
    const digit = Number.parseInt(c, radix)
    if (Number.isNaN(digit)) break
    value = value * BigInt(radix) + BigInt(digit)
  }
  return value
}

/** The bits under the mask, moved down to its lowest. */
function masked(value: bigint, mask: bigint): bigint {
  let shift = 0n
  while (mask !== 0n && ((mask >> shift) & 1n) === 0n) shift++
  return (value & mask) >> shift
}

function compare(value: bigint, comparison: Comparison, other: bigint): boolean {
  switch (comparison) {
    case '=':
      return value === other
    case '<':
      return value < other
    case '>':
      return value > other
    case '<=':
      return value <= other
    case '>=':
      return value >= other
    case '&':
      return (value & other) !== 0n
    default:
      return (value ^ other) !== 0n
  }
}

function calculate(a: bigint, operator: ByteMath['operator'], b: bigint): bigint | undefined {
  switch (operator) {
    case '+':
      return a + b
    case '-':
      return a - b
    case '*':
      return a * b
    case '/':
      return b === 0n ? undefined : a / b
    case '<<':
      return b < 64n ? a << b : 0n
    default:
      return b < 64n ? a >> b : 0n
  }
}
