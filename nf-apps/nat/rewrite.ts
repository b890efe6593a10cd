import {
  checksum,
  type Packet,
  PROTO_ICMP,
  PROTO_TCP,
  PROTO_UDP,
  updateChecksum,
} from '../packet/index.ts'

/** The ends of a packet as it goes on; ports are of no account where it shows none. */
export interface Ends {
  readonly src: number
  readonly srcPort: number
  readonly dst: number
  readonly dstPort: number
}

const FRAME_MAX = 0x10000 + 64
/** Frames are built here and copied by whoever takes them. */
const frame = new Uint8Array(FRAME_MAX)

/** A copy of the packet's frame, valid until the next; undefined if it is beyond any size. */
export function frameOf(p: Packet): Uint8Array | undefined {
  const length = p.end - p.start
  if (length > FRAME_MAX) return undefined
  frame.set(p.bytes.subarray(p.start, p.end))
  return frame.subarray(0, length)
}

/** Where a packet's parts lie in its frame. */
export interface Place {
  readonly ip: number
  /** −1 where the packet shows no ports: a fragment but the first. */
  readonly transport: number
  readonly protocol: number
  readonly end: number
}

export function placeOf(p: Packet): Place {
  const ip = p.l3Offset - p.start
  const first = !p.isFragment || p.fragmentOffset === 0
  const transport = first ? ip + p.headerLength : -1
  return { ip, transport, protocol: p.ipProtocol, end: p.end - p.start }
}

const word16 = (b: Uint8Array, at: number) => (b[at]! << 8) | b[at + 1]!

function put16(b: Uint8Array, at: number, value: number): void {
  b[at] = value >>> 8
  b[at + 1] = value
}

/** Offset of the checksum in the transport header, and whether it covers the addresses. */
const CHECKSUM_AT: Record<number, number> = { [PROTO_TCP]: 16, [PROTO_UDP]: 6, [PROTO_ICMP]: 2 }

/**
 * Puts other ends into a packet, and into its checksums what that changes (RFC 1624): right ones stay right, wrong
 * ones wrong. A quoted packet may be cut off anywhere behind its IP header: what is not there is not written.
 */
export function rewrite(b: Uint8Array, at: Place, ends: Ends): void {
  const change = new Change(b, at)
  change.address(at.ip + 12, ends.src)
  change.address(at.ip + 16, ends.dst)
  if (at.transport < 0) return
  if (at.protocol === PROTO_ICMP) return change.port(at.transport + 4, ends.srcPort)
  change.port(at.transport, ends.srcPort)
  change.port(at.transport + 2, ends.dstPort)
}

class Change {
  private readonly b: Uint8Array
  private readonly place: Place
  private readonly ipSumAt: number
  /** −1: none, or not there. */
  private readonly sumAt: number

  constructor(b: Uint8Array, place: Place) {
    this.b = b
    this.place = place
    this.ipSumAt = place.ip + 10
    const sumAt = place.transport + (CHECKSUM_AT[place.protocol] ?? 0)
    const there = place.transport >= 0 && sumAt + 2 <= place.end
    // UDP of IPv4 may go without one, which is written as 0 (RFC 768).
    const none = there && place.protocol === PROTO_UDP && word16(b, sumAt) === 0
    this.sumAt = there && !none ? sumAt : -1
  }

  address(at: number, to: number): void {
    this.half(at, to >>> 16)
    this.half(at + 2, to & 0xffff)
  }

  private half(at: number, to: number): void {
    const { b, ipSumAt } = this
    const from = word16(b, at)
    if (from === to) return
    put16(b, ipSumAt, updateChecksum(word16(b, ipSumAt), from, to))
    if (this.place.protocol !== PROTO_ICMP) this.sum(from, to)
    put16(b, at, to)
  }

  port(at: number, to: number): void {
    if (at + 2 > this.place.end) return
    this.sum(word16(this.b, at), to)
    put16(this.b, at, to)
  }

  private sum(from: number, to: number): void {
    if (this.sumAt < 0) return
    const value = updateChecksum(word16(this.b, this.sumAt), from, to)
    const isUdp = this.place.protocol === PROTO_UDP
    put16(this.b, this.sumAt, isUdp && value === 0 ? 0xffff : value)
  }
}

/**
 * Rewrites an ICMP error: the packet it quotes by `inner`, its own addresses by `src` and `dst`. Its checksum covers the
 * quoted bytes, so it takes in all that changed there. ICMP begins at an even offset from the quotation.
 */
export function rewriteError(
  b: Uint8Array,
  outer: Place,
  quoted: Place,
  inner: Ends,
  src: number,
  dst: number,
): void {
  const sumAt = outer.transport + 2
  const before = sumOf(b, quoted)
  rewrite(b, quoted, inner)
  const after = sumOf(b, quoted)
  put16(b, sumAt, updateChecksum(word16(b, sumAt), before, after))
  rewrite(b, { ...outer, transport: -1 }, { src, srcPort: 0, dst, dstPort: 0 })
}

/** One's complement sum of the words that a rewrite of the quoted packet may change. */
const REWRITTEN_BYTES = 20
function sumOf(b: Uint8Array, { ip, transport, end }: Place): number {
  const header = ~checksum(b, ip, Math.min(ip + 20, end)) & 0xffff
  if (transport < 0 || transport >= end) return header
  const rest = ~checksum(b, transport, Math.min(transport + REWRITTEN_BYTES, end)) & 0xffff
  const sum = header + rest
  return (sum & 0xffff) + (sum >>> 16)
}

/** Whether an ICMP message that is here whole has a right checksum; one that was cut off cannot be told. */
export function icmpChecksumIsWrong(p: Packet): boolean {
  const end = p.l3Offset + p.totalLength
  return end <= p.end && checksum(p.bytes, p.l4Offset, end) !== 0
}

/** Whether the IP header of a packet has a right checksum. */
export function ipChecksumIsWrong(p: Packet): boolean {
  return checksum(p.bytes, p.l3Offset, p.l3Offset + p.headerLength) !== 0
}
