import {
  NET_IPV4,
  NET_IPV6,
  type Packet,
  PROTO_ICMP,
  PROTO_ICMPV6,
  PROTO_TCP,
  TCP_ACK,
  TCP_CWR,
  TCP_ECE,
  TCP_FIN,
  TCP_PSH,
  TCP_RST,
  TCP_SYN,
  TCP_URG,
} from '../packet/index.ts'
import { numberTest, wholeNumber } from './payload-options.ts'
import { known, Unsupported } from './rules.ts'
import type { PacketTest, Threshold } from './signature.ts'

/** Options about the packet's own headers, from their text to a test. */

const isIp = (p: Packet): boolean => p.kind === NET_IPV4 || p.kind === NET_IPV6
const isTcp = (p: Packet): boolean => p.ipProtocol === PROTO_TCP && p.l4Offset >= 0 && !p.isFragment
const isIcmp = (p: Packet): boolean =>
  !p.isFragment && (p.ipProtocol === PROTO_ICMP || p.ipProtocol === PROTO_ICMPV6) && p.l4Offset >= 0

type Compile = (value: string) => PacketTest

const compared =
  (option: string, applies: (p: Packet) => boolean, of: (p: Packet) => number): Compile =>
  (value) => {
    const test = numberTest(option, value.replaceAll('"', ''))
    return (p) => applies(p) && test(of(p))
  }

export const PACKET_OPTIONS: Readonly<Record<string, Compile>> = {
  ttl: compared('ttl', isIp, (p) => p.ttl),
  id: compared(
    'id',
    (p) => p.kind === NET_IPV4,
    (p) => p.ipId,
  ),
  tos: (value) => {
    const hex = /^(!?)\s*[xX]([0-9a-fA-F]+)$/.exec(value)
    const text = hex ? `${hex[1]}${Number.parseInt(hex[2]!, 16)}` : value
    return compared('tos', isIp, (p) => p.tos)(text)
  },
  fragoffset: compared(
    'fragoffset',
    (p) => p.kind === NET_IPV4,
    (p) => p.fragmentOffset >>> 3,
  ),
  fragbits: fragbits,
  ip_proto: ipProtocol,
  sameip: () => (p) => isIp(p) && p.src.equals(p.dst),
  ipopts: ipOptions,
  itype: compared('itype', isIcmp, (p) => p.icmpType),
  icode: compared('icode', isIcmp, (p) => p.icmpCode),
  icmp_id: compared('icmp_id', isQuery, (p) => p.icmpId),
  icmp_seq: compared('icmp_seq', isQuery, (p) => p.icmpSequence),
  flags: tcpFlags,
  'tcp.flags': tcpFlags,
  window: compared('window', isTcp, (p) => p.window),
  'tcp.window': compared('tcp.window', isTcp, (p) => p.window),
  seq: compared('seq', isTcp, (p) => p.seq),
  'tcp.seq': compared('tcp.seq', isTcp, (p) => p.seq),
  ack: compared('ack', isTcp, (p) => p.ack),
  'tcp.ack': compared('tcp.ack', isTcp, (p) => p.ack),
  dsize: payloadSize,
}

/** Packets without payload have a size only for those that ask for small ones. */
function payloadSize(value: string): PacketTest {
  const test = numberTest('dsize', value)
  const none = /^\s*(<|0+\s*$)/.test(value)
  return (p) => isIp(p) && !p.isFragment && (none || p.payloadLength > 0) && test(p.payloadLength)
}

/** ICMP messages that carry an identifier and a sequence number. */
function isQuery(p: Packet): boolean {
  if (!isIcmp(p)) return false
  const type = p.icmpType
  if (p.ipProtocol === PROTO_ICMPV6) return type === 128 || type === 129
  return type === 0 || type === 8 || (type >= 13 && type <= 18)
}

const FLAG_BITS: Readonly<Record<string, number>> = {
  F: TCP_FIN,
  S: TCP_SYN,
  R: TCP_RST,
  P: TCP_PSH,
  A: TCP_ACK,
  U: TCP_URG,
  E: TCP_ECE,
  C: TCP_CWR,
  '1': TCP_CWR,
  '2': TCP_ECE,
  '0': 0,
}

/** `SA`: exactly these; `+` these and others, `*` one of these, `!` not these; behind a comma what not to look at. */
function tcpFlags(value: string): PacketTest {
  const m =
    /^\s*([+*!]?)\s*([FSRPAUEC120fsrpauec,]+?)\s*([+*!]?)\s*(?:,\s*([FSRPAUEC12fsrpauec]+)\s*)?$/.exec(
      value,
    )
  if (!m || (m[1] !== '' && m[3] !== '')) throw new Unsupported('flags', `no TCP flags: '${value}'`)
  const sign = m[1] || m[3]
  const bits = flagBits(m[2]!)
  const looked = ~flagBits(m[4] ?? '') & 0xff
  if (bits === 0) {
    return sign === '!' ? (p) => isTcp(p) && p.flags !== 0 : (p) => isTcp(p) && p.flags === 0
  }
  switch (sign) {
    case '+':
      return (p) => isTcp(p) && (p.flags & looked & bits) === bits
    case '*':
      return (p) => isTcp(p) && (p.flags & looked & bits) !== 0
    case '!':
      return (p) => isTcp(p) && (p.flags & looked & bits) !== bits
    default:
      return (p) => isTcp(p) && (p.flags & looked) === bits
  }
}

