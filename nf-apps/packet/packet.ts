import { FlowKey } from './flow-key.ts'
import { Ip, V4_MAPPED } from './ip.ts'
import { macAt } from './mac.ts'
import * as n from './numbers.ts'

/** Stacked VLAN tags, and MPLS labels, of one packet: real stacks have up to four; more is an attack. */
const TAGS_MAX = 16
/** IPv6 extension headers of one packet: RFC 8200 expects up to 7; bounds the work on a hostile one. */
const EXTENSIONS_MAX = 32

function u16(b: Uint8Array, i: number): number {
  return (b[i]! << 8) | b[i + 1]!
}

function u32(b: Uint8Array, i: number): number {
  return ((b[i]! << 24) | (b[i + 1]! << 16) | (b[i + 2]! << 8) | b[i + 3]!) >>> 0
}

/**
 * A view over the bytes of one packet, reused for the next: nothing is allocated per packet, so
 * whoever keeps a packet, its addresses or its flow keys beyond the turn calls `retain()` or
 * `clone()`. Offsets count from the start of `bytes`, lengths are in bytes.
 *
 * Any bytes are safe: the parser reads inside [start, end) only and never throws. What it could not
 * make sense of is told by `malformed`; the layers below that are filled in, and those above have
 * `l4Offset` −1. A field of a layer that the packet does not have is 0 (offsets: −1).
 */
export class Packet {
  bytes: Uint8Array = new Uint8Array(0)
  start = 0
  /** One past the last captured byte. */
  end = 0
  linkType = n.LINK_ETHERNET
  /** Length on the wire; `end - start` is less where the capture cut the packet. */
  wireLength = 0
  /** The packet's own time, µs since the Unix epoch. */
  timeUs = 0
  /** Packet time as of this packet: the latest `timeUs` seen up to it. Never goes back. */
  clockUs = 0
  /** Position in the input, from 0; stamped at steering. */
  index = 0
  /** Steering hash: 32 bits, unsigned; see `steeringHash`. */
  hash = 0

  /** First cause of those in `malformedNames`; 0 is fine. */
  malformed = n.FINE
  /** NET_NONE, NET_IPV4, NET_IPV6 or NET_ARP. */
  kind = n.NET_NONE

  /** Of the payload, below all tags and labels; 0 where the link does not tell. */
  etherType = 0
  srcMacOffset = -1
  dstMacOffset = -1
  vlanCount = 0
  /** Id of the outermost VLAN tag. */
  vlan = 0
  /** Id of the second VLAN tag. */
  innerVlan = 0

  /** Start of the IP header or the ARP message. */
  l3Offset = -1
  /** All of IP's header: with options (IPv4), with extension headers (IPv6). */
  headerLength = 0
  /** Behind any extension headers; −1 where the packet is not IP. */
  ipProtocol = -1
  /** Or hop limit. */
  ttl = 0
  /** Or traffic class: DSCP and ECN, 8 bits. */
  tos = 0
  /** 32 bits in an IPv6 fragment header. */
  ipId = 0
  dontFragment = false
  moreFragments = false
  /** In bytes. */
  fragmentOffset = 0
  isFragment = false
  /** Header and payload as IP claims, which may be more than is captured. */
  totalLength = 0
  /** Sender and target of an ARP message. */
  readonly src = new Ip()
  readonly dst = new Ip()

  /** Start of the transport header; −1 in a fragment but the first, and where it is cut off. */
  l4Offset = -1
  srcPort = 0
  dstPort = 0
  seq = 0
  ack = 0
  /** Of TCP: TCP_FIN … TCP_CWR. */
  flags = 0
  window = 0
  urgent = 0
  tcpHeaderLength = 0
  tcpOptionsOffset = -1
  /** As UDP claims. */
  udpLength = 0
  icmpType = 0
  icmpCode = 0
  /** Identifier of an ICMP query and its answer (echo, timestamp, …), which is its port, so to say. */
  icmpId = 0
  icmpSequence = 0

  /** What is left behind all headers, bounded by IP's length, UDP's and the capture. */
  payloadOffset = 0
  payloadEnd = 0

  arpOperation = 0
  arpSenderMacOffset = -1
  arpTargetMacOffset = -1

  /** Filled by `flowOf`. */
  readonly flow = new FlowKey()
  /** Filled by `symmetricFlowOf`. */
  readonly symmetricFlow = new FlowKey()

