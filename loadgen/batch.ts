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
  /** Whether the source takes the lines that the NF tells. */
  readonly takesEvents: boolean
}
const LE = true
export const BATCH_HEAD_BYTES = 23

export function writeHead(w: ByteWriter, head: BatchHead): void {
  w.u32(head.id)
  w.f64(head.lowUs)
  w.f64(head.dueMs)
  w.u16(head.count)
  w.u8(head.takesEvents ? 1 : 0)
}
export function readHead(r: ByteReader): BatchHead {
  return {
    id: r.u32(),
    lowUs: r.f64(),
    dueMs: r.f64(),
    count: r.u16(),
    takesEvents: r.u8() === 1,
  }
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

// Where the stamps of a packet lie, from its start on.
const TIME_AT = 8
const CLOCK_AT = 16
const HASH_AT = 24
const WIRE_LENGTH_AT = 28
const LINK_TYPE_AT = 32
const LENGTH_AT = 34
const STAMP_BYTES = 38

/** What an NF sends besides its verdict, under the packet that caused it: a frame, or a line about what happened. */
export interface Output {
  readonly index: number
  readonly timeUs: number
  /** Of the frame; −1: it is a line. */
  readonly linkType: number
  readonly bytes: Uint8Array
}
export const LINE = -1

export function writeOutput(w: ByteWriter, o: Output): void {
  w.f64(o.index)
  w.f64(o.timeUs)
  w.u16(o.linkType & 0xffff)
  w.block(o.bytes)
}
export function readOutput(r: ByteReader): Output {
  const [index, timeUs, linkType] = [r.f64(), r.f64(), r.u16()]
  return { index, timeUs, linkType: linkType === 0xffff ? LINE : linkType, bytes: r.block() }
}

/** The packet's view is over the reader's bytes: nothing is copied. */
export function readPacket(r: ByteReader, packet: Packet): void {
  const { bytes, view } = r
  const at = r.skip(STAMP_BYTES) // one check for all of them
  const start = r.skip(view.getUint32(at + LENGTH_AT, LE))
  // Field by field: as arguments of `load` the doubles may become objects where the call is not inlined.
  packet.start = start
  packet.end = r.pos
  if (packet.bytes !== bytes) packet.bytes = bytes // a store of what is new is told to the collector
  packet.linkType = view.getUint16(at + LINK_TYPE_AT, LE)
  packet.wireLength = view.getUint32(at + WIRE_LENGTH_AT, LE)
  packet.timeUs = view.getFloat64(at + TIME_AT, LE)
  packet.clockUs = view.getFloat64(at + CLOCK_AT, LE)
  packet.index = view.getFloat64(at, LE)
  packet.hashWord = view.getInt32(at + HASH_AT, LE)
  packet.parse()
  packet.isStamped = true
}

/** The hashes of the next packets, up to `count`, without taking them; answers how many there are. */
export function peekHashes(r: ByteReader, hashes: Uint32Array, count: number): number {
  const { view, end } = r
  let at = r.pos
  let n = 0
  while (n < count && at + STAMP_BYTES <= end) {
    hashes[n++] = view.getUint32(at + HASH_AT, LE)
    at += STAMP_BYTES + view.getUint32(at + LENGTH_AT, LE)
  }
  return n
}
