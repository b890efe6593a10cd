import { V4_MAPPED } from './ip.ts'
import * as n from './numbers.ts'
import type { Packet } from './packet.ts'
import { i32, u16 } from './read.ts'

// Each parser below returns the cause why it could not go on, or FINE. It has then filled in what it
// could read. All reads are below `p.end`, or `p.payloadEnd`, which is never above it.

/** Stacked VLAN tags, or MPLS labels, of one packet: real stacks have up to four. */
const TAGS_MAX = 16
/** IPv6 extension headers of one packet: RFC 8200 knows seven; bounds the work on a hostile one. */
const EXTENSIONS_MAX = 32
/** EtherTypes begin here; below stands the length of an 802.3 frame. */
const ETHER_TYPE_MIN = 0x600

/** Fills all fields of a packet that follow from its bytes. */
export function parsePacket(p: Packet): void {
  reset(p)
  const cause = parseLink(p, p.start)
  if (p.malformed === n.FINE) p.malformed = cause
}

function parseLink(p: Packet, at: number): number {
  switch (p.linkType) {
    case n.LINK_ETHERNET:
      return parseEthernet(p, at)
    case n.LINK_RAW:
    case n.LINK_RAW_BSD:
    case n.LINK_RAW_OPENBSD:
    case n.LINK_IPV4:
    case n.LINK_IPV6:
      return parseByVersion(p, at)
    case n.LINK_COOKED:
      return parseCooked(p, at)
    case n.LINK_COOKED2:
      return parseCooked2(p, at)
    case n.LINK_NULL:
    case n.LINK_LOOP:
      return parseLoopback(p, at)
    case n.LINK_PPP:
      return parsePpp(p, at)
    case n.LINK_CHDLC:
      return parseChdlc(p, at)
    default:
      return n.BAD_LINK_TYPE
  }
}

function parseEthernet(p: Packet, at: number): number {
  if (p.end - at < 14) return n.BAD_LINK_TRUNCATED
  p.dstMacOffset = at
  p.srcMacOffset = at + 6
  return parseTags(p, u16(p.bytes, at + 12), at + 14)
}

function parseCooked(p: Packet, at: number): number {
  if (p.end - at < 16) return n.BAD_LINK_TRUNCATED
  if (u16(p.bytes, at + 4) === 6) p.srcMacOffset = at + 6
  return parseTags(p, u16(p.bytes, at + 14), at + 16)
}

function parseCooked2(p: Packet, at: number): number {
  if (p.end - at < 20) return n.BAD_LINK_TRUNCATED
  if (p.bytes[at + 11] === 6) p.srcMacOffset = at + 12
  return parseTags(p, u16(p.bytes, at), at + 20)
}

/** The family stands in the byte order of the machine that captured, and IPv6's number is its own. */
function parseLoopback(p: Packet, at: number): number {
  if (p.end - at < 4) return n.BAD_LINK_TRUNCATED
  const b = p.bytes
  const family = u16(b, at) === 0 ? u16(b, at + 2) : b[at]! | (b[at + 1]! << 8)
  const v6 = family === 10 || family === 24 || family === 28 || family === 30
  return parseNetwork(p, family === 2 ? n.ETHER_IPV4 : v6 ? n.ETHER_IPV6 : 0, at + 4)
}

/** Address and control (RFC 1662), which some leave out, then PPP's own number, whose zero some leave out. */
function parsePpp(p: Packet, at: number): number {
  if (p.end - at >= 2 && u16(p.bytes, at) === 0xff03) at += 2
  if (p.end - at < 2) return n.BAD_LINK_TRUNCATED
  const short = (p.bytes[at]! & 1) === 1
  const protocol = short ? p.bytes[at]! : u16(p.bytes, at)
  const ip = protocol === 0x21 ? n.ETHER_IPV4 : protocol === 0x57 ? n.ETHER_IPV6 : 0
  return parseNetwork(p, ip, at + (short ? 1 : 2))
}

