import { describe, expect, it } from 'vitest'
import {
  andThen,
  besides,
  defineNF,
  f64,
  forward,
  ip,
  multiWriter,
  singleWriter,
  steeringHash,
  symmetricFlow,
  symmetricFlowOf,
  u32,
  untether,
} from '../../index.ts'
import { builtIn } from '../../nf-apps/index.ts'
import { expectEquivalent, NotEquivalent } from '../kit/index.ts'

describe('an NF on instances that come and go ends as on one', () => {
  const samples = ['host-counter', 'byte-quota', 'tcp-tracker', 'sink', 'subnet-quota']
  const names = [...samples, 'udp-counters', 'reassembly', 'asset-monitor', 'prads']
  it.each(builtIn.filter((nf) => names.includes(nf.name)))('$name', async (nf) => {
    const options = nf.name.endsWith('-quota') ? { quota: '600', prefix: '31' } : {}
    await expectEquivalent(nf, { options, runs: nf.name === 'prads' ? 8 : 25 })
  })
})

const Count = singleWriter('count', { packets: u32 })

/** What one source sends meets in one place, and is many flows; a flow's two directions are steered apart. */
const bySource = defineNF('by-source', {
  state: { sources: Count.keyedBy(ip), flows: Count.keyedBy(symmetricFlow) },
  steering: (p) => besides(ip.write(p.src, new Uint32Array(ip.words)), steeringHash(p)),
  onPacket(p, { sources, flows }) {
    const count = (s: { packets: number }) => {
      s.packets++
      return forward
    }
    return andThen(sources.with(p.src, count), () => flows.with(symmetricFlowOf(p), count))
  },
  async result({ sources, flows }) {
    const each = [...(await sources.all()), ...(await flows.all())]
    return each.map(({ key, state }) => `${JSON.stringify(key)} ${state.packets}`).sort()
  },
})

it('an NF that steers by a hash of its own ends as on one instance', async () => {
  await expectEquivalent(bySource, { runs: 25 })
})

/** Each instance has a total of its own. */
const stateOutside = () => {
  let total = 0
  return defineNF('state-outside', {
    state: { counts: Count.keyedBy(symmetricFlow) },
    onPacket(p, { counts }) {
      total++
      return counts.with(symmetricFlowOf(p), (s) => {
        s.packets = total
        return forward
      })
    },
    result: async ({ counts }) => (await counts.all()).map((c) => `${c.state.packets}`).sort(),
  })
}

const Last = multiWriter(
  'last',
  { index: f64 },
  {
    set: untether((s, index: number) => {
      s.index = index
    }),
  },
)

/** Whose update comes last is not whose packet came last. */
const orderMatters = defineNF('order-matters', {
  state: { last: Last.only() },
  onPacket(p, { last }) {
    last.set(p.index)
    return forward
  },
  result: async ({ last }) => [`last ${(await last.lookup('only'))?.index ?? 'none'}`],
})

const Tally = multiWriter(
  'tally',
  { n: u32 },
  { get: (s) => s.n, put: (s, n: number) => (s.n = n) },
)

/** What it read may be old by the time it writes: an `await` was forgotten, or a method. */
const readThenWrite = defineNF('read-then-write', {
  state: { tally: Tally.only() },
  async onPacket(_p, { tally }) {
    const n = await tally.get()
    await tally.put(n + 1)
    return forward
  },
  result: async ({ tally }) => [`n ${(await tally.lookup('only'))?.n ?? 0}`],
})

describe('an NF that is wrong', () => {
  const failure = async (run: Promise<void>) => {
    const error = await run.then(
      () => undefined,
      (e) => e,
    )
    expect(error).toBeInstanceOf(NotEquivalent)
    return error as NotEquivalent
  }

  it.each([
    ['keeps state outside its actors', stateOutside],
    ['uses untether where the order matters', orderMatters],
    ['writes what it read before', readThenWrite],
  ])('that %s is shown by a script of a few steps', async (_what, nf) => {
    const error = await failure(expectEquivalent(nf, { runs: 200 }))
    console.log(error.message)
    expect(error.script.length).toBeLessThanOrEqual(8)
    expect(error.message).toContain('one instance:')
  })
})
