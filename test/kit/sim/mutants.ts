import type { ClusterOptions } from './cluster.ts'
import { type Inside, insideOf } from './inside.ts'
import { actorMutants } from './mutants-actors.ts'
import { linkMutants } from './mutants-links.ts'
import { placementMutants } from './mutants-placement.ts'
import type { WalkSettings } from './settings.ts'

/** A rule of the protocol, the race that it closes, and how to leave it out of a simulated member. */
export interface MutantOf {
  readonly name: string
  readonly rule: string
  readonly race: string
  /** Settings of walks that come to the race more often. */
  readonly bias?: Partial<WalkSettings>
  readonly leaveOut: (inside: Inside) => void
}

export const mutants: readonly MutantOf[] = [...placementMutants, ...actorMutants, ...linkMutants]

export function mutantNamed(name: string): MutantOf | undefined {
  return mutants.find((m) => m.name === name)
}

/** Leaves the rule out of every member of a walk. */
export function without(mutant: MutantOf | undefined): ClusterOptions['onMember'] {
  return mutant && ((body) => mutant.leaveOut(insideOf(body)))
}
