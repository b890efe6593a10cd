import { checksum, finish, sumBytes, sumPseudoHeader } from './checksum.ts'
import { Ip } from './ip.ts'
import { parseMac } from './mac.ts'
import * as n from './numbers.ts'

// Packets for tests and generators, built from the inside out, checksums right:
// `ethernet({}, vlan(7, ipv4({ src: '10.0.0.1', dst: '10.0.0.2' }, tcp({ dstPort: 80 }, 'GET /'))))`.

/** What can stand in the next layer out: its bytes and how that layer names it. */
export interface Part {
  /** IP protocol or EtherType. */
  readonly type: number
  readonly bytes: Uint8Array
  /** Where the checksum over the pseudo header belongs; −1 where there is none. */
  readonly checksumAt: number
}

export type Payload = Uint8Array | string
type Address = Ip | string
type Mac = number | string

const NO_PAYLOAD = new Uint8Array(0)

function payloadBytes(payload: Payload): Uint8Array {
  return typeof payload === 'string' ? new TextEncoder().encode(payload) : payload
}

function toIp(address: Address): Ip {
  return typeof address === 'string' ? Ip.parse(address) : address
}

function join(...pieces: Uint8Array[]): Uint8Array {
  const all = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0))
  let at = 0
  for (const piece of pieces) {
    all.set(piece, at)
    at += piece.length
  }
  return all
}

function put16(b: Uint8Array, at: number, value: number): void {
  b[at] = value >>> 8
  b[at + 1] = value
}

function put32(b: Uint8Array, at: number, value: number): void {
  put16(b, at, value >>> 16)
  put16(b, at + 2, value)
}

function putMac(b: Uint8Array, at: number, mac: Mac): void {
  const value = typeof mac === 'string' ? parseMac(mac) : mac
  put16(b, at, Math.floor(value / 0x1_0000_0000))
  put32(b, at + 2, value >>> 0)
}

function putV6(b: Uint8Array, at: number, ip: Ip): void {
  for (const [i, word] of [ip.a, ip.b, ip.c, ip.d].entries()) put32(b, at + 4 * i, word)
}

/** Zeros at the end, up to a multiple of `unit`. */
function padded(bytes: Uint8Array, unit: number): Uint8Array {
  return join(bytes, new Uint8Array((unit - (bytes.length % unit)) % unit))
}

export interface TcpFields {
  srcPort?: number
  dstPort?: number
  seq?: number
  ack?: number
  flags?: number
  window?: number
  urgent?: number
  /** Padded with zeros (end of options) to whole words; 40 bytes at most. */
  options?: Uint8Array
}

export function tcp(fields: TcpFields = {}, payload: Payload = NO_PAYLOAD): Part {
  const options = padded(fields.options ?? NO_PAYLOAD, 4)
  const header = new Uint8Array(20)
  put16(header, 0, fields.srcPort ?? 1024)
  put16(header, 2, fields.dstPort ?? 80)
  put32(header, 4, fields.seq ?? 0)
  put32(header, 8, fields.ack ?? 0)
  header[12] = (5 + options.length / 4) << 4
  header[13] = fields.flags ?? n.TCP_ACK
  put16(header, 14, fields.window ?? 0xffff)
  put16(header, 18, fields.urgent ?? 0)
  return {
    type: n.PROTO_TCP,
    bytes: join(header, options, payloadBytes(payload)),
    checksumAt: 16,
  }
}

export interface UdpFields {
  srcPort?: number
  dstPort?: number
}

export function udp(fields: UdpFields = {}, payload: Payload = NO_PAYLOAD): Part {
  const body = payloadBytes(payload)
  const header = new Uint8Array(8)
  put16(header, 0, fields.srcPort ?? 1024)
  put16(header, 2, fields.dstPort ?? 53)
  put16(header, 4, 8 + body.length)
  return { type: n.PROTO_UDP, bytes: join(header, body), checksumAt: 6 }
}

export interface IcmpFields {
  type?: number
  code?: number
  /** Words 2 and 3: identifier and sequence number of a query, else as the type has it. */
  id?: number
  sequence?: number
}

function icmpBytes(type: number, fields: IcmpFields, payload: Payload): Uint8Array {
  const header = new Uint8Array(8)
  header[0] = fields.type ?? type
  header[1] = fields.code ?? 0
  put16(header, 4, fields.id ?? 0)
  put16(header, 6, fields.sequence ?? 0)
  return join(header, payloadBytes(payload))
}

