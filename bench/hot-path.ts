import { LINK_ETHERNET, Packet } from '../nf-apps/packet/index.ts'
import { BareLoop } from './bare-loop.ts'
import type { Bench, BenchOptions, Row } from './bench.ts'
import { besidePrads } from './beside-prads.ts'
import { cpuNs, paired, ratioOf, ratioOfValues, type Sample, wallNs } from './measure.ts'
import { batchesOf, type Packets, packetsOf } from './packets.ts'
import { counting, type FlowCounter } from './solo-instance.ts'

/** Packets of one round: some 50 ms, so that what else the machine does meets all arms alike. */
const PACKETS_MAX = 200_000

/** The NF's handler on loaded packets, without the intake: what the actors alone cost. */
function handleAll(solo: FlowCounter, p: Packets, packet: Packet): number {
  const { bytes, at, timeUs, hash, count } = p
  for (let i = 0; i < count; i++) {
    const start = at[i]!
    const end = at[i + 1]!
    const time = timeUs[i]!
    packet.load(bytes, start, end, LINK_ETHERNET, end - start, time, time, i, hash[i]!)
    packet.isStamped = true
    solo.onPacket(packet)
  }
  return count
}

async function at(flows: number, least: number, o: BenchOptions): Promise<Row[]> {
  const packet = new Packet()
  const solo = counting()
  const bare = new BareLoop(flows * 1.2)
  o.say(`hot-path: making the packets of ${flows} flows`)
  const packets = packetsOf(flows, PACKETS_MAX, (p) => {
    bare.onPacket(p)
    solo.onPacket(p)
  })
  const batches = batchesOf(packets, solo.view)
  const arms = [
    { name: 'instance', run: () => solo.take(batches) },
    { name: 'handler', run: () => handleAll(solo, packets, packet) },
    { name: 'bare loop', run: () => bare.run(packets) },
  ]
  const samples = await paired(arms, o)
  const held = solo.space.actors
  if (held !== bare.flows) throw new Error(`${held} flows counted, and ${bare.flows} by the loop`)
  const [instance, handler, loop] = samples
  const ns = (s: typeof loop) => `${wallNs(s!).toFixed(0)} ns, cpu ${cpuNs(s!).toFixed(0)}`
  const named = Object.fromEntries(arms.map((arm, i) => [arm.name, samples[i]!]))
  const whole = ratioOf(instance!, loop!)
  const part = ratioOf(handler!, loop!)
  return [
    {
      what: `${flows} flows, from batches to verdicts ÷ bare loop`,
      value: whole.mean,
      unit: '',
      ratio: whole,
      goal: { least },
      samples: named,
      note: `by processor time ${byCpu(instance!, loop!)}; a packet: ${ns(instance)}; bare loop ${ns(loop)}`,
    },
    {
      what: `${flows} flows, parse and handler alone ÷ bare loop`,
      value: part.mean,
      unit: '',
      ratio: part,
      note: `by processor time ${byCpu(handler!, loop!)}; a packet: ${ns(handler)}; ${held} actors`,
    },
  ]
}

/** The ratio of packets per second of processor time: what else the machine does is not in it. */
function byCpu(ours: readonly Sample[], base: readonly Sample[]): string {
  const cost = (s: Sample) => s.cpuMs / s.count
  const { mean, half } = ratioOfValues(ours.map((s, i) => cost(base[i]!) / cost(s)))
  return `${mean.toFixed(3)} ±${half.toFixed(3)}`
}

export const hotPath: Bench = {
  name: 'hot-path',
  summary:
    'packets/s through an NF that counts each flow, all home ÷ a bare loop that does the same',
  async run(o) {
    if (o.tiny) return [...(await at(100, 0.6, o)), ...(await besidePrads(o))]
    const rows: Row[] = []
    for (const [flows, least] of [
      [10_000, 0.6],
      [100_000, 0.7],
      [1_000_000, 0.7],
    ] as const) {
      rows.push(...(await at(flows, least, o)))
    }
    return [...rows, ...(await besidePrads(o))]
  },
}
