import { FOLD, Regex, RegexError } from '../pattern/index.ts'
import type {
  ByteExtract,
  ByteJump,
  ByteMath,
  ByteTest,
  Comparison,
  Content,
  IsDataAt,
  LengthTest,
  NumberField,
  Pcre,
} from './payload.ts'
import { known, Unsupported } from './rules.ts'

/** Payload options from their text. What they cannot honour they throw as `Unsupported`. */

/** Longest pattern: what a rule file may make us keep. */
const PATTERN_MAX = 8192

export function parseContent(option: string, value: string): Content {
  const m = /^(!?)\s*"([\s\S]*)"$/.exec(value)
  if (!m) throw new Unsupported(option, `expected "…" or !"…", not ${value}`)
  return {
    kind: 'content',
    bytes: parsePattern(option, m[2]!),
    nocase: false,
    negated: m[1] === '!',
    offset: 0,
    depth: 0,
    distance: undefined,
    within: undefined,
    endsWith: false,
    fastPattern: false,
    fastPatternOnly: false,
    leads: false,
  }
}

/** Text with |41 42| for bytes in hex and \ before " ; : and itself. */
function parsePattern(option: string, text: string): Uint8Array {
  const bytes: number[] = []
  for (let i = 0; i < text.length; i++) {
    const c = text[i]!
    if (c === '|') {
      const close = text.indexOf('|', i + 1)
      const hex = text.slice(i + 1, close).replaceAll(/\s/g, '')
      if (close < 0 || hex.length % 2 === 1 || /[^0-9a-fA-F]/.test(hex)) {
        throw new Unsupported(option, `no hex between |…| in "${text}"`)
      }
      for (let k = 0; k < hex.length; k += 2) bytes.push(Number.parseInt(hex.slice(k, k + 2), 16))
      i = close
    } else if (c === '\\') bytes.push(text.charCodeAt(++i) & 255)
    else bytes.push(c.charCodeAt(0) & 255)
  }
  if (bytes.length === 0) throw new Unsupported(option, 'an empty pattern')
  if (bytes.length > PATTERN_MAX) throw new Unsupported(option, `over ${PATTERN_MAX} bytes`)
  return Uint8Array.from(bytes)
}

export function withoutCase(c: Content): Content {
  return { ...c, nocase: true, bytes: c.bytes.map((byte) => FOLD[byte]!) }
}

/** A number, or the name of a byte_extract variable. */
export function numberOrName(option: string, text: string): number | string {
  const t = text.trim()
  if (/^[a-zA-Z_]/.test(t)) return t
  return wholeNumber(option, t)
}

export function wholeNumber(option: string, text: string): number {
  const m = /^([+-]?)(0[xX][0-9a-fA-F]+|\d+)$/.exec(text.trim())
  if (!m) throw new Unsupported(option, `no number: '${text}'`)
  const value = Number(m[2])
  return m[1] === '-' ? -value : value
}

const COMPARED = /^\s*(!=|<=|>=|<|>|=|!)?\s*(\d+|0[xX][0-9a-fA-F]+)\s*(?:(<>|-)\s*(\d+))?\s*$/

/** N, <N, >N, <=N, >=N, !N, N<>M: what dsize, ttl, icode … take. `<>` leaves out its ends. */
export function numberTest(option: string, value: string): (n: number) => boolean {
  const m = COMPARED.exec(value)
  if (!m) throw new Unsupported(option, `no comparison: '${value}'`)
  const n = Number(m[2])
  if (m[3] !== undefined) {
    const high = Number(m[4])
    if (n >= high || m[1] !== undefined) throw new Unsupported(option, `no range: '${value}'`)
    return (x) => x > n && x < high
  }
  switch (m[1]) {
    case '<':
      return (x) => x < n
    case '>':
      return (x) => x > n
    case '<=':
      return (x) => x <= n
    case '>=':
      return (x) => x >= n
    case '!':
    case '!=':
      return (x) => x !== n
    default:
      return (x) => x === n
  }
}

export function lengthTest(option: string, value: string): LengthTest {
  return { kind: 'length', test: numberTest(option, value) }
}

/** Letters behind the expression that choose a buffer, and its name. */
const PCRE_BUFFERS: Readonly<Record<string, string>> = {
  U: 'http_uri',
  I: 'http_raw_uri',
  H: 'http_header',
  D: 'http_raw_header',
  M: 'http_method',
  C: 'http_cookie',
  P: 'http_client_body',
  Q: 'http_response_body',
  Y: 'http_stat_msg',
  S: 'http_stat_code',
  V: 'http_user_agent',
  W: 'http_host',
  Z: 'http_raw_host',
}

