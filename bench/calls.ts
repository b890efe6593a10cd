import { connect } from 'nats'
import { NatsBus, wallMs } from '../bus/index.ts'
import type { Source } from '../cli/index.ts'
import type { Handles } from '../nf-apps/index.ts'
import { BatchedEcho } from './batched-echo.ts'
import type { Bench, BenchOptions, Row } from './bench.ts'
import { counters } from './counters.ts'
import { cpuNs, paired, rate, ratioOf, type Sample, warm } from './measure.ts'
import { AT_ONCE, inFlight, joinSource, until } from './members.ts'
import { withEnd } from './pair.ts'

/** Updates made before messages have their turn: a burst of packets. */
const UPDATES_AT_ONCE = 4096

async function compare(url: string, source: Source, o: BenchOptions): Promise<Row[]> {
  const nc = await connect({ servers: url, noAsyncTraces: true })
  const echo = new BatchedEcho(nc)
  const handles = source.member.space.handles as Handles<typeof counters.state>
  const payload = new Uint8Array(16).fill(1)
  const calls = o.tiny ? 2_000 : 200_000
  const hot = handles.counters.at(7)
  const ours = { name: 'actor', run: () => inFlight(calls, AT_ONCE, () => hot.addAndGet(1)) }
  const batch = { name: 'batched echo', run: () => inFlight(calls, AT_ONCE, (n) => echo.call(n)) }
  const request = {
    name: 'nc.request',
    run: () =>
      inFlight(calls / 20, AT_ONCE, () => nc.request('single', payload, { timeout: 60_000 })),
  }
  const more = { name: 'updates', run: () => update(source, (x) => hot.add(x), calls * 10) }
  const arms = [ours, more, request, batch]
  await warm(arms, o)
  const samples = await paired(arms, o)
  await nc.close()
  const [actor, updates, single, batched] = samples as [Sample[], Sample[], Sample[], Sample[]]
  const toSingle = ratioOf(actor, single)
  const toBatch = ratioOf(actor, batched)
  const k = (s: Sample[]) =>
    `${(rate(s[s.length >> 1]!) / 1000).toFixed(0)} k/s, cpu ${cpuNs(s).toFixed(0)} ns`
  const toCalls = ratioOf(updates, actor)
  return [
    {
      what: 'plain calls ÷ nc.request with noAsyncTraces',
      value: toSingle.mean,
      unit: '',
      ratio: toSingle,
      goal: { least: 25 },
      samples: { actor, 'nc.request': single },
      note: `calls ${k(actor)}; nc.request ${k(single)} (of the caller)`,
    },
    {
      what: 'plain calls ÷ batched echo by hand',
      value: toBatch.mean,
      unit: '',
      ratio: toBatch,
      goal: { least: 0.75 },
      samples: { 'batched echo': batched },
      note: `echo ${k(batched)}`,
    },
    {
      what: 'merged untethered updates ÷ plain calls',
      value: toCalls.mean,
      unit: '',
      ratio: toCalls,
      goal: { least: 10 },
      samples: { updates },
      note: `updates ${k(updates)}`,
    },
  ]
}

/** Updates of one actor that is elsewhere, until all have taken effect there. */
async function update(source: Source, add: (x: number) => void, count: number): Promise<number> {
  for (let n = 0; n < count; n++) {
    add(1)
    if (n % UPDATES_AT_ONCE === 0) await new Promise((resolve) => setImmediate(resolve))
  }
  source.member.space.flush()
  await until(() => source.member.space.quiet)
  return count
}

export const calls: Bench = {
  name: 'calls',
  summary:
    'calls/s to an actor in another process over NATS, 1,024 in flight ÷ nc.request ÷ a batched echo',
  async run(o) {
    return withEnd('shared', async (url) => {
      const bus = await NatsBus.connect({ servers: url, cluster: 'bench', name: 'caller' })
      const source = await joinSource(bus, counters, wallMs)
      try {
        return await compare(url, source.body, o)
      } finally {
        source.stop()
        await bus.close()
      }
    })
  },
}