  load(
    bytes: Uint8Array,
    start: number,
    end: number,
    linkType: number,
    wireLength: number,
    timeUs: number,
    clockUs: number,
    index: number,
    hash: number,
  ): this {
    this.bytes = bytes
    this.start = start
    this.end = end < bytes.length ? end : bytes.length
    this.linkType = linkType
    this.wireLength = wireLength
    this.timeUs = timeUs
    this.clockUs = clockUs
    this.index = index
    this.hash = hash
    this.parse()
    return this
  }

  /** A copy that owns its bytes, for a packet that has to wait. */
  retain(): Packet {
    const bytes = this.bytes.slice(this.start, this.end)
    return new Packet().load(
      bytes,
      0,
      bytes.length,
      this.linkType,
      this.wireLength,
      this.timeUs,
      this.clockUs,
      this.index,
      this.hash,
    )
  }

  /** Bytes on the wire. */
  get length(): number {
    return this.wireLength
  }

  get dscp(): number {
    return this.tos >>> 2
  }

  get payloadLength(): number {
    return this.payloadEnd - this.payloadOffset
  }

  /** What the payload's length was on the wire, by IP's claim: TCP's sequence numbers count these. */
  get payloadWireLength(): number {
    if (this.l3Offset < 0) return this.payloadLength
    const claimed = this.l3Offset + this.totalLength - this.payloadOffset
    return claimed > this.payloadLength ? claimed : this.payloadLength
  }

  /** As a 48-bit number (`macText` writes it), 0 where the link has none. */
  get srcMac(): number {
    return macAt(this.bytes, this.srcMacOffset)
  }

  get dstMac(): number {
    return macAt(this.bytes, this.dstMacOffset)
  }

  get arpSenderMac(): number {
    return macAt(this.bytes, this.arpSenderMacOffset)
  }

  get arpTargetMac(): number {
    return macAt(this.bytes, this.arpTargetMacOffset)
  }

  /** Fills all fields below `hash` from the bytes; called by `load`, and after a change to them. */
  parse(): void {
    this.reset()
    const at = this.start
    switch (this.linkType) {
      case n.LINK_ETHERNET:
        return this.parseEthernet(at)
      case n.LINK_RAW:
      case n.LINK_RAW_BSD:
      case n.LINK_RAW_OPENBSD:
        return this.parseByVersion(at)
      case n.LINK_COOKED:
        return this.parseCooked(at, 16, 14, 4, 6)
      case n.LINK_COOKED2:
        return this.parseCooked(at, 20, 0, 10, 12)
      case n.LINK_NULL:
      case n.LINK_LOOP:
        return this.parseLoopback(at)
      default:
        this.fail(n.BAD_LINK_TYPE)
    }
  }

  private reset(): void {
    this.malformed = n.FINE
    this.kind = n.NET_NONE
    this.etherType = 0
    this.srcMacOffset = -1
    this.dstMacOffset = -1
    this.vlanCount = 0
    this.vlan = 0
    this.innerVlan = 0
    this.l3Offset = -1
    this.headerLength = 0
    this.ipProtocol = -1
    this.ttl = 0
    this.tos = 0
    this.ipId = 0
    this.dontFragment = false
    this.moreFragments = false
    this.fragmentOffset = 0
    this.isFragment = false
    this.totalLength = 0
    this.src.set(0, 0, 0, 0)
    this.dst.set(0, 0, 0, 0)
    this.l4Offset = -1
    this.srcPort = 0
    this.dstPort = 0
    this.seq = 0
    this.ack = 0
    this.flags = 0
    this.window = 0
    this.urgent = 0
    this.tcpHeaderLength = 0
    this.tcpOptionsOffset = -1
    this.udpLength = 0
    this.icmpType = 0
    this.icmpCode = 0
    this.icmpId = 0
    this.icmpSequence = 0
    this.payloadOffset = this.end
    this.payloadEnd = this.end
    this.arpOperation = 0
    this.arpSenderMacOffset = -1
    this.arpTargetMacOffset = -1
  }

  private fail(cause: number): void {
    if (this.malformed === n.FINE) this.malformed = cause
  }

  private parseEthernet(at: number): void {
    if (this.end - at < 14) return this.fail(n.BAD_LINK_TRUNCATED)
    this.dstMacOffset = at
    this.srcMacOffset = at + 6
    this.parseTags(u16(this.bytes, at + 12), at + 14)
  }

