import type { KeyType } from '../../actors/index.ts'
import { RehomeError } from '../../bus/index.ts'
import { hashWords, mix } from '../../placement/index.ts'
import { FlowKey, flowHash, inOrderV4, isOrdered, orderedHash, orderedHashV4 } from './flow-key.ts'
import { Ip, V4_MAPPED } from './ip.ts'
import { macText, parseMac } from './mac.ts'
import { ETHER_ARP, PROTO_ICMP, PROTO_ICMPV6, PROTO_TCP, PROTO_UDP } from './numbers.ts'
import type { Packet } from './packet.ts'

const PROTOCOL_NAMES: ReadonlyMap<number, string> = new Map([
  [PROTO_ICMP, 'icmp'],
  [PROTO_TCP, 'tcp'],
  [PROTO_UDP, 'udp'],
  [PROTO_ICMPV6, 'icmp6'],
  [ETHER_ARP, 'arp'],
])

function protocolText(protocol: number): string {
  return PROTOCOL_NAMES.get(protocol) ?? String(protocol)
}

function parseProtocol(text: string): number {
  for (const [protocol, name] of PROTOCOL_NAMES) if (name === text) return protocol
  return parseWhole(text, 0xffff, 'protocol')
}

/**
 * A packet's flow in its direction. Placed where its packets are steered to, as the other
 * direction is.
 */
export const flow: KeyType<FlowKey> = {
  name: 'flow',
  words: 10,
  steered: true,
  write(key, out) {
    writeEnds(key, out)
    out[9] = (key.vlan << 16) | key.protocol
    return flowHash(key.src, key.dst, key.srcPort, key.dstPort, key.protocol)
  },
  read(words, at) {
    const key = readEnds(words, at)
    key.protocol = words[at + 9]! & 0xffff
    key.vlan = words[at + 9]! >>> 16
    return key
  },
  text: flowText,
  parse: parseFlow,
}

/** In a symmetric flow's last word: both addresses are IPv4, so that their last words say all of them. */
const BOTH_V4 = 1 << 31
/** A VLAN's id has 12 bits. */
const VLAN_MAX = 0xfff

/**
 * A packet's flow, both directions as one: either way round, a key is the same one. Placed where
 * its packets are steered to.
 */
export const symmetricFlow: KeyType<FlowKey> = {
  ...flow,
  name: 'symmetric-flow',
  read(words, at) {
    const key = flow.read(words, at)
    key.vlan &= VLAN_MAX
    return key
  },
  write(key, out) {
    const p = key.unfilled
    if (p?.isPlainV4) return writePlainV4(p, key.vlan, out)
    const { src, dst, srcPort, dstPort, protocol } = key
    const ordered = isOrdered(key)
    const low = ordered ? src : dst
    const high = ordered ? dst : src
    const ports = ordered ? (srcPort << 16) | dstPort : (dstPort << 16) | srcPort
    writeIp(low, out, 0)
    writeIp(high, out, 4)
    out[8] = ports
    out[9] = ((key.vlan & VLAN_MAX) << 16) | protocol | (low.v4 && high.v4 ? BOTH_V4 : 0)
    return p?.isStamped ? p.hash : orderedHash(low, high, ports, protocol)
  },
  inPlace: {
    isReady(key) {
      const p = key.unfilled
      if (p === undefined) return false
      return p.isStamped && p.isPlainV4
    },
    hash: (key) => key.unfilled!.hashWord,
    is: isPlainV4Key,
  },
}

/** Of the engine's Math, which it knows by this name as well, and need not look up. */
const { clz32 } = Math

/**
 * What `writePlainV4` would write, compared instead: as few words as say it. A key's words are in order, so they are this
 * packet's if they are in either order; which one it is, no branch asks, as half of them would be guessed wrong.
 */
function isPlainV4Key(key: FlowKey, w: Int32Array, at: number): boolean {
  const p = key.unfilled!
  const src = p.src.w3
  const dst = p.dst.w3
  const ports = (p.srcPort << 16) | p.dstPort
  const low = w[at + 3]!
  const high = w[at + 7]!
  const both = w[at + 8]!
  const last = w[at + 9]! ^ (((key.vlan & VLAN_MAX) << 16) | p.ipProtocol | BOTH_V4)
  const turned = (ports << 16) | (ports >>> 16)
  const one = (low ^ src) | (high ^ dst) | (both ^ ports) | last
  const other = (low ^ dst) | (high ^ src) | (both ^ turned) | last
  return ((clz32(one) | clz32(other)) & 32) !== 0 // 32 zeros: no bit differs
}

