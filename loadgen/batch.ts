import type { ByteReader, ByteWriter } from '../bus/index.ts'
import type { Packet } from '../nf-apps/packet/index.ts'

/**
 * A batch of packets on the bus (PACKETS): a head, then each packet with what steering stamped on it.
 * `lowUs` is packet time as of the first packet that has no verdict yet, anywhere: state that nobody has touched until
 * then can expire, whatever is still under way.
 */
export interface BatchHead {
  readonly id: number
  readonly lowUs: number
  /** Wall clock (ms) at which the batch's first packet was due: latencies count from here. */
  readonly dueMs: number
  readonly count: number
}
export const BATCH_HEAD_BYTES = 22

export function writeHead(w: ByteWriter, head: BatchHead): void {
  w.u32(head.id)
  w.f64(head.lowUs)
  w.f64(head.dueMs)
  w.u16(head.count)
}
export function readHead(r: ByteReader): BatchHead {
  return { id: r.u32(), lowUs: r.f64(), dueMs: r.f64(), count: r.u16() }
}

/** A packet as it enters: its bytes, and where and when it was captured. */
export interface Arrival {
  readonly bytes: Uint8Array
  readonly start: number
  readonly end: number
  readonly wireLength: number
  readonly timeUs: number
  readonly linkType: number
}

export function writePacket(
  w: ByteWriter,
  a: Arrival,
  stamp: { index: number; clockUs: number; hash: number },
): void {
  w.f64(stamp.index)
  w.f64(a.timeUs)
  w.f64(stamp.clockUs)
  w.u32(stamp.hash)
  w.u32(a.wireLength)
  w.u16(a.linkType)
  w.block(a.start === 0 && a.end === a.bytes.length ? a.bytes : a.bytes.subarray(a.start, a.end))
}

/** The packet's view is over the reader's bytes: nothing is copied. */
export function readPacket(r: ByteReader, packet: Packet): void {
  const index = r.f64()
  const timeUs = r.f64()
  const clockUs = r.f64()
  const hash = r.u32()
  const wireLength = r.u32()
  const linkType = r.u16()
  const length = r.u32()
  const start = r.skip(length)
  packet.load(r.bytes, start, start + length, linkType, wireLength, timeUs, clockUs, index, hash)
}
