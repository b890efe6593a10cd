import { type Bus, PROTOCOL_VERSION, systemClock } from '../bus/index.ts'
import { type Entered, enter, Instance, Source } from '../cli/index.ts'
import type { NF, StateMap } from '../nf-apps/index.ts'
import { SLOT_BITS } from '../placement/index.ts'

export const wallMs = () => performance.timeOrigin + performance.now()

const onError = (what: string, error: unknown) => {
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
const settings = (types: StateMap) => ({ types, slotBits: SLOT_BITS })

/** Joins as an instance that runs the NF, as `rehome instance` does. */
export function joinInstance(bus: Bus, id: string, nf: NF): Promise<Entered<Instance>> {
  const make = (ports: ConstructorParameters<typeof Source>[1]) =>
    new Instance(id, nf, nf.setup({}), { ...ports, wallMs }, settings(nf.state))
  return enter({ ...base(bus, id, nf), role: 'instance', make })
}

/** Joins as a source of packets. `dueMs` is the time at which the packet that is being offered was due. */
export function joinSource(bus: Bus, nf: NF, dueMs: () => number): Promise<Entered<Source>> {
  const options = { wallMs: dueMs, flipsPerStep: 128, flipEveryMs: 5, batchPacketsMax: 64 }
  const make = (ports: ConstructorParameters<typeof Source>[1]) =>
    new Source(nf, ports, settings(nf.state), options)
  return enter({ ...base(bus, 'source', nf), role: 'steerer', make })
}

/** Waits until it is so. */
export async function until(done: () => boolean, withinMs = 60_000): Promise<void> {
  const end = performance.now() + withinMs
  while (!done()) {
    if (performance.now() > end) throw new Error('the bench waited in vain')
    await new Promise((resolve) => setImmediate(resolve))
  }
}

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
