import { hashWords, type KeyType } from '../../actors/index.ts'
import { Ip, PROTO_ICMP, PROTO_TCP, PROTO_UDP } from '../packet/index.ts'

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
    return hashWords(out, 2)
  },
  read: (words, at) => ({ protocol: words[at]!, address: words[at + 1]! }),
  text: (key) => `${key.protocol} ${Ip.v4(key.address)}`,
  parse(text) {
    const [protocol, ip] = text.split(' ')
    return { protocol: Number(protocol), address: Ip.parse(ip ?? '').d }
  },
}

/** A public address and port as one number, below 2^48. */
export const endOf = (ip: number, port: number): number => ip * 0x10000 + port
export const addressOf = (end: number): number => Math.floor(end / 0x10000)
export const portOf = (end: number): number => end % 0x10000

/** Protocols that are translated; ICMP by its queries' identifiers, as if they were ports. */
export const isTranslated = (protocol: number): boolean =>
  protocol === PROTO_TCP || protocol === PROTO_UDP || protocol === PROTO_ICMP