export interface ParsedPcre {
  readonly pcre: Pcre
  readonly buffer: string | undefined
}

/** Names behind the flags say where Suricata notes what the groups caught; that decides nothing. */
export function parsePcre(value: string): ParsedPcre {
  const expression = unquoted(value).replace(/(?:\s*,\s*(?:flow|pkt):\w+)+$/, '')
  const m = /^(!?)\s*(?:\/([\s\S]*)\/|m(\W)([\s\S]*)\3)([a-zA-Z]*)$/.exec(expression)
  if (!m) throw new Unsupported('pcre', `expected "/…/flags", not ${value}`)
  const flags = m[5]!
  let buffer: string | undefined
  for (const c of flags) {
    const named = PCRE_BUFFERS[c]
    if (named !== undefined) {
      if (buffer !== undefined) throw new Unsupported('pcre', 'two buffers')
      buffer = named
    } else if (!'ismxAEGROB'.includes(c)) throw new Unsupported('pcre', `unknown flag '${c}'`)
  }
  const text = (m[2] ?? m[4]!).replaceAll('\\/', '/').replaceAll(/\\(["';:])/g, escapedSign)
  try {
    const regex = new Regex(text, flags)
    const pcre: Pcre = {
      kind: 'pcre',
      regex,
      negated: m[1] === '!',
      relative: flags.includes('R'),
      leads: false,
    }
    return { pcre, buffer }
  } catch (error) {
    if (!(error instanceof RegexError)) throw error
    throw new Unsupported('pcre', error.message)
  }
}

/** A quote may stand round the whole expression, and often does not. */
function unquoted(value: string): string {
  const m = /^(!?)\s*"\s*([\s\S]*?)\s*"$/.exec(value)
  return m ? `${m[1]}${m[2]}` : value
}

/** Signs that only the rule file needs escaped stand for themselves in the expression as well. */
function escapedSign(_: string, sign: string): string {
  return `\\x${sign.charCodeAt(0).toString(16)}`
}

export function parseIsDataAt(value: string): IsDataAt {
  const [first, ...rest] = value.split(',').map((part) => part.trim())
  const negated = first!.startsWith('!')
  let relative = false
  for (const word of rest) {
    if (word === 'relative') relative = true
    else if (word !== 'rawbytes') throw new Unsupported('isdataat', `unknown word '${word}'`)
  }
  const at = numberOrName('isdataat', negated ? first!.slice(1) : first!)
  return { kind: 'isdataat', at, relative, negated }
}

const BASES: Readonly<Record<string, 8 | 10 | 16>> = { hex: 16, dec: 10, oct: 8 }

/** What number options have in common; other words are given to `other`. */
function field(
  option: string,
  bytes: string,
  offset: string,
  words: readonly string[],
  other: (word: string, value: string) => boolean,
): NumberField {
  let relative = false
  let little = false
  let text = false
  let base: 0 | 8 | 10 | 16 = 0
  for (const written of words) {
    const [, word = '', value = ''] = /^(\S+)\s*([\s\S]*)$/.exec(written.trim()) ?? []
    const lower = word.toLowerCase()
    if (lower === 'relative') relative = true
    else if (lower === 'little') little = true
    else if (lower === 'big') little = false
    else if (lower === 'endian') little = value === 'little'
    else if (lower === 'string') {
      text = true
      if (value !== '') base = baseOf(option, value)
    } else if (known(BASES, lower) !== undefined) base = baseOf(option, lower)
    else if (!other(lower, value))
      throw new Unsupported(option, `'${written.trim()}' is not supported`)
  }
  const width = numberOrName(option, bytes)
  const most = text ? 23 : 8
  if (typeof width === 'number' && (width < 0 || width > most)) {
    throw new Unsupported(option, `${width} bytes is over ${most}`)
  }
  return {
    bytes: width,
    offset: numberOrName(option, offset),
    relative,
    little,
    base: text ? base : undefined,
  }
}

function baseOf(option: string, word: string): 8 | 10 | 16 {
  const base = known(BASES, word)
  if (base === undefined) throw new Unsupported(option, `no number base: '${word}'`)
  return base
}

function bigOrName(option: string, text: string): bigint | string {
  const t = text.trim()
  if (/^[a-zA-Z_]/.test(t)) return t
  return big(option, t)
}

function big(option: string, text: string): bigint {
  const m = /^(-?)(0[xX][0-9a-fA-F]+|\d+)$/.exec(text.trim())
  if (!m) throw new Unsupported(option, `no number: '${text}'`)
  return m[1] === '-' ? -BigInt(m[2]!) : BigInt(m[2]!)
}

const COMPARISONS: readonly Comparison[] = ['=', '<', '>', '<=', '>=', '&', '^']

export function parseByteTest(value: string): ByteTest {
  const [bytes, sign, other, offset, ...words] = value.split(',')
  if (offset === undefined)
    throw new Unsupported('byte_test', 'expected bytes, operator, value, offset')
  const trimmed = sign!.trim()
  const negated = trimmed.startsWith('!')
  const written = negated ? trimmed.slice(1).trim() : trimmed
  const comparison = COMPARISONS.find((c) => c === (negated && written === '' ? '=' : written))
  if (comparison === undefined) throw new Unsupported('byte_test', `no operator: '${trimmed}'`)
  let mask: bigint | undefined
  const numberField = field('byte_test', bytes!, offset, words, (word, arg) => {
    if (word === 'bitmask') mask = big('byte_test', arg)
    return word === 'bitmask'
  })
  const compared = bigOrName('byte_test', other!)
  return { kind: 'byte_test', field: numberField, negated, comparison, value: compared, mask }
}

export function parseByteJump(value: string): ByteJump {
  const [bytes, offset, ...words] = value.split(',')
  if (offset === undefined) throw new Unsupported('byte_jump', 'expected bytes, offset')
  let multiplier = 1n
  let align = false
  let from: ByteJump['from'] = 'here'
  let post = 0n
  const numberField = field('byte_jump', bytes!, offset, words, (word, arg) => {
    if (word === 'multiplier') multiplier = big('byte_jump', arg)
    else if (word === 'align') align = true
    else if (word === 'from_beginning') from = 'beginning'
    else if (word === 'from_end') from = 'end'
    else if (word === 'post_offset') post = big('byte_jump', arg)
    else return false
    return true
  })
  return { kind: 'byte_jump', field: numberField, multiplier, align, from, post }
}

export function parseByteExtract(value: string): ByteExtract {
  const [bytes, offset, name, ...words] = value.split(',')
  if (name === undefined) throw new Unsupported('byte_extract', 'expected bytes, offset, name')
  let multiplier = 1n
  let align = 0
  let mask: bigint | undefined
  const numberField = field('byte_extract', bytes!, offset!, words, (word, arg) => {
    if (word === 'multiplier') multiplier = big('byte_extract', arg)
    else if (word === 'align') align = wholeNumber('byte_extract', arg)
    else if (word === 'bitmask') mask = big('byte_extract', arg)
    else return false
    return true
  })
  return { kind: 'byte_extract', field: numberField, name: name.trim(), multiplier, align, mask }
}

const OPERATORS: readonly ByteMath['operator'][] = ['+', '-', '*', '/', '<<', '>>']

export function parseByteMath(value: string): ByteMath {
  const given = new Map<string, string>()
  const words: string[] = []
  for (const part of value.split(',')) {
    const [, word = '', arg = ''] = /^(\S+)\s*([\s\S]*)$/.exec(part.trim()) ?? []
    if (/^(bytes|offset|oper|rvalue|result)$/.test(word)) given.set(word, arg.trim())
    else words.push(part)
  }
  for (const word of ['bytes', 'offset', 'oper', 'rvalue', 'result']) {
    if (!given.has(word)) throw new Unsupported('byte_math', `${word} is missing`)
  }
  const operator = OPERATORS.find((o) => o === given.get('oper'))
  if (operator === undefined)
    throw new Unsupported('byte_math', `no operator: ${given.get('oper')}`)
  let mask: bigint | undefined
  const numberField = field(
    'byte_math',
    given.get('bytes')!,
    given.get('offset')!,
    words,
    (word, arg) => {
      if (word === 'bitmask') mask = big('byte_math', arg)
      return word === 'bitmask'
    },
  )
  const other = bigOrName('byte_math', given.get('rvalue')!)
  const name = given.get('result')!
  return { kind: 'byte_math', field: numberField, operator, value: other, name, mask }
}