/** An echo request unless `type` says otherwise. */
export function icmp(fields: IcmpFields = {}, payload: Payload = NO_PAYLOAD): Part {
  const bytes = icmpBytes(8, fields, payload)
  put16(bytes, 2, checksum(bytes, 0, bytes.length))
  return { type: n.PROTO_ICMP, bytes, checksumAt: -1 }
}

/** An echo request unless `type` says otherwise. */
export function icmpv6(fields: IcmpFields = {}, payload: Payload = NO_PAYLOAD): Part {
  return { type: n.PROTO_ICMPV6, bytes: icmpBytes(128, fields, payload), checksumAt: 2 }
}

/** Any other protocol above IP. */
export function transport(protocol: number, payload: Payload = NO_PAYLOAD): Part {
  return { type: protocol, bytes: payloadBytes(payload), checksumAt: -1 }
}

/** The bytes of a part with the checksum that its addresses call for. */
function summed(part: Part, src: Ip, dst: Ip): Uint8Array {
  if (part.checksumAt < 0) return part.bytes
  const bytes = part.bytes.slice()
  put16(bytes, part.checksumAt, 0)
  const pseudo = sumPseudoHeader(src, dst, part.type, bytes.length)
  const value = finish(sumBytes(bytes, 0, bytes.length, pseudo))
  // A UDP checksum of 0 means that there is none; its other zero stands for it (RFC 768).
  put16(bytes, part.checksumAt, part.type === n.PROTO_UDP && value === 0 ? 0xffff : value)
  return bytes
}

export interface IPv4Fields {
  src: Address
  dst: Address
  ttl?: number
  tos?: number
  id?: number
  dontFragment?: boolean
  /** Padded with zeros (end of options) to whole words; 40 bytes at most. */
  options?: Uint8Array
}

export function ipv4(fields: IPv4Fields, part: Part): Part {
  const bytes = summed(part, toIp(fields.src), toIp(fields.dst))
  return ipv4Piece(fields, part.type, bytes, fields.dontFragment ? 0x4000 : 0)
}

/** The same in fragments of `size` bytes (a multiple of 8) behind the IP header. */
export function ipv4Fragments(fields: IPv4Fields, part: Part, size: number): Part[] {
  const bytes = summed(part, toIp(fields.src), toIp(fields.dst))
  return cut(bytes, size).map(({ piece, offset, more }) =>
    ipv4Piece(fields, part.type, piece, (more ? 0x2000 : 0) | (offset >>> 3)),
  )
}

function ipv4Piece(f: IPv4Fields, protocol: number, body: Uint8Array, fragment: number): Part {
  const header = join(new Uint8Array(20), padded(f.options ?? NO_PAYLOAD, 4))
  header[0] = 0x40 | (header.length / 4)
  header[1] = f.tos ?? 0
  put16(header, 2, header.length + body.length)
  put16(header, 4, f.id ?? 0)
  put16(header, 6, fragment)
  header[8] = f.ttl ?? 64
  header[9] = protocol
  put32(header, 12, toIp(f.src).d)
  put32(header, 16, toIp(f.dst).d)
  put16(header, 10, checksum(header, 0, header.length))
  return { type: n.ETHER_IPV4, bytes: join(header, body), checksumAt: -1 }
}

function cut(
  bytes: Uint8Array,
  size: number,
): { piece: Uint8Array; offset: number; more: boolean }[] {
  const pieces = []
  for (let offset = 0; offset < bytes.length; offset += size) {
    const piece = bytes.subarray(offset, offset + size)
    pieces.push({ piece, offset, more: offset + size < bytes.length })
  }
  return pieces
}

/** An extension header by its protocol number; the body is padded to what its length can tell. */
export interface Extension {
  type: number
  body?: Uint8Array
}

export interface IPv6Fields {
  src: Address
  dst: Address
  hopLimit?: number
  trafficClass?: number
  extensions?: readonly Extension[]
}

export function ipv6(fields: IPv6Fields, part: Part): Part {
  const bytes = summed(part, toIp(fields.src), toIp(fields.dst))
  return ipv6Piece(fields, part.type, bytes)
}

/** The same in fragments of `size` bytes (a multiple of 8); `extensions` go before each one's. */
export function ipv6Fragments(fields: IPv6Fields, part: Part, size: number, id: number): Part[] {
  const bytes = summed(part, toIp(fields.src), toIp(fields.dst))
  return cut(bytes, size).map(({ piece, offset, more }) => {
    const header = new Uint8Array(8)
    header[0] = part.type
    put16(header, 2, offset | (more ? 1 : 0))
    put32(header, 4, id)
    return ipv6Piece(fields, n.PROTO_FRAGMENT, join(header, piece))
  })
}

