import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { connect } from 'nats'
import { NatsBus } from '../bus/index.ts'
import type { Source } from '../cli/index.ts'
import type { Handles } from '../nf-apps/index.ts'
import { BatchedEcho } from './batched-echo.ts'
import type { Bench, BenchOptions, Row } from './bench.ts'
import { ProcessCluster } from './cluster.ts'
import { counters } from './counters.ts'
import { cpuNs, median, paired, rate, ratioOf, type Sample, warm } from './measure.ts'
import { inFlight, joinSource, wallMs } from './members.ts'
import { natsGround } from './pair.ts'
import { redisGround } from './redis.ts'

/** Calls, commands or turns under way at once, of each arm. */
const AT_ONCE = 1024
/** Actors and hash fields that they are about. */
const KEYS = 1024

const handlesOf = (source: Source) => source.member.space.handles as Handles<typeof counters.state>
const told = (s: readonly Sample[]) =>
  `${(median(s.map(rate)) / 1000).toFixed(0)} k/s, cpu ${cpuNs(s).toFixed(0)} ns of the caller`

/** Calls to an actor in another process ÷ the same addition by Redis. */
async function besideRedis(shared: Source, o: BenchOptions): Promise<Row[]> {
  const ground = await redisGround()
  if (!ground) {
    o.say('store: there is no redis-server: calls are not compared with it')
    return []
  }
  const { redis } = ground
  const count = o.tiny ? 2_000 : 100_000
  const { counters: actors } = handlesOf(shared)
  const add = (n: number) => actors.at(n % KEYS).addAndGet(1)
  const increase = (n: number) => redis.hincrby(`counter${n % KEYS}`, 'n', 1)
  const arms = [
    { name: 'calls', run: () => inFlight(count, AT_ONCE, add) },
    { name: 'HINCRBY', run: () => inFlight(count, AT_ONCE, increase) },
  ]
  await warm(arms, o)
  const [calls, commands] = (await paired(arms, o)) as [Sample[], Sample[]]
  await ground.close()
  const ratio = ratioOf(calls, commands)
  return [
    {
      what: 'plain calls to a remote actor ÷ Redis HINCRBY, auto-pipelined',
      value: ratio.mean,
      unit: '',
      ratio,
      goal: { least: 7.5 },
      samples: { calls, HINCRBY: commands },
      note: `calls ${told(calls)}; Redis ${told(commands)}`,
    },
  ]
}

/** What `remote-only` is made of ÷ the batched echo. */
async function besideEcho(store: Source, echo: BatchedEcho, o: BenchOptions): Promise<Row[]> {
  const count = o.tiny ? 2_000 : 100_000
  const { counters: actors, flows } = handlesOf(store)
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

/** Accesses a second to the store of `remote-only` beside the batched echo: how good that model is here. */
export function accesses(o: BenchOptions): Promise<Row[]> {
  return withStore(async (url, cluster) => {
    const nc = await connect({ servers: url, noAsyncTraces: true })
    o.say('models: accesses of remote-only beside the batched echo')
    const rows = await besideEcho(cluster.source, new BatchedEcho(nc), o)
    await nc.close()
    return rows
  })
}

/** A store in a process of its own, and one more process that answers calls and echoes. */
async function withStore(
  measure: (url: string, cluster: ProcessCluster) => Promise<Row[]>,
): Promise<Row[]> {
  const ground = await natsGround()
  const child = fork(fileURLToPath(new URL('./calls-process.js', import.meta.url)), [ground.url])
  const setup = { model: 'remote-only' } as const
  const cluster = await ProcessCluster.start(ground.url, 'bench-store', counters, setup, 0)
  try {
    await new Promise((resolve, reject) => {
      child.once('message', resolve)
      child.once('exit', () => reject(new Error('the other process has ended')))
    })
    return await measure(ground.url, cluster)
  } finally {
    await cluster.close()
    child.disconnect()
    await ground.close()
  }
}

export const store: Bench = {
  name: 'store',
  summary:
    'what remote-only is made of: accesses/s to a store in another process ÷ a batched echo; calls ÷ Redis',
  async run(o) {
    const rows = await withStore(async (url) => {
      const bus = await NatsBus.connect({ servers: url, cluster: 'bench', name: 'caller' })
      const shared = await joinSource(bus, counters, wallMs)
      const beside = await besideRedis(shared.body, o)
      shared.stop()
      await bus.close()
      return beside
    })
    return [...rows, ...(await accesses(o))]
  },
}
