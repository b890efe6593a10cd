import { inMacrotask } from './microtasks.ts'
import { type MutantOf, mutants, without } from './mutants.ts'
import { seenBy } from './seen.ts'
import { settingsFor } from './settings.ts'
import { Walk } from './walk.ts'

/** Seeds within which every mutant is to be caught. */
export const SEEDS_MAX = 1000

export interface Caught {
  /** Seeds run, with the one that caught it. */
  readonly seeds: number
  /** The invariant whose checker saw it, or the assertion in the code itself. */
  readonly by: string
}

/** Walks with one rule left out, until a checker sees it. */
export async function untilCaught(mutant: MutantOf, most = SEEDS_MAX): Promise<Caught | undefined> {
  for (let seed = 1; seed <= most; seed++) {
    const walk = new Walk({ ...settingsFor(seed), ...mutant.bias }, without(mutant))
    try {
      await inMacrotask(() => walk.run())
    } catch (error) {
      return { seeds: seed, by: seenBy(error) }
    }
  }
  return undefined
}

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
  for (const mutant of mutants) {
    const caught = await untilCaught(mutant)
    if (!caught) uncaught++
    const seen = caught ? `${caught.by} | ${caught.seeds}` : `nothing | over ${SEEDS_MAX}`
    say(`${mutant.name}: ${seen}`)
    text += `| ${mutant.rule} | ${mutant.race} | ${mutant.name} | ${seen} |\n`
  }
  return { text, uncaught }
}
