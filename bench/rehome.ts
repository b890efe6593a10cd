import { numberKey } from '../actors/index.ts'
import type { Instance } from '../cli/index.ts'
import type { Handles } from '../nf-apps/index.ts'
import { SLOT_BITS, slotOf } from '../placement/index.ts'
import type { Bench, BenchOptions, Row } from './bench.ts'
import { counters } from './counters.ts'
import { median, rate, type Sample } from './measure.ts'
import { inFlight, joinInstance, until } from './members.ts'
import { twoBuses } from './pair.ts'

/** Turns that wait for their actors at once, of all those whose packets come in a burst. */
const AT_ONCE = 8192

const handlesOf = (instance: Instance) =>
  instance.member.space.handles as Handles<typeof counters.state>

/** One process has both instances: their work is done one after the other, so two machines do better. */
async function over(kind: 'memory' | 'nats', o: BenchOptions): Promise<Row[]> {
  const actors = o.tiny ? 500 : 100_000
  const ground = await twoBuses(kind)
  const [first, second] = ground.buses
  const a = await joinInstance(first, 'i1', counters)
  for (let n = 0; n < actors; n++) void handlesOf(a.body).counters.at(n).addAndGet(1)
  const b = await joinInstance(second, 'i2', counters)
  const drained = await drain(b.body, actors)
  await until(() => a.body.member.space.quiet && b.body.member.space.quiet)
  const visits: Sample[] = []
  const rounds = o.tiny ? 2 : 7
  for (let round = 0; round < rounds; round++) {
    const { flows } = handlesOf((round % 2 === 0 ? a : b).body)
    const start = performance.now()
    const cpu = process.cpuUsage()
    const touch = (n: number) => flows.with(n, (flow) => void flow.packets++)
    const count = await inFlight(actors, AT_ONCE, touch)
    const { user, system } = process.cpuUsage(cpu)
    const sample = { count, wallMs: performance.now() - start, cpuMs: (user + system) / 1000 }
    if (round > 0) visits.push(sample) // the first one makes them
  }
  a.stop()
  b.stop()
  await ground.close()
  return [
    {
      what: `${kind}: rehomed on first access`,
      value: median(visits.map(rate)),
      unit: '/s',
      goal: { least: 300_000 },
      samples: { visits },
      note: `${actors} actors there and back, ${AT_ONCE} turns waiting at once`,
    },
    {
      what: `${kind}: rehomed in the background drain`,
      value: rate(drained),
      unit: '/s',
      goal: { least: 500_000 },
      samples: { drained: [drained] },
      note: `${drained.count} actors to the instance that joins, tokens included`,
    },
  ]
}

/** From the first actor's arrival to the last one's. */
async function drain(to: Instance, actors: number): Promise<Sample> {
  const { space } = to.member
  const owner = to.member.view!.owner
  const words = new Uint32Array(2)
  let due = 0
  for (let n = 0; n < actors; n++) {
    if (owner[slotOf(numberKey.write(n, words), SLOT_BITS)] === space.core.self) due++
  }
  const start = performance.now()
  const cpu = process.cpuUsage()
  await until(() => space.stats.rehomedIn >= due)
  const { user, system } = process.cpuUsage(cpu)
  return { count: due, wallMs: performance.now() - start, cpuMs: (user + system) / 1000 }
}

export const rehome: Bench = {
  name: 'rehome',
  summary:
    'actors/s that rehome on first access, and in the background drain, over memory and over NATS',
  async run(o) {
    return [...(await over('memory', o)), ...(await over('nats', o))]
  },
}
