import * as n from './numbers.ts'
import type { Packet } from './packet.ts'

/** Whether an ICMP message carries an identifier: echo, timestamp, information, address mask. */
export function isIcmpQuery(p: Packet): boolean {
  if (!p.hasIcmp) return false
  const type = p.icmpType
  if (p.ipProtocol === n.PROTO_ICMPV6) return type === 128 || type === 129
  return type === 8 || type === 0 || (type >= 13 && type <= 18)
}

/** Whether an ICMP message speaks of another packet, whose beginning is its payload. */
export function isIcmpError(p: Packet): boolean {
  if (!p.hasIcmp) return false
  const type = p.icmpType
  if (p.ipProtocol === n.PROTO_ICMPV6) return type >= 1 && type <= 4
  return type === 3 || type === 4 || type === 5 || type === 11 || type === 12
}

/**
 * Loads the packet that an ICMP error quotes into `into`: false if `p` is none, or quotes no IP
 * header. Its transport header may be cut off behind the ports (`l4Offset` −1); offsets are into
 * the bytes of `p`.
 */
export function loadQuoted(p: Packet, into: Packet): boolean {
  if (!isIcmpError(p)) return false
  const { bytes, payloadOffset, payloadEnd, timeUs, clockUs, index, hash } = p
  // How long the quoted packet was is not known: longer than any, so that no claim is beyond it.
  const wire = 0xffff + 40
  into.load(bytes, payloadOffset, payloadEnd, n.LINK_RAW, wire, timeUs, clockUs, index, hash)
  return into.kind === n.NET_IPV4 || into.kind === n.NET_IPV6
}
