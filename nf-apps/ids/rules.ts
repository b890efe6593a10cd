/**
 * The rule language's outer form: lines, header, options. What the words mean is the compilers' business.
 *
 *     alert tcp $EXTERNAL_NET any -> $HOME_NET [80,8080:8090] (msg:"…"; content:"abc"; sid:1;)
 */

export interface RuleOption {
  readonly name: string
  /** Behind the colon, trimmed; undefined where there is no colon. */
  readonly value: string | undefined
}

export interface Rule {
  readonly file: string
  readonly line: number
  readonly action: string
  readonly protocol: string
  readonly source: string
  readonly sourcePorts: string
  readonly bothWays: boolean
  readonly destination: string
  readonly destinationPorts: string
  readonly options: readonly RuleOption[]
}

/** A rule that is not honoured, and why: it is left out whole, never half applied. */
export interface Refusal {
  readonly file: string
  readonly line: number
  readonly sid: number
  /** The option that it is about, or 'header'. */
  readonly option: string
  readonly reason: string
}

export function refusalText(r: Refusal): string {
  const sid = r.sid > 0 ? ` (sid ${r.sid})` : ''
  return `${r.file}:${r.line}: ${r.option}: ${r.reason}${sid}`
}

/** What a compiler throws of an option it cannot honour. */
export class Unsupported extends Error {
  readonly option: string

  constructor(option: string, reason: string) {
    super(reason)
    this.option = option
  }
}

/** What a table has for a word of a rule file, which may be a word that any object has, such as `constructor`. */
export function known<T>(table: Readonly<Record<string, T>>, word: string): T | undefined {
  return Object.hasOwn(table, word) ? table[word] : undefined
}

export interface ParsedRules {
  readonly rules: Rule[]
  readonly refused: Refusal[]
}

const ACTIONS = 'alert|log|pass|drop|reject|sdrop|rejectsrc|rejectdst|rejectboth|block'
const STARTS = new RegExp(`^(?:${ACTIONS})\\s`)
const SWITCHED_OFF = new RegExp(`^#+\\s*((?:${ACTIONS})\\s.*\\(.*\\)\\s*)$`)

/** Rules of a file's text (latin1: a byte a character). `disabled` takes in those that are commented out. */
export function parseRules(text: string, file: string, disabled = false): ParsedRules {
  const rules: Rule[] = []
  const refused: Refusal[] = []
  for (const { line, text: written } of logicalLines(text)) {
    const rule = enabled(written, disabled)
    if (rule === undefined) continue
    try {
      rules.push(parseRule(rule, file, line))
    } catch (error) {
      if (!(error instanceof Unsupported)) throw error
      const sid = Number(/[;(]\s*sid\s*:\s*(\d+)/.exec(rule)?.[1] ?? 0)
      refused.push({ file, line, sid, option: error.option, reason: error.message })
    }
  }
  return { rules, refused }
}

function enabled(line: string, disabled: boolean): string | undefined {
  const trimmed = line.trim()
  if (trimmed === '') return undefined
  if (!trimmed.startsWith('#')) return trimmed
  return disabled ? SWITCHED_OFF.exec(trimmed)?.[1]?.trim() : undefined
}

/** Lines with those joined that end in a backslash; each with the number of its first. */
function* logicalLines(text: string): Generator<{ line: number; text: string }> {
  let joined = ''
  let first = 1
  const lines = text.split(/\r?\n/)
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i]!
    if (joined === '') first = i + 1
    if (line.endsWith('\\')) {
      joined += `${line.slice(0, -1)} `
      continue
    }
    yield { line: first, text: joined + line }
    joined = ''
  }
  if (joined !== '') yield { line: first, text: joined }
}

function parseRule(text: string, file: string, line: number): Rule {
  if (!STARTS.test(text)) throw new Unsupported('header', `a rule starts with ${ACTIONS}`)
  const open = text.indexOf('(')
  if (open < 0 || !text.endsWith(')')) throw new Unsupported('header', 'no options in (…)')
  const words = headerWords(text.slice(0, open))
  const [action, protocol, source, sourcePorts, arrow, destination, destinationPorts] = words
  if (words.length !== 7 || (arrow !== '->' && arrow !== '<>')) {
    const form = 'action protocol source ports -> destination ports'
    throw new Unsupported('header', `the form is: ${form}`)
  }
  return {
    file,
    line,
    action: action!,
    protocol: protocol!.toLowerCase(),
    source: source!,
    sourcePorts: sourcePorts!,
    bothWays: arrow === '<>',
    destination: destination!,
    destinationPorts: destinationPorts!,
    options: splitOptions(text.slice(open + 1, -1)),
  }
}

/** Words apart by blanks; those inside […] belong to the word. */
function headerWords(header: string): string[] {
  const words: string[] = []
  let depth = 0
  let word = ''
  for (const c of header) {
    if (c === '[') depth++
    if (c === ']') depth--
    if (/\s/.test(c)) {
      if (depth === 0 && word !== '') {
        words.push(word)
        word = ''
      }
    } else word += c
  }
  if (depth !== 0) throw new Unsupported('header', 'unbalanced [ ]')
  if (word !== '') words.push(word)
  return words
}

/** Options end at a semicolon that is neither quoted nor escaped. */
function splitOptions(body: string): RuleOption[] {
  const options: RuleOption[] = []
  let start = 0
  let quoted = false
  for (let i = 0; i < body.length; i++) {
    const c = body[i]
    if (c === '\\') i++
    else if (c === '"') quoted = !quoted
    else if (c === ';' && !quoted) {
      const option = body.slice(start, i).trim()
      if (option !== '') options.push(splitOption(option))
      start = i + 1
    }
  }
  const rest = body.slice(start).trim()
  if (quoted) throw new Unsupported('header', 'a quote is not closed')
  if (rest !== '') throw new Unsupported(splitOption(rest).name, 'no ; behind the last option')
  return options
}

function splitOption(option: string): RuleOption {
  const colon = option.indexOf(':')
  if (colon < 0) return { name: option, value: undefined }
  return { name: option.slice(0, colon).trim(), value: option.slice(colon + 1).trim() }
}
