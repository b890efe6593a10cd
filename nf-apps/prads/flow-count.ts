import type { Packet } from '../packet/index.ts'
import { NET_IPV4 } from '../packet/index.ts'
import { type FlowState, flagsOf, secondsOf } from './detect.ts'
import { LOW } from './state.ts'

/** A connection's first packet: whose it is, and what real prads says of its beginning. */
export function begin(p: Packet, flow: FlowState, side: number, opaque: boolean): void {
  flow.firstIndex = p.index
  flow.started = secondsOf(p)
  flow.startSide = side
  flow.startBytes = bytesOf(p)
  flow.startFlags = flagsOf(p)
  flow.client = side
  flow.opaque = opaque
}

/** Counts a packet for its side; whether the side's asset has been told of this second. */
export function count(p: Packet, flow: FlowState, side: number, now: number): boolean {
  if (side === LOW) {
    const told = flow.lowPackets > 0 && flow.lowTold === now
    flow.lowPackets++
    flow.lowBytes += bytesOf(p)
    flow.lowFlags |= flagsOf(p)
    flow.lowTold = now
    return told
  }
  const told = flow.highPackets > 0 && flow.highTold === now
  flow.highPackets++
  flow.highBytes += bytesOf(p)
  flow.highFlags |= flagsOf(p)
  flow.highTold = now
  return told
}

/** What is in the IP packet behind its first header, in the 16 bits that real prads has for it. */
function bytesOf(p: Packet): number {
  return (p.totalLength - (p.kind === NET_IPV4 ? p.headerLength : 40)) & 0xffff
}