function flagBits(letters: string): number {
  let bits = 0
  for (const c of letters.toUpperCase()) bits |= FLAG_BITS[c] ?? 0
  return bits
}

function fragbits(value: string): PacketTest {
  const m = /^\s*([+*!]?)\s*([MDR]+)\s*([+*!]?)\s*$/.exec(value)
  if (!m) throw new Unsupported('fragbits', `no fragment bits: '${value}'`)
  const sign = m[1] || m[3]
  const wanted = [...m[2]!].reduce((bits, c) => bits | (c === 'M' ? 1 : c === 'D' ? 2 : 4), 0)
  return (p) => {
    if (p.kind !== NET_IPV4) return false
    const reserved = (p.bytes[p.l3Offset + 6]! & 0x80) === 0 ? 0 : 4
    const bits = (p.moreFragments ? 1 : 0) | (p.dontFragment ? 2 : 0) | reserved
    if (sign === '+') return (bits & wanted) === wanted
    if (sign === '*') return (bits & wanted) !== 0
    return sign === '!' ? (bits & wanted) !== wanted : bits === wanted
  }
}

const PROTOCOLS: Readonly<Record<string, number>> = {
  icmp: 1,
  igmp: 2,
  ipip: 4,
  tcp: 6,
  udp: 17,
  ipv6: 41,
  gre: 47,
  esp: 50,
  ah: 51,
  'ipv6-icmp': 58,
  eigrp: 88,
  ospf: 89,
  pim: 103,
  sctp: 132,
}

function ipProtocol(value: string): PacketTest {
  const m = /^\s*([!<>]?)\s*(\S+)\s*$/.exec(value)
  const named = known(PROTOCOLS, m?.[2]?.toLowerCase() ?? '')
  if (!m) throw new Unsupported('ip_proto', `no protocol: '${value}'`)
  const number = named ?? wholeNumber('ip_proto', m[2]!)
  if (m[1] === '!') return (p) => isIp(p) && p.ipProtocol !== number
  if (m[1] === '<') return (p) => isIp(p) && p.ipProtocol < number
  if (m[1] === '>') return (p) => isIp(p) && p.ipProtocol > number
  return (p) => isIp(p) && p.ipProtocol === number
}

const OPTION_NUMBERS: Readonly<Record<string, number>> = {
  eol: 0,
  nop: 1,
  sec: 130,
  esec: 133,
  lsrr: 131,
  ts: 68,
  rr: 7,
  satid: 136,
  ssrr: 137,
}

function ipOptions(value: string): PacketTest {
  const name = value.trim()
  const wanted = known(OPTION_NUMBERS, name)
  if (wanted === undefined && name !== 'any') throw new Unsupported('ipopts', `unknown '${name}'`)
  return (p) => {
    if (p.kind !== NET_IPV4) return false
    const end = p.l3Offset + p.headerLength
    let at = p.l3Offset + 20
    while (at < end) {
      const type = p.bytes[at]!
      if (wanted === undefined || type === wanted) return true
      if (type === 0) return false
      at += type === 1 ? 1 : Math.max(2, p.bytes[at + 1] ?? 2)
    }
    return false
  }
}

const TRACKS: readonly Threshold['track'][] = ['by_src', 'by_dst', 'by_both', 'by_rule']
const UNIQUE: readonly Threshold['unique'][] = ['no', 'src_port', 'dst_port', 'target']
const TYPES: readonly Threshold['type'][] = ['limit', 'threshold', 'both']

/** `type both, track by_src, count 100, seconds 60`; a detection_filter has no type. */
export function parseThreshold(option: string, value: string): Threshold {
  const words = new Map<string, string>()
  for (const part of value.split(',')) {
    const [, word = '', arg = ''] = /^\s*(\S+)\s*(\S*)\s*$/.exec(part) ?? []
    if (!/^(type|track|count|seconds|unique_on)$/.test(word) || words.has(word)) {
      throw new Unsupported(option, `'${part.trim()}' is not supported`)
    }
    words.set(word, arg)
  }
  const filter = option === 'detection_filter'
  const type = filter ? 'detection_filter' : TYPES.find((t) => t === words.get('type'))
  const track = TRACKS.find((t) => t === words.get('track'))
  const count = wholeNumber(option, words.get('count') ?? '')
  const seconds = wholeNumber(option, words.get('seconds') ?? '')
  if (type === undefined || words.has('type') === filter) {
    throw new Unsupported(option, `no type: '${words.get('type') ?? ''}'`)
  }
  if (track === undefined) throw new Unsupported(option, `no track: '${words.get('track') ?? ''}'`)
  if (count < 1 || seconds < 1) throw new Unsupported(option, 'count and seconds are from 1')
  const unique = UNIQUE.find((u) => u === (words.get('unique_on') ?? 'no'))
  if (unique === undefined) throw new Unsupported(option, `unique_on ${words.get('unique_on')}`)
  return { type, track, count, seconds, unique }
}
