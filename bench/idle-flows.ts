import type { Handles } from '../nf-apps/index.ts'
import { FlowKey, PROTO_TCP, V4_MAPPED } from '../nf-apps/packet/index.ts'
import type { flowCounter } from './solo-instance.ts'

/** 10.128.0.0 and up: synthetic traffic does not come that far. */
const FIRST = 0x0a80_0000
const SERVER = 0x0a7f_0001

/** Makes so many flow actors that no packet will touch again. */
export function makeIdleFlows({ flows }: Handles<typeof flowCounter.state>, count: number): void {
  const key = new FlowKey()
  key.protocol = PROTO_TCP
  key.dst.set(0, 0, V4_MAPPED, SERVER)
  key.dstPort = 443
  for (let i = 0; i < count; i++) {
    key.src.set(0, 0, V4_MAPPED, FIRST + i)
    key.srcPort = 1024 + (i % 50_000)
    flows.with(key, (flow) => {
      flow.packets++
    })
  }
}
