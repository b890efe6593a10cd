import { checksum, finish, PROTO_UDP, sumBytes } from '../nf-apps/packet/index.ts'

/*
 * A machine's own packets, and those that its driver has joined (GRO), are not as they are on a wire: checksums are
 * left to the line's hardware, and one frame of up to 64 KiB stands for many. The kernel tells so (struct
 * virtio_net_hdr); here the frames are made that a wire would have seen, so that NFs see no others.
 */

/** What the kernel tells of a frame. */
export interface Offload {
  /** Its checksum holds the sum of the pseudo header alone. */
  needsChecksum: boolean
  /** Where summing starts, and where the checksum belongs: offsets in the buffer. */
  sumStart: number
  sumAt: number
  /** Why it is to be cut: 0 not at all, else of SEGMENTS. */
  kind: number
  /** Payload of each segment. */
  segmentBytes: number
}
export const NO_OFFLOAD: Offload = {
  needsChecksum: false,
  sumStart: 0,
  sumAt: 0,
  kind: 0,
  segmentBytes: 0,
}

const TCP_V4 = 1
const TCP_V6 = 4
const UDP_SEGMENTS = 5
const SEGMENTS: ReadonlySet<number> = new Set([TCP_V4, TCP_V6, UDP_SEGMENTS])

const ETHER_BYTES = 14
const V6_BYTES = 40
const FIN_OR_PUSH = 0x09
const CONGESTION_REDUCED = 0x80
const FRAME_MAX = 0x10000 + 64
/** Segments are built here, one after the other. */
const segment = new Uint8Array(FRAME_MAX)

/** Takes a frame, which the next one may overwrite. */
export type OnWireFrame = (bytes: Uint8Array, start: number, end: number) => void

const word16 = (b: Uint8Array, at: number) => (b[at]! << 8) | b[at + 1]!
const word32 = (b: Uint8Array, at: number) => word16(b, at) * 0x10000 + word16(b, at + 2)
function put16(b: Uint8Array, at: number, value: number): void {
  b[at] = value >>> 8
  b[at + 1] = value
}
function put32(b: Uint8Array, at: number, value: number): void {
  put16(b, at, value >>> 16)
  put16(b, at + 2, value)
}

/** The frames of a wire for one of the kernel's. Its checksum is completed in place. */
export function toWire(
  bytes: Uint8Array,
  start: number,
  end: number,
  offload: Offload,
  take: OnWireFrame,
): void {
  const { needsChecksum, sumStart, sumAt, kind, segmentBytes } = offload
  const fits = sumStart > start + ETHER_BYTES && sumAt >= sumStart && sumAt + 2 <= end
  const isMany = SEGMENTS.has(kind) && segmentBytes > 0
  if (isMany && needsChecksum && fits && cut(bytes, start, end, offload, take)) return
  if (needsChecksum && fits) {
    const value = finish(sumBytes(bytes, sumStart, end))
    // UDP's 0 would say that there is none (RFC 768); its checksum is the one that lies 6 bytes in.
    put16(bytes, sumAt, value === 0 && sumAt - sumStart === 6 ? 0xffff : value)
  }
  take(bytes, start, end)
}

/** Where the parts of a frame that is to be cut lie in it. */
interface Parts {
  readonly v6: boolean
  readonly tcp: boolean
  readonly l3: number
  readonly l4: number
  readonly payload: number
}

function partsOf(bytes: Uint8Array, start: number, end: number, o: Offload): Parts | undefined {
  const l3 = ETHER_BYTES + tagBytes(bytes, start)
  const l4 = o.sumStart - start
  const v6 = bytes[start + l3]! >>> 4 === 6
  const tcp = o.kind !== UDP_SEGMENTS
  if (l4 < l3 + (v6 ? V6_BYTES : 20) || start + l4 + (tcp ? 20 : 8) > end) return undefined
  const payload = l4 + (tcp ? (bytes[start + l4 + 12]! >>> 4) * 4 : 8)
  return start + payload < end ? { v6, tcp, l3, l4, payload } : undefined
}

function tagBytes(bytes: Uint8Array, start: number): number {
  const type = word16(bytes, start + 12)
  return type === 0x8100 || type === 0x88a8 ? 4 : 0
}

/** Cuts a frame into segments as the hardware would; false if its headers make no sense. */
function cut(
  bytes: Uint8Array,
  start: number,
  end: number,
  offload: Offload,
  take: OnWireFrame,
): boolean {
  const parts = partsOf(bytes, start, end, offload)
  if (!parts) return false
  const { payload } = parts
  segment.set(bytes.subarray(start, start + payload))
  const all = end - start - payload
  for (let at = 0, i = 0; at < all; at += offload.segmentBytes, i++) {
    const size = Math.min(offload.segmentBytes, all - at)
    const from = start + payload + at
    segment.set(bytes.subarray(from, from + size), payload)
    const last = at + size === all
    if (parts.tcp) tcpHeader(bytes, start, parts, at, last)
    else put16(segment, parts.l4 + 4, 8 + size)
    ipHeader(bytes, start, parts, i, payload + size)
    sum(parts, payload + size)
    take(segment, 0, payload + size)
  }
  return true
}

function tcpHeader(b: Uint8Array, start: number, { l4 }: Parts, at: number, last: boolean): void {
  put32(segment, l4 + 4, (word32(b, start + l4 + 4) + at) >>> 0)
  const flags = b[start + l4 + 13]!
  const first = at === 0 ? flags : flags & ~CONGESTION_REDUCED
  segment[l4 + 13] = last ? first : first & ~FIN_OR_PUSH
}

function ipHeader(b: Uint8Array, start: number, p: Parts, i: number, end: number): void {
  const { v6, l3, l4 } = p
  if (v6) {
    put16(segment, l3 + 4, end - l3 - V6_BYTES)
    return
  }
  put16(segment, l3 + 2, end - l3)
  put16(segment, l3 + 4, (word16(b, start + l3 + 4) + i) & 0xffff)
  put16(segment, l3 + 10, 0)
  put16(segment, l3 + 10, checksum(segment, l3, l4))
}

function sum({ v6, tcp, l3, l4 }: Parts, end: number): void {
  const at = l4 + (tcp ? 16 : 6)
  put16(segment, at, 0)
  const addresses = v6 ? sumBytes(segment, l3 + 8, l3 + 40) : sumBytes(segment, l3 + 12, l3 + 20)
  const protocol = tcp ? 6 : PROTO_UDP
  const value = checksum(segment, l4, end, addresses + protocol + (end - l4))
  put16(segment, at, value === 0 && !tcp ? 0xffff : value)
}
