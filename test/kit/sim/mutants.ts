import type { ClusterOptions } from './cluster.ts'
import { type Inside, insideOf } from './inside.ts'
import { actorMutants } from './mutants-actors.ts'
import { crashMutants } from './mutants-crash.ts'
import { linkMutants } from './mutants-links.ts'
import { placementMutants } from './mutants-placement.ts'
import type { Scenario } from './scenarios.ts'
import type { WalkSettings } from './settings.ts'

/** A rule of the protocol, the race that it closes, and how to leave it out of a simulated member. */
export interface MutantOf {
  readonly name: string
  readonly rule: string
  readonly race: string
  /** Settings of walks that come to the race more often. */
  readonly bias?: Partial<WalkSettings>
  /** A story that comes to the race, instead of walks. */
  readonly scenario?: Scenario
  /** Only the walk's history shows it. */
  readonly inHistory?: true
  readonly leaveOut: (inside: Inside) => void
}

const all = [...placementMutants, ...actorMutants, ...linkMutants, ...crashMutants]

/** In the order of their rules' numbers; rules without one come last. */
export const mutants: readonly MutantOf[] = all.sort((a, b) => numberOf(a) - numberOf(b))

function numberOf({ rule }: MutantOf): number {
  return Number.parseInt(rule, 10) || Number.MAX_SAFE_INTEGER
}

/** The mutant of that name; undefined if there is none. */
export function mutantNamed(name: string): MutantOf | undefined {
  return mutants.find((m) => m.name === name)
}

/** Leaves the rule out of every member of a walk. */
export function without(mutant: MutantOf | undefined): ClusterOptions['onMember'] {
  return mutant && ((body) => mutant.leaveOut(insideOf(body)))
}
