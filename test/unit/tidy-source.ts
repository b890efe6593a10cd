/**
 * Reads TypeScript as far as the tidy rules need it: what is code, what is comment, what is text, which
 * files it imports, which functions it has. A tokenizer of a screen, since TypeScript 7 has no stable API.
 */
import * as fs from 'node:fs'
import * as path from 'node:path'

/** A text literal: where it begins and what stands between its quotes. */
export interface Literal {
  readonly at: number
  readonly value: string
}

export interface Source {
  /** From the repository's root, with `/`. */
  readonly path: string
  readonly text: string
  /** The text with comments and the insides of literals blanked, so that offsets and lines stay. */
  readonly code: string
  /** The text with all but comments blanked. */
  readonly comments: string
  readonly literals: readonly Literal[]
  /** What relative specifiers resolve to, in order of appearance. */
  readonly imports: readonly Import[]
}

export interface Import {
  readonly specifier: string
  readonly target: string
  readonly line: number
}

export function parseSource(file: string, text: string): Source {
  const { code, comments, literals } = split(text)
  const imports = literals
    .filter(({ at, value }) => value.startsWith('.') && isSpecifier(code, at))
    .map(({ at, value }) => ({
      specifier: value,
      target: path.posix.join(path.posix.dirname(file), value),
      line: lineAt(text, at),
    }))
  return { path: file, text, code, comments, literals, imports }
}