  private parseCooked(
    at: number,
    length: number,
    protocolAt: number,
    addressLengthAt: number,
    addressAt: number,
  ): void {
    if (this.end - at < length) return this.fail(n.BAD_LINK_TRUNCATED)
    // Version 1 has two bytes of address length, version 2 one: in both the low one is the last.
    const lengthByte = this.bytes[at + (length === 16 ? addressLengthAt + 1 : addressLengthAt + 1)]!
    if (lengthByte === 6) this.srcMacOffset = at + addressAt
    this.parseTags(u16(this.bytes, at + protocolAt), at + length)
  }

  /** The family stands in the byte order of the machine that captured: 2 is IPv4 everywhere. */
  private parseLoopback(at: number): void {
    if (this.end - at < 4) return this.fail(n.BAD_LINK_TRUNCATED)
    const b = this.bytes
    const family = u16(b, at) === 0 ? u16(b, at + 2) : b[at]! | (b[at + 1]! << 8)
    if (family === 2) this.parseNetwork(n.ETHER_IPV4, at + 4)
    else if (family === 10 || family === 24 || family === 28 || family === 30) {
      this.parseNetwork(n.ETHER_IPV6, at + 4)
    } else this.payloadOffset = at + 4
  }

  private parseByVersion(at: number): void {
    if (at >= this.end) return this.fail(n.BAD_IP_TRUNCATED)
    const version = this.bytes[at]! >>> 4
    if (version === 4) this.parseNetwork(n.ETHER_IPV4, at)
    else if (version === 6) this.parseNetwork(n.ETHER_IPV6, at)
    else {
      this.payloadOffset = at
      this.fail(n.BAD_IP_VERSION)
    }
  }

  private parseTags(etherType: number, at: number): void {
    const b = this.bytes
    while (
      etherType === n.ETHER_VLAN ||
      etherType === n.ETHER_QINQ ||
      etherType === n.ETHER_QINQ_OLD
    ) {
      this.etherType = etherType
      if (this.end - at < 4) return this.fail(n.BAD_LINK_TRUNCATED)
      if (this.vlanCount === TAGS_MAX) return this.fail(n.BAD_TAGS)
      const id = u16(b, at) & 0xfff
      if (this.vlanCount === 0) this.vlan = id
      else if (this.vlanCount === 1) this.innerVlan = id
      this.vlanCount++
      etherType = u16(b, at + 2)
      at += 4
    }
    this.parseNetwork(etherType, at)
  }

  private parseNetwork(etherType: number, at: number): void {
    this.etherType = etherType
    this.payloadOffset = at
    if (etherType === n.ETHER_IPV4) this.parseIPv4(at)
    else if (etherType === n.ETHER_IPV6) this.parseIPv6(at)
    else if (etherType === n.ETHER_ARP) this.parseArp(at)
    else if (etherType === n.ETHER_MPLS || etherType === n.ETHER_MPLS_MULTICAST) this.parseMpls(at)
  }

  /** Below the last label stands IP where its version says so, else something we do not look into. */
  private parseMpls(at: number): void {
    for (let labels = 0; labels < TAGS_MAX; labels++) {
      if (this.end - at < 4) return this.fail(n.BAD_LINK_TRUNCATED)
      const last = (this.bytes[at + 2]! & 1) === 1
      at += 4
      if (!last) continue
      this.payloadOffset = at
      const version = at < this.end ? this.bytes[at]! >>> 4 : 0
      if (version === 4 || version === 6) this.parseByVersion(at)
      return
    }
    this.fail(n.BAD_TAGS)
  }

  private parseIPv4(at: number): void {
    const b = this.bytes
    if (this.end - at < 20) return this.fail(n.BAD_IP_TRUNCATED)
    const first = b[at]!
    if (first >>> 4 !== 4) return this.fail(n.BAD_IP_VERSION)
    this.kind = n.NET_IPV4
    this.l3Offset = at
    const headerLength = (first & 15) << 2
    this.headerLength = headerLength
    this.tos = b[at + 1]!
    this.ipId = u16(b, at + 4)
    const fragment = u16(b, at + 6)
    this.dontFragment = (fragment & 0x4000) !== 0
    this.moreFragments = (fragment & 0x2000) !== 0
    this.fragmentOffset = (fragment & 0x1fff) << 3
    this.isFragment = (fragment & 0x3fff) !== 0
    this.ttl = b[at + 8]!
    this.ipProtocol = b[at + 9]!
    this.src.set(0, 0, V4_MAPPED, u32(b, at + 12))
    this.dst.set(0, 0, V4_MAPPED, u32(b, at + 16))
    // A capture on a sending host with segmentation offload sees 0: then the packet's end tells.
    const total = u16(b, at + 2) || this.start + this.wireLength - at
    this.totalLength = total
    this.payloadEnd = at
    this.payloadOffset = at
    if (headerLength < 20) return this.fail(n.BAD_IP_HEADER_LENGTH)
    if (total < headerLength) return this.fail(n.BAD_IP_TOTAL_LENGTH)
    if (at + headerLength > this.end) return this.fail(n.BAD_IP_TRUNCATED)
    this.boundPayload(at + headerLength)
    if (this.fragmentOffset === 0) this.parseTransport(this.payloadOffset)
  }

