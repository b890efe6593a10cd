import { FlowKey } from './flow-key.ts'
import { isIcmpQuery } from './icmp.ts'
import { Ip } from './ip.ts'
import { macAt } from './mac.ts'
import * as n from './numbers.ts'
import { parsePacket } from './parse.ts'
import { u16, u32 } from './read.ts'

/**
 * A view over the bytes of one packet, reused for the next: nothing is allocated per packet, so
 * whoever keeps a packet, its addresses or its flow keys beyond the turn calls `retain()` or
 * `clone()`. Offsets count from the start of `bytes`, lengths are in bytes.
 *
 * What decides the way of a packet is parsed into fields when it is loaded; what stands at a fixed
 * place of a header (TTL, TCP's numbers, …) is read from the bytes when asked for.
 *
 * Any bytes are safe: the parser reads inside [start, end) only and never throws. What it could not
 * make sense of is told by `malformed`; the layers below that are filled in. A field of a layer that
 * the packet does not have, or not whole, is 0 (offsets: −1).
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
  /** `hash`, signed: for the same reason as an address's words. */
  hashWord = 0
  /** Whether `hash` is what `steeringHash` says of this very packet: it came from steering by flows, and is unchanged. */
  isStamped = false

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
  /** Header and payload as IP claims, which may be more than is captured. */
  totalLength = 0
  /** Behind any extension headers; −1 where the packet is not IP. */
  ipProtocol = -1
  isFragment = false
  /** Two IPv4 addresses' last words, its ports and its protocol say all of its flow: IPv4, no ICMP, no fragment. */
  isPlainV4 = false
  /** In bytes. */
  fragmentOffset = 0
  /** Start of IPv6's fragment header. */
  fragmentHeaderOffset = -1
  /** Of an ARP message: the sender's and the target's. */
  readonly src = new Ip()
  readonly dst = new Ip()

  /** Start of the transport header; −1 in a fragment but the first, and where it is not whole. */
  l4Offset = -1
  /** Known also of a header that is cut off behind them. */
  srcPort = 0
  dstPort = 0

  /** What is left behind all headers, bounded by IP's length, UDP's and the capture. */
  payloadOffset = 0
  payloadEnd = 0

  /** Of `flowOf`. */
  readonly flow = new FlowKey()
  /** Of `symmetricFlowOf`. */
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
    this.end = Math.min(end, bytes.length)
    this.linkType = linkType
    this.wireLength = wireLength
    this.timeUs = timeUs
    this.clockUs = clockUs
    this.index = index
    this.hashWord = hash | 0
    this.parse()
    return this
  }

  /** A copy that owns its bytes, for a packet that has to wait. */
  retain(): Packet {
    const bytes = new Uint8Array(this.bytes.subarray(this.start, this.end))
    const copy = new Packet().load(
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
    copy.isStamped = this.isStamped
    return copy
  }

  /** Steering hash: 32 bits, unsigned; see `steeringHash`. A packet inside another has that of the outer one. */
  get hash(): number {
    return this.hashWord >>> 0
  }
  set hash(hash: number) {
    this.hashWord = hash | 0
  }

  /** Bytes on the wire. */
  get length(): number {
    return this.wireLength
  }

  get payloadLength(): number {
    return this.payloadEnd - this.payloadOffset
  }

  /** What the payload's length was on the wire, by IP's claim: TCP's sequence numbers count these. */
  get payloadWireLength(): number {
    if (this.l3Offset < 0) return this.payloadLength
    const claimed = this.l3Offset + this.totalLength - this.payloadOffset
    return Math.max(claimed, this.payloadLength)
  }

  /** As a 48-bit number (`macText` writes it), 0 where the link has none. */
  get srcMac(): number {
    return macAt(this.bytes, this.srcMacOffset)
  }

  get dstMac(): number {
    return macAt(this.bytes, this.dstMacOffset)
  }

  get arpOperation(): number {
    return this.kind === n.NET_ARP && this.l3Offset >= 0 ? u16(this.bytes, this.l3Offset + 6) : 0
  }

  get arpSenderMac(): number {
    return this.hasArp ? macAt(this.bytes, this.l3Offset + 8) : 0
  }

  get arpTargetMac(): number {
    return this.hasArp ? macAt(this.bytes, this.l3Offset + 18) : 0
  }

  private get hasArp(): boolean {
    return this.kind === n.NET_ARP && this.headerLength > 0
  }

  /** Or traffic class: DSCP and ECN, 8 bits. */
  get tos(): number {
    if (this.kind === n.NET_IPV4) return this.bytes[this.l3Offset + 1]!
    return this.kind === n.NET_IPV6 ? (u16(this.bytes, this.l3Offset) >>> 4) & 255 : 0
  }

  get dscp(): number {
    return this.tos >>> 2
  }

  /** Or hop limit. */
  get ttl(): number {
    if (this.kind === n.NET_IPV4) return this.bytes[this.l3Offset + 8]!
    return this.kind === n.NET_IPV6 ? this.bytes[this.l3Offset + 7]! : 0
  }

  /** 16 bits in IPv4, 32 in IPv6's fragment header. */
  get ipId(): number {
    if (this.kind === n.NET_IPV4) return u16(this.bytes, this.l3Offset + 4)
    return this.fragmentHeaderOffset < 0 ? 0 : u32(this.bytes, this.fragmentHeaderOffset + 4)
  }

  get dontFragment(): boolean {
    return this.kind === n.NET_IPV4 && (this.bytes[this.l3Offset + 6]! & 0x40) !== 0
  }

  get moreFragments(): boolean {
    if (this.kind === n.NET_IPV4) return (this.bytes[this.l3Offset + 6]! & 0x20) !== 0
    return this.fragmentHeaderOffset >= 0 && (this.bytes[this.fragmentHeaderOffset + 3]! & 1) !== 0
  }

  /** Whether there is a whole TCP header: the fields up to `tcpOptionsOffset` are its. */
  get hasTcp(): boolean {
    return this.ipProtocol === n.PROTO_TCP && this.l4Offset >= 0
  }

  get seq(): number {
    return this.hasTcp ? u32(this.bytes, this.l4Offset + 4) : 0
  }

  get ack(): number {
    return this.hasTcp ? u32(this.bytes, this.l4Offset + 8) : 0
  }

  /** TCP_FIN … TCP_CWR. */
  get flags(): number {
    return this.hasTcp ? this.bytes[this.l4Offset + 13]! : 0
  }

  get window(): number {
    return this.hasTcp ? u16(this.bytes, this.l4Offset + 14) : 0
  }

  get urgent(): number {
    return this.hasTcp ? u16(this.bytes, this.l4Offset + 18) : 0
  }

  /** With options. */
  get tcpHeaderLength(): number {
    return this.hasTcp ? (this.bytes[this.l4Offset + 12]! >>> 4) << 2 : 0
  }

  /** The options end where the payload begins. */
  get tcpOptionsOffset(): number {
    return this.hasTcp ? this.l4Offset + 20 : -1
  }

  get hasUdp(): boolean {
    return this.ipProtocol === n.PROTO_UDP && this.l4Offset >= 0
  }

  /** Header and payload, as UDP claims. */
  get udpLength(): number {
    return this.hasUdp ? u16(this.bytes, this.l4Offset + 4) : 0
  }

  /** ICMP of IPv4 or of IPv6. */
  get hasIcmp(): boolean {
    const protocol = this.ipProtocol
    return this.l4Offset >= 0 && (protocol === n.PROTO_ICMP || protocol === n.PROTO_ICMPV6)
  }

  get icmpType(): number {
    return this.hasIcmp ? this.bytes[this.l4Offset]! : 0
  }

  get icmpCode(): number {
    return this.hasIcmp ? this.bytes[this.l4Offset + 1]! : 0
  }

  /** Identifier of an ICMP query and its answer (echo, timestamp, …): its port, so to say. */
  get icmpId(): number {
    return isIcmpQuery(this) ? u16(this.bytes, this.l4Offset + 4) : 0
  }

  get icmpSequence(): number {
    return isIcmpQuery(this) ? u16(this.bytes, this.l4Offset + 6) : 0
  }

  /** Fills all fields below `hash` from the bytes; called by `load`, and after a change to them. */
  parse(): void {
    this.isStamped = false
    parsePacket(this)
  }
}
