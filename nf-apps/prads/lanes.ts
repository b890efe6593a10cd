import {
  ARP_REPLY,
  BAD_IP_VERSION,
  ETHER_IPV4,
  ETHER_VLAN,
  Ip,
  LINK_ETHERNET,
  LINK_RAW,
  macAt,
  NET_ARP,
  NET_IPV4,
  NET_NONE,
  Packet,
  PROTO_ICMP,
  PROTO_ICMPV6,
  PROTO_TCP,
  PROTO_UDP,
} from '../packet/index.ts'

/** What becomes of a packet, by its outside. */
const NOT_IP = 0
export const ARP = 1
/** TCP, UDP or ICMP of a connection. */
export const CONNECTION = 2
/** IP of a connection, but not looked into. */
export const OPAQUE = 3
/** Holds an IP packet that counts in its stead. */
export const TUNNEL = 4
/** Its sender is seen, no more. */
export const GRE = 5

const PROTO_IPV6_WITHIN = 41
const PROTO_GRE = 47
/** "IPIP", which real prads takes for IP in IP; the usual number is 4. */
const PROTO_IPIP = 94
const IPV6_HEADER = 40

/**
 * Real prads's way through the headers: one 802.1Q tag, no labels; of IPv6, no extension headers, whose packets are
 * an unknown protocol to it.
 */
export function laneOf(p: Packet): number {
  if (p.kind === NET_NONE || p.l3Offset < 0 || !isPlainLink(p)) return NOT_IP
  if (p.kind === NET_ARP) return ARP
  const v4 = p.kind === NET_IPV4
  if (!v4 && p.headerLength > IPV6_HEADER) return OPAQUE
  switch (p.ipProtocol) {
    case PROTO_TCP:
    case PROTO_UDP:
      return CONNECTION
    case PROTO_ICMP:
      return v4 ? CONNECTION : OPAQUE
    case PROTO_ICMPV6:
      return v4 ? OPAQUE : CONNECTION
    case PROTO_IPV6_WITHIN:
    case PROTO_IPIP:
      return TUNNEL
    case PROTO_GRE:
      return v4 ? GRE : OPAQUE
    default:
      return OPAQUE
  }
}

/** Tags that real prads counts: an outermost 802.1Q tag. */
export function tagsOf(p: Packet): number {
  return p.vlanCount > 0 && outerType(p) === ETHER_VLAN ? 1 : 0
}

function outerType(p: Packet): number {
  return (p.bytes[p.start + 12]! << 8) | p.bytes[p.start + 13]!
}

function isPlainLink(p: Packet): boolean {
  if (p.linkType !== LINK_ETHERNET) return true
  if (p.l3Offset !== p.start + 14 + 4 * p.vlanCount) return false
  if (p.vlanCount === 0) return true
  return p.vlanCount === 1 && outerType(p) === ETHER_VLAN
}

/**
 * The packet as real prads reads it, which does not look at IPv4's version and takes a later fragment for the
 * beginning of a packet: mended in a copy, or itself. Such packets are steered by their addresses alone, so their
 * connections are kept apart from the others (`APART` in the key's VLAN).
 */
export function mended(p: Packet): Packet {
  const unversioned = p.malformed === BAD_IP_VERSION && p.etherType === ETHER_IPV4
  if (!unversioned && !(p.isFragment && p.kind === NET_IPV4)) return p
  const bytes = copyOf(p, p.start)
  const at = (unversioned ? p.payloadOffset : p.l3Offset) - p.start
  bytes[at] = 0x40 | (bytes[at]! & 15)
  bytes[at + 6]! &= 0x40
  bytes[at + 7] = 0
  const { linkType, wireLength, timeUs, clockUs, index, hash } = p
  return new Packet().load(
    bytes,
    0,
    bytes.length,
    linkType,
    wireLength,
    timeUs,
    clockUs,
    index,
    hash,
  )
}
/** A packet's bytes may be a `Buffer`, whose `slice` shares them. */
function copyOf(p: Packet, from: number): Uint8Array {
  return new Uint8Array(p.bytes.subarray(from, p.end))
}
/** No tag is above 4,095. */
export const APART = 0xffff

/** The packet in a tunnel's packet, with bytes of its own, as it may have to wait. */
export function within(p: Packet): Packet {
  const bytes = copyOf(p, p.payloadOffset)
  const { timeUs, clockUs, index, hash } = p
  return new Packet().load(
    bytes,
    0,
    bytes.length,
    LINK_RAW,
    bytes.length,
    timeUs,
    clockUs,
    index,
    hash,
  )
}

/** What an ARP reply claims, of whatever kinds of addresses it says it speaks. */
export function arpReply(p: Packet): { ip: Ip; mac: number } | undefined {
  const { bytes, l3Offset: at } = p
  if (p.end - at < 18 || ((bytes[at + 6]! << 8) | bytes[at + 7]!) !== ARP_REPLY) return
  const word = macAt(bytes, at + 12) % 2 ** 32
  return { ip: Ip.v4(word), mac: macAt(bytes, at + 8) }
}