  private boundPayload(at: number): void {
    const claimed = this.l3Offset + this.totalLength
    if (claimed > this.start + this.wireLength) this.fail(n.BAD_IP_BEYOND_WIRE)
    this.payloadOffset = at
    this.payloadEnd = claimed < this.end ? claimed : this.end
  }

  private parseIPv6(at: number): void {
    const b = this.bytes
    if (this.end - at < 40) return this.fail(n.BAD_IP_TRUNCATED)
    if (b[at]! >>> 4 !== 6) return this.fail(n.BAD_IP_VERSION)
    this.kind = n.NET_IPV6
    this.l3Offset = at
    this.headerLength = 40
    this.tos = (u16(b, at) >>> 4) & 255
    this.ttl = b[at + 7]!
    this.src.set(u32(b, at + 8), u32(b, at + 12), u32(b, at + 16), u32(b, at + 20))
    this.dst.set(u32(b, at + 24), u32(b, at + 28), u32(b, at + 32), u32(b, at + 36))
    const next = b[at + 6]!
    const length = u16(b, at + 4)
    // 0 with something behind it is a jumbogram or segmentation offload: the packet's end tells.
    const toEnd = length === 0 && next !== n.PROTO_NONE
    this.totalLength = toEnd ? this.start + this.wireLength - at : 40 + length
    this.boundPayload(at + 40)
    this.parseExtensions(next, at + 40)
  }

  /** Walks to the transport header, or to where the chain ends, breaks or is cut into fragments. */
  private parseExtensions(next: number, at: number): void {
    const b = this.bytes
    const end = this.payloadEnd
    for (let count = 0; isExtension(next); count++) {
      this.ipProtocol = next
      if (count === EXTENSIONS_MAX) return this.fail(n.BAD_EXTENSION_CHAIN)
      if (end - at < 8) return this.fail(n.BAD_EXTENSION_TRUNCATED)
      const here = next
      next = b[at]!
      let length = (b[at + 1]! + 1) << 3
      if (here === n.PROTO_AH) length = (b[at + 1]! + 2) << 2
      else if (here === n.PROTO_FRAGMENT) {
        length = 8
        this.readFragmentHeader(at)
      }
      if (end - at < length) return this.fail(n.BAD_EXTENSION_TRUNCATED)
      at += length
      this.headerLength = at - this.l3Offset
      this.payloadOffset = at
      if (this.fragmentOffset > 0) {
        this.ipProtocol = next
        return
      }
    }
    this.ipProtocol = next
    if (next !== n.PROTO_NONE) this.parseTransport(at)
  }

  private readFragmentHeader(at: number): void {
    const word = u16(this.bytes, at + 2)
    this.fragmentOffset = word & 0xfff8
    this.moreFragments = (word & 1) === 1
    // Offset 0 and no more to come is a whole packet all the same (RFC 6946).
    this.isFragment = (word & 0xfff9) !== 0
    this.ipId = u32(this.bytes, at + 4)
  }

  private parseTransport(at: number): void {
    switch (this.ipProtocol) {
      case n.PROTO_TCP:
        return this.parseTcp(at)
      case n.PROTO_UDP:
        return this.parseUdp(at)
      case n.PROTO_ICMP:
      case n.PROTO_ICMPV6:
        return this.parseIcmp(at)
      default:
        this.l4Offset = at
    }
  }

  private parseTcp(at: number): void {
    const b = this.bytes
    const room = this.payloadEnd - at
    if (room < 20) {
      this.readPorts(at, room)
      return this.fail(n.BAD_TCP_TRUNCATED)
    }
    this.l4Offset = at
    this.srcPort = u16(b, at)
    this.dstPort = u16(b, at + 2)
    this.seq = u32(b, at + 4)
    this.ack = u32(b, at + 8)
    const length = (b[at + 12]! >>> 4) << 2
    this.tcpHeaderLength = length
    this.flags = b[at + 13]!
    this.window = u16(b, at + 14)
    this.urgent = u16(b, at + 18)
    this.payloadOffset = at + 20
    if (length < 20) return this.fail(n.BAD_TCP_HEADER_LENGTH)
    if (length > room) {
      this.payloadOffset = this.payloadEnd
      return this.fail(n.BAD_TCP_TRUNCATED)
    }
    this.tcpOptionsOffset = at + 20
    this.payloadOffset = at + length
  }

