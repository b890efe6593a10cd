import type { PlacementKind, StateModel } from '../actors/index.ts'
import { type Register, RehomeError } from '../bus/index.ts'
import { builtIn, type NF, type OptionValues } from '../nf-apps/index.ts'

/** What every member of a cluster must agree on; it stands in the register, so that an instance can join by hand. */
export interface ClusterSettings {
  readonly nf: string
  readonly options: OptionValues
  readonly placement: PlacementKind
  readonly model: StateModel
  readonly slotBits: number
}

const NAME = 'settings'

export function findNF(name: string): NF {
  const nf = builtIn.find((one) => one.name === name)
  if (nf) return nf
  const known = builtIn.map((one) => one.name).join(', ')
  throw new RehomeError('bad-argument', `there is no NF '${name}'; there are ${known}`)
}

export async function writeSettings(register: Register, settings: ClusterSettings): Promise<void> {
  await register.set(NAME, new TextEncoder().encode(JSON.stringify(settings)))
}

/** The settings of a cluster that runs; `bad-argument` if there is none of that name. */
export async function readSettings(register: Register, cluster: string): Promise<ClusterSettings> {
  const entry = await register.get(NAME)
  if (!entry) {
    throw new RehomeError('bad-argument', `there is no cluster '${cluster}' on that NATS server`)
  }
  return JSON.parse(new TextDecoder().decode(entry.value)) as ClusterSettings
}
