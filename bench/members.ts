import type { PlacementKind, StateModel } from '../actors/index.ts'
import { type Bus, PROTOCOL_VERSION, systemClock, wallMs } from '../bus/index.ts'
import { type Entered, enter, Instance, Source } from '../cli/index.ts'
import type { NF, OptionValues, StateMap } from '../nf-apps/index.ts'
import { SLOT_BITS } from '../placement/index.ts'

type SourceOptions = ConstructorParameters<typeof Source>[3]

export const onError = (what: string, error: unknown) => {
  process.stderr.write(`bench: ${what}: ${error}\n`)
}
const base = (bus: Bus, id: string, nf: NF) => ({
  bus,
  id,
  clock: systemClock(),
  protocol: PROTOCOL_VERSION,
  schema: nf.name,
  slotBits: SLOT_BITS,
  onError,
})
/** How a bench's cluster differs from a shared space of aligned keys. */
export interface Setup {
  readonly options?: OptionValues
  readonly model?: StateModel
  readonly placement?: PlacementKind
}
const settings = (types: StateMap, { model = 'shared', placement = 'aligned' }: Setup) => ({
  types,
  slotBits: SLOT_BITS,
  model,
  placement,
})

/** Joins as an instance that runs the NF, as `rehome instance` does, or as the store of `remote-only`. */
export function joinInstance(
  bus: Bus,
  id: string,
  nf: NF,
  setup: Setup = {},
  role: 'instance' | 'store' = 'instance',
): Promise<Entered<Instance>> {
  const spaceOf = { ...settings(nf.state, setup), isStore: role === 'store' }
  const make = (ports: ConstructorParameters<typeof Source>[1]) =>
    new Instance(id, nf, nf.setup(optionsOf(nf, setup)), { ...ports, wallMs }, spaceOf)
  return enter({ ...base(bus, id, nf), role, make })
}

/** Joins as a source of packets. `dueMs` is the time at which the packet that is being offered was due. */
export function joinSource(
  bus: Bus,
  nf: NF,
  dueMs: () => number,
  setup: Setup = {},
  more: Partial<SourceOptions> = {},
): Promise<Entered<Source>> {
  const flipsPerStep = setup.model === 'stop-and-sync' ? 2 ** SLOT_BITS : 128
  const usual = { wallMs: dueMs, flipsPerStep, flipEveryMs: 5, batchPacketsMax: 64 }
  const options = { ...usual, ...more }
  const make = (ports: ConstructorParameters<typeof Source>[1]) =>
    new Source(nf, ports, settings(nf.state, setup), options)
  return enter({ ...base(bus, 'source', nf), role: 'steerer', make })
}

/** What is not given is as the NF has it, as on the command line. */
function optionsOf(nf: NF, { options = {} }: Setup): OptionValues {
  const own = Object.entries(nf.options).map(([name, o]) => [name, options[name] ?? o.default])
  return Object.fromEntries(own) as OptionValues
}

/** Waits until it is so. */
export async function until(done: () => boolean, withinMs = 60_000): Promise<void> {
  const end = performance.now() + withinMs
  while (!done()) {
    if (performance.now() > end) throw new Error('the bench waited in vain')
    await new Promise((resolve) => setImmediate(resolve))
  }
}

/** Calls, commands or turns under way at once, of each arm that is compared by them. */
export const AT_ONCE = 1024

/** Runs `count` of something, at most `atOnce` of them at a time. */
export function inFlight(
  count: number,
  atOnce: number,
  one: (n: number) => unknown,
): Promise<number> {
  let begun = 0
  let ended = 0
  return new Promise((resolve, reject) => {
    const onEnd = () => {
      if (++ended === count) resolve(count)
      else if (begun < count) begin()
    }
    const begin = () => {
      const result = one(begun++)
      if (result instanceof Promise) result.then(onEnd, reject)
      else queueMicrotask(onEnd)
    }
    while (begun < Math.min(atOnce, count)) begin()
  })
}
