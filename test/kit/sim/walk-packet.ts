import { build, type Packet, steeringHash } from '../../../nf-apps/packet/index.ts'
import { packetOf } from './cluster.ts'

/** What a packet of a walk says: its flow, its place in it, its operation's id, and how its handler is to go about it. */
export interface WalkPacket {
  readonly flow: number
  readonly seq: number
  readonly id: number
  readonly way: number
}

/** Ways of a packet's handler: a call to another actor before its turn, a turn that is suspended; else its turn alone. */
export const WAYS = 4
export const CALLS_FIRST = 1
export const SUSPENDED = 2

const BYTES = 16

interface Frame {
  readonly bytes: Uint8Array
  readonly hash: number
}
/** A flow's packets differ in their payloads alone: one frame of each flow is built. */
const frames = new Map<number, Frame>()

function frameOf(flow: number): Frame {
  const known = frames.get(flow)
  if (known) return known
  const udp = build.udp({ srcPort: 1000 + flow * 17, dstPort: 53 }, new Uint8Array(BYTES))
  const bytes = build.ethernet({}, build.ipv4({ src: '10.0.0.1', dst: `10.0.0.${flow + 2}` }, udp))
  // No UDP checksum (RFC 768): it would be another for each payload.
  bytes.fill(0, bytes.length - BYTES - 2, bytes.length - BYTES)
  const frame = { bytes, hash: steeringHash(packetOf(bytes)) }
  frames.set(flow, frame)
  return frame
}

export function walkPacket({ flow, seq, id, way }: WalkPacket): Frame {
  const { bytes, hash } = frameOf(flow)
  const copy = new Uint8Array(bytes)
  const view = new DataView(copy.buffer, copy.length - BYTES)
  view.setUint32(0, flow)
  view.setUint32(4, seq)
  view.setUint32(8, id)
  view.setUint32(12, way)
  return { bytes: copy, hash }
}

export function readWalkPacket({ bytes, payloadOffset }: Packet): WalkPacket {
  const at = payloadOffset
  const word = (i: number) =>
    ((bytes[at + i]! << 24) |
      (bytes[at + i + 1]! << 16) |
      (bytes[at + i + 2]! << 8) |
      bytes[at + i + 3]!) >>>
    0
  return { flow: word(0), seq: word(4), id: word(8), way: word(12) }
}
