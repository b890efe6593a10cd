import { numberKey } from '../actors/index.ts'
import { NatsBus } from '../bus/index.ts'
import { type Instance, rehearse, tuneEngine } from '../cli/index.ts'
import type { Handles } from '../nf-apps/index.ts'
import { SLOT_BITS, slotOf } from '../placement/index.ts'
import type { Bench, BenchOptions, Row } from './bench.ts'
import { counters } from './counters.ts'
import { median, rate, type Sample } from './measure.ts'
import { inFlight, joinInstance, onError, until } from './members.ts'
import { natsGround, twoBuses } from './pair.ts'

/** Turns that wait for their actors at once, of all those whose packets come in a burst. */
const AT_ONCE = 8192
/** Clusters whose drains are measured: the engine still compiles in the first ones. */
const DRAINS = 5
/** Actors of the rows with a goal; the others show how the rate goes with their number. */
const USUAL = 100_000
const OTHERS = [10_000, 1_000_000]

const handlesOf = (instance: Instance) =>
  instance.member.space.handles as Handles<typeof counters.state>

/** One process has both instances: their work is done one after the other, so two machines do better. */
async function over(
  kind: 'memory' | 'nats',
  actors: number,
  clusters: number,
  o: BenchOptions,
): Promise<Row[]> {
  const isUsual = actors === USUAL
  const drains: Sample[] = []
  const visits: Sample[] = []
  for (let cluster = clusters; cluster > 0; cluster--) {
    const ground = await twoBuses(kind)
    const [first, second] = ground.buses
    const a = await joinInstance(first, 'i1', counters)
    for (let n = 0; n < actors; n++) void handlesOf(a.body).counters.at(n).addAndGet(1)
    const b = await joinInstance(second, 'i2', counters)
    drains.push(await drain(b.body, actors))
    await until(() => a.body.member.space.quiet && b.body.member.space.quiet)
    if (cluster === 1) visits.push(...(await visitsOf([a.body, b.body], actors, o)))
    a.stop()
    b.stop()
    await ground.close()
  }
  const visited = median(visits.map(rate))
  const drained = median(drains.map(rate))
  const of = isUsual ? '' : `, ${actors} actors`
  return [
    {
      what: `${kind}: rehomed on first access${of}`,
      value: visited,
      unit: '/s',
      ...(isUsual ? { goal: { least: 300_000 } } : {}),
      series: { [`first access, ${kind}`]: [[actors, visited]] },
      samples: { visits },
      note: `${actors} actors there and back, ${AT_ONCE} turns waiting at once`,
    },
    {
      what: `${kind}: rehomed in the background drain${of}`,
      value: drained,
      unit: '/s',
      ...(isUsual ? { goal: { least: 500_000 } } : {}),
      series: { [`background drain, ${kind}`]: [[drains[0]!.count, drained]] },
      samples: { drains },
      note: `${drains[0]!.count} actors to the instance that joins, tokens included; one cluster after the other: ${drains.map((d) => `${Math.round(rate(d) / 1000)} k`).join(', ')}`,
    },
  ]
}

/** All actors there and back again, touched by the one and then the other. */
async function visitsOf(
  instances: readonly [Instance, Instance],
  actors: number,
  o: BenchOptions,
): Promise<Sample[]> {
  const visits: Sample[] = []
  const rounds = o.tiny ? 2 : 7
  for (let round = 0; round < rounds; round++) {
    const { flows } = handlesOf(instances[round % 2 === 0 ? 0 : 1])
    const start = performance.now()
    const cpu = process.cpuUsage()
    const touch = (n: number) => flows.with(n, (flow) => void flow.packets++)
    const count = await inFlight(actors, AT_ONCE, touch)
    const { user, system } = process.cpuUsage(cpu)
    const sample = { count, wallMs: performance.now() - start, cpuMs: (user + system) / 1000 }
    if (round > 0) visits.push(sample) // the first one makes them
  }
  return visits
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

/** As an instance does before it joins: by memory and by NATS. */
async function rehearsed(): Promise<void> {
  const nats = await natsGround()
  const bus = await NatsBus.connect({ servers: nats.url, cluster: 'bench', name: 'rehearsal' })
  await rehearse(onError, bus)
  await bus.close()
  await nats.close()
}

export const rehome: Bench = {
  name: 'rehome',
  summary:
    'actors/s that rehome on first access, and in the background drain, over memory and over NATS',
  async run(o) {
    tuneEngine('shared')
    await rehearsed()
    const usual = o.tiny ? 500 : USUAL
    const clusters = o.tiny ? 1 : DRAINS
    const rows = await over('memory', usual, clusters, o)
    rows.push(...(await over('nats', usual, clusters, o)))
    for (const actors of o.tiny ? [] : OTHERS) {
      o.say(`rehome: ${actors} actors`)
      rows.push(...(await over('memory', actors, 1, o)))
    }
    return rows
  },
}
