/**
 * Perl-compatible regular expressions over bytes, as rule and signature files write them: text to tree.
 * What is not regular enough to be worth it (recursion, conditions, callouts, Unicode) is refused by name.
 */

/** A set of bytes: 1 where the byte is in. */
export type ByteSet = Uint8Array

export type Node =
  | { readonly kind: 'empty' }
  | { readonly kind: 'set'; readonly set: ByteSet }
  | { readonly kind: 'sequence' | 'choice'; readonly parts: readonly Node[] }
  | { readonly kind: 'repeat'; readonly body: Node; min: number; max: number; greedy: boolean }
  | { readonly kind: 'group'; readonly body: Node; readonly index: number }
  | { readonly kind: 'atomic'; readonly body: Node }
  | { readonly kind: 'look'; readonly body: Node; behind: boolean; negated: boolean }
  | { readonly kind: 'back'; index: number; readonly name: string; readonly caseless: boolean }
  | { readonly kind: 'at'; readonly place: Place }

export type Place = 'start' | 'end' | 'very-end' | 'line-start' | 'line-end' | 'word' | 'no-word'

export interface RegexFlags {
  caseless: boolean
  dotAll: boolean
  multiline: boolean
  extended: boolean
  /** Quantifiers are lazy unless followed by ?. */
  ungreedy: boolean
  /** $ is the very end, not also before a last newline. */
  dollarEndOnly: boolean
}

export class RegexError extends Error {}

/** Of repetitions: PCRE's own limit. */
const REPEAT_MAX = 65535
/** Groups inside groups: recursion on input has a bound. */
const DEPTH_MAX = 200

export interface RegexTree {
  readonly root: Node
  readonly groups: number
  readonly hasBackReference: boolean
}

export function parseRegex(text: string, flags: RegexFlags): RegexTree {
  return new Parser(text, flags).parse()
}

class Parser {
  private readonly text: string
  private flags: RegexFlags
  private at = 0
  private depth = 0
  private groups = 0
  private readonly names = new Map<string, number>()
  private readonly backs: Extract<Node, { kind: 'back' }>[] = []

  constructor(text: string, flags: RegexFlags) {
    this.text = text
    this.flags = { ...flags }
  }

  parse(): RegexTree {
    const root = this.choice()
    if (this.at < this.text.length) throw new RegexError(`unmatched ) at ${this.at}`)
    for (const back of this.backs) {
      if (back.name !== '') back.index = this.names.get(back.name) ?? 0
      if (back.index < 1 || back.index > this.groups) throw new RegexError('no such group')
    }
    return { root, groups: this.groups, hasBackReference: this.backs.length > 0 }
  }

  private choice(): Node {
    if (++this.depth > DEPTH_MAX) throw new RegexError('groups too deep')
    const before = { ...this.flags }
    const parts = [this.sequence()]
    while (this.take('|')) parts.push(this.sequence())
    this.flags = before
    this.depth--
    return parts.length === 1 ? parts[0]! : { kind: 'choice', parts }
  }

  private sequence(): Node {
    const parts: Node[] = []
    while (this.at < this.text.length && this.peek() !== '|' && this.peek() !== ')') {
      if (this.flags.extended && this.skipBlank()) continue
      const atom = this.atom()
      if (atom) parts.push(this.quantified(atom))
    }
    if (parts.length === 0) return { kind: 'empty' }
    return parts.length === 1 ? parts[0]! : { kind: 'sequence', parts }
  }

  private skipBlank(): boolean {
    if (/\s/.test(this.peek())) {
      this.at++
      return true
    }
    if (this.peek() !== '#') return false
    while (this.at < this.text.length && this.peek() !== '\n') this.at++
    return true
  }

  private quantified(atom: Node): Node {
    let node = atom
    for (;;) {
      while (this.flags.extended && this.at < this.text.length && this.skipBlank()) {}
      const bounds = this.quantifier()
      if (!bounds) return node
      const lazy = this.take('?')
      const possessive = !lazy && this.take('+')
      const greedy = possessive || lazy === this.flags.ungreedy
      node = { kind: 'repeat', body: node, min: bounds[0], max: bounds[1], greedy }
      if (possessive) node = { kind: 'atomic', body: node }
    }
  }

