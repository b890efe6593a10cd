import { defineNF, forward } from '../nf-apps/index.ts'
import { symmetricFlowOf, TCP_FIN } from '../nf-apps/packet/index.ts'
import { flowCounter } from './solo-instance.ts'

/** Counts flows as the flow counter does, and ends each with its last packet. */
export const churning = defineNF('churning', {
  state: flowCounter.state,
  onPacket(p, { flows }) {
    if (p.l3Offset < 0) return forward
    if (p.flags & TCP_FIN) {
      const removed = flows.remove(symmetricFlowOf(p))
      return removed instanceof Promise ? removed.then(() => forward) : forward
    }
    return flows.with(symmetricFlowOf(p), (flow) => {
      flow.packets++
      flow.bytes += p.wireLength
      return forward
    })
  },
})
