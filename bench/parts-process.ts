/**
 * One arm of the bench `parts`, in a process of its own: the engine compiles what it sees, so arms that share one
 * would each be slower for the others. Prints the nanoseconds of processor time that a packet takes.
 */
import { defineNF, forward, type NF } from '../nf-apps/index.ts'
import { LINK_ETHERNET, Packet, symmetricFlow, symmetricFlowOf } from '../nf-apps/packet/index.ts'
import { BareLoop } from './bare-loop.ts'
import { median } from './measure.ts'
import { batchesOf, type Packets, packetsOf } from './packets.ts'
import { flowCounter, SoloInstance } from './solo-instance.ts'

const [arm = '', flows = '', rounds = ''] = process.argv.slice(2)
const PACKETS_MAX = 200_000

const words = new Uint32Array(symmetricFlow.words)

/** NFs that do a little more of what the flow counter does, one after the other. */
const nfs: Readonly<Record<string, NF>> = {
  nothing: defineNF('nothing', { state: {}, onPacket: () => forward }),
  key: defineNF('key', {
    state: {},
    onPacket(p) {
      symmetricFlow.write(symmetricFlowOf(p), words)
      return forward
    },
  }),
  turn: defineNF('turn', {
    state: flowCounter.state,
    onPacket: (p, { flows }) => flows.with(symmetricFlowOf(p), () => forward),
  }),
  whole: flowCounter,
}

function parseAll(p: Packets, packet: Packet): void {
  const { bytes, at, timeUs, hash, count } = p
  for (let i = 0; i < count; i++) {
    const start = at[i]!
    const end = at[i + 1]!
    const time = timeUs[i]!
    packet.load(bytes, start, end, LINK_ETHERNET, end - start, time, time, i, hash[i]!)
  }
}

function prepared(): { count: number; run(): unknown } {
  const packet = new Packet()
  const nf = nfs[arm]
  if (nf) {
    const solo = new SoloInstance(nf, undefined)
    const packets = packetsOf(Number(flows), PACKETS_MAX, (p) => solo.onPacket(p))
    const batches = batchesOf(packets, solo.view)
    return { count: packets.count, run: () => solo.take(batches) }
  }
  const bare = new BareLoop(Number(flows) * 1.2)
  const packets = packetsOf(Number(flows), PACKETS_MAX, (p) => bare.onPacket(p))
  const run = arm === 'bare' ? () => bare.run(packets) : () => parseAll(packets, packet)
  return { count: packets.count, run }
}

const { count, run } = prepared()
const ns: number[] = []
run()
for (let n = 0; n < Number(rounds); n++) {
  const before = process.cpuUsage()
  run()
  const { user, system } = process.cpuUsage(before)
  ns.push(((user + system) * 1000) / count)
}
process.stdout.write(`${JSON.stringify({ median: median(ns), least: Math.min(...ns) })}\n`)
