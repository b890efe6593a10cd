import { RehomeError } from '../../actors/index.ts'
import {
  type Fingerprint,
  OPTION_END,
  OPTION_MSS,
  OPTION_NOP,
  OPTION_SACK,
  OPTION_SCALE,
  OPTION_STAMP,
  quirkLetters,
  SIZE_BIG,
} from './fingerprint.ts'

/** How a number of a signature is compared. */
const EXACT = 0
const MODULO = 1
const TIMES_MSS = 2
const TIMES_MTU = 3
type Mode = typeof EXACT | typeof MODULO | typeof TIMES_MSS | typeof TIMES_MTU
interface Measure {
  readonly mode: Mode
  readonly value: number
}

interface OsSignature {
  readonly line: number
  readonly os: string
  readonly detail: string
  readonly window: Measure
  readonly ttl: number
  readonly df: number
  /** 0: it says nothing of the size. */
  readonly size: number
  readonly options: readonly number[]
  readonly mss: Measure
  readonly scale: Measure
  readonly stamped: boolean
  readonly quirks: number
}

/** No signature: what `match` answers, and what is told of an unknown system. */
const UNKNOWN = -1
/** TCP options of one signature. */
const OPTIONS_MAX = 15
/** Buckets, and how a fingerprint's place among them follows, decide which signatures it can meet at all. */
const BUCKETS = 1024
/** The quirks' bits in the hash, in the order of `quirkLetters`. */
const QUIRK_HASH = [
  0x400, 0x800, 0x1000, 1, 2, 4, 8, 0x10, 0x20, 0x40, 0x80, 0x100, 0x2000, 0x4000, 0x200,
]

/**
 * The signatures of one `.fp` file: `window:ttl:df:size:options:quirks:OS:detail`.
 *
 * A fingerprint is compared with the signatures of its bucket only, in the file's order. The bucket follows from
 * size, number of options, quirks and DF, as in real prads; so a signature of any size (`*`) is met by the
 * large packets whose bucket happens to be the one of size 0, and by no others. It is a flaw, kept to agree.
 */
export class OsSignatures {
  private readonly all: OsSignature[] = []
  private readonly buckets: number[][] = Array.from({ length: BUCKETS }, () => [])

  constructor(file: string, text: string) {
    for (const [i, raw] of text.split('\n').entries()) {
      const line = raw.trim()
      if (line === '' || line.startsWith('#')) continue
      const s = parseSignature(file, i + 1, line)
      this.buckets[bucketOf(s.size, s.options.length, s.quirks, s.df)]!.push(this.all.push(s) - 1)
    }
  }

  get size(): number {
    return this.all.length
  }

  os(number: number): string {
    return this.all[number]?.os ?? 'unknown'
  }
  detail(number: number): string {
    return this.all[number]?.detail ?? 'unknown'
  }

  /**
   * The number of the first signature that fits, else UNKNOWN. A packet that may be fragmented is tried a
   * second time as one that may not, as firewalls clear that bit; `f.df` tells how it was tried last.
   */
  match(f: Fingerprint): number {
    const found = this.lookup(f)
    if (found !== UNKNOWN || f.df === 1) return found
    f.df = 1
    return this.lookup(f)
  }

  private lookup(f: Fingerprint): number {
    for (const number of this.buckets[bucketOf(f.size, f.options.length, f.quirks, f.df)]!) {
      if (fits(this.all[number]!, f)) return number
    }
    return UNKNOWN
  }
}

function bucketOf(size: number, options: number, quirks: number, df: number): number {
  let bits = 0
  for (let rest = quirks; rest !== 0; rest &= rest - 1)
    bits ^= QUIRK_HASH[31 - Math.clz32(rest & -rest)]!
  return ((size << 2) ^ (options << 1) ^ df ^ bits) % BUCKETS
}

function fits(s: OsSignature, f: Fingerprint): boolean {
  if (f.size !== 0 && (s.size === 0 ? f.size < SIZE_BIG : f.size !== s.size)) return false
  if (s.quirks !== f.quirks || s.df !== f.df || s.options.length !== f.options.length) return false
  if (s.stamped !== (f.stamp !== 0) || s.ttl < f.ttl) return false
  if (!agrees(s.mss, f.mss) || !agrees(s.scale, f.scale) || !windowFits(s.window, f)) return false
  for (let i = 0; i < f.options.length; i++) if (s.options[i] !== f.options[i]) return false
  return true
}

