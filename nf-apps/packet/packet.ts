import { FlowKey } from './flow-key.ts'
import { Ip } from './ip.ts'
import { macAt } from './mac.ts'
import * as n from './numbers.ts'
import { parsePacket } from './parse.ts'

/**
 * A view over the bytes of one packet, reused for the next: nothing is allocated per packet, so
 * whoever keeps a packet, its addresses or its flow keys beyond the turn calls `retain()` or
 * `clone()`. Offsets count from the start of `bytes`, lengths are in bytes.
 *
 * Any bytes are safe: the parser reads inside [start, end) only and never throws. What it could not
 * make sense of is told by `malformed`; the layers below that are filled in, and those above have
 * `l4Offset` −1. A field of a layer that the packet does not have is 0 (offsets: −1).
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
  /** Steering hash: 32 bits, unsigned; see `steeringHash`. */
  hash = 0

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
  /** Behind any extension headers; −1 where the packet is not IP. */
  ipProtocol = -1
  /** Or hop limit. */
  ttl = 0
  /** Or traffic class: DSCP and ECN, 8 bits. */
  tos = 0
  /** 32 bits in an IPv6 fragment header. */
  ipId = 0
  dontFragment = false
  moreFragments = false
  /** In bytes. */
  fragmentOffset = 0
  isFragment = false
  /** Header and payload as IP claims, which may be more than is captured. */
  totalLength = 0
  /** Sender and target of an ARP message. */
  readonly src = new Ip()
  readonly dst = new Ip()

  /** Start of the transport header; −1 in a fragment but the first, and where it is cut off. */
  l4Offset = -1
  srcPort = 0
  dstPort = 0
  seq = 0
  ack = 0
  /** Of TCP: TCP_FIN … TCP_CWR. */
  flags = 0
  window = 0
  urgent = 0
  tcpHeaderLength = 0
  tcpOptionsOffset = -1
  /** As UDP claims. */
  udpLength = 0
  icmpType = 0
  icmpCode = 0
  /** Identifier of an ICMP query and its answer (echo, timestamp, …), which is its port, so to say. */
  icmpId = 0
  icmpSequence = 0

  /** What is left behind all headers, bounded by IP's length, UDP's and the capture. */
  payloadOffset = 0
  payloadEnd = 0

  arpOperation = 0
  arpSenderMacOffset = -1
  arpTargetMacOffset = -1

  /** Filled by `flowOf`. */
  readonly flow = new FlowKey()
  /** Filled by `symmetricFlowOf`. */
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
    this.hash = hash
    this.parse()
    return this
  }

  /** A copy that owns its bytes, for a packet that has to wait. */
  retain(): Packet {
    const bytes = this.bytes.slice(this.start, this.end)
    return new Packet().load(
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
  }

  /** Bytes on the wire. */
  get length(): number {
    return this.wireLength
  }

  get dscp(): number {
    return this.tos >>> 2
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

  get arpSenderMac(): number {
    return macAt(this.bytes, this.arpSenderMacOffset)
  }

  get arpTargetMac(): number {
    return macAt(this.bytes, this.arpTargetMacOffset)
  }

  /** Fills all fields below `hash` from the bytes; called by `load`, and after a change to them. */
  parse(): void {
    parsePacket(this)
  }
}
