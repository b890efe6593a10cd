/**
 * Perl-compatible expressions as signature files write them, translated for JavaScript's engine.
 *
 * The text is parsed into a small tree, from which follow the JavaScript source, the bytes that every
 * match must contain (for the prefilter), and whether matching could take exponential time. Subjects are
 * bytes, one UTF-16 unit each (latin1). What cannot be said in JavaScript throws with the reason.
 */
export interface Repeat {
  readonly min: number
  readonly max: number
  readonly lazy: boolean
}
export type Node = { repeat: Repeat } & (
  | { readonly kind: 'byte'; readonly code: number }
  /** A set, `.` included, as JavaScript source. */
  | { readonly kind: 'set'; readonly source: string }
  /** Something of no width, or a reference back, as JavaScript source. */
  | { readonly kind: 'other'; readonly source: string }
  | { readonly kind: 'group'; readonly open: string; readonly branches: Node[][] }
)
export interface Pcre {
  readonly regex: RegExp
  /** The longest run of bytes that every match contains; empty if there is none. */
  readonly literal: string
}

const ONCE: Repeat = { min: 1, max: 1, lazy: false }
/** PCRE's `\s` and `\S` are ASCII; JavaScript's are not. */
const SPACE = '\\t-\\r '
const NOT_SPACE = '\\0-\\x08\\x0e-\\x1f!-\\xff'
const HORIZONTAL = '\\t \\xa0'
const VERTICAL = '\\n-\\r\\x85'
const END = '(?![\\s\\S])'
const POSIX: Readonly<Record<string, string>> = {
  alpha: 'A-Za-z',
  digit: '0-9',
  alnum: 'A-Za-z0-9',
  upper: 'A-Z',
  lower: 'a-z',
  space: SPACE,
  blank: '\\t ',
  punct: '!-\\/:-@\\[-`{-~',
  xdigit: '0-9A-Fa-f',
  word: '\\w',
  print: ' -~',
  graph: '!-~',
  cntrl: '\\0-\\x1f\\x7f',
}

export function compilePcre(text: string): Pcre {
  const parser = new Parser(text)
  const tree = parser.parse()
  if (repeatsRepeats(tree, false)) {
    throw new Error('an unbounded repeat within an unbounded repeat can take exponential time')
  }
  const regex = new RegExp(emitBranches(tree), parser.ignoreCase ? 'i' : '')
  return { regex, literal: parser.ignoreCase ? '' : longestLiteral(tree) }
}

class Parser {
  private readonly text: string
  private at = 0
  private dotAll = false
  private multiline = false
  ignoreCase = false

  constructor(text: string) {
    this.text = text
  }

  parse(): Node[][] {
    this.leadingFlags()
    const tree = this.branches()
    if (this.at < this.text.length) throw new Error('a ) without its (')
    return tree
  }

  /** `(?i)` and its like apply from where they stand; JavaScript has them for the whole alone. */
  private leadingFlags(): void {
    const m = /^\(\?([ims]+)\)/.exec(this.text)
    if (!m) return
    this.at = m[0].length
    for (const flag of m[1] ?? '') {
      if (flag === 'i') this.ignoreCase = true
      else if (flag === 'm') this.multiline = true
      else this.dotAll = true
    }
  }

  private branches(): Node[][] {
    const branches: Node[][] = [[]]
    while (this.at < this.text.length && this.text[this.at] !== ')') {
      if (this.text[this.at] === '|') {
        this.at++
        branches.push([])
        continue
      }
      const node = this.atom()
      if (!node) continue
      node.repeat = this.repeat(node)
      branches[branches.length - 1]!.push(node)
    }
    return branches
  }

