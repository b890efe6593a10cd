import { hashWords, type KeyType, RehomeError } from '../../actors/index.ts'
import {
  besides,
  FlowKey,
  flow,
  Ip,
  PROTO_ICMP,
  PROTO_TCP,
  PROTO_UDP,
  V4_MAPPED,
} from '../packet/index.ts'
import { hostHash } from './steering.ts'

/** One address under one protocol: an inside host, or a public address and its ports. */
export interface Address {
  readonly protocol: number
  /** IPv4, as an unsigned word. */
  readonly address: number
}

export const address: KeyType<Address> = {
  name: 'nat-address',
  words: 2,
  write(key, out) {
    out[0] = key.protocol
    out[1] = key.address
    return besides(hostHash(key.address), hashWords(out, 2))
  },
  read: (words, at) => ({ protocol: words[at]!, address: words[at + 1]! }),
  text: (key) => `${key.protocol} ${Ip.v4(key.address)}`,
  parse(text) {
    const [protocol, ip] = text.split(' ')
    return { protocol: Number(protocol), address: Ip.parse(ip ?? '').d }
  },
}

/**
 * A packet's flow in its direction, of IPv4 alone: a record of half the size. Placed where its packets are steered to, which
 * the packet's hash says and a flow alone does not: so a way is reached by a packet of it.
 */
export const oneWay: KeyType<FlowKey> = {
  name: 'nat-flow',
  words: 4,
  steered: true,
  write(key, out) {
    const p = key.unfilled
    if (!p)
      throw new RehomeError('bad-argument', "a NAT's way is reached by a packet, not by a flow")
    const id = p.icmpId
    out[0] = p.src.w3
    out[1] = p.dst.w3
    out[2] = ((p.srcPort || id) << 16) | (p.dstPort || id)
    out[3] = p.ipProtocol
    return p.hash
  },
  read(words, at) {
    const key = new FlowKey()
    key.src.set(0, 0, V4_MAPPED, words[at]!)
    key.dst.set(0, 0, V4_MAPPED, words[at + 1]!)
    key.srcPort = words[at + 2]! >>> 16
    key.dstPort = words[at + 2]! & 0xffff
    key.protocol = words[at + 3]!
    return key
  },
  text: flow.text,
  parse: flow.parse,
  inPlace: {
    isReady: (key) => key.unfilled?.isPlainV4 === true,
    hash: (key) => key.unfilled!.hashWord,
    is(key, w, at) {
      const p = key.unfilled
      return (
        p !== undefined &&
        w[at] === p.src.w3 &&
        w[at + 1] === p.dst.w3 &&
        w[at + 2] === ((p.srcPort << 16) | p.dstPort) &&
        w[at + 3] === p.ipProtocol
      )
    },
  },
}

/**
 * An address and port as one number, below 2^48. Public ends have the address's place in the pool instead, so that they are
 * small: engines look up and send small integers in less time.
 */
export const endOf = (address: number, port: number): number => address * 0x10000 + port
export const addressOf = (end: number): number => Math.floor(end / 0x10000)
export const portOf = (end: number): number => end % 0x10000

/** Protocols that are translated; ICMP by its queries' identifiers, as if they were ports. */
export const isTranslated = (protocol: number): boolean =>
  protocol === PROTO_TCP || protocol === PROTO_UDP || protocol === PROTO_ICMP
