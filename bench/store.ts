import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { NatsBus, wallMs } from '../bus/index.ts'
import type { Source } from '../cli/index.ts'
import type { Handles } from '../nf-apps/index.ts'
import type { Bench, BenchOptions, Row } from './bench.ts'
import { counters, KEYS } from './counters.ts'
import { paired, ratioOf, type Sample, told, warm } from './measure.ts'
import { AT_ONCE, inFlight, joinSource } from './members.ts'
import { withEnd } from './pair.ts'
import { redisGround } from './redis.ts'

/**
 * Operations of a round, of both arms alike: calls take some 100 ms for so many. In the first tens of ms after a round of Redis's their caller takes up to
 * half more than later; what that is, is not known.
 */
const ROUND = 300_000

/** Calls to an actor in another process ÷ the same addition by Redis. */
async function besideRedis(shared: Source, o: BenchOptions): Promise<Row[]> {
  const ground = await redisGround()
  if (!ground) {
    o.say('store: there is no redis-server: calls are not compared with it')
    return []
  }
  const { redis } = ground
  const count = o.tiny ? 2_000 : ROUND
  const { counters: actors } = shared.member.space.handles as Handles<typeof counters.state>
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

/** Accesses a second to the store of `remote-only` beside the batched echo: how good that model is here. */
export function accesses(o: BenchOptions): Promise<Row[]> {
  o.say('accesses of remote-only beside the batched echo')
  const { tiny, seconds } = o
  const program = fileURLToPath(new URL('./accesses-process.js', import.meta.url))
  const child = fork(program, [JSON.stringify({ tiny, seconds })])
  return new Promise((resolve, reject) => {
    child.once('message', (rows) => resolve(rows as Row[]))
    child.once('exit', () => reject(new Error('the process of the accesses has ended')))
  })
}

export const store: Bench = {
  name: 'store',
  summary:
    'what remote-only is made of: accesses/s to a store in another process ÷ a batched echo; calls ÷ Redis',
  async run(o) {
    const rows = await withEnd('shared', async (url) => {
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