function parseChdlc(p: Packet, at: number): number {
  if (p.end - at < 4) return n.BAD_LINK_TRUNCATED
  return parseNetwork(p, u16(p.bytes, at + 2), at + 4)
}

function parseByVersion(p: Packet, at: number): number {
  if (at >= p.end) return n.BAD_IP_TRUNCATED
  const version = p.bytes[at]! >>> 4
  if (version === 4) return parseNetwork(p, n.ETHER_IPV4, at)
  if (version === 6) return parseNetwork(p, n.ETHER_IPV6, at)
  p.payloadOffset = at
  return n.BAD_IP_VERSION
}

function parseTags(p: Packet, etherType: number, at: number): number {
  while (isTag(etherType)) {
    p.etherType = etherType
    if (p.end - at < 4) return n.BAD_LINK_TRUNCATED
    if (p.vlanCount === TAGS_MAX) return n.BAD_TAGS
    const id = u16(p.bytes, at) & 0xfff
    if (p.vlanCount === 0) p.vlan = id
    else if (p.vlanCount === 1) p.innerVlan = id
    p.vlanCount++
    etherType = u16(p.bytes, at + 2)
    at += 4
  }
  return etherType < ETHER_TYPE_MIN ? parseLlc(p, at) : parseNetwork(p, etherType, at)
}

function isTag(type: number): boolean {
  return type === n.ETHER_VLAN || type === n.ETHER_QINQ || type === n.ETHER_QINQ_OLD
}

/** In an 802.3 frame an EtherType may follow a SNAP header (RFC 1042): AA AA 03 00 00 00. */
function parseLlc(p: Packet, at: number): number {
  const b = p.bytes
  const snap =
    p.end - at >= 8 && u16(b, at) === 0xaaaa && u16(b, at + 2) === 0x0300 && u16(b, at + 4) === 0
  return snap ? parseNetwork(p, u16(b, at + 6), at + 8) : parseNetwork(p, 0, at)
}

function parseNetwork(p: Packet, etherType: number, at: number): number {
  p.etherType = etherType
  p.payloadOffset = at
  switch (etherType) {
    case n.ETHER_IPV4:
      return parseIPv4(p, at)
    case n.ETHER_IPV6:
      return parseIPv6(p, at)
    case n.ETHER_ARP:
      return parseArp(p, at)
    case n.ETHER_MPLS:
    case n.ETHER_MPLS_MULTICAST:
      return parseMpls(p, at)
    default:
      return n.FINE
  }
}

/** Below the last label stands IP where its version says so, else something we do not look into. */
function parseMpls(p: Packet, at: number): number {
  for (let labels = 0; labels < TAGS_MAX; labels++) {
    if (p.end - at < 4) return n.BAD_LINK_TRUNCATED
    const last = (p.bytes[at + 2]! & 1) === 1
    at += 4
    p.payloadOffset = at
    if (!last) continue
    const version = at < p.end ? p.bytes[at]! >>> 4 : 0
    return version === 4 || version === 6 ? parseByVersion(p, at) : n.FINE
  }
  return n.BAD_TAGS
}