  private quantifier(): [number, number] | undefined {
    if (this.take('*')) return [0, Number.POSITIVE_INFINITY]
    if (this.take('+')) return [1, Number.POSITIVE_INFINITY]
    if (this.take('?')) return [0, 1]
    const m = /^\{(\d+)(,?)(\d*)\}/.exec(this.text.slice(this.at, this.at + 16))
    if (!m) return undefined
    this.at += m[0].length
    const min = Number(m[1])
    const max = m[2] === '' ? min : m[3] === '' ? Number.POSITIVE_INFINITY : Number(m[3])
    if (min > max || min > REPEAT_MAX || (Number.isFinite(max) && max > REPEAT_MAX)) {
      throw new RegexError(`no repetition: ${m[0]}`)
    }
    return [min, max]
  }

  /** undefined for what matches nothing by itself: flags, comments. */
  private atom(): Node | undefined {
    const c = this.text[this.at++]!
    switch (c) {
      case '(':
        return this.group()
      case '[':
        return this.set(this.className())
      case '.':
        return this.set(this.flags.dotAll ? all() : notNewline())
      case '^':
        return { kind: 'at', place: this.flags.multiline ? 'line-start' : 'start' }
      case '$': {
        if (this.flags.multiline) return { kind: 'at', place: 'line-end' }
        return { kind: 'at', place: this.flags.dollarEndOnly ? 'very-end' : 'end' }
      }
      case '\\':
        return this.escape()
      case '*':
      case '+':
      case '?':
        throw new RegexError(`nothing to repeat at ${this.at - 1}`)
      default:
        return this.literal(c.charCodeAt(0))
    }
  }

