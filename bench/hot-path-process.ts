/**
 * One of the processes of the bench `hot-path`: its arms side by side, round by round. Prints all rounds, and how many
 * actors the instance ended with.
 */
import { LINK_ETHERNET, Packet } from '../nf-apps/packet/index.ts'
import { BareLoop } from './bare-loop.ts'
import { paired } from './measure.ts'
import { batchesOf, type Packets, packetsOf } from './packets.ts'
import { counting, type FlowCounter } from './solo-instance.ts'

const [flows = '', seconds = '', size = ''] = process.argv.slice(2)

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

const packet = new Packet()
const solo = counting()
const bare = new BareLoop(Number(flows) * 1.2)
const packets = packetsOf(Number(flows), PACKETS_MAX, (p) => {
  bare.onPacket(p)
  solo.onPacket(p)
})
const batches = batchesOf(packets, solo.view)
const arms = [
  { name: 'instance', run: () => solo.take(batches) },
  { name: 'handler', run: () => handleAll(solo, packets, packet) },
  { name: 'bare loop', run: () => bare.run(packets) },
]
const o = { tiny: size === 'tiny', seconds: Number(seconds), say: () => {} }
const [instance, handler, loop] = await paired(arms, o)
const { actors } = solo.space
if (actors !== bare.flows) {
  throw new Error(`${actors} flows counted, and ${bare.flows} by the loop`)
}
process.stdout.write(`${JSON.stringify({ instance, handler, loop, actors })}\n`)