function parseIPv4(p: Packet, at: number): number {
  const b = p.bytes
  if (p.end - at < 20) return n.BAD_IP_TRUNCATED
  if (b[at]! >>> 4 !== 4) return n.BAD_IP_VERSION
  p.kind = n.NET_IPV4
  p.l3Offset = at
  const headerLength = (b[at]! & 15) << 2
  p.headerLength = headerLength
  const fragment = u16(b, at + 6)
  p.fragmentOffset = (fragment & 0x1fff) << 3
  p.isFragment = (fragment & 0x3fff) !== 0
  const protocol = b[at + 9]!
  p.ipProtocol = protocol
  p.isPlainV4 = !p.isFragment && protocol !== n.PROTO_ICMP && protocol !== n.PROTO_ICMPV6
  p.src.set(0, 0, V4_MAPPED, i32(b, at + 12))
  p.dst.set(0, 0, V4_MAPPED, i32(b, at + 16))
  // A capture on a sending host with segmentation offload sees 0: then the packet's end tells.
  const total = u16(b, at + 2) || p.start + p.wireLength - at
  p.totalLength = total
  p.payloadOffset = p.end
  if (headerLength < 20) return n.BAD_IP_HEADER_LENGTH
  if (total < headerLength) return n.BAD_IP_TOTAL_LENGTH
  if (at + headerLength > p.end) return n.BAD_IP_TRUNCATED
  boundPayload(p, at + headerLength)
  return p.fragmentOffset === 0 ? parseTransport(p, at + headerLength) : n.FINE
}

/** By IP's claim and by what is captured. Too great a claim is told, and parsing goes on. */
function boundPayload(p: Packet, at: number): void {
  const claimed = p.l3Offset + p.totalLength
  if (claimed > p.start + p.wireLength) p.malformed = n.BAD_IP_BEYOND_WIRE
  p.payloadOffset = at
  p.payloadEnd = Math.min(claimed, p.end)
}

function parseIPv6(p: Packet, at: number): number {
  const b = p.bytes
  if (p.end - at < 40) return n.BAD_IP_TRUNCATED
  if (b[at]! >>> 4 !== 6) return n.BAD_IP_VERSION
  p.kind = n.NET_IPV6
  p.l3Offset = at
  p.headerLength = 40
  p.src.set(i32(b, at + 8), i32(b, at + 12), i32(b, at + 16), i32(b, at + 20))
  p.dst.set(i32(b, at + 24), i32(b, at + 28), i32(b, at + 32), i32(b, at + 36))
  const next = b[at + 6]!
  const length = u16(b, at + 4)
  // 0 with something behind it is a jumbogram or segmentation offload: the packet's end tells.
  const wire = p.start + p.wireLength - at
  p.totalLength = length === 0 && next !== n.PROTO_NONE && wire > 40 ? wire : 40 + length
  boundPayload(p, at + 40)
  return parseExtensions(p, next, at + 40)
}

