import {
  NET_IPV4,
  NET_IPV6,
  type Packet,
  TCP_ACK,
  TCP_PSH,
  TCP_RST,
  TCP_SYN,
} from '../packet/index.ts'

/** By which packet a TCP stack was recognised; the name as the asset log writes it. */
export const SYN = 0
export const SYNACK = 1
export const ACK = 2
export const FIN = 3
export const RST = 4
export const UDP = 5
export const ICMP = 6
export const kindNames = ['SYN', 'SYNACK', 'ACK', 'FIN', 'RST', 'UDP', 'ICMP'] as const

/** Oddities of a packet that tell stacks apart, in the order in which they are written. */
const QUIRK_RST_ACK = 1 << 0
const QUIRK_SEQ_IS_ACK = 1 << 1
const QUIRK_SEQ_ZERO = 1 << 2
const QUIRK_PAST_END = 1 << 3
const QUIRK_ID_ZERO = 1 << 4
const QUIRK_IP_OPTIONS = 1 << 5
const QUIRK_URGENT = 1 << 6
const QUIRK_RESERVED = 1 << 7
const QUIRK_ACK = 1 << 8
const QUIRK_ECHO_STAMP = 1 << 9
const QUIRK_FLAGS = 1 << 10
const QUIRK_DATA = 1 << 11
const QUIRK_FIN_ACK = 1 << 12
const QUIRK_FLOW_LABEL = 1 << 13
const QUIRK_BROKEN = 1 << 14
export const quirkLetters = 'KQ0PZIUXATFDNL!'

export const OPTION_END = 0
export const OPTION_NOP = 1
export const OPTION_MSS = 2
export const OPTION_SCALE = 3
export const OPTION_SACK = 4
export const OPTION_STAMP = 8

/** Options of one packet that are looked at: more is a broken packet. */
const OPTIONS_MAX = 15
/** Bytes of a packet that real prads takes into account. */
const SNAPLEN = 1604
/** A longest option that makes sense: TCP has 40 bytes for all of them. */
const OPTION_BYTES_MAX = 33
/** From this size on, a packet's size says nothing about its sender. */
export const SIZE_BIG = 100

const BEYOND_FLAGS = ~(TCP_SYN | TCP_ACK | TCP_RST | 0x40 | 0x80)

/** What one TCP packet shows of the stack that made it, by the measures of p0f 2. */
export interface Fingerprint {
  window: number
  ttl: number
  df: number
  size: number
  /** Kinds of the TCP options, in order. */
  options: number[]
  mss: number
  scale: number
  quirks: number
  /** TCP timestamp: in hundredths of a second since the machine started, mostly. */
  stamp: number
}

/**
 * Reads the fingerprint of a TCP packet, whose header is at `l4` and there as far as its window, into `out`;
 * false if its IP header is none, or its options are cut off by the capture.
 */
export function readFingerprint(p: Packet, l4: number, kind: number, out: Fingerprint): boolean {
  const b = p.bytes
  const v4 = p.kind === NET_IPV4
  const total = v4 ? u16(b, p.l3Offset + 2) : u16(b, p.l3Offset + 4) + 40
  const end = Math.min(p.start + Math.min(p.wireLength, SNAPLEN), p.l3Offset + total)
  if (p.l3Offset + (v4 ? 20 : 40) > end || l4 < p.l3Offset + 20) return false
  out.window = u16(b, l4 + 14)
  out.ttl = p.ttl
  out.stamp = 0
  out.mss = 0
  out.scale = 0
  out.options.length = 0
  out.quirks = ipQuirks(p) | tcpQuirks(b, l4, p.end, kind)
  out.size = kind === ACK ? 0 : v4 ? total : total - 40
  out.df = v4 && !p.dontFragment ? 0 : 1
  const optionBytes = ((b[l4 + 12]! >>> 4) << 2) - 20
  if (optionBytes > 0 && l4 + 20 + optionBytes > p.end && p.end < p.start + p.wireLength) {
    return false
  }
  if (kind !== ACK && l4 + 20 + optionBytes < end) out.quirks |= QUIRK_DATA
  readOptions(b, l4 + 20, optionBytes, p.end, out)
  return true
}

function ipQuirks(p: Packet): number {
  if (p.kind === NET_IPV6) {
    const b = p.bytes
    const at = p.l3Offset
    const label = ((b[at + 1]! & 15) << 16) | (b[at + 2]! << 8) | b[at + 3]!
    return label === 0 ? QUIRK_ID_ZERO : QUIRK_FLOW_LABEL
  }
  return (p.ipId === 0 ? QUIRK_ID_ZERO : 0) | (p.headerLength > 20 ? QUIRK_IP_OPTIONS : 0)
}

