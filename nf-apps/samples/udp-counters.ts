import { f64, singleWriter, u32 } from '../../actors/index.ts'
import { defineNF, forward } from '../nf.ts'
import { flowOf, udpFlow } from '../packet/index.ts'

const Counters = singleWriter('udp-counters', { packets: u32, bytes: f64 })

/** Counts the packets and bytes (on the wire) of each UDP flow, by direction. */
export const udpCounters = defineNF('udp-counters', {
  summary: 'packets and bytes of each UDP flow, by direction',
  state: { counters: Counters.keyedBy(udpFlow) },
  onPacket(p, { counters }) {
    if (!p.hasUdp) return forward
    return counters.with(flowOf(p), (c) => {
      c.packets++
      c.bytes += p.wireLength
      return forward
    })
  },
  async result({ counters }) {
    const all = await counters.all()
    return all.map(({ key, state: s }) => `${udpFlow.text(key)} ${s.packets} ${s.bytes}`).sort()
  },
})