/** Walks to the transport header, or to where the chain ends, breaks or is cut into fragments. */
function parseExtensions(p: Packet, next: number, at: number): number {
  for (let count = 0; isExtension(next); count++) {
    p.ipProtocol = next
    const room = p.payloadEnd - at
    if (count === EXTENSIONS_MAX) return n.BAD_EXTENSION_CHAIN
    if (room < 8) return n.BAD_EXTENSION_TRUNCATED
    const length = extensionLength(next, p.bytes[at + 1]!)
    if (next === n.PROTO_FRAGMENT) readFragmentHeader(p, at)
    if (room < length) return n.BAD_EXTENSION_TRUNCATED
    next = p.bytes[at]!
    at += length
    p.headerLength = at - p.l3Offset
    p.payloadOffset = at
    if (p.fragmentOffset > 0) break
  }
  p.ipProtocol = next
  if (p.fragmentOffset > 0 || next === n.PROTO_NONE) return n.FINE
  return parseTransport(p, at)
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

/** The authentication header counts in words of 4 bytes, and from 2 words on (RFC 4302). */
function extensionLength(type: number, field: number): number {
  if (type === n.PROTO_FRAGMENT) return 8
  return type === n.PROTO_AH ? (field + 2) << 2 : (field + 1) << 3
}

function readFragmentHeader(p: Packet, at: number): void {
  const word = u16(p.bytes, at + 2)
  p.fragmentHeaderOffset = at
  p.fragmentOffset = word & 0xfff8
  // Offset 0 and no more to come is a whole packet all the same (RFC 6946).
  p.isFragment = (word & 0xfff9) !== 0
}

function parseTransport(p: Packet, at: number): number {
  switch (p.ipProtocol) {
    case n.PROTO_TCP:
      return parseTcp(p, at)
    case n.PROTO_UDP:
      return parseUdp(p, at)
    case n.PROTO_ICMP:
    case n.PROTO_ICMPV6:
      return parseIcmp(p, at)
    default:
      p.l4Offset = at
      return n.FINE
  }
}

function parseTcp(p: Packet, at: number): number {
  const b = p.bytes
  const room = p.payloadEnd - at
  readPorts(p, at, room)
  p.payloadOffset = p.payloadEnd
  if (room < 20) return n.BAD_TCP_TRUNCATED
  const length = (b[at + 12]! >>> 4) << 2
  if (length < 20) return n.BAD_TCP_HEADER_LENGTH
  if (length > room) return n.BAD_TCP_TRUNCATED
  p.l4Offset = at
  p.payloadOffset = at + length
  return n.FINE
}

/** Also of a header that is cut off: an ICMP error quotes as little as 8 bytes of it (RFC 792). */
function readPorts(p: Packet, at: number, room: number): void {
  if (room < 4) return
  p.srcPort = u16(p.bytes, at)
  p.dstPort = u16(p.bytes, at + 2)
}

function parseUdp(p: Packet, at: number): number {
  const room = p.payloadEnd - at
  readPorts(p, at, room)
  if (room < 8) {
    p.payloadOffset = p.payloadEnd
    return n.BAD_UDP_TRUNCATED
  }
  p.l4Offset = at
  p.payloadOffset = at + 8
  const length = u16(p.bytes, at + 4)
  if (length >= 8 && length <= room) p.payloadEnd = at + length
  // A datagram may well go on beyond what we have: in other fragments, or uncaptured.
  const claimed = p.l3Offset + p.totalLength - at
  return length < 8 || (length > claimed && !p.isFragment) ? n.BAD_UDP_LENGTH : n.FINE
}

function parseIcmp(p: Packet, at: number): number {
  const whole = p.payloadEnd - at >= 8
  p.l4Offset = whole ? at : -1
  p.payloadOffset = whole ? at + 8 : p.payloadEnd
  return whole ? n.FINE : n.BAD_ICMP_TRUNCATED
}

/** Only Ethernet and IPv4 addresses (6 and 4 bytes) are read; others are an `arp-format`. */
function parseArp(p: Packet, at: number): number {
  const b = p.bytes
  p.kind = n.NET_ARP
  p.payloadOffset = p.end
  if (p.end - at < 8) return n.BAD_ARP_TRUNCATED
  p.l3Offset = at
  const lengths = u16(b, at + 4)
  if (u16(b, at + 2) !== n.ETHER_IPV4 || lengths !== 0x0604) return n.BAD_ARP_FORMAT
  if (p.end - at < 28) return n.BAD_ARP_TRUNCATED
  p.headerLength = 28
  p.totalLength = 28
  p.src.set(0, 0, V4_MAPPED, i32(b, at + 14))
  p.dst.set(0, 0, V4_MAPPED, i32(b, at + 24))
  p.payloadOffset = at + 28
  return n.FINE
}

function reset(p: Packet): void {
  p.malformed = n.FINE
  p.kind = n.NET_NONE
  p.etherType = 0
  p.srcMacOffset = -1
  p.dstMacOffset = -1
  p.vlanCount = 0
  p.vlan = 0
  p.innerVlan = 0
  p.l3Offset = -1
  p.headerLength = 0
  p.ipProtocol = -1
  p.fragmentOffset = 0
  p.fragmentHeaderOffset = -1
  p.isFragment = false
  p.isPlainV4 = false
  p.totalLength = 0
  p.src.set(0, 0, 0, 0)
  p.dst.set(0, 0, 0, 0)
  p.l4Offset = -1
  p.srcPort = 0
  p.dstPort = 0
  p.payloadOffset = p.end
  p.payloadEnd = p.end
}