function tcpQuirks(b: Uint8Array, l4: number, end: number, kind: number): number {
  const flags = b[l4 + 13]!
  const withAck = (flags & TCP_ACK) !== 0
  const seq = u32(b, l4 + 4)
  const ack = u32(b, l4 + 8)
  let quirks = 0
  if (kind === RST && withAck) quirks |= QUIRK_RST_ACK
  if (kind === FIN && withAck) quirks |= QUIRK_FIN_ACK
  if (seq === ack) quirks |= QUIRK_SEQ_IS_ACK
  if (seq === 0) quirks |= QUIRK_SEQ_ZERO
  if (flags & BEYOND_FLAGS & (kind === ACK ? ~TCP_PSH : -1)) quirks |= QUIRK_FLAGS
  if (ack !== 0) quirks |= QUIRK_ACK
  if (l4 + 20 <= end && u16(b, l4 + 18) !== 0) quirks |= QUIRK_URGENT
  if (b[l4 + 12]! & 15) quirks |= QUIRK_RESERVED
  return quirks
}

function u16(b: Uint8Array, i: number): number {
  return (b[i]! << 8) | b[i + 1]!
}

function u32(b: Uint8Array, i: number): number {
  return (u16(b, i) << 16) | u16(b, i + 2)
}

/** `left` bytes of options from `at`, as far as `end`. What stands behind an end-of-options is read, too. */
function readOptions(b: Uint8Array, at: number, left: number, end: number, out: Fingerprint): void {
  while (left > 0) {
    if (at >= end || out.options.length >= OPTIONS_MAX) break
    const kind = b[at]!
    const length = optionLength(b, at, end)
    if (length === 0) break
    out.options.push(kind)
    if (kind === OPTION_END && left > 1) out.quirks |= QUIRK_PAST_END
    else if (kind === OPTION_MSS) out.mss = (b[at + 2]! << 8) | b[at + 3]!
    else if (kind === OPTION_SCALE) out.scale = b[at + 2]!
    else if (kind === OPTION_STAMP) {
      if (b[at + 6]! | b[at + 7]! | b[at + 8]! | b[at + 9]!) out.quirks |= QUIRK_ECHO_STAMP
      const stamp = (b[at + 2]! << 24) | (b[at + 3]! << 16) | (b[at + 4]! << 8) | b[at + 5]!
      out.stamp = stamp >>> 0
    }
    at += length
    left -= length
  }
  if (left > 0 || out.options.length >= OPTIONS_MAX) out.quirks |= QUIRK_BROKEN
}

/** Of the kinds that are known, the length that they have, whatever they say; 0 is broken. */
function optionLength(b: Uint8Array, at: number, end: number): number {
  switch (b[at]) {
    case OPTION_END:
    case OPTION_NOP:
      return 1
    case OPTION_SACK:
      return 2
    case OPTION_MSS:
      return at + 4 > end ? 0 : 4
    case OPTION_SCALE:
      return at + 3 > end ? 0 : 3
    case OPTION_STAMP:
      return at + 10 > end ? 0 : 10
  }
  if (at + 2 > end) return 0
  const length = b[at + 1]!
  return length > OPTION_BYTES_MAX ? 0 : length
}

/** `window:ttl:df:size:options:quirks`, as the signature files and the asset log have it. */
export function fingerprintText(f: Fingerprint): string {
  const size = f.size < SIZE_BIG ? `${f.size}` : `*(${f.size})`
  return `${windowText(f)}:${f.ttl}:${f.df}:${size}:${optionsText(f)}:${quirksText(f.quirks)}`
}

/** Windows are multiples of the MSS (S) or the MTU (T) in many stacks. */
function windowText({ window, mss }: Fingerprint): string {
  if (window === 0) return '0'
  if (mss && window % mss === 0) return `S${window / mss}`
  if (window % 1460 === 0) return `S${window / 1460}`
  if (mss && window % (mss + 40) === 0) return `T${window / (mss + 40)}`
  if (window % 1500 === 0) return `T${window / 1500}`
  return window === 12345 ? '*(12345)' : `${window}`
}

function optionsText(f: Fingerprint): string {
  const text = f.options.map((kind) => optionText(kind, f)).join(',')
  return text.length < 2 ? `${text}.` : text
}

function optionText(kind: number, { mss, scale, stamp }: Fingerprint): string {
  switch (kind) {
    case OPTION_NOP:
      return 'N'
    case OPTION_SCALE:
      return `W${scale}`
    case OPTION_MSS:
      return `M${mss}`
    case OPTION_STAMP:
      return stamp ? 'T' : 'T0'
    case OPTION_SACK:
      return 'S'
    case OPTION_END:
      return 'E'
    default:
      return `?${kind}`
  }
}

function quirksText(quirks: number): string {
  if (quirks === 0) return '.'
  let text = ''
  for (let i = 0; i < quirkLetters.length; i++) if (quirks & (1 << i)) text += quirkLetters[i]
  return text
}

/** The start value that a TTL most likely had, less what is left of it: hops on the way. */
export function distanceOf(ttl: number): number {
  return (ttl > 128 ? 255 : ttl > 64 ? 128 : ttl > 32 ? 64 : 32) - ttl
}
