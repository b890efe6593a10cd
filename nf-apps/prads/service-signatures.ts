import { LiteralScanner } from './literals.ts'
import { compilePcre } from './pcre.ts'

/** What a payload tells of the program that sent it. */
export interface ServiceMatch {
  readonly service: string
  readonly application: string
}
interface Signature {
  readonly service: string
  /** `Name version (misc)`, with $1 … for what the expression's groups matched. */
  readonly title: string
  readonly regex: RegExp
  /** Bytes that must be there; empty: always to be tried. */
  readonly literal: string
}

/** Parts of the title and the whole, in bytes, as real prads cuts them. */
const NAME_MAX = 100
const VERSION_MAX = 25
const MISC_MAX = 100
const APPLICATION_MAX = 511

/**
 * The signatures of one file, matched in its order: `service,v/name/version/misc/,expression`. One pass over the
 * payload finds the signatures whose required bytes are there; only their expressions are run.
 */
export class ServiceSignatures {
  private readonly signatures: Signature[] = []
  private readonly always: number[] = []
  private readonly numbers: number[] = []
  private readonly scanner: LiteralScanner
  private readonly candidates: number[] = []

  /** What cannot be used is left out and told in `problems`, by file and line. */
  constructor(file: string, text: string, problems: string[]) {
    for (const [i, line] of text.split('\n').entries()) {
      if (line === '' || line.startsWith('#')) continue
      const signature = parseSignature(line)
      if (typeof signature === 'string') problems.push(`${file}:${i + 1}: ${signature}`)
      else this.signatures.push(signature)
    }
    const literals: string[] = []
    for (const [i, { literal }] of this.signatures.entries()) {
      if (literal === '') this.always.push(i)
      else this.numbers[literals.push(literal) - 1] = i
    }
    this.scanner = new LiteralScanner(literals)
  }

  get size(): number {
    return this.signatures.length
  }

  /** The first signature, in the file's order, that matches bytes[from, to). */
  match(bytes: Uint8Array, from: number, to: number): ServiceMatch | undefined {
    const candidates = this.candidates
    candidates.length = 0
    this.scanner.scan(bytes, from, to, candidates)
    for (let i = 0; i < candidates.length; i++) candidates[i] = this.numbers[candidates[i]!]!
    candidates.push(...this.always)
    if (candidates.length === 0) return
    candidates.sort((a, b) => a - b)
    const payload = latin1(bytes, from, to)
    for (const i of candidates) {
      const { regex, service, title } = this.signatures[i]!
      const groups = regex.exec(payload)
      if (groups) return { service, application: expand(title, groups) }
    }
  }
}

let lastBytes: Uint8Array = new Uint8Array(0)
let lastBuffer: Buffer = Buffer.from(lastBytes.buffer)

/** Packets of one batch share their bytes, so the view is made once a batch. */
function latin1(bytes: Uint8Array, from: number, to: number): string {
  if (bytes !== lastBytes) {
    lastBytes = bytes
    lastBuffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }
  return lastBuffer.toString('latin1', from, to)
}

function parseSignature(line: string): Signature | string {
  const [service = '', template, ...rest] = line.split(',')
  if (template === undefined || rest.length === 0) {
    return 'expected service,v/name/version/misc/,expression'
  }
  const [, name = '', version, misc = ''] = template.split('/')
  if (version === undefined) return `expected v/name/version/misc/, not '${template}'`
  let title = name.slice(0, NAME_MAX)
  if (version) title += ` ${version.slice(0, VERSION_MAX)}`
  if (misc) title += ` (${misc.slice(0, MISC_MAX)})`
  try {
    return { service, title, ...compilePcre(rest.join(',')) }
  } catch (error) {
    return `the expression cannot be used: ${error instanceof Error ? error.message : error}`
  }
}

/** A group's text ends at its first NUL, as C's strings do; what comes behind `$` and its digit goes on. */
function expand(title: string, groups: RegExpExecArray): string {
  if (!title.includes('$')) return title
  let out = ''
  for (let i = 0; i < title.length; i++) {
    if (title[i] !== '$') {
      out += title[i]
      continue
    }
    const number = Number.parseInt(title.slice(++i), 10) || 0
    const text = groups[number] ?? ''
    const nul = text.indexOf('\0')
    out += nul < 0 ? text : text.slice(0, nul)
  }
  return out.slice(0, APPLICATION_MAX)
}
