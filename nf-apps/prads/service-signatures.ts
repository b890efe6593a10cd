import { AhoCorasick, Regex } from '../pattern/index.ts'

/** What a payload tells of the program that sent it. */
export interface ServiceMatch {
  readonly service: string
  readonly application: string
}
interface Signature {
  readonly service: string
  /** `Name version (misc)`, with $1 … for what the expression's groups matched. */
  readonly title: string
  readonly regex: Regex
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
  /** Those without bytes that must be there. */
  private readonly always: number[] = []
  private readonly scanner: AhoCorasick
  private readonly candidates: number[] = []
  private readonly found = (i: number): void => {
    if (!this.candidates.includes(i)) this.candidates.push(i)
  }

  /** What cannot be used is left out and told in `problems`, by file and line. */
  constructor(file: string, text: string, problems: string[]) {
    for (const [i, line] of text.split('\n').entries()) {
      if (line === '' || line.startsWith('#')) continue
      const signature = parseSignature(line)
      if (typeof signature === 'string') problems.push(`${file}:${i + 1}: ${signature}`)
      else this.signatures.push(signature)
    }
    const literals: Uint8Array[] = []
    const numbers: number[][] = []
    for (const [i, { regex }] of this.signatures.entries()) {
      if (regex.literal.length === 0) this.always.push(i)
      else numbers[literals.push(regex.literal) - 1] = [i]
    }
    this.scanner = new AhoCorasick(literals, numbers)
  }

  get size(): number {
    return this.signatures.length
  }

  /** The first signature, in the file's order, that matches bytes[from, to). */
  match(bytes: Uint8Array, from: number, to: number): ServiceMatch | undefined {
    const candidates = this.candidates
    candidates.length = 0
    this.scanner.search(bytes, from, to, this.found)
    candidates.push(...this.always)
    candidates.sort((a, b) => a - b)
    for (const i of candidates) {
      const { regex, service, title } = this.signatures[i]!
      if (regex.search(bytes, from, to))
        return { service, application: expand(title, regex, bytes) }
    }
  }
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
    return { service, title, regex: new Regex(rest.join(','), '', title.includes('$')) }
  } catch (error) {
    return `the expression cannot be used: ${error instanceof Error ? error.message : error}`
  }
}

/** A group's text ends at its first NUL, as C's strings do; what comes behind `$` and its digit goes on. */
function expand(title: string, regex: Regex, bytes: Uint8Array): string {
  if (!title.includes('$')) return title
  let out = ''
  for (let i = 0; i < title.length; i++) {
    if (title[i] !== '$') {
      out += title[i]
      continue
    }
    const number = Number.parseInt(title.slice(++i), 10) || 0
    const [from, to] = regex.group(number) ?? [0, 0]
    for (let at = from; at < to && bytes[at] !== 0; at++) out += String.fromCharCode(bytes[at]!)
  }
  return out.slice(0, APPLICATION_MAX)
}