  private group(): Node | undefined {
    if (!this.take('?')) return this.capture('')
    if (this.take('#')) {
      const close = this.text.indexOf(')', this.at)
      if (close < 0) throw new RegexError('a comment is not closed')
      this.at = close + 1
      return undefined
    }
    for (const [sign, make] of GROUPS) {
      if (this.take(sign)) return make(this.closed())
    }
    const named = /^(?:P?<(\w+)>|'(\w+)')/.exec(this.text.slice(this.at))
    if (named) {
      this.at += named[0].length
      return this.capture(named[1] ?? named[2]!)
    }
    const back = /^P=(\w+)\)/.exec(this.text.slice(this.at))
    if (back) {
      this.at += back[0].length
      return this.backTo(0, back[1]!)
    }
    return this.inlineFlags()
  }

  private capture(name: string): Node {
    const index = ++this.groups
    if (name !== '') this.names.set(name, index)
    return { kind: 'group', body: this.closed(), index }
  }

  private closed(): Node {
    const body = this.choice()
    if (!this.take(')')) throw new RegexError('a group is not closed')
    return body
  }

  private inlineFlags(): Node | undefined {
    const m = /^([imsxU]*)(?:-([imsxU]+))?([:)])/.exec(this.text.slice(this.at))
    if (!m) throw new RegexError(`(?${this.text[this.at] ?? ''} is not supported`)
    this.at += m[0].length
    const before = { ...this.flags }
    for (const c of m[1]!) this.setFlag(c, true)
    for (const c of m[2] ?? '') this.setFlag(c, false)
    if (m[3] === ')') return undefined
    const body = this.closed()
    this.flags = before
    return body
  }

  private setFlag(c: string, on: boolean): void {
    if (c === 'i') this.flags.caseless = on
    else if (c === 'm') this.flags.multiline = on
    else if (c === 's') this.flags.dotAll = on
    else if (c === 'x') this.flags.extended = on
    else this.flags.ungreedy = on
  }

  private escape(): Node | undefined {
    const rest = this.text.slice(this.at)
    const place = PLACES[rest[0] ?? '']
    if (place) {
      this.at++
      return { kind: 'at', place }
    }
    if (rest[0] === 'Q') return this.quoted()
    if (rest[0] === 'E') {
      this.at++
      return undefined
    }
    const back = /^(?:([1-9]\d?)(?!\d)|g\{?(\d+)\}?|k[<{'](\w+)[>}'])/.exec(rest)
    if (back && (back[1] === undefined || Number(back[1]) <= Math.max(9, this.groups))) {
      this.at += back[0].length
      return this.backTo(Number(back[1] ?? back[2] ?? 0), back[3] ?? '')
    }
    if (rest[0] === 'R') {
      this.at++
      const crlf: Node = { kind: 'sequence', parts: [byte(13), byte(10)] }
      return { kind: 'choice', parts: [crlf, { kind: 'set', set: bytesOf('\n\v\f\r\x85') }] }
    }
    return this.set(this.escapedSet())
  }

  private quoted(): Node {
    const close = this.text.indexOf('\\E', this.at)
    const end = close < 0 ? this.text.length : close
    const parts: Node[] = []
    for (const c of this.text.slice(this.at + 1, end)) parts.push(this.literal(c.charCodeAt(0)))
    this.at = close < 0 ? end : end + 2
    return { kind: 'sequence', parts }
  }

  private backTo(index: number, name: string): Node {
    const back = { kind: 'back' as const, index, name, caseless: this.flags.caseless }
    this.backs.push(back)
    return back
  }

  /** The bytes behind a backslash: a class like \d, or a single one. */
  private escapedSet(): ByteSet {
    const c = this.text[this.at++]
    if (c === undefined) throw new RegexError('a backslash at the end')
    const named = CLASSES[c]
    if (named) return named.slice()
    const set = new Uint8Array(256)
    set[this.escapedByte(c)] = 1
    return set
  }

  private escapedByte(c: string): number {
    const rest = this.text.slice(this.at)
    if (c === 'x') {
      const m = /^(?:\{([0-9a-fA-F]*)\}|([0-9a-fA-F]{0,2}))/.exec(rest)!
      this.at += m[0].length
      const code = Number.parseInt(m[1] || m[2] || '0', 16)
      if (code > 255) throw new RegexError(`\\x{${m[1]}} is no byte`)
      return code
    }
    if (c === 'c') return (this.text.charCodeAt(this.at++) & 0xdf) ^ 0x40
    if (/[0-7]/.test(c)) {
      const m = /^[0-7]{0,2}/.exec(rest)![0]
      this.at += m.length
      return Number.parseInt(c + m, 8) & 255
    }
    const control = CONTROLS[c]
    if (control !== undefined) return control
    if (/[a-zA-Z]/.test(c)) throw new RegexError(`\\${c} is not supported`)
    return c.charCodeAt(0) & 255
  }

  /** Behind the opening bracket of a class. */
  private className(): ByteSet {
    const set = new Uint8Array(256)
    const negated = this.take('^')
    let first = true
    for (;;) {
      const c = this.text[this.at]
      if (c === undefined) throw new RegexError('a class is not closed')
      if (c === ']' && !first) break
      first = false
      this.classItem(set)
    }
    this.at++
    if (this.flags.caseless) foldInto(set)
    if (negated) for (let i = 0; i < 256; i++) set[i]! ^= 1
    return set
  }

  private classItem(set: ByteSet): void {
    const posix = /^\[:(\^?)(\w+):\]/.exec(this.text.slice(this.at, this.at + 16))
    if (posix) {
      const named = POSIX[posix[2]!]
      if (!named) throw new RegexError(`no class ${posix[0]}`)
      this.at += posix[0].length
      const flip = posix[1] === '' ? 0 : 1
      for (let i = 0; i < 256; i++) set[i]! |= named[i]! ^ flip
      return
    }
    const low = this.classByte()
    if (typeof low !== 'number') {
      for (let i = 0; i < 256; i++) set[i]! |= low[i]!
      return
    }
    const ranged = this.peek() === '-' && this.text[this.at + 1] !== ']'
    if (!ranged || this.at + 1 >= this.text.length) {
      set[low] = 1
      return
    }
    const dash = this.at++
    const high = this.classByte()
    if (typeof high !== 'number') {
      // No end of a range: all three stand for themselves.
      this.at = dash + 1
      set[low] = set[45] = 1
      return
    }
    if (high < low) throw new RegexError('a range out of order')
    set.fill(1, low, high + 1)
  }

  private classByte(): number | ByteSet {
    const c = this.text[this.at++]!
    if (c !== '\\') return c.charCodeAt(0) & 255
    if (this.peek() === 'b') {
      this.at++
      return 8
    }
    const set = this.escapedSet()
    const one = set.indexOf(1)
    return set.indexOf(1, one + 1) < 0 ? one : set
  }

  private literal(code: number): Node {
    const set = new Uint8Array(256)
    set[code & 255] = 1
    return this.set(set)
  }

  private set(set: ByteSet): Node {
    if (this.flags.caseless) foldInto(set)
    return { kind: 'set', set }
  }

  private peek(): string {
    return this.text[this.at] ?? ''
  }

  private take(sign: string): boolean {
    if (!this.text.startsWith(sign, this.at)) return false
    this.at += sign.length
    return true
  }
}

