import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
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

/** An NF by the name of one that is built in, or from a JavaScript module: its only, or its default, NF. */
export async function loadNF(name: string): Promise<NF> {
  const nf = builtIn.find((one) => one.name === name)
  if (nf) return nf
  if (/\.m?js$/.test(name)) return importNF(name)
  const known = builtIn.map((one) => one.name).join(', ')
  const what = `there is no NF '${name}'; there are ${known}, and modules (./my-nf.js)`
  throw new RehomeError('bad-argument', what)
}

async function importNF(file: string): Promise<NF> {
  let module: Record<string, unknown>
  try {
    module = await import(pathToFileURL(resolve(file)).href)
  } catch (error) {
    const why = error instanceof Error ? error.message.split('\n')[0] : String(error)
    throw new RehomeError('bad-argument', `${file} cannot be loaded: ${why}`)
  }
  const found = [module.default, ...Object.values(module)].find(isNF)
  if (!found) throw new RehomeError('bad-argument', `${file} exports no NF (defineNF)`)
  return found
}

function isNF(value: unknown): value is NF {
  return typeof value === 'object' && value !== null && 'onPacket' in value && 'state' in value
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
