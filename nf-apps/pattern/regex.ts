import { FOLD } from './aho-corasick.ts'
import {
  type ByteSet,
  type Node,
  type Place,
  parseRegex,
  RegexError,
  type RegexFlags,
} from './regex-syntax.ts'

export { RegexError }

/**
 * Perl-compatible regular expressions of rule and signature files, run over bytes with a bound.
 *
 * Why not JavaScript's own: the files are the operator's but the bytes are the attacker's, and a backtracking
 * engine without a limit hangs on `(a+)+$`; JavaScript also lacks possessive and atomic groups, and would
 * need each payload as a string. Here the program backtracks as PCRE does, so that the same match is found, and
 * once a run has cost more than a few steps per byte it remembers the (choice, position) pairs that
 * have failed. Each pair is tried once then: time is at most program × bytes. Only back references and the
 * insides of lookarounds and atomic groups cannot be remembered; those runs end at `STEPS_MAX`, without
 * a match, and are counted in `Regex.limited`.
 */

/** Steps of one search: some 20 ms. PCRE's own limit in intrusion detection is far lower (3,500 calls). */
const STEPS_MAX = 2_000_000
/** Instructions of a program; repetitions are written out, `x{1000}` takes a thousand. */
const PROGRAM_MAX = 50_000
/** Bits that a search may remember: 4 MiB. A run that would need more ends at STEPS_MAX. */
const MEMO_BITS_MAX = 32 * 1024 * 1024
/** Backtracking entries, three words each: 3 MiB. */
const STACK_MAX = 1 << 18

const SET = 0
const SPLIT = 1
const JUMP = 2
const SAVE = 3
const PLACE = 4
const LOOK = 5
const ATOMIC = 6
const BACK = 7
const MARK = 8
const CHECK = 9
const DONE = 10

const PLACE_CODES: readonly Place[] = [
  'start',
  'end',
  'very-end',
  'line-start',
  'line-end',
  'word',
  'no-word',
]

/** Longest that a lookbehind may reach; each of its lengths is tried. */
const BEHIND_MAX = 255

export class Regex {
  /** Searches that ended at a limit, over all expressions. */
  static limited = 0

  private readonly ops: number[] = []
  private readonly xs: number[] = []
  private readonly ys: number[] = []
  private readonly sets: ByteSet[] = []
  /** Where capture groups and loop marks are kept. */
  private readonly slots: number[]
  private readonly groupSlots: number
  private marks = 0
  private readonly first: ByteSet | undefined
  private readonly anchored: boolean
  private readonly memoizable: boolean
  private readonly captures: boolean

  /** The longest run of bytes that every match contains, in small letters; empty if there is none. */
  readonly literal: Uint8Array

  /** Bounds of the last match. */
  start = 0
  end = 0

  private bytes: Uint8Array = new Uint8Array(0)
  private low = 0
  private high = 0
  private steps = 0
  private memo: Uint32Array | undefined

  /** `letters` as behind a pcre: imsx, G, E, A; `captures`: what groups matched is wanted. */
  constructor(text: string, letters: string, captures = false) {
    const tree = parseRegex(text, flagsOf(letters))
    this.captures = captures || tree.hasBackReference
    this.memoizable = !tree.hasBackReference
    this.groupSlots = this.captures ? 2 * (tree.groups + 1) : 0
    this.literal = longestLiteral(tree.root)
    this.emitNode(tree.root)
    this.emit(DONE, 0, 0)
    this.slots = new Array<number>(this.groupSlots + this.marks).fill(-1)
    this.anchored = letters.includes('A') || startsAtStart(tree.root)
    const first = new Uint8Array(256)
    this.first = firstBytes(tree.root, first) ? undefined : first
  }