type MakeGroup = (body: Node) => Node
const GROUPS: readonly (readonly [string, MakeGroup])[] = [
  [':', (body) => body],
  ['>', (body) => ({ kind: 'atomic', body })],
  ['|', (body) => body],
  ['=', (body) => ({ kind: 'look', body, behind: false, negated: false })],
  ['!', (body) => ({ kind: 'look', body, behind: false, negated: true })],
  ['<=', (body) => ({ kind: 'look', body, behind: true, negated: false })],
  ['<!', (body) => ({ kind: 'look', body, behind: true, negated: true })],
]
const PLACES: Readonly<Record<string, Place>> = {
  A: 'start',
  z: 'very-end',
  Z: 'end',
  b: 'word',
  B: 'no-word',
}
const CONTROLS: Readonly<Record<string, number>> = { n: 10, r: 13, t: 9, f: 12, e: 27, a: 7 }

function bytesOf(text: string): ByteSet {
  const set = new Uint8Array(256)
  for (const c of text) set[c.charCodeAt(0)] = 1
  return set
}
function span(...ranges: readonly string[]): ByteSet {
  const set = new Uint8Array(256)
  for (const r of ranges) set.fill(1, r.charCodeAt(0), r.charCodeAt(r.length - 1) + 1)
  return set
}
const not = (set: ByteSet): ByteSet => set.map((bit) => bit ^ 1)
const all = (): ByteSet => new Uint8Array(256).fill(1)
const notNewline = (): ByteSet => not(bytesOf('\n'))
const byte = (code: number): Node => ({ kind: 'set', set: bytesOf(String.fromCharCode(code)) })

const digit = span('09')
const word = span('09', 'AZ', 'az', '_')
const space = bytesOf(' \t\n\v\f\r')
const horizontal = bytesOf(' \t\xa0')
const vertical = bytesOf('\n\v\f\r\x85')
const CLASSES: Readonly<Record<string, ByteSet>> = {
  d: digit,
  D: not(digit),
  w: word,
  W: not(word),
  s: space,
  S: not(space),
  h: horizontal,
  H: not(horizontal),
  v: vertical,
  V: not(vertical),
  N: notNewline(),
  C: all(),
}
const POSIX: Readonly<Record<string, ByteSet>> = {
  alnum: span('09', 'AZ', 'az'),
  alpha: span('AZ', 'az'),
  ascii: span('\x00\x7f'),
  blank: bytesOf(' \t'),
  cntrl: span('\x00\x1f', '\x7f'),
  digit,
  graph: span('!~'),
  lower: span('az'),
  print: span(' ~'),
  punct: span('!/', ':@', '[`', '{~'),
  space,
  upper: span('AZ'),
  word,
  xdigit: span('09', 'AF', 'af'),
}

/** Adds the other case of each letter. */
function foldInto(set: ByteSet): void {
  for (let c = 65; c <= 90; c++) {
    const either = set[c]! | set[c + 32]!
    set[c] = either
    set[c + 32] = either
  }
}