function agrees({ mode, value }: Measure, seen: number): boolean {
  return mode === EXACT ? seen === value : seen % value === 0
}

function windowFits(measure: Measure, { window, mss }: Fingerprint): boolean {
  if (measure.mode < TIMES_MSS) return agrees(measure, window)
  const more = measure.mode === TIMES_MSS ? 0 : 40
  if (mss && window % (mss + more) === 0) return window / (mss + more) === measure.value
  const usual = 1460 + more
  return window % usual === 0 && window / usual === measure.value
}

const FORM = /^([0-9%*()ST]+):\s*(\d+):\s*(\d+):([0-9()*]+):([^:]+):([^ :]+):([^:]+):([^:]+)/

function parseSignature(file: string, number: number, line: string): OsSignature {
  const bad = (what: string) =>
    new RehomeError('bad-input', `${file}:${number}: ${what}`, { file, line: number })
  const m = FORM.exec(line)
  if (!m) throw bad('expected window:ttl:df:size:options:quirks:OS:detail')
  const [, window = '', ttl, df, size = '', options = '', quirks = '', os = '', detail = ''] = m
  const { mss, scale, ...rest } = parseOptions(options, bad)
  const system = os.replace(/^[-*@]+/, '')
  if (system === '') throw bad('expected the name of a system')
  return {
    line: number,
    os: system,
    detail,
    window: parseWindow(window, bad),
    ttl: Number(ttl) & 255,
    df: Number(df) & 255,
    size: size.startsWith('*') ? 0 : Number.parseInt(size, 10) || 0,
    mss,
    scale,
    ...rest,
    quirks: parseQuirks(quirks, bad),
  }
}

type Bad = (what: string) => RehomeError

function parseWindow(text: string, bad: Bad): Measure {
  if (text.startsWith('*')) return { mode: MODULO, value: 1 }
  if (text.startsWith('S')) return { mode: TIMES_MSS, value: digits(text.slice(1), bad) }
  if (text.startsWith('T')) return { mode: TIMES_MTU, value: digits(text.slice(1), bad) }
  return parseMeasure(text, bad)
}

/** `*`, `%n` or `n`. */
function parseMeasure(text: string, bad: Bad): Measure {
  if (text.startsWith('*')) return { mode: MODULO, value: 1 }
  if (!text.startsWith('%')) return { mode: EXACT, value: digits(text, bad) }
  const value = digits(text.slice(1), bad)
  if (value === 0) throw bad(`nothing is a multiple of 0: '${text}'`)
  return { mode: MODULO, value }
}

function digits(text: string, bad: Bad): number {
  const m = /^\d+/.exec(text)
  if (!m) throw bad(`expected a number, not '${text}'`)
  return Number(m[0]) & 0xffff
}

function parseOptions(text: string, bad: Bad) {
  const options: number[] = []
  let mss: Measure = { mode: EXACT, value: 0 }
  let scale: Measure = { mode: EXACT, value: 0 }
  let stamped = false
  for (const option of text.replace(/^\./, '').match(/[A-Za-z?][^A-Za-z?]*|^[^A-Za-z?]+/g) ?? []) {
    const rest = option.slice(1)
    switch (option[0]!.toUpperCase()) {
      case 'N':
        options.push(OPTION_NOP)
        break
      case 'E':
        options.push(OPTION_END)
        break
      case 'S':
        options.push(OPTION_SACK)
        break
      case 'T':
        options.push(OPTION_STAMP)
        if (!rest.startsWith('0')) stamped = true
        break
      case 'W':
        options.push(OPTION_SCALE)
        scale = parseMeasure(rest, bad)
        break
      case 'M':
        options.push(OPTION_MSS)
        mss = parseMeasure(rest, bad)
        break
      case '?':
        options.push(digits(rest, bad) & 255)
        break
      default:
        throw bad(`unknown TCP option '${option}'`)
    }
  }
  if (options.length > OPTIONS_MAX) throw bad(`more than ${OPTIONS_MAX} TCP options`)
  return { options, mss, scale, stamped }
}

function parseQuirks(text: string, bad: Bad): number {
  let quirks = 0
  for (const letter of text.toUpperCase()) {
    const bit = quirkLetters.indexOf(letter)
    if (bit >= 0) quirks |= 1 << bit
    else if (letter !== '.') throw bad(`unknown quirk '${letter}'`)
  }
  return quirks
}
