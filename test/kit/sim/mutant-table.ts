import type { HistoryEvent } from '../history/history.ts'
import { inMacrotask } from './microtasks.ts'
import { type MutantOf, mutants, without } from './mutants.ts'
import { seenBy } from './seen.ts'
import { settingsFor, type WalkSettings } from './settings.ts'
import { Walk } from './walk.ts'
import { checkWalkHistory } from './walk-history.ts'

/** Seeds within which every mutant is to be caught. */
export const SEEDS_MAX = 1000

export interface Caught {
  /** Seeds run, with the one that caught it. */
  readonly seeds: number
  /** The invariant whose checker saw it, or the assertion in the code itself. */
  readonly by: string
  /** What it said. */
  readonly what: string
}

/** The walk of a seed, as a mutant would have it. */
export function walkSettings(seed: number, mutant?: MutantOf): WalkSettings {
  const crashes = mutant?.inHistory ? { crashes: 0 } : {}
  return { ...settingsFor(seed), ...crashes, ...mutant?.bias }
}

/** Walks with one rule left out, until a checker sees it; or its scenario. */
export async function untilCaught(mutant: MutantOf, most = SEEDS_MAX): Promise<Caught | undefined> {
  const { scenario } = mutant
  if (scenario) {
    try {
      await inMacrotask(() => scenario(without(mutant)))
    } catch (error) {
      return { seeds: 1, by: `${seenBy(error)}, in a scenario`, what: textOf(error) }
    }
    return undefined
  }
  for (let seed = 1; seed <= most; seed++) {
    const walk = new Walk(walkSettings(seed, mutant), without(mutant))
    const history: HistoryEvent[] = []
    if (mutant.inHistory) walk.operations.onHistory = (event) => history.push(event)
    try {
      await inMacrotask(() => walk.run())
      checkWalkHistory(history)
    } catch (error) {
      return { seeds: seed, by: seenBy(error), what: textOf(error) }
    }
  }
  return undefined
}

const textOf = (error: unknown) => (error instanceof Error ? error.message : String(error))

/** What none of the product's assertions says: it is the mutant that is broken, as when what it replaces has changed. */
export const isBroken = ({ by }: Pick<Caught, 'by'>) =>
  /^an assertion: (?!invariant broken)/.test(by)

const HEAD = `# Mutants

Each rule of the protocol, the race that it closes, and what sees it when the rule is left out of the simulated
members: the invariant of the checker, or an assertion in the product's own code. Written by
\`npm run sim -- --mutants\`; the same seeds give the same table. \`npm run sim -- --mutant NAME\` shows one.

| rule | race | mutant | seen by | seeds until seen |
|---|---|---|---|---|
`

export async function writeTable(
  say: (line: string) => void,
): Promise<{ text: string; uncaught: number }> {
  let text = HEAD
  let uncaught = 0
  // Without a rule a member may break anywhere, also behind a walk that has failed: that is no end of the table.
  process.on('unhandledRejection', () => {})
  for (const mutant of mutants) {
    const caught = await untilCaught(mutant)
    if (!caught || isBroken(caught)) uncaught++
    const seen = caught ? `${caught.by} | ${caught.seeds}` : `nothing | over ${SEEDS_MAX}`
    say(`${mutant.name}: ${seen}`)
    text += `| ${mutant.rule} | ${mutant.race} | ${mutant.name} | ${seen} |\n`
  }
  return { text, uncaught }
}

const RULES_HEAD = '| rule | race it prevents | mutant |\n|---|---|---|\n'

/** ARCHITECTURE.md with its table of rules as the mutants have them. */
export function withRules(architecture: string): string {
  const rows = mutants.map(({ rule, race, name }) => `| ${rule} | ${race} | ${name} |\n`)
  const start = architecture.indexOf(RULES_HEAD)
  const end = architecture.indexOf('\n\n', start) + 1
  if (start < 0 || end === 0) throw new Error('ARCHITECTURE.md has no table of rules')
  return architecture.slice(0, start) + RULES_HEAD + rows.join('') + architecture.slice(end)
}
