import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { BareLoop } from './bare-loop.ts'
import type { Bench, BenchOptions, Row } from './bench.ts'
import { cpuNs, paired, ratioOfValues, type Sample } from './measure.ts'
import { batchesOf, packetsAmong } from './packets.ts'
import { counting } from './solo-instance.ts'
import { stall } from './stall.ts'

/** Packets of one round. */
const PACKETS_MAX = 200_000
/** Bytes of a flow's own state: a u32 and a double. */
const STATE_BYTES = 12

interface Size {
  readonly run: () => number
  readonly runBare: () => number
  /** Of the curve: flows, and ns of processor time. */
  readonly point: (samples: readonly Sample[]) => readonly [number, number]
}

function made(flows: number): Size {
  const solo = counting()
  const bare = new BareLoop(flows * 1.2)
  const packets = packetsAmong(flows, PACKETS_MAX, (p) => {
    bare.onPacket(p)
    solo.onPacket(p)
  })
  const batches = batchesOf(packets, solo.view)
  const point = (samples: readonly Sample[]) => [flows, cpuNs(samples)] as const
  return { run: () => solo.take(batches), runBare: () => bare.run(packets), point }
}

/** The cost of a packet among many flows ÷ among few, ours ÷ the loop's. */
async function costs(flows: number, hasGoal: boolean, o: BenchOptions): Promise<Row[]> {
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
  const cpu = samples.map((s) => cpuNs(s).toFixed(0))
  return [
    {
      what: `cost of a packet at ${flows} flows ÷ few, ours ÷ the bare loop's`,
      value: ratio.mean,
      unit: '',
      ratio,
      ...(hasGoal ? { goal: { most: 1.2 } } : {}),
      series: {
        instance: [few.point(oursFew), many.point(ours)],
        'bare loop': [few.point(loopFew), many.point(loop)],
      },
      samples: Object.fromEntries(arms.map((arm, i) => [arm.name, samples[i]!])),
      note: `ns of processor time: ours ${cpu[0]} and ${cpu[1]}, bare loop ${cpu[2]} and ${cpu[3]}`,
    },
  ]
}

/** What an idle actor takes of a process that does nothing else. */
async function memory(count: number): Promise<Row> {
  const program = fileURLToPath(new URL('./memory-process.js', import.meta.url))
  const args = ['--expose-gc', program, String(count)]
  const { stdout } = await promisify(execFile)(process.execPath, args)
  const told = JSON.parse(stdout) as { resident: number; engine: number }
  return {
    what: `bytes of one of ${count} idle flow actors beyond its state, by resident memory`,
    value: Math.max(0, told.resident - STATE_BYTES),
    unit: 'bytes',
    goal: { most: 100 },
    note: `by what the engine holds ${(told.engine - STATE_BYTES).toFixed(1)}; 40 of them are the key`,
  }
}

export const growth: Bench = {
  name: 'growth',
  summary:
    'cost of a packet at 4 M live flows ÷ 10 k, ours ÷ the bare loop; bytes an actor; longest stall',
  async run(o) {
    const rows: Row[] = []
    const sizes = o.tiny ? [500] : [100_000, 1_000_000, 4_000_000]
    for (const flows of sizes) rows.push(...(await costs(flows, flows === sizes.at(-1), o)))
    for (const count of o.tiny ? [1_000] : [1_000_000, 4_000_000]) {
      o.say(`growth: the memory of ${count} actors`)
      rows.push(await memory(count))
    }
    return [...rows, await stall(o.tiny ? 500 : 1_000_000, o)]
  },
}
