import { hashWords, SLOT_BITS } from '../../placement/index.ts'
import { Ip } from './ip.ts'
import { ETHER_ARP, NET_ARP, NET_IPV4, NET_IPV6, NET_NONE, PROTO_FRAGMENT } from './numbers.ts'
import type { Packet } from './packet.ts'

/** Stands for the EtherType of an 802.3 frame, and of a link that tells none. */
const ETHER_UNKNOWN = 0xffff

/**
 * What makes packets one flow: two addresses, two ports, the protocol.
 *
 * - An ICMP query and its answers: both ports are the identifier. Other ICMP: ports 0; an error
 *   belongs to the flow of its own addresses, not of the packet it quotes.
 * - A fragment (also the first, which has ports): ports 0, and in IPv6 the protocol is 44, as the
 *   protocol below the fragment header is known of the first fragment only.
 * - ARP: the IPv4 addresses of sender and target, protocol 0x0806. Other packets: the MAC addresses
 *   in the addresses' last 48 bits, as protocol the EtherType (no IP protocol is above 255), or
 *   0xffff where there is none.
 * - `vlan` is 0 unless the NF sets it: both directions need not come with the same tag.
 *
 * Mutable and reused; `clone()` to keep one. A packet's own key is filled in when somebody looks at it: most are only
 * looked up by, and for that their words are written straight from the packet (keys.ts).
 */
export class FlowKey {
  /** 0 to 4095. */
  vlan = 0
  private readonly from = new Ip()
  private readonly to = new Ip()
  private fromPort = 0
  private toPort = 0
  private number = 0
  private isForward = true
  /** The packet that the key is still to be filled from. */
  private packet: Packet | undefined = undefined
  private isSymmetric = false

  /** The key of `p`, filled in when it is looked at: before `p` is loaded again. */
  lookAt(p: Packet, isSymmetric: boolean): this {
    this.vlan = 0
    if (this.packet !== p) this.packet = p // a store of what is new is told to the collector
    this.isSymmetric = isSymmetric
    return this
  }

  /** The packet, if it says all of the key but its VLAN: nobody has changed anything else. */
  get unfilled(): Packet | undefined {
    return this.packet
  }

  private fill(): void {
    const p = this.packet
    if (p === undefined) return
    this.packet = undefined
    const { vlan } = this
    fill(this, p)
    this.vlan = vlan
    this.isForward = true
    if (this.isSymmetric && !isOrdered(this)) this.reverse()
  }

  get src(): Ip {
    if (this.packet !== undefined) this.fill()
    return this.from
  }
  get dst(): Ip {
    if (this.packet !== undefined) this.fill()
    return this.to
  }
  get srcPort(): number {
    if (this.packet !== undefined) this.fill()
    return this.fromPort
  }
  set srcPort(port: number) {
    if (this.packet !== undefined) this.fill()
    this.fromPort = port
  }
  get dstPort(): number {
    if (this.packet !== undefined) this.fill()
    return this.toPort
  }
  set dstPort(port: number) {
    if (this.packet !== undefined) this.fill()
    this.toPort = port
  }
  get protocol(): number {
    if (this.packet !== undefined) this.fill()
    return this.number
  }
  set protocol(protocol: number) {
    if (this.packet !== undefined) this.fill()
    this.number = protocol
  }
  /** Of a symmetric flow: whether the packet goes from `src` to `dst`. No part of the key. */
  get forward(): boolean {
    const p = this.packet
    if (p === undefined) return this.isForward
    if (!p.isPlainV4) {
      this.fill()
      return this.isForward
    }
    return !this.isSymmetric || inOrderV4(p.src.w3, p.dst.w3, p.srcPort, p.dstPort)
  }
  set forward(forward: boolean) {
    if (this.packet !== undefined) this.fill()
    this.isForward = forward
  }

  copy(from: FlowKey): this {
    this.src.copy(from.src)
    this.dst.copy(from.dst)
    this.srcPort = from.srcPort
    this.dstPort = from.dstPort
    this.protocol = from.protocol
    this.vlan = from.vlan
    this.forward = from.forward
    return this
  }

  clone(): FlowKey {
    return new FlowKey().copy(this)
  }

  equals(o: FlowKey): boolean {
    return (
      this.src.equals(o.src) &&
      this.dst.equals(o.dst) &&
      this.srcPort === o.srcPort &&
      this.dstPort === o.dstPort &&
      this.protocol === o.protocol &&
      this.vlan === o.vlan
    )
  }

  /** Turns the key round, in place. */
  reverse(): this {
    const { src, dst, srcPort } = this
    const { w0, w1, w2, w3 } = src
    src.copy(dst)
    dst.set(w0, w1, w2, w3)
    this.srcPort = this.dstPort
    this.dstPort = srcPort
    this.forward = !this.forward
    return this
  }
}

/** The flow of a packet, from its source to its destination: `p.flow`. */
export function flowOf(p: Packet): FlowKey {
  return p.flow.lookAt(p, false)
}

/**
 * The flow of a packet, the same for both directions: `p.symmetricFlow`. The side with the
 * lower (address, port) is `src`; `forward` tells whether it sent this packet.
 */
export function symmetricFlowOf(p: Packet): FlowKey {
  return p.symmetricFlow.lookAt(p, true)
}

