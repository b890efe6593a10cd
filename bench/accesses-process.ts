/**
 * The caller of the store of `remote-only`, in a process that runs as an instance of such a cluster does, and so does
 * the batched echo in it. Tells the rows.
 */
import { connect } from 'nats'
import { tuneEngine } from '../cli/index.ts'
import type { Handles } from '../nf-apps/index.ts'
import { BatchedEcho } from './batched-echo.ts'
import type { BenchOptions, Row } from './bench.ts'
import { ProcessCluster } from './cluster.ts'
import { counters, KEYS } from './counters.ts'
import { median, paired, rate, ratioOf, type Sample, told, warm } from './measure.ts'
import { AT_ONCE, inFlight } from './members.ts'
import { withEnd } from './pair.ts'

/** What `remote-only` is made of ÷ the batched echo. */
async function besideEcho(
  { source }: ProcessCluster,
  echo: BatchedEcho,
  o: BenchOptions,
): Promise<Row[]> {
  const count = o.tiny ? 2_000 : 100_000
  const { counters: actors, flows } = source.member.space.handles as Handles<typeof counters.state>
  const add = (n: number) => actors.at(n % KEYS).addAndGet(1)
  const turn = (n: number) => flows.with(n % KEYS, (flow) => void flow.packets++)
  const arms = [
    { name: 'operations', run: () => inFlight(count, AT_ONCE, add) },
    { name: 'turns', run: () => inFlight(count, AT_ONCE, turn) },
    { name: 'batched echo', run: () => inFlight(count, AT_ONCE, (n) => echo.call(n)) },
  ]
  await warm(arms, o)
  const [operations, turns, batched] = (await paired(arms, o)) as [Sample[], Sample[], Sample[]]
  const ratio = ratioOf(operations, batched)
  const turnRatio = ratioOf(turns, batched)
  return [
    {
      what: 'remote-only: operations of the store ÷ batched echo',
      value: ratio.mean,
      unit: '',
      ratio,
      goal: { least: 0.7 },
      samples: { operations, turns, 'batched echo': batched },
      note: `operations ${told(operations)}; echo ${told(batched)}`,
    },
    {
      what: 'remote-only: turns (state fetched, and written back) ÷ batched echo',
      value: turnRatio.mean,
      unit: '',
      ratio: turnRatio,
      note: `turns ${told(turns)}; each is two accesses: ${((2 * median(turns.map(rate))) / 1000).toFixed(0)} k/s`,
    },
  ]
}

tuneEngine('remote-only')
const given = JSON.parse(process.argv[2] ?? '') as Pick<BenchOptions, 'tiny' | 'seconds'>
const rows = await withEnd('remote-only', async (url) => {
  const cluster = await ProcessCluster.start(url, 'store', counters, { model: 'remote-only' }, 0)
  const nc = await connect({ servers: url, noAsyncTraces: true })
  const beside = await besideEcho(cluster, new BatchedEcho(nc), { ...given, say: () => {} })
  await nc.close()
  await cluster.close()
  return beside
})
process.send?.(rows, () => process.exit(0))
