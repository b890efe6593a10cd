import {
  type FlowKey,
  LINK_ETHERNET,
  LINK_RAW,
  NET_IPV4,
  NET_IPV6,
  Packet,
  PROTO_UDP,
  symmetricFlowOf,
} from '../packet/index.ts'

/**
 * Packets inside packets: what a tunnel carries, and the datagram that fragments make. They are inspected
 * like others, but in flows of their own: they reach the instance of what carries them, and two flows' packets
 * from two instances have no order that the same flow's packets could be given.
 */

/** `FlowKey.vlan` of flows inside; no tag has this number. */
const INSIDE = 0xfff0
/** Tunnels in tunnels: what a packet may make us look at. */
const DEPTH_MAX = 4

const IPIP = 4
const IPV6_IN_IP = 41
const GRE = 47
const VXLAN_PORT = 4789
const NSH = 0x894f
const GENEVE_PORT = 6081
const TEREDO_PORT = 3544
/** Where the sender's address is told in front of the packet. */
const TEREDO_ORIGIN = 8
const IPV6_HEADER = 40
/** Of VXLAN all, of Geneve the part of fixed length. */
const UDP_TUNNEL_HEADER = 8

/** The packet that this one carries; undefined if it is no tunnel. */
export function carried(p: Packet, depth: number): Packet | undefined {
  if (depth >= DEPTH_MAX || p.isFragment || p.payloadOffset < 0) return undefined
  if (p.etherType === NSH) return nsh(p)
  if (p.payloadLength <= 0) return undefined
  switch (p.ipProtocol) {
    case IPIP:
    case IPV6_IN_IP:
      return load(p, p.payloadOffset, LINK_RAW)
    case GRE:
      return gre(p)
    case PROTO_UDP:
      if (p.payloadLength <= UDP_TUNNEL_HEADER) return undefined
      if (p.dstPort === VXLAN_PORT) return vxlan(p)
      if (p.dstPort === GENEVE_PORT || p.srcPort === GENEVE_PORT) return geneve(p)
      return p.dstPort === TEREDO_PORT || p.srcPort === TEREDO_PORT ? teredo(p) : undefined
    default:
      return undefined
  }
}

function vxlan(p: Packet): Packet | undefined {
  const at = p.payloadOffset
  const named = (p.bytes[at]! & 0x08) !== 0
  return named ? load(p, at + UDP_TUNNEL_HEADER, LINK_ETHERNET) : undefined
}

/** RFC 8926: version, length of the options in words, flags, what is inside, network, options. */
function geneve(p: Packet): Packet | undefined {
  const { bytes, payloadOffset: at } = p
  if (bytes[at]! >>> 6 !== 0) return undefined
  const inside = at + UDP_TUNNEL_HEADER + 4 * (bytes[at]! & 0x3f)
  return byEtherType(p, inside, (bytes[at + 2]! << 8) | bytes[at + 3]!)
}

/** RFC 4380: an IPv6 packet of just the length that is left. Those that authenticate are for the server alone. */
function teredo(p: Packet): Packet | undefined {
  const { bytes, payloadOffset, payloadEnd } = p
  const told = bytes[payloadOffset] === 0 && bytes[payloadOffset + 1] === 0
  const at = payloadOffset + (told ? TEREDO_ORIGIN : 0)
  if (at + IPV6_HEADER > payloadEnd || bytes[at]! >>> 4 !== 6) return undefined
  const length = (bytes[at + 4]! << 8) | bytes[at + 5]!
  return at + IPV6_HEADER + length === payloadEnd ? load(p, at, LINK_RAW) : undefined
}

/** RFC 8300: version, flags, length in words (6 bits), kind of metadata, what is inside, path, metadata. */
function nsh(p: Packet): Packet | undefined {
  const { bytes, payloadOffset: at, end } = p
  if (at + 8 > end) return undefined
  const inside = at + 4 * (bytes[at + 1]! & 0x3f)
  const next = bytes[at + 3]!
  if (next !== 1 && next !== 2 && next !== 3) return undefined
  return load(p, inside, next === 3 ? LINK_ETHERNET : LINK_RAW, end)
}

function byEtherType(p: Packet, at: number, type: number): Packet | undefined {
  if (type === 0x0800 || type === 0x86dd) return load(p, at, LINK_RAW)
  return type === 0x6558 ? load(p, at, LINK_ETHERNET) : undefined
}

function gre(p: Packet): Packet | undefined {
  const { bytes, payloadOffset: at, payloadEnd: end } = p
  if (at + 4 > end) return undefined
  const flags = bytes[at]!
  const version = bytes[at + 1]! & 7
  const protocol = (bytes[at + 2]! << 8) | bytes[at + 3]!
  let header = 4
  if ((flags & 0xc0) !== 0) header += 4
  if ((flags & 0x20) !== 0) header += 4
  if ((flags & 0x10) !== 0) header += 4
  if (version === 1 && (bytes[at + 1]! & 0x80) !== 0) header += 4
  if (at + header >= end) return undefined
  return protocol === 0x880b ? ppp(p, at + header) : byEtherType(p, at + header, protocol)
}

/** PPP's protocol number, compressed or not, behind an optional address and control. */
function ppp(p: Packet, start: number): Packet | undefined {
  const { bytes } = p
  const at = bytes[start] === 0xff && bytes[start + 1] === 0x03 ? start + 2 : start
  const short = (bytes[at]! & 1) === 1
  const protocol = short ? bytes[at]! : (bytes[at]! << 8) | bytes[at + 1]!
  if (protocol !== 0x21 && protocol !== 0x57) return undefined
  return load(p, at + (short ? 1 : 2), LINK_RAW)
}

function load(p: Packet, at: number, linkType: number, end = p.payloadEnd): Packet | undefined {
  const { bytes, timeUs, clockUs, index, hash } = p
  if (at >= end) return undefined
  const inner = new Packet()
  inner.load(bytes, at, end, linkType, end - at, timeUs, clockUs, index, hash)
  return inner.kind === NET_IPV4 || inner.kind === NET_IPV6 ? inner : undefined
}

/** The flow of a packet inside another. */
export function innerFlowOf(p: Packet): FlowKey {
  const key = symmetricFlowOf(p)
  key.vlan = INSIDE
  return key
}