  /**
   * Finds the first match that starts at or behind `from` in bytes [low, high): true leaves its bounds in
   * `start` and `end`. Nothing outside [low, high) is looked at.
   */
  search(bytes: Uint8Array, low: number, high: number, from = low): boolean {
    this.bytes = bytes
    this.low = low
    this.high = high
    this.steps = 0
    this.memo = undefined
    const { first } = this
    const last = this.anchored ? from : high
    for (let at = from; at <= last; at++) {
      if (first !== undefined && (at >= high || first[bytes[at]!] === 0)) continue
      this.slots.fill(-1)
      const end = this.run(0, at, true)
      if (end >= 0) {
        this.start = at
        this.end = end
        return true
      }
      if (this.steps > STEPS_MAX) break
    }
    if (this.steps > STEPS_MAX) Regex.limited++
    return false
  }

  /** Where a group of the last match starts and ends; undefined where it took no part. */
  group(index: number): readonly [number, number] | undefined {
    if (index === 0) return [this.start, this.end]
    const from = this.slots[2 * index] ?? -1
    const to = this.slots[2 * index + 1] ?? -1
    return 2 * index < this.groupSlots && from >= 0 && to >= 0 ? [from, to] : undefined
  }

  /** Runs the program from `pc` at `at`: where it ends, or −1. `outer` may remember failures. */
  private run(pc: number, at: number, outer: boolean): number {
    const { ops, xs, ys, sets, bytes, high, slots } = this
    const base = stackTop
    const remember = outer && this.memoizable
    const memoFrom = 4096 + 4 * (high - this.low)
    for (;;) {
      let failed = false
      if (++this.steps > STEPS_MAX) {
        stackTop = base
        return -1
      }
      switch (ops[pc]!) {
        case SET:
          if (at < high && sets[xs[pc]!]![bytes[at]!] === 1) {
            at++
            pc++
          } else failed = true
          break
        case SPLIT:
          if (remember && this.steps > memoFrom && this.seen(pc, at)) failed = true
          else if (stackTop >= STACK_MAX * 3) {
            this.steps = STEPS_MAX + 1
            failed = true
          } else {
            push(ys[pc]!, at, -1)
            pc = xs[pc]!
          }
          break
        case JUMP:
          pc = xs[pc]!
          break
        case SAVE:
        case MARK: {
          const slot = xs[pc]!
          push(-1 - slot, slots[slot]!, 0)
          slots[slot] = at
          pc++
          break
        }
        case CHECK:
          // An iteration that ate nothing leaves the loop instead of going round for ever.
          pc = slots[xs[pc]!] === at ? ys[pc]! : pc + 1
          break
        case DONE:
          stackTop = base
          return at
        default: {
          const to = this.special(pc, at)
          if (to < 0) failed = true
          else {
            at = to
            pc = ops[pc] === LOOK || ops[pc] === ATOMIC ? ys[pc]! : pc + 1
          }
        }
      }
      if (!failed) continue
      pc = this.backtrack(base)
      if (pc < 0) return -1
      at = stack[stackTop + 1]!
    }
  }

  /** Back to the last choice: where to go on, its position above the top; −1 if there is none. */
  private backtrack(base: number): number {
    while (stackTop > base) {
      stackTop -= 3
      const to = stack[stackTop]!
      if (to >= 0) return to
      this.slots[-1 - to] = stack[stackTop + 1]!
    }
    return -1
  }

  /** What takes no single byte: where it ends, or −1. */
  private special(pc: number, at: number): number {
    const x = this.xs[pc]!
    switch (this.ops[pc]!) {
      case PLACE:
        return this.isAt(x, at) ? at : -1
      case LOOK: {
        const found = (x & 2) === 0 ? this.run(pc + 1, at, false) >= 0 : this.behind(pc + 1, at)
        return found === ((x & 1) === 0) ? at : -1
      }
      case ATOMIC:
        return this.run(pc + 1, at, false)
      default:
        return this.backReference(x, this.ys[pc]! === 1, at)
    }
  }

  /** Whether this choice at this place has been tried in this search; from now on it has. */
  private seen(pc: number, at: number): boolean {
    const width = this.high - this.low + 1
    if (this.memo === undefined) {
      const bits = this.ops.length * width
      if (bits > MEMO_BITS_MAX) return false
      this.memo = new Uint32Array((bits >>> 5) + 1)
    }
    const bit = pc * width + (at - this.low)
    const word = this.memo[bit >>> 5]!
    const mask = 1 << (bit & 31)
    if ((word & mask) !== 0) return true
    this.memo[bit >>> 5] = word | mask
    return false
  }

