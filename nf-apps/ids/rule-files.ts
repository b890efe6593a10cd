import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { RehomeError } from '../../bus/index.ts'
import {
  type Classification,
  defaultClassification,
  parseClassification,
} from './classification.ts'
import { compileRules } from './compile.ts'
import { Variables } from './nets.ts'
import { parseRules, type Refusal, type Rule, refusalText } from './rules.ts'
import type { Signature } from './signature.ts'

export interface RuleOptions {
  readonly files: readonly string[]
  readonly variables?: readonly string[]
  readonly classification?: string | undefined
  /** Also rules that are commented out. */
  readonly disabled?: boolean
  /** Rules of our own, behind those of the files. */
  readonly own?: string
}

export interface LoadedRules {
  readonly signatures: readonly Signature[]
  readonly refused: readonly Refusal[]
  /** Of everything that decides what is found. */
  readonly digest: string
}

/** Rules from files. Those that cannot be honoured are listed; a file without any that can is an error. */
export function loadRules(options: RuleOptions): LoadedRules {
  const texts = options.files.map((file) => ({ file, text: readText(file) }))
  if (options.own) texts.push({ file: 'detectors', text: options.own })
  return compileTexts(texts, options)
}

/** Rules from texts: `file` is what messages call them. */
export function compileTexts(
  texts: readonly { file: string; text: string }[],
  options: Omit<RuleOptions, 'files'> = {},
): LoadedRules {
  const rules: Rule[] = []
  const refused: Refusal[] = []
  for (const { file, text } of texts) {
    const parsed = parseRules(text, file, options.disabled)
    if (parsed.rules.length === 0 && parsed.refused.length > 0) {
      throw new RehomeError('bad-input', refusalText(parsed.refused[0]!))
    }
    rules.push(...parsed.rules)
    refused.push(...parsed.refused)
  }
  const { classification: file } = options
  const classes: Classification =
    file === undefined ? defaultClassification : parseClassification(readText(file), file)
  const compiled = compileRules(rules, new Variables(options.variables), classes)
  const hash = createHash('sha256')
  for (const { text } of texts) hash.update(text)
  hash.update(JSON.stringify([options.variables ?? [], options.disabled ?? false, [...classes]]))
  return {
    signatures: compiled.signatures,
    refused: [...refused, ...compiled.refused],
    digest: hash.digest('hex').slice(0, 16),
  }
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'latin1')
  } catch (error) {
    const why = error instanceof Error && 'code' in error ? String(error.code) : 'unreadable'
    throw new RehomeError('bad-input', `${file} cannot be read: ${why}`, { file })
  }
}