/** Most keys: straight from the packet, and the hash is the one that steering has stamped on it. */
function writePlainV4(p: Packet, vlan: number, out: Uint32Array): number {
  const { srcPort, dstPort, ipProtocol } = p
  let low = p.src.w3
  let high = p.dst.w3
  let ports = (srcPort << 16) | dstPort
  if (!inOrderV4(low, high, srcPort, dstPort)) {
    high = low
    low = p.dst.w3
    ports = (dstPort << 16) | srcPort
  }
  out[0] = 0
  out[1] = 0
  out[2] = V4_MAPPED
  out[3] = low
  out[4] = 0
  out[5] = 0
  out[6] = V4_MAPPED
  out[7] = high
  out[8] = ports
  out[9] = ((vlan & VLAN_MAX) << 16) | ipProtocol | BOTH_V4
  return p.isStamped ? p.hash : orderedHashV4(low, high, ports, ipProtocol)
}

/** A UDP packet's flow in its direction, a word shorter. Placed where its packets are steered to. */
export const udpFlow: KeyType<FlowKey> = {
  name: 'udp-flow',
  words: 9,
  steered: true,
  write(key, out) {
    writeEnds(key, out)
    return flowHash(key.src, key.dst, key.srcPort, key.dstPort, PROTO_UDP)
  },
  read(words, at) {
    const key = readEnds(words, at)
    key.protocol = PROTO_UDP
    return key
  },
  text: flowText,
  parse: parseFlow,
}

function writeEnds(key: FlowKey, out: Uint32Array): void {
  writeIp(key.src, out, 0)
  writeIp(key.dst, out, 4)
  out[8] = (key.srcPort << 16) | key.dstPort
}

function readEnds(words: Uint32Array, at: number): FlowKey {
  const key = new FlowKey()
  readIp(key.src, words, at)
  readIp(key.dst, words, at + 4)
  key.srcPort = words[at + 8]! >>> 16
  key.dstPort = words[at + 8]! & 0xffff
  return key
}

function writeIp(from: Ip, out: Uint32Array, at: number): void {
  out[at] = from.w0
  out[at + 1] = from.w1
  out[at + 2] = from.w2
  out[at + 3] = from.w3
}

function readIp(into: Ip, words: Uint32Array, at: number): Ip {
  return into.set(words[at]!, words[at + 1]!, words[at + 2]!, words[at + 3]!)
}

/** "tcp 10.0.0.1:1024 > [2001:db8::1]:80", with " vlan 7" behind it where the key has one. */
function flowText(key: FlowKey): string {
  const vlan = key.vlan ? ` vlan ${key.vlan}` : ''
  const from = endText(key.src, key.srcPort)
  return `${protocolText(key.protocol)} ${from} > ${endText(key.dst, key.dstPort)}${vlan}`
}

function endText(ip: Ip, port: number): string {
  return ip.v4 ? `${ip}:${port}` : `[${ip}]:${port}`
}

function parseFlow(text: string): FlowKey {
  const m = /^(\S+) (\S+) > (\S+?)(?: vlan (\d+))?$/.exec(text)
  if (!m) throw wrong(text, 'flow, like "tcp 10.0.0.1:1024 > 10.0.0.2:80"')
  const key = new FlowKey()
  key.protocol = parseProtocol(m[1] ?? '')
  key.srcPort = parseEnd(m[2] ?? '', key.src)
  key.dstPort = parseEnd(m[3] ?? '', key.dst)
  key.vlan = m[4] === undefined ? 0 : parseWhole(m[4], 0xfff, 'VLAN id')
  return key
}

function parseEnd(text: string, ip: Ip): number {
  const m = /^(?:\[([^\]]*)\]|([\d.]+)):(\d+)$/.exec(text)
  if (!m) throw wrong(text, 'address with a port, like "10.0.0.1:80" or "[2001:db8::1]:80"')
  ip.copy(Ip.parse(m[1] ?? m[2] ?? ''))
  return parseWhole(m[3] ?? '', 0xffff, 'port')
}