  private atom(): Node | undefined {
    const c = this.text[this.at++]!
    switch (c) {
      case '(':
        return this.group()
      case '[':
        return this.set()
      case '.':
        return set(this.dotAll ? '[\\s\\S]' : '[^\\n]')
      case '^':
        return other(this.multiline ? '(?<=\\n|(?<![\\s\\S]))' : '^')
      case '$':
        return other(this.multiline ? `(?=\\n|${END})` : `(?=\\n?${END})`)
      case '\\':
        return this.escape()
      case '*':
      case '+':
      case '?':
        throw new Error(`nothing to repeat before ${c}`)
      default:
        return byte(c.charCodeAt(0))
    }
  }

  private group(): Node | undefined {
    const rest = this.text.slice(this.at)
    const comment = /^\?#[^)]*\)/.exec(rest)
    if (comment) {
      this.at += comment[0].length
      return
    }
    const special = /^\?(?:P?<([A-Za-z_]\w*)>|:|=|!|<=|<!)/.exec(rest)
    if (!special && (rest.startsWith('?') || rest.startsWith('*'))) {
      throw new Error(`(${rest.slice(0, 3)} is not supported`)
    }
    if (special) this.at += special[0].length
    const open = special?.[1] ? `(?<${special[1]}>` : `(${special?.[0] ?? ''}`
    const branches = this.branches()
    if (this.text[this.at++] !== ')') throw new Error('a ( without its )')
    return { kind: 'group', open, branches, repeat: ONCE }
  }

  private repeat(node: Node): Repeat {
    const m = /^(?:[*+?]|\{(\d+)(?:(,)(\d*))?\})/.exec(this.text.slice(this.at))
    if (!m) return ONCE
    if (node.kind === 'other') throw new Error('a repeat of something without width')
    this.at += m[0].length
    const next = this.text[this.at]
    if (next === '+') throw new Error('possessive repeats are not supported')
    const lazy = next === '?'
    if (lazy) this.at++
    const many = Number.POSITIVE_INFINITY
    if (m[0] === '*') return { min: 0, max: many, lazy }
    if (m[0] === '+') return { min: 1, max: many, lazy }
    if (m[0] === '?') return { min: 0, max: 1, lazy }
    const min = Number(m[1])
    return { min, max: m[2] ? (m[3] ? Number(m[3]) : many) : min, lazy }
  }

  private escape(): Node {
    const c = this.text[this.at]
    if (c === undefined) throw new Error('\\ at the end')
    const code = this.escapedByte()
    if (code >= 0) return byte(code)
    this.at++
    const inside = setEscape(c)
    if (inside) return set(`[${inside}]`)
    switch (c) {
      case 'b':
      case 'B':
        return other(`\\${c}`)
      case 'A':
        return other('(?<![\\s\\S])')
      case 'Z':
        return other(`(?=\\n?${END})`)
      case 'z':
        return other(END)
      case 'R':
        return {
          kind: 'group',
          open: '(?:',
          branches: [[byte(13), byte(10)], [set(`[${VERTICAL}]`)]],
          repeat: ONCE,
        }
    }
    if (/[1-9]/.test(c)) return other(`(?:\\${c})`)
    if (/[A-Za-z]/.test(c)) throw new Error(`\\${c} is not supported`)
    return byte(c.charCodeAt(0))
  }

  /** The byte that an escape stands for, passed over; −1 if it stands for something else. */
  private escapedByte(): number {
    const m = /^(?:x\{([0-9a-fA-F]+)\}|x([0-9a-fA-F]{0,2})|(0[0-7]{0,2}|[1-3][0-7]{2})|c(.))/s.exec(
      this.text.slice(this.at),
    )
    if (m) {
      this.at += m[0].length
      if (m[4] !== undefined) return m[4].toUpperCase().charCodeAt(0) ^ 64
      if (m[3] !== undefined) return Number.parseInt(m[3], 8) & 255
      const code = Number.parseInt(m[1] ?? (m[2] || '0'), 16)
      if (code > 255) throw new Error('a character beyond one byte')
      return code
    }
    const named = 'nrtfae'.indexOf(this.text[this.at]!)
    if (named < 0) return -1
    this.at++
    return [10, 13, 9, 12, 7, 27][named]!
  }

