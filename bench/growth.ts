import { BareLoop } from './bare-loop.ts'
import type { Bench, BenchOptions, Row } from './bench.ts'
import { cpuNs, paired, ratioOfValues, type Sample } from './measure.ts'
import { batchesOf, packetsOf } from './packets.ts'
import { counting, type FlowCounter } from './solo-instance.ts'

/** Packets of one round. */
const PACKETS_MAX = 200_000
/** Bytes of a flow's own state: a u32 and a double. */
const STATE_BYTES = 12

interface Size {
  readonly solo: FlowCounter
  readonly bare: BareLoop
  readonly run: () => number
  readonly runBare: () => number
}

function made(flows: number): Size {
  const solo = counting()
  const bare = new BareLoop(flows * 1.2)
  const packets = packetsOf(flows, PACKETS_MAX, (p) => {
    bare.onPacket(p)
    solo.onPacket(p)
  })
  const batches = batchesOf(packets, solo.view)
  return { solo, bare, run: () => solo.take(batches), runBare: () => bare.run(packets) }
}

/** The cost of a packet among many flows ÷ among few, ours ÷ the loop's. */
async function costs(flows: number, o: BenchOptions): Promise<Row[]> {
  o.say(`growth: making the packets of ${flows} flows`)
  const few = made(o.tiny ? 50 : 10_000)
  const many = made(flows)
  const arms = [
    { name: 'many', run: many.run },
    { name: 'few', run: few.run },
    { name: 'many, bare loop', run: many.runBare },
    { name: 'few, bare loop', run: few.runBare },
  ]
  const samples = await paired(arms, o)
  const ns = (s: Sample) => s.cpuMs / s.count
  const [ours, oursFew, loop, loopFew] = samples as [Sample[], Sample[], Sample[], Sample[]]
  const ratios = ours.map((s, i) => ns(s) / ns(oursFew[i]!) / (ns(loop[i]!) / ns(loopFew[i]!)))
  const ratio = ratioOfValues(ratios)
  const { table } = many.solo.space.core.types[0]!
  const bytes = table.bytes / many.solo.space.actors - STATE_BYTES
  const cpu = samples.map((s) => cpuNs(s).toFixed(0))
  return [
    {
      what: `cost of a packet at ${flows} flows ÷ few, ours ÷ the bare loop's`,
      value: ratio.mean,
      unit: '',
      ratio,
      goal: { most: 1.2 },
      samples: Object.fromEntries(arms.map((arm, i) => [arm.name, samples[i]!])),
      note: `ns of processor time: ours ${cpu[0]} and ${cpu[1]}, bare loop ${cpu[2]} and ${cpu[3]}`,
    },
    {
      what: 'bytes of an idle flow actor beyond its state',
      value: bytes,
      unit: 'bytes',
      goal: { most: 100 },
      note: `pages and index of ${many.solo.space.actors} actors; 40 of them are the key`,
    },
  ]
}

/** The longest that one batch takes while a table grows from nothing, table growth and garbage collection included. */
function stall(flows: number): Row {
  const solo = counting()
  const packets = packetsOf(flows, flows * 2)
  const batches = batchesOf(packets, solo.view)
  let longest = 0
  for (const batch of batches) {
    const start = performance.now()
    solo.take([batch])
    longest = Math.max(longest, performance.now() - start)
  }
  return {
    what: `longest batch of 64 packets while growing to ${solo.space.actors} actors`,
    value: longest,
    unit: 'ms',
    goal: { most: 10 },
    note: 'what others on the machine do is in it; no scale-out',
  }
}

export const growth: Bench = {
  name: 'growth',
  summary:
    'cost of a packet at 4 M live flows ÷ 10 k, ours ÷ the bare loop; bytes an actor; longest stall',
  async run(o) {
    return [...(await costs(o.tiny ? 500 : 4_000_000, o)), stall(o.tiny ? 500 : 1_000_000)]
  },
}