  /** Of a header that is cut off: an ICMP error quotes as little as 8 bytes of it (RFC 792). */
  private readPorts(at: number, room: number): void {
    if (room < 4) return
    this.srcPort = u16(this.bytes, at)
    this.dstPort = u16(this.bytes, at + 2)
    if (room >= 8 && this.ipProtocol === n.PROTO_TCP) this.seq = u32(this.bytes, at + 4)
  }

  private parseUdp(at: number): void {
    const room = this.payloadEnd - at
    if (room < 8) {
      this.readPorts(at, room)
      return this.fail(n.BAD_UDP_TRUNCATED)
    }
    this.l4Offset = at
    this.srcPort = u16(this.bytes, at)
    this.dstPort = u16(this.bytes, at + 2)
    const length = u16(this.bytes, at + 4)
    this.udpLength = length
    this.payloadOffset = at + 8
    if (length >= 8 && length <= room) this.payloadEnd = at + length
    else if (length < 8 || !this.cutOrFragment(at + length)) this.fail(n.BAD_UDP_LENGTH)
  }

  /** Whether a datagram may well go on beyond what we have: in other fragments, or uncaptured. */
  private cutOrFragment(claimedEnd: number): boolean {
    return this.isFragment || claimedEnd <= this.l3Offset + this.totalLength
  }

  private parseIcmp(at: number): void {
    const b = this.bytes
    const room = this.payloadEnd - at
    if (room < 4) return this.fail(n.BAD_ICMP_TRUNCATED)
    this.l4Offset = at
    this.icmpType = b[at]!
    this.icmpCode = b[at + 1]!
    this.payloadOffset = room < 8 ? this.payloadEnd : at + 8
    if (room < 8) return this.fail(n.BAD_ICMP_TRUNCATED)
    if (!isIcmpQuery(this.ipProtocol, this.icmpType)) return
    this.icmpId = u16(b, at + 4)
    this.icmpSequence = u16(b, at + 6)
  }

  /** Only Ethernet and IPv4 addresses (lengths 6 and 4) are read; others are an `arp-format`. */
  private parseArp(at: number): void {
    const b = this.bytes
    this.kind = n.NET_ARP
    this.l3Offset = at
    if (this.end - at < 8) return this.fail(n.BAD_ARP_TRUNCATED)
    this.arpOperation = u16(b, at + 6)
    if (u16(b, at + 2) !== n.ETHER_IPV4 || u16(b, at + 4) !== 0x0604) {
      return this.fail(n.BAD_ARP_FORMAT)
    }
    if (this.end - at < 28) return this.fail(n.BAD_ARP_TRUNCATED)
    this.totalLength = 28
    this.headerLength = 28
    this.arpSenderMacOffset = at + 8
    this.src.set(0, 0, V4_MAPPED, u32(b, at + 14))
    this.arpTargetMacOffset = at + 18
    this.dst.set(0, 0, V4_MAPPED, u32(b, at + 24))
    this.payloadOffset = at + 28
  }
}

function isExtension(next: number): boolean {
  switch (next) {
    case n.PROTO_HOP_BY_HOP:
    case n.PROTO_ROUTING:
    case n.PROTO_FRAGMENT:
    case n.PROTO_AH:
    case n.PROTO_DESTINATION:
      return true
    default:
      return false
  }
}

/** Whether an ICMP message carries an identifier: echo, timestamp, information, address mask. */
export function isIcmpQuery(protocol: number, type: number): boolean {
  if (protocol === n.PROTO_ICMPV6) return type === 128 || type === 129
  return type === 8 || type === 0 || (type >= 13 && type <= 18)
}

/** Whether an ICMP message speaks of another packet, whose beginning is its payload. */
export function isIcmpError(p: Packet): boolean {
  if (p.l4Offset < 0) return false
  if (p.ipProtocol === n.PROTO_ICMPV6) return p.icmpType >= 1 && p.icmpType <= 4
  if (p.ipProtocol !== n.PROTO_ICMP) return false
  const type = p.icmpType
  return type === 3 || type === 4 || type === 5 || type === 11 || type === 12
}