/** An address. */
export const ip: KeyType<Ip> = {
  name: 'ip',
  words: 4,
  write(key, out) {
    writeIp(key, out, 0)
    return hashWords(out, 4)
  },
  read: (words, at) => readIp(new Ip(), words, at),
  text: String,
  parse: Ip.parse,
}

export interface ProtocolPort {
  protocol: number
  port: number
}

/** A port of a protocol: "tcp/443". */
export const port: KeyType<ProtocolPort> = {
  name: 'port',
  words: 1,
  write(key, out) {
    out[0] = (key.protocol << 16) | key.port
    return mix(out[0])
  },
  read: (words, at) => ({ protocol: words[at]! >>> 16, port: words[at]! & 0xffff }),
  text: (key) => `${protocolText(key.protocol)}/${key.port}`,
  parse(text) {
    const [protocol, number, ...rest] = text.split('/')
    if (!protocol || !number || rest.length > 0) throw wrong(text, 'port, like "tcp/443"')
    return { protocol: parseProtocol(protocol), port: parseWhole(number, 0xffff, 'port') }
  },
}

/** The addresses that share the first `prefix` bits, counted in their family. */
export class Subnet {
  readonly address: Ip
  readonly prefix: number

  /** Bits of the address behind the prefix are cleared. */
  constructor(address: Ip, prefix: number) {
    this.address = address.clone()
    this.prefix = prefix
    mask(this.address, prefix)
  }

  contains(ip: Ip): boolean {
    if (ip.v4 !== this.address.v4) return false
    return mask(ip.clone(), this.prefix).equals(this.address)
  }

  toString(): string {
    return `${this.address}/${this.prefix}`
  }
}

function mask(ip: Ip, prefix: number): Ip {
  if (ip.v4) return ip.set(ip.a, ip.b, ip.c, maskWord(ip.d, prefix))
  return ip.set(
    maskWord(ip.a, prefix),
    maskWord(ip.b, prefix - 32),
    maskWord(ip.c, prefix - 64),
    maskWord(ip.d, prefix - 96),
  )
}

/** Shifts count modulo 32, so that none at all and all bits are cases of their own. */
function maskWord(word: number, bits: number): number {
  if (bits <= 0) return 0
  return bits >= 32 ? word : (word & (-1 << (32 - bits))) >>> 0
}

/** The addresses that share a prefix, as a key: 5 words. */
export const subnet: KeyType<Subnet> = {
  name: 'subnet',
  words: 5,
  write(key, out) {
    writeIp(key.address, out, 0)
    out[4] = key.prefix
    return hashWords(out, 5)
  },
  read: (words, at) => new Subnet(readIp(new Ip(), words, at), words[at + 4]!),
  text: String,
  parse(text) {
    const [address, bits, ...rest] = text.split('/')
    if (!address || !bits || rest.length > 0) throw wrong(text, 'subnet, like "10.0.0.0/8"')
    const ip = Ip.parse(address)
    return new Subnet(ip, parseWhole(bits, ip.v4 ? 32 : 128, 'prefix'))
  },
}

/** A MAC address as a 48-bit number. */
export const mac: KeyType<number> = {
  name: 'mac',
  words: 2,
  write(key, out) {
    out[0] = Math.floor(key / 0x1_0000_0000)
    out[1] = key >>> 0
    return hashWords(out, 2)
  },
  read: (words, at) => words[at]! * 0x1_0000_0000 + words[at + 1]!,
  text: macText,
  parse: parseMac,
}

/** A hash that places itself, such as `packet.hash`. */
export const hash32: KeyType<number> = {
  name: 'hash32',
  words: 1,
  write(key, out) {
    out[0] = key
    return key >>> 0
  },
  read: (words, at) => words[at]!,
  text: (key) => (key >>> 0).toString(16).padStart(8, '0'),
  parse(text) {
    if (!/^[0-9a-f]{8}$/i.test(text)) throw wrong(text, 'hash of 8 hexadecimal digits')
    return Number.parseInt(text, 16)
  },
}

function parseWhole(text: string, max: number, what: string): number {
  const value = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN
  if (!(value <= max)) throw wrong(text, `${what} from 0 to ${max}`)
  return value
}

function wrong(text: string, expected: string): RehomeError {
  return new RehomeError('bad-argument', `"${text}" is no ${expected}`, { text })
}