  private behind(pc: number, at: number): boolean {
    const { high } = this
    this.high = at
    try {
      const lowest = Math.max(this.low, at - BEHIND_MAX)
      for (let from = at; from >= lowest; from--) {
        if (this.run(pc, from, false) === at) return true
      }
      return false
    } finally {
      this.high = high
    }
  }

  private backReference(group: number, caseless: boolean, at: number): number {
    const from = this.slots[2 * group]!
    const to = this.slots[2 * group + 1]!
    if (from < 0 || to < 0 || at + (to - from) > this.high) return -1
    for (let i = 0; i < to - from; i++) {
      const a = this.bytes[from + i]!
      const b = this.bytes[at + i]!
      if (a !== b && !(caseless && lower(a) === lower(b))) return -1
    }
    return at + (to - from)
  }

  private isAt(place: number, at: number): boolean {
    const { bytes, low, high } = this
    switch (PLACE_CODES[place]!) {
      case 'start':
        return at === low
      case 'very-end':
        return at === high
      case 'end':
        return at === high || (at === high - 1 && bytes[at] === 10)
      case 'line-start':
        return at === low || (bytes[at - 1] === 10 && at < high)
      case 'line-end':
        return at === high || bytes[at] === 10
      default: {
        const before = at > low && isWord(bytes[at - 1]!)
        const after = at < high && isWord(bytes[at]!)
        return (before !== after) === (PLACE_CODES[place] === 'word')
      }
    }
  }

  private emit(op: number, x: number, y: number): number {
    if (this.ops.length >= PROGRAM_MAX) throw new RegexError('the expression is too big')
    this.xs.push(x)
    this.ys.push(y)
    return this.ops.push(op) - 1
  }

  private emitNode(node: Node): void {
    switch (node.kind) {
      case 'empty':
        return
      case 'set':
        this.sets.push(node.set)
        this.emit(SET, this.sets.length - 1, 0)
        return
      case 'sequence':
        for (const part of node.parts) this.emitNode(part)
        return
      case 'choice':
        this.emitChoice(node.parts)
        return
      case 'repeat':
        this.emitRepeat(node.body, node.min, node.max, node.greedy)
        return
      case 'group':
        if (this.captures) this.emit(SAVE, 2 * node.index, 0)
        this.emitNode(node.body)
        if (this.captures) this.emit(SAVE, 2 * node.index + 1, 0)
        return
      case 'atomic':
        this.emitInner(ATOMIC, 0, node.body)
        return
      case 'look':
        this.emitInner(LOOK, (node.negated ? 1 : 0) | (node.behind ? 2 : 0), node.body)
        return
      case 'back':
        this.emit(BACK, node.index, node.caseless ? 1 : 0)
        return
      case 'at':
        this.emit(PLACE, PLACE_CODES.indexOf(node.place), 0)
    }
  }

  private emitInner(op: number, x: number, body: Node): void {
    const at = this.emit(op, x, 0)
    this.emitNode(body)
    this.emit(DONE, 0, 0)
    this.ys[at] = this.ops.length
  }

  private emitChoice(parts: readonly Node[]): void {
    const jumps: number[] = []
    parts.forEach((part, i) => {
      if (i === parts.length - 1) {
        this.emitNode(part)
        return
      }
      const split = this.emit(SPLIT, this.ops.length + 1, 0)
      this.emitNode(part)
      jumps.push(this.emit(JUMP, 0, 0))
      this.ys[split] = this.ops.length
    })
    for (const jump of jumps) this.xs[jump] = this.ops.length
  }

