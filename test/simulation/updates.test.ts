import { expect, it } from 'vitest'
import { f64, multiWriter, numberKey, untether } from '../../index.ts'
import { defineNF, forward } from '../../nf-apps/index.ts'
import { inMacrotask, type SimNode, simCluster } from '../kit/index.ts'

const Sum = multiWriter(
  'sum',
  { n: f64 },
  {
    add: untether((s, x: number) => {
      s.n += x
    }),
    read: (s) => s.n,
  },
)
const nf = defineNF('sums', { state: { sums: Sum.keyedBy(numberKey) }, onPacket: () => forward })
interface Sums {
  at(key: number): { add(x: number): void; read(): number | Promise<number> }
}

/** Of the simulator's network, most messages take less (ms). */
const ROUND_TRIP = 3
const FLUSH_MS = 200
/** Slots have come to those who are to have them. */
const SETTLED_MS = 1000

it('calls behind updates of their actor wait for two round trips, however many they are', () =>
  inMacrotask(() => {
    const cluster = simCluster({ seed: 1, nf: () => nf, spread: true }, 2)
    const [from] = cluster.nodes as [SimNode]
    const { space } = from.entered!.body.member
    const { limits } = Reflect.get(space, 'core') as { limits: object }
    Reflect.set(limits, 'flushMs', FLUSH_MS)
    const sums = space.handles.sums as Sums
    cluster.pass(SETTLED_MS)
    const isElsewhere = (key: number) => sums.at(key).read() instanceof Promise
    const key = Array.from({ length: 64 }, (_, i) => i).find(isElsewhere)!
    cluster.pass(2 * ROUND_TRIP)
    const sum = sums.at(key)
    const start = cluster.clock.now()
    const reads: Promise<number>[] = []
    sum.add(1)
    for (let i = 0; i < 20; i++) reads.push(Promise.resolve(sum.read()))
    sum.add(10)
    for (let i = 0; i < 20; i++) reads.push(Promise.resolve(sum.read()))
    const values = cluster.settle(Promise.all(reads), 'all are answered')
    expect(values).toEqual([...Array(20).fill(1), ...Array(20).fill(11)])
    expect(cluster.clock.now() - start).toBeLessThan(5 * ROUND_TRIP)
  }))