const isSpecifier = (code: string, at: number) =>
  /\b(from|import|import\()\s*$/.test(code.slice(0, at))

export function lineAt(text: string, at: number): number {
  let line = 1
  for (let i = text.indexOf('\n'); i >= 0 && i < at; i = text.indexOf('\n', i + 1)) line++
  return line
}

/** All text files below `root` that are ours, as path and text. */
export function readTree(root: string, dir = ''): { path: string; text: string }[] {
  const items = fs.readdirSync(path.join(root, dir), { withFileTypes: true })
  return items.flatMap((item) => {
    const name = path.posix.join(dir, item.name)
    if (item.isDirectory()) return NOT_OURS.has(item.name) ? [] : readTree(root, name)
    if (!item.isFile() || !/\.(ts|mjs|md|sh|json)$/.test(item.name)) return []
    return [{ path: name, text: fs.readFileSync(path.join(root, name), 'utf8') }]
  })
}

const NOT_OURS = new Set(['node_modules', 'dist', '.git', '.rehome', 'golden'])

interface Split {
  code: string
  comments: string
  literals: Literal[]
}

const QUOTES = new Set(["'", '"', '`'])
/** After these a slash begins a regular expression, else it divides. */
const BEFORE_REGEX =
  /(^|[(,=:[!&|?{};+\-*%<>~^]|\b(return|typeof|case|in|of|do|else|yield|await))\s*$/

function split(text: string): Split {
  const code = [...blank(text)]
  const comments = [...blank(text)]
  const literals: Literal[] = []
  /** For each open `${`, the depth of braces at which it closes. */
  const templates: number[] = []
  let depth = 0
  let pos = 0
  const keep = (out: string[], end: number) => {
    for (; pos < end; pos++) out[pos] = text[pos] ?? ''
  }
  const literal = (end: number) => {
    code[pos] = text[pos] ?? ''
    literals.push({ at: pos, value: text.slice(pos + 1, end - 1) })
    pos = end
    code[end - 1] = text[end - 1] ?? ''
    if (text.startsWith('${', end - 2)) templates.push(depth++)
  }
  while (pos < text.length) {
    const c = text[pos] ?? ''
    const two = text.slice(pos, pos + 2)
    if (two === '//') keep(comments, endOf(text, '\n', pos))
    else if (two === '/*') keep(comments, endOf(text, '*/', pos + 2) + 2)
    else if (QUOTES.has(c)) literal(endOfLiteral(text, pos, c))
    else if (c === '/' && BEFORE_REGEX.test(lastCode(code, pos))) literal(endOfRegex(text, pos))
    else if (c === '}' && templates.at(-1) === depth - 1) {
      depth = templates.pop() ?? 0
      literal(endOfLiteral(text, pos, '`'))
    } else {
      if (c === '{') depth++
      if (c === '}') depth--
      keep(code, pos + 1)
    }
  }
  return { code: code.join(''), comments: comments.join(''), literals }
}

/** Splits by UTF-16 unit where the spread would split by code point: offsets must stay those of the text. */
const blank = (text: string): string[] => text.split('').map((c) => (c === '\n' ? c : ' '))

/** Enough of the code before `pos` to see what a slash there means. */
const lastCode = (code: string[], pos: number) => code.slice(Math.max(0, pos - 40), pos).join('')

function endOf(text: string, what: string, from: number): number {
  const at = text.indexOf(what, from)
  return at < 0 ? text.length : at
}

/** Past the closing quote, or past the `${` that interrupts a template. */
function endOfLiteral(text: string, from: number, quote: string): number {
  for (let i = from + 1; i < text.length; i++) {
    if (text[i] === '\\') i++
    else if (text[i] === quote) return i + 1
    else if (quote === '`' && text.startsWith('${', i)) return i + 2
  }
  return text.length
}

function endOfRegex(text: string, from: number): number {
  let inClass = false
  for (let i = from + 1; i < text.length; i++) {
    if (text[i] === '\\') i++
    else if (text[i] === '[') inClass = true
    else if (text[i] === ']') inClass = false
    else if (text[i] === '/' && !inClass) return i + 1
  }
  return text.length
}

export interface Fn {
  readonly name: string
  readonly line: number
  readonly lines: number
  /** True for the callback of a `describe`, which is a chapter rather than a function. */
  readonly chapter: boolean
}

/** Every function with a body in braces: found by its parameter list, then what follows it. */
export function functionsOf({ code }: Source): Fn[] {
  const found = new Map<number, Fn>()
  for (let open = code.indexOf('('); open >= 0; open = code.indexOf('(', open + 1)) {
    const before = code.slice(Math.max(0, open - 100), open)
    const body = NOT_A_FUNCTION.test(before) ? -1 : bodyAfter(code, closeOf(code, open) + 1)
    if (body < 0 || found.has(body)) continue
    const lines = code.slice(open, closeOf(code, body)).split('\n').length
    const chapter = /\b(describe|suite)\b[^()]*(\([^()]*\))?\([^()]*,\s*$/.test(before)
    found.set(body, { name: nameOf(before), line: lineAt(code, open), lines, chapter })
  }
  return [...found.values()]
}

/** The name before a parameter list: its own, or that of what it is bound to. */
function nameOf(before: string): string {
  const own = /([\w$]*)\s*(<[^()]*>)?\s*$/.exec(before)?.[1] ?? ''
  if (!['', 'async', 'return'].includes(own)) return own
  const bound = /(\w+)\s*(:[^=(),]*)?[:=]\s*(async\s*)?(<[^()]*>)?\s*$/.exec(before)
  return bound?.[1] ?? 'a function'
}

/** What stands before a parenthesis, then a brace, that are none of a function's. */
const NOT_A_FUNCTION = /\b(if|for|while|switch|catch|await|with|extends\s+[\w.$]+)\s*$/

/** Where the body begins behind a parameter list, or -1 where none does. */
function bodyAfter(code: string, from: number): number {
  let pos = skipSpace(code, from)
  if (code[pos] === ':') pos = skipSpace(code, skipType(code, pos + 1))
  if (code.startsWith('=>', pos)) pos = skipSpace(code, pos + 2)
  return code[pos] === '{' ? pos : -1
}

const TYPE_OPERATORS = new Set(['is', 'extends', 'keyof', 'typeof', 'readonly', 'asserts', 'infer'])

/** Past a return type: operands and operators in turn; a brace behind a whole operand is the body's. */
function skipType(code: string, from: number): number {
  let wanting = true
  let pos = from
  for (;;) {
    pos = skipSpace(code, pos)
    const c = code[pos] ?? ''
    const word = /^[\w$]+/.exec(code.slice(pos, pos + 80))?.[0]
    if (word !== undefined) {
      const operator = TYPE_OPERATORS.has(word)
      if (!wanting && !operator) return pos
      wanting = operator
      pos += word.length
    } else if (code.startsWith('=>', pos) && !wanting) {
      // The type's own arrow, unless it is the function's: then its body follows.
      if (code[skipSpace(code, pos + 2)] === '{') return pos
      wanting = true
      pos += 2
    } else if ('|&.?:'.includes(c) && c !== '') {
      wanting = true
      pos++
    } else if (QUOTES.has(c) && wanting) {
      wanting = false
      pos = endOfLiteral(code, pos, c)
    } else if (wanting ? '({['.includes(c) && c !== '' : c === '[' || c === '<') {
      wanting = false
      pos = closeOf(code, pos) + 1
    } else return pos
  }
}

function skipSpace(code: string, from: number): number {
  let pos = from
  while (/\s/.test(code[pos] ?? '')) pos++
  return pos
}

const PAIRS: Record<string, string> = { '(': ')', '{': '}', '[': ']', '<': '>' }

/** The bracket that closes the one at `open`. */
function closeOf(code: string, open: number): number {
  const opening = code[open] ?? ''
  const closing = PAIRS[opening] ?? ''
  let depth = 0
  for (let i = open; i < code.length; i++) {
    if (code[i] === opening) depth++
    else if (code[i] === closing && !(closing === '>' && code[i - 1] === '=') && --depth === 0)
      return i
  }
  return code.length
}
