import type { Ip } from './ip.ts'

/** The Internet checksum (RFC 1071): one's complement sums of 16-bit words. */

/** Adds the bytes [start, end) to a running sum; an odd last byte counts as a word's high half. */
export function sumBytes(bytes: Uint8Array, start: number, end: number, sum = 0): number {
  let i = start
  for (; i + 1 < end; i += 2) sum += (bytes[i]! << 8) | bytes[i + 1]!
  if (i < end) sum += bytes[i]! << 8
  return sum
}

/** Adds the pseudo header of TCP, UDP and ICMPv6 (RFC 768, 9293; 8200, 8.1 has the same sum). */
export function sumPseudoHeader(src: Ip, dst: Ip, protocol: number, length: number): number {
  const addresses = src.v4 && dst.v4 ? sumWord(src.d) + sumWord(dst.d) : sumIp(src) + sumIp(dst)
  return addresses + protocol + sumWord(length)
}

function sumIp(ip: Ip): number {
  return sumWord(ip.a) + sumWord(ip.b) + sumWord(ip.c) + sumWord(ip.d)
}

function sumWord(word: number): number {
  return (word >>> 16) + (word & 0xffff)
}

/** Folds a running sum (below 2^53, that is of any bytes that fit memory) and complements it. */
export function finish(sum: number): number {
  return ~fold(sum) & 0xffff
}

function fold(sum: number): number {
  while (sum > 0xffff) sum = (sum % 0x10000) + Math.floor(sum / 0x10000)
  return sum
}

/** Checksum of bytes; 0 over a header that holds a right one. */
export function checksum(bytes: Uint8Array, start: number, end: number, sum = 0): number {
  return finish(sumBytes(bytes, start, end, sum))
}

/**
 * The checksum after a 16-bit word changed (RFC 1624, equation 3): HC' = ~(~HC + ~m + m'). A right
 * one stays right and a wrong one wrong; it is never turned into its other zero wrongly.
 */
export function updateChecksum(checksum: number, from: number, to: number): number {
  const sum = (~checksum & 0xffff) + (~from & 0xffff) + to
  const once = (sum & 0xffff) + (sum >>> 16)
  return ~((once & 0xffff) + (once >>> 16)) & 0xffff
}

/** The same for a 32-bit word, such as an IPv4 address. */
export function updateChecksum32(checksum: number, from: number, to: number): number {
  const half = updateChecksum(checksum, from >>> 16, to >>> 16)
  return updateChecksum(half, from & 0xffff, to & 0xffff)
}
