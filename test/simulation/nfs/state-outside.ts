import {
  defineNF,
  forward,
  singleWriter,
  symmetricFlow,
  symmetricFlowOf,
  u32,
} from '../../../index.ts'
import { oneMore } from './total.ts'

const Count = singleWriter('count', { packets: u32 })

export default defineNF('state-outside', {
  state: { counts: Count.keyedBy(symmetricFlow) },
  onPacket(p, { counts }) {
    const total = oneMore()
    return counts.with(symmetricFlowOf(p), (s) => {
      s.packets = total
      return forward
    })
  },
  result: async ({ counts }) => (await counts.all()).map((c) => `${c.state.packets}`).sort(),
})
