import { Space } from '../actors/index.ts'
import { type Bus, ByteWriter, type Clock, wallMs } from '../bus/index.ts'
import type { NF } from '../nf-apps/index.ts'
import { type Entered, enter } from './enter.ts'
import { Instance, type InstanceReport } from './instance.ts'
import type { SpaceSettings } from './member.ts'
import type { ClusterSettings } from './settings.ts'
import { Source, type SourceOptions } from './source.ts'

export type OnError = (what: string, error: unknown) => void

/** An instance's last report stands in the register under this name and its number: it outlives the instance. */
export const LAST_REPORT = 'report.'
export interface LastReport {
  readonly report: InstanceReport
  /** `Latency.encode`, in base64. */
  readonly latency: string
}

function spaceSettings(nf: NF, settings: ClusterSettings): SpaceSettings {
  const { slotBits, placement, model } = settings
  return { types: nf.state, slotBits, placement, model }
}

/** A member's state schema: the NF's name and all its actors' layouts. */
function schemaOf(nf: NF, settings: ClusterSettings): string {
  const begin = () => new ByteWriter()
  const out = {
    begin,
    beginPart: begin,
    beginFurther: () => undefined,
    openParts: () => undefined,
    end: () => {},
    creditLeft: () => 0,
    consumed: () => {},
  }
  const clock = { now: () => 0, after: () => ({ cancel: () => {} }), soon: () => {} }
  return `${nf.name}: ${new Space({ ...spaceSettings(nf, settings), self: 0, out, clock }).schema}`
}

interface JoinOptions {
  readonly bus: Bus
  readonly clock: Clock
  readonly id: string
  readonly nf: NF
  readonly settings: ClusterSettings
  readonly onError: OnError
}

/** What a member is that is no source: it runs the NF, or has its actors (`remote-only`). */
export type InstanceRole = 'instance' | 'store'

/** Joins as an instance that runs the NF, or as its store. */
export function joinInstance(
  o: JoinOptions,
  env: unknown,
  role: InstanceRole = 'instance',
): Promise<Entered<Instance>> {
  const spaceOf = { ...spaceSettings(o.nf, o.settings), isStore: role === 'store' }
  return enter({
    ...o,
    role,
    schema: schemaOf(o.nf, o.settings),
    slotBits: o.settings.slotBits,
    make: (ports) => new Instance(o.id, o.nf, env, { ...ports, wallMs }, spaceOf),
    beforeGone: async (instance) => {
      const w = new ByteWriter()
      instance.intake.latency.encode(w)
      const latency = Buffer.from(w.take()).toString('base64')
      const last: LastReport = { report: instance.report(), latency }
      const bytes = new TextEncoder().encode(JSON.stringify(last))
      await o.bus.register.set(LAST_REPORT + instance.report().no, bytes)
    },
  })
}

/** Joins as a source of packets; also to ask a cluster for figures. */
export function joinSource(
  o: JoinOptions,
  options: Omit<SourceOptions, 'wallMs'>,
): Promise<Entered<Source>> {
  return enter({
    ...o,
    role: 'steerer',
    schema: schemaOf(o.nf, o.settings),
    slotBits: o.settings.slotBits,
    make: (ports) =>
      new Source(o.nf, ports, spaceSettings(o.nf, o.settings), { ...options, wallMs }),
  })
}
