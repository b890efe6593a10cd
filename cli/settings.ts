import type { PlacementKind, StateModel } from '../actors/index.ts'
import { type Register, RehomeError } from '../bus/index.ts'
import type { OptionValues } from '../nf-apps/index.ts'

/** What every member of a cluster must agree on; it stands in the register, so that an instance can join by hand. */
export interface ClusterSettings {
  readonly nf: string
  readonly options: OptionValues
  readonly placement: PlacementKind
  readonly model: StateModel
  readonly slotBits: number
}

const NAME = 'settings'

/** Founds a cluster; `bad-argument` if there is one of that name, whose members would be taken for ours. */
export async function writeSettings(
  register: Register,
  cluster: string,
  settings: ClusterSettings,
): Promise<void> {
  const bytes = new TextEncoder().encode(JSON.stringify(settings))
  if ((await register.put(NAME, bytes, 0)) !== undefined) return
  throw new RehomeError(
    'bad-argument',
    `there is a cluster '${cluster}' on that NATS server already`,
  )
}

/** Takes a cluster that has ended out of the register; its settings go last. */
export async function removeCluster(register: Register): Promise<void> {
  const names = new Set<string>()
  const watch = await register.watch('', (name, entry) => {
    if (entry) names.add(name)
  })
  watch.stop()
  names.delete(NAME)
  for (const name of names) await register.remove(name)
  await register.remove(NAME)
}

/** Tells when the cluster has ended. */
export function onClusterEnd(register: Register, ended: () => void): Promise<{ stop(): void }> {
  return register.watch(NAME, (_name, entry) => {
    if (!entry) ended()
  })
}

/** The settings of a cluster that runs; `bad-argument` if there is none of that name. */
export async function readSettings(register: Register, cluster: string): Promise<ClusterSettings> {
  const entry = await register.get(NAME)
  if (!entry) {
    throw new RehomeError('bad-argument', `there is no cluster '${cluster}' on that NATS server`)
  }
  return JSON.parse(new TextDecoder().decode(entry.value)) as ClusterSettings
}