  private emitRepeat(body: Node, min: number, max: number, greedy: boolean): void {
    for (let i = 0; i < min; i++) this.emitNode(body)
    if (max === Number.POSITIVE_INFINITY) {
      this.emitLoop(body, greedy)
      return
    }
    const splits: number[] = []
    for (let i = min; i < max; i++) {
      splits.push(this.emit(SPLIT, this.ops.length + 1, this.ops.length + 1))
      this.emitNode(body)
    }
    for (const split of splits) (greedy ? this.ys : this.xs)[split] = this.ops.length
  }

  private emitLoop(body: Node, greedy: boolean): void {
    const split = this.emit(SPLIT, this.ops.length + 1, this.ops.length + 1)
    const nullable = firstBytes(body, new Uint8Array(256))
    const slot = nullable ? this.groupSlots + this.marks++ : -1
    if (nullable) this.emit(MARK, slot, 0)
    this.emitNode(body)
    const check = nullable ? this.emit(CHECK, slot, 0) : -1
    this.emit(JUMP, split, 0)
    if (nullable) this.ys[check] = this.ops.length
    ;(greedy ? this.ys : this.xs)[split] = this.ops.length
  }
}

/** What a run comes back to: (program counter, position) or (−1 − slot, its former value); shared by all runs. */
const stack = new Int32Array(STACK_MAX * 3 + 6)
let stackTop = 0
function push(a: number, b: number, c: number): void {
  stack[stackTop] = a
  stack[stackTop + 1] = b
  stack[stackTop + 2] = c
  stackTop += 3
}

function isWord(c: number): boolean {
  return (c >= 48 && c <= 57) || (c >= 65 && c <= 90) || (c >= 97 && c <= 122) || c === 95
}

function lower(c: number): number {
  return c >= 65 && c <= 90 ? c + 32 : c
}

/** Adds the bytes a match may start with; true if it may be empty (or its start is not known). */
function firstBytes(node: Node, into: ByteSet): boolean {
  switch (node.kind) {
    case 'set':
      for (let i = 0; i < 256; i++) into[i]! |= node.set[i]!
      return false
    case 'sequence':
      return node.parts.every((part) => firstBytes(part, into))
    case 'choice':
      return node.parts.map((part) => firstBytes(part, into)).includes(true)
    case 'repeat':
      return firstBytes(node.body, into) || node.min === 0
    case 'group':
    case 'atomic':
      return firstBytes(node.body, into)
    default:
      return true
  }
}

function startsAtStart(node: Node): boolean {
  if (node.kind === 'at') return node.place === 'start'
  if (node.kind === 'sequence') return startsAtStart(node.parts[0]!)
  if (node.kind === 'choice') return node.parts.every(startsAtStart)
  return (node.kind === 'group' || node.kind === 'atomic') && startsAtStart(node.body)
}

/** The flags that letters behind an expression stand for. */
function flagsOf(letters: string): RegexFlags {
  const has = (letter: string): boolean => letters.includes(letter)
  return {
    caseless: has('i'),
    dotAll: has('s'),
    multiline: has('m'),
    extended: has('x'),
    ungreedy: has('G'),
    dollarEndOnly: has('E'),
  }
}

/** Sets of one letter in either case make a run as well as sets of one byte. */
function longestLiteral(root: Node): Uint8Array {
  let best: number[] = []
  let run: number[] = []
  const end = () => {
    if (run.length > best.length) best = run
    run = []
  }
  const walk = (node: Node): void => {
    if (node.kind === 'sequence') for (const part of node.parts) walk(part)
    else if (node.kind === 'group' || node.kind === 'atomic') walk(node.body)
    else if (node.kind === 'set') {
      const byte = foldedByte(node.set)
      if (byte < 0) end()
      else run.push(byte)
    } else if (node.kind !== 'at' && node.kind !== 'look' && node.kind !== 'empty') end()
  }
  walk(root)
  end()
  return Uint8Array.from(best)
}

/** The byte, in small letters, that is all that a set has; −1 if it has others. */
function foldedByte(set: ByteSet): number {
  const first = set.indexOf(1)
  if (first < 0) return -1
  for (let c = first + 1; c < 256; c++) if (set[c] === 1 && FOLD[c] !== FOLD[first]) return -1
  return FOLD[first]!
}
