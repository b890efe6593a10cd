import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  defineNF,
  f64,
  forward,
  ip,
  type MaybePromise,
  multiWriter,
  singleWriter,
  symmetricFlow,
  symmetricFlowOf,
  u32,
  untether,
  type Verdict,
} from '../../index.ts'
import { CaptureRecord, openCapture } from '../../loadgen/index.ts'
import { build, LINK_ETHERNET, Packet, steeringHash } from '../../nf-apps/packet/index.ts'
import { expectEquivalent, inMacrotask, simCluster, soloRun } from '../kit/index.ts'

const sample = fileURLToPath(new URL('../../samples/office.pcap', import.meta.url))

const Sum = multiWriter(
  'sum',
  { n: f64 },
  {
    add: untether(
      (s, x: number) => {
        s.n += x
      },
      { merge: (a, b) => a + b },
    ),
    ask: (s) => s.n,
  },
)

/**
 * Counts the lives that idle times cut flows into, in all ways in which a turn may meet one that is over: at once, after another
 * actor's answer, looked for, or removed.
 */
function lives(idleUs: number) {
  const Flow = singleWriter(
    'life',
    { lastUs: f64, packets: u32 },
    {},
    { due: (s) => s.lastUs + idleUs, expire: () => true },
  )
  return defineNF('lives', {
    state: { flows: Flow.keyedBy(symmetricFlow), sums: Sum.keyedBy(symmetricFlow) },
    onPacket(p, { flows, sums }): MaybePromise<Verdict> {
      const key = symmetricFlowOf(p)
      const sum = sums.at(key)
      const { clockUs } = p
      const count = () =>
        flows.with(key, (s, created) => {
          s.lastUs = clockUs
          s.packets++
          sum.add(created ? 1e6 + s.packets : s.packets)
          return forward
        })
      if (p.index % 4 === 0) return after(sum.ask(), count)
      if (p.index % 4 === 1) {
        return after(
          flows.ifPresent(key, (s) => s?.packets ?? 0),
          (n) => after(sum.add(n), count),
        )
      }
      if (p.index % 16 === 2)
        return after(flows.remove(key), (was) => {
          sum.add(was ? 1e9 : 0)
          return forward
        })
      return count()
    },
    result: async ({ flows, sums }) => [
      ...(await flows.all()).map((f) => `${symmetricFlow.text(f.key)} ${f.state.packets}`).sort(),
      ...(await sums.all()).map((f) => `${symmetricFlow.text(f.key)} ${f.state.n}`).sort(),
    ],
  })
}

async function later<T, R>(value: Promise<T>, then: (value: T) => MaybePromise<R>): Promise<R> {
  return then(await value)
}
function after<T, R>(value: MaybePromise<T>, then: (value: T) => MaybePromise<R>): MaybePromise<R> {
  return value instanceof Promise ? later(value, then) : then(value)
}

describe('idle times of a few packets end as on one instance', () => {
  it.each([150_000, 350_000, 900_000])('%d µs, random packets', async (idleUs) => {
    await expectEquivalent(lives(idleUs), { runs: 30 })
  })

  const captured = [...packetsOf(sample, 4_000)]
  it('packets of the sample, by their own times', async () => {
    const schedule = fc.array(fc.nat(captured.length), { maxLength: 6 })
    const input = fc.tuple(fc.nat(1e6), fc.constantFrom(300, 5_000, 100_000), schedule)
    await fc.assert(
      fc.asyncProperty(input, async ([seed, idleUs, changes]) => {
        const one = await soloRun(lives(idleUs), captured)
        expect(await inMacrotask(() => onMany(seed, idleUs, changes))).toEqual(one)
      }),
      { numRuns: 6 },
    )
  }, 120_000)

  function onMany(seed: number, idleUs: number, changes: readonly number[]): string[] {
    const nf = lives(idleUs)
    const faults = { drop: 0.02, double: 0.02, late: 0.05 }
    const cluster = simCluster({ seed, nf: () => nf, spread: seed % 2 === 0, faults })
    cluster.join()
    for (const p of captured) {
      if (changes.includes(p.index) && cluster.nodes.length < 6) cluster.join()
      else if (changes.includes(p.index + 1)) cluster.leave()
      cluster.send(p.bytes.slice(p.start, p.end), p.timeUs)
      cluster.pass(0.05)
    }
    cluster.heal()
    cluster.until(() => cluster.settled, 'every packet has its verdict')
    if (cluster.nodes.length > 1) cluster.leave() // what is over at the end is on its way then
    cluster.pass(seed % 5)
    cluster.settle(cluster.source.finish(), 'every effect is in')
    return cluster.settle(cluster.source.result(undefined), 'the result')
  }
})

const Seen = multiWriter(
  'seen',
  { atUs: f64 },
  {
    at: untether((s, us: number) => {
      s.atUs = us
    }),
  },
  { due: (s) => s.atUs + 100_000, expire: () => true },
)
const sights = defineNF('sights', {
  state: { sources: Seen.keyedBy(ip) },
  onPacket(p, { sources }) {
    sources.at(p.src).at(p.clockUs)
    return forward
  },
  result: async ({ sources }) => (await sources.all()).map(({ key }) => `${key}`).sort(),
})

it('an instance that the source has not heard of at the end is asked to end what is over too', () =>
  inMacrotask(() => {
    let late = false
    const kept: (() => void)[] = []
    const cluster = simCluster({
      seed: 1,
      nf: () => sights,
      spread: true,
      onMember: ({ member }, id) => {
        const onView = member.onView.bind(member)
        if (id !== 'source') return
        member.onView = (view) => {
          if (late) kept.push(() => onView(view))
          else onView(view)
        }
      },
    })
    const send = (from: number, us: number) => {
      const ends = { src: `10.0.0.${from}`, dst: '10.0.1.1' }
      const datagram = build.udp({ srcPort: 1, dstPort: 2 }, new Uint8Array(4))
      cluster.send(build.ethernet({}, build.ipv4(ends, datagram)), us)
    }
    for (let from = 1; from <= 40; from++) send(from, from)
    send(99, 500_000)
    cluster.until(() => cluster.settled, 'every packet has its verdict')
    late = true
    cluster.join()
    cluster.until(() => cluster.active.length === 2, 'one joins')
    cluster.pass(300)
    const finished = cluster.source.finish()
    cluster.pass(300)
    late = false
    for (const see of kept) see()
    cluster.settle(finished, 'every effect is in')
    expect(cluster.settle(cluster.source.result(undefined), 'the result')).toEqual(['10.0.0.99'])
  }))

function* packetsOf(file: string, most: number): Iterable<Packet> {
  const reader = openCapture(file)
  const record = new CaptureRecord()
  let clockUs = 0
  for (let index = 0; index < most && reader.next(record); ) {
    const { bytes, start, end, timeUs, linkType } = record
    if (linkType !== LINK_ETHERNET) continue
    clockUs = Math.max(clockUs, timeUs)
    const own = bytes.slice(start, end)
    const { length } = own
    const p = new Packet().load(own, 0, length, linkType, length, timeUs, clockUs, index++, 0)
    p.hash = steeringHash(p)
    yield p
  }
  reader.close()
}