  private set(): Node {
    let source = this.text[this.at] === '^' ? '[^' : '['
    if (source === '[^') this.at++
    const first = this.at
    for (;;) {
      const c = this.text[this.at]
      if (c === undefined) throw new Error('a [ without its ]')
      this.at++
      if (c === ']' && this.at - 1 > first) break
      source += this.setPart(c)
    }
    return set(`${source}]`)
  }

  private setPart(c: string): string {
    if (c === '-') return '-'
    if (c === '\\') {
      const escaped = this.text[this.at]
      if (escaped === undefined) throw new Error('\\ at the end')
      const code = this.escapedByte()
      if (code >= 0) return hex(code)
      this.at++
      if (escaped === 'b') return '\\x08'
      const inside = setEscape(escaped)
      if (inside) return inside
      if (/[A-Za-z0-9]/.test(escaped)) throw new Error(`\\${escaped} in a set is not supported`)
      return hex(escaped.charCodeAt(0))
    }
    const posix = c === '[' ? /^:(\w+):\]/.exec(this.text.slice(this.at)) : null
    if (!posix) return hex(c.charCodeAt(0))
    this.at += posix[0].length
    const known = POSIX[posix[1] ?? '']
    if (!known) throw new Error(`[:${posix[1]}:] is not supported`)
    return known
  }
}

/** What a class escape says inside of a set; undefined if it is none. */
function setEscape(c: string): string | undefined {
  switch (c) {
    case 'd':
    case 'D':
    case 'w':
    case 'W':
      return `\\${c}`
    case 's':
      return SPACE
    case 'S':
      return NOT_SPACE
    case 'h':
      return HORIZONTAL
    case 'v':
      return VERTICAL
  }
}

function byte(code: number): Node {
  return { kind: 'byte', code: code & 255, repeat: ONCE }
}
function set(source: string): Node {
  return { kind: 'set', source, repeat: ONCE }
}
function other(source: string): Node {
  return { kind: 'other', source, repeat: ONCE }
}
function hex(code: number): string {
  return `\\x${(code & 255).toString(16).padStart(2, '0')}`
}

function emitBranches(branches: Node[][]): string {
  return branches.map((nodes) => nodes.map(emit).join('')).join('|')
}

function emit(node: Node): string {
  return emitOne(node) + emitRepeat(node.repeat)
}

function emitOne(node: Node): string {
  if (node.kind === 'byte') return hex(node.code)
  if (node.kind === 'group') return `${node.open}${emitBranches(node.branches)})`
  return node.source
}

function emitRepeat({ min, max, lazy }: Repeat): string {
  if (min === 1 && max === 1) return ''
  const end = max === Number.POSITIVE_INFINITY ? '' : max
  return `{${min},${end}}${lazy ? '?' : ''}`
}

function repeatsRepeats(branches: Node[][], within: boolean): boolean {
  for (const node of branches.flat()) {
    const unbounded = node.repeat.max === Number.POSITIVE_INFINITY
    if (within && unbounded) return true
    if (node.kind === 'group' && repeatsRepeats(node.branches, within || unbounded)) return true
  }
  return false
}

function longestLiteral(tree: Node[][]): string {
  let best = ''
  let run = ''
  const end = () => {
    if (run.length > best.length) best = run
    run = ''
  }
  const walk = (nodes: Node[]) => {
    for (const node of nodes) {
      const { min, max } = node.repeat
      const plain = node.kind === 'group' && !/^\(\?[=!<][=!]?$/.test(node.open)
      if (node.kind === 'byte' && min === 1 && max === 1) run += String.fromCharCode(node.code)
      else if (plain && min === 1 && max === 1 && node.branches.length === 1) {
        walk(node.branches[0]!)
      } else if (node.kind !== 'other') end()
    }
  }
  if (tree.length === 1) walk(tree[0]!)
  end()
  return best
}
