import { ETHER_IPV4, ETHER_IPV6, PROTO_TCP } from '../nf-apps/packet/index.ts'
import { PAYLOAD_MAX } from './synthetic.ts'
import type { Random } from './synthetic-random.ts'

const ETHERNET_BYTES = 14
const IPV4_BYTES = 20
const IPV6_BYTES = 40
const TCP_BYTES = 20
const TTL = 64
const WINDOW = 65_535
/** First half of all IPv6 addresses here: 2001:db8::/32, which is kept for documentation. */
const IPV6_PREFIX = 0x20010db8
const IPV6_PREFIX_SUM = 0x2001 + 0x0db8

/** Where the random data start that payloads are copied from: behind the longest frame. */
const DATA_AT = 2_048
/** Two bytes at a time have to stay within 16 bits of offset. */
const DATA_BYTES = 65_536

/**
 * One frame, written in place over the one before: Ethernet, IPv4 or IPv6, TCP, data. The data are a stretch of
 * random text that lies in the same buffer, and their checksum is the difference of two sums made beforehand, so a
 * frame costs the same whatever its length, but for the copy.
 */
export class Frame {
  readonly bytes = Buffer.allocUnsafeSlow(DATA_AT + DATA_BYTES)
  private readonly view = new DataView(this.bytes.buffer)
  /** Sum of the 16-bit words of the data before each word. */
  private readonly sums = new Uint32Array(DATA_BYTES / 2 + 1)

  constructor(random: Random) {
    for (let at = DATA_AT; at < this.bytes.length; at++) this.bytes[at] = 0x20 + random.below(95)
    for (let word = 0; word < DATA_BYTES / 2; word++)
      this.sums[word + 1] = this.sums[word]! + this.view.getUint16(DATA_AT + word * 2)
  }

  /**
   * Writes a frame at the buffer's start and answers its length. Addresses are 32 bits: IPv4 as it is, or the end of
   * an IPv6 address; the MAC addresses are made from them too.
   */
  write(
    ipv6: boolean,
    source: number,
    target: number,
    sourcePort: number,
    targetPort: number,
    seq: number,
    ack: number,
    flags: number,
    id: number,
    payload: number,
    dataWord: number,
  ): number {
    const view = this.view
    const tcp = ETHERNET_BYTES + (ipv6 ? IPV6_BYTES : IPV4_BYTES)
    const segment = TCP_BYTES + payload
    view.setUint16(0, 0x0200)
    view.setUint32(2, target)
    view.setUint16(6, 0x0200)
    view.setUint32(8, source)
    view.setUint16(12, ipv6 ? ETHER_IPV6 : ETHER_IPV4)
    if (ipv6) this.ipv6(source, target, segment)
    else this.ipv4(source, target, segment, id)
    view.setUint16(tcp, sourcePort)
    view.setUint16(tcp + 2, targetPort)
    view.setUint32(tcp + 4, seq)
    view.setUint32(tcp + 8, ack)
    const offsetAndFlags = ((TCP_BYTES / 4) << 12) | flags
    view.setUint16(tcp + 12, offsetAndFlags)
    view.setUint16(tcp + 14, WINDOW)
    const addresses = words(source) + words(target) + (ipv6 ? 2 * IPV6_PREFIX_SUM : 0)
    const header = sourcePort + targetPort + words(seq) + words(ack) + offsetAndFlags + WINDOW
    const sum =
      addresses + PROTO_TCP + segment + header + this.data(tcp + TCP_BYTES, payload, dataWord)
    view.setUint16(tcp + 16, checksum(sum))
    view.setUint16(tcp + 18, 0)
    return tcp + segment
  }

  /** Number of words at which data of the greatest length can begin. */
  static readonly dataWords = (DATA_BYTES - PAYLOAD_MAX) / 2

  /** Copies `length` bytes of data that begin at a word to `at`; answers the sum of their words. */
  private data(at: number, length: number, word: number): number {
    const from = DATA_AT + word * 2
    this.bytes.copyWithin(at, from, from + length)
    const last = word + (length >> 1)
    const odd = length % 2 === 1 ? this.bytes[from + length - 1]! << 8 : 0
    return this.sums[last]! - this.sums[word]! + odd
  }

  private ipv4(source: number, target: number, segment: number, id: number): void {
    const view = this.view
    const total = IPV4_BYTES + segment
    const ttlAndProtocol = (TTL << 8) | PROTO_TCP
    view.setUint16(14, 0x4500)
    view.setUint16(16, total)
    view.setUint16(18, id)
    view.setUint16(20, 0x4000) // Don't fragment.
    view.setUint16(22, ttlAndProtocol)
    const sum = 0x4500 + total + id + 0x4000 + ttlAndProtocol + words(source) + words(target)
    view.setUint16(24, checksum(sum))
    view.setUint32(26, source)
    view.setUint32(30, target)
  }

  private ipv6(source: number, target: number, segment: number): void {
    const view = this.view
    view.setUint32(14, 0x60000000)
    view.setUint16(18, segment)
    view.setUint8(20, PROTO_TCP)
    view.setUint8(21, TTL)
    this.address(22, source)
    this.address(38, target)
  }

  private address(at: number, last: number): void {
    this.view.setUint32(at, IPV6_PREFIX)
    this.view.setUint32(at + 4, 0)
    this.view.setUint32(at + 8, 0)
    this.view.setUint32(at + 12, last)
  }
}

function words(value: number): number {
  return (value >>> 16) + (value & 0xffff)
}

/** The Internet checksum of a sum of 16-bit words (RFC 1071). */
function checksum(sum: number): number {
  const once = (sum >>> 16) + (sum & 0xffff)
  return ~(once + (once >>> 16)) & 0xffff
}
