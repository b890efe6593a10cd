import { RehomeError } from '../../bus/index.ts'
import type { OptionValues } from '../nf.ts'
import { passwordRules, portScanRules } from './detectors.ts'
import { Engine } from './engine.ts'
import { loadRules } from './rule-files.ts'
import { RuleSet } from './rule-set.ts'
import { type Refusal, refusalText } from './rules.ts'
import type { Signature } from './signature.ts'
import type { IdsActors } from './state.ts'

const FORMATS = ['eve', 'fast', 'hosts', 'rules'] as const
export type Format = (typeof FORMATS)[number]

/** What an instance has besides its actors; nothing of it changes with the packets. */
export class Environment {
  readonly signatures: readonly Signature[]
  readonly refused: readonly Refusal[]
  readonly digest: string
  readonly engine: Engine
  readonly format: Format
  private announced = false

  constructor(options: OptionValues) {
    const { rules, var: variables, classification, format = 'eve' } = options
    const files = listOf(rules)
    const own = ownRules(options)
    if (files.length === 0 && own === '') {
      throw new RehomeError('bad-argument', 'ids needs rules: --rules FILE')
    }
    const known = FORMATS.find((f) => f === format)
    if (known === undefined) {
      throw new RehomeError('bad-argument', `--format ${String(format)}: ${FORMATS.join(', ')}`)
    }
    const loaded = loadRules({
      files,
      variables: listOf(variables),
      classification: typeof classification === 'string' ? classification : undefined,
      disabled: options['all-rules'] === true,
      own,
    })
    if (loaded.signatures.length === 0) {
      const [first] = loaded.refused
      const none = `${files.join(', ')}: no rule is switched on (--all-rules takes in all)`
      throw new RehomeError('bad-input', first ? refusalText(first) : none)
    }
    this.format = known
    this.signatures = loaded.signatures
    this.refused = loaded.refused
    this.digest = loaded.digest
    this.engine = new Engine(new RuleSet(loaded.signatures), options['no-midstream'] !== true)
  }

  /** Tells the others once which rules are loaded here. */
  announce(configuration: IdsActors['configuration']): void {
    if (this.announced) return
    this.announced = true
    configuration.announce(this.digest)
  }
}

function ownRules(options: OptionValues): string {
  const scan = options['port-scan']
  const passwords = options['password-guessing']
  return [
    typeof scan === 'string' ? portScanRules(scan) : '',
    typeof passwords === 'string' ? passwordRules(passwords) : '',
  ].join('')
}

function listOf(value: OptionValues[string]): readonly string[] {
  if (typeof value === 'string') return [value]
  return Array.isArray(value) ? value : []
}
