import type { ClusterOptions } from './cluster.ts'
export interface Mutant {
  readonly name: string
  readonly rule: string
  readonly race: string
  readonly leaveOut: NonNullable<ClusterOptions['onMember']>
}
export const mutants: readonly Mutant[] = []
export function mutantNamed(name: string): Mutant | undefined {
  return mutants.find((m) => m.name === name)
}
export async function writeMutants(_folder: string): Promise<number> {
  return 0
}