function ipv6Piece(f: IPv6Fields, protocol: number, body: Uint8Array): Part {
  let next = protocol
  let rest = body
  for (const extension of [...(f.extensions ?? [])].reverse()) {
    rest = join(extensionHeader(extension, next), rest)
    next = extension.type
  }
  const header = new Uint8Array(40)
  put32(header, 0, 0x6000_0000 | ((f.trafficClass ?? 0) << 20))
  put16(header, 4, rest.length)
  header[6] = next
  header[7] = f.hopLimit ?? 64
  putV6(header, 8, toIp(f.src))
  putV6(header, 24, toIp(f.dst))
  return { type: n.ETHER_IPV6, bytes: join(header, rest), checksumAt: -1 }
}

function extensionHeader({ type, body = NO_PAYLOAD }: Extension, next: number): Uint8Array {
  const bytes = padded(join(new Uint8Array(2), body), 8)
  bytes[0] = next
  bytes[1] = type === n.PROTO_AH ? bytes.length / 4 - 2 : bytes.length / 8 - 1
  return bytes
}

export interface ArpFields {
  operation?: number
  senderMac?: Mac
  senderIp: Address
  targetMac?: Mac
  targetIp: Address
}

/** A request unless `operation` says otherwise. */
export function arp(fields: ArpFields): Part {
  const bytes = new Uint8Array(28)
  put16(bytes, 0, 1)
  put16(bytes, 2, n.ETHER_IPV4)
  put16(bytes, 4, 0x0604)
  put16(bytes, 6, fields.operation ?? n.ARP_REQUEST)
  putMac(bytes, 8, fields.senderMac ?? 0)
  put32(bytes, 14, toIp(fields.senderIp).d)
  putMac(bytes, 18, fields.targetMac ?? 0)
  put32(bytes, 24, toIp(fields.targetIp).d)
  return { type: n.ETHER_ARP, bytes, checksumAt: -1 }
}

export function vlan(id: number, part: Part, tag: number = n.ETHER_VLAN): Part {
  const header = new Uint8Array(4)
  put16(header, 0, id)
  put16(header, 2, part.type)
  return { type: tag, bytes: join(header, part.bytes), checksumAt: -1 }
}

export function mpls(labels: readonly number[], part: Part): Part {
  const header = new Uint8Array(4 * labels.length)
  for (const [i, label] of labels.entries()) {
    put32(header, 4 * i, (label << 12) | (i === labels.length - 1 ? 0x100 : 0) | 64)
  }
  return { type: n.ETHER_MPLS, bytes: join(header, part.bytes), checksumAt: -1 }
}

export interface EthernetFields {
  src?: Mac
  dst?: Mac
}

export function ethernet(fields: EthernetFields, part: Part): Uint8Array {
  const header = new Uint8Array(14)
  putMac(header, 0, fields.dst ?? '02:00:00:00:00:02')
  putMac(header, 6, fields.src ?? '02:00:00:00:00:01')
  put16(header, 12, part.type)
  return join(header, part.bytes)
}

/** A frame of any link type that `Packet` knows, its addresses (where it has them) by default. */
export function frame(linkType: number, part: Part): Uint8Array {
  switch (linkType) {
    case n.LINK_ETHERNET:
      return ethernet({}, part)
    case n.LINK_COOKED: {
      const header = new Uint8Array(16)
      put16(header, 2, 1)
      put16(header, 4, 6)
      putMac(header, 6, '02:00:00:00:00:01')
      put16(header, 14, part.type)
      return join(header, part.bytes)
    }
    case n.LINK_COOKED2: {
      const header = new Uint8Array(20)
      put16(header, 0, part.type)
      put16(header, 8, 1)
      header[11] = 6
      putMac(header, 12, '02:00:00:00:00:01')
      return join(header, part.bytes)
    }
    case n.LINK_NULL:
      return join(Uint8Array.of(part.type === n.ETHER_IPV4 ? 2 : 30, 0, 0, 0), part.bytes)
    case n.LINK_LOOP:
      return join(Uint8Array.of(0, 0, 0, part.type === n.ETHER_IPV4 ? 2 : 24), part.bytes)
    case n.LINK_PPP:
      return join(Uint8Array.of(0xff, 3, 0, part.type === n.ETHER_IPV4 ? 0x21 : 0x57), part.bytes)
    case n.LINK_CHDLC:
      return join(Uint8Array.of(0x0f, 0, part.type >>> 8, part.type & 255), part.bytes)
    default:
      return part.bytes
  }
}