function fill(key: FlowKey, p: Packet): FlowKey {
  key.vlan = 0
  if (p.kind === NET_NONE) {
    setMac(key.src, p.srcMac)
    setMac(key.dst, p.dstMac)
  } else {
    key.src.copy(p.src)
    key.dst.copy(p.dst)
  }
  const id = p.icmpId
  key.srcPort = p.isFragment ? 0 : p.srcPort || id
  key.dstPort = p.isFragment ? 0 : p.dstPort || id
  key.protocol = flowProtocol(p)
  return key
}

function flowProtocol(p: Packet): number {
  if (p.kind === NET_NONE) return p.etherType || ETHER_UNKNOWN
  if (p.kind === NET_ARP) return ETHER_ARP
  return p.isFragment && p.kind === NET_IPV6 ? PROTO_FRAGMENT : p.ipProtocol
}

function setMac(ip: Ip, mac: number): void {
  ip.set(0, 0, Math.floor(mac / 0x1_0000_0000), mac >>> 0)
}

/** Whether the lower (address, port) is the source. */
export function isOrdered(key: FlowKey): boolean {
  return inOrder(key.src, key.dst, key.srcPort, key.dstPort)
}

function inOrder(src: Ip, dst: Ip, srcPort: number, dstPort: number): boolean {
  if (src.w0 !== dst.w0) return below(src.w0, dst.w0)
  if (src.w1 !== dst.w1) return below(src.w1, dst.w1)
  if (src.w2 !== dst.w2) return below(src.w2, dst.w2)
  if (src.w3 !== dst.w3) return below(src.w3, dst.w3)
  return srcPort <= dstPort
}

export function inOrderV4(src: number, dst: number, srcPort: number, dstPort: number): boolean {
  return src === dst ? srcPort <= dstPort : below(src, dst)
}

/** Compares signed words as if they were unsigned, without leaving the integers. */
function below(x: number, y: number): boolean {
  return (x ^ 0x8000_0000) < (y ^ 0x8000_0000)
}

/**
 * Steering hash: decides the slot, and with it the instance, that gets a packet. Unless an NF has one of its own, it is
 * the hash of the packet's symmetric flow, without exception, so that
 *
 * - both directions of a flow, and all fragments of a datagram, reach one instance in order;
 * - an actor keyed by flow can be placed where its packets arrive (the key types `flow`,
 *   `symmetricFlow` and `udpFlow` hash alike);
 * - an ARP request and its answer stay in order, by the pair of addresses they are about.
 *
 * So an ICMP error is steered by its own addresses, not by the quoted packet's flow: all ICMP between
 * two hosts is one flow to PRADS and must keep its order. An NF that wants the quoted flow reads it
 * with `loadQuoted`; errors are rare, and its actor is a rehome away at worst. VLAN tags are left
 * out: the two directions of a flow may carry different ones.
 */
export function steeringHash(p: Packet): number {
  if (p.kind === NET_IPV4 && !p.isFragment) {
    // Most packets: without a detour over address objects, half the time.
    const id = p.icmpId
    return hashV4(p.src.w3, p.dst.w3, p.srcPort || id, p.dstPort || id, p.ipProtocol)
  }
  const { src, dst, srcPort, dstPort, protocol } = fill(scratchKey, p)
  return flowHash(src, dst, srcPort, dstPort, protocol)
}

/** The part of a hash below its slot. */
const BELOW_SLOT = 2 ** (32 - SLOT_BITS) - 1

/** A hash of its own in the slot of another: so packets of many flows reach one instance, and are many flows still. */
export const besides = (other: number, own: number): number =>
  ((other & ~BELOW_SLOT) | (own & BELOW_SLOT)) >>> 0

/** The hash of a flow, the same for both directions. */
export function flowHash(
  src: Ip,
  dst: Ip,
  srcPort: number,
  dstPort: number,
  protocol: number,
): number {
  if (inOrder(src, dst, srcPort, dstPort)) {
    return orderedHash(src, dst, (srcPort << 16) | dstPort, protocol)
  }
  return orderedHash(dst, src, (dstPort << 16) | srcPort, protocol)
}

const scratchKey = new FlowKey()
const scratch = new Uint32Array(10)

/** The hash of a flow whose lower side is known. */
export function orderedHash(low: Ip, high: Ip, ports: number, protocol: number): number {
  if (low.v4 && high.v4) return orderedHashV4(low.w3, high.w3, ports, protocol)
  const w = scratch
  w[0] = low.w0
  w[1] = low.w1
  w[2] = low.w2
  w[3] = low.w3
  w[4] = high.w0
  w[5] = high.w1
  w[6] = high.w2
  w[7] = high.w3
  w[8] = ports
  w[9] = protocol
  return hashWords(w, 10)
}

/** Two IPv4 addresses say no more than their last words. */
export function orderedHashV4(low: number, high: number, ports: number, protocol: number): number {
  const w = scratch
  w[0] = low
  w[1] = high
  w[2] = ports
  w[3] = protocol
  return hashWords(w, 4)
}

function hashV4(
  src: number,
  dst: number,
  srcPort: number,
  dstPort: number,
  protocol: number,
): number {
  if (inOrderV4(src, dst, srcPort, dstPort)) {
    return orderedHashV4(src, dst, (srcPort << 16) | dstPort, protocol)
  }
  return orderedHashV4(dst, src, (dstPort << 16) | srcPort, protocol)
}
