import { TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN } from '../packet/index.ts'
import type { Timeouts } from './config.ts'

/** What one mapping has going on with one remote end. */
export interface Session {
  readonly address: number
  /** 0 for ICMP, whose remote ends have no port of their own. */
  readonly port: number
  /** Packet time at which it is over. */
  untilUs: number
  /** Of TCP: the bits below. */
  stage: number
  /** Of TCP: packet time of the last SYN that asks for a connection. What was sent before it closes none since, whenever it is heard of. */
  openedUs: number
}

// What was seen of a TCP connection, from inside (OUT) and from outside (IN).
const SYN_OUT = 1
const SYN_IN = 2
const SENT = 4
const HEARD = 8
const FIN_OUT = 16
const FIN_IN = 32
const RESET = 64

/** The stage after a segment, in TCP's terms: simultaneous open and midstream pickup included. */
export function advance(stage: number, flags: number, out: boolean): number {
  if (flags & TCP_RST) return stage | RESET
  if (flags & TCP_SYN) {
    // A SYN where the last connection has ended, or is seen to end by one side, opens the next one between the same ends.
    const before = asksToOpen(flags) && stage & (RESET | FIN_OUT | FIN_IN) ? 0 : stage
    return before | (out ? SYN_OUT : SYN_IN)
  }
  const seen = stage | (out ? SENT : HEARD)
  return flags & TCP_FIN ? seen | (out ? FIN_OUT : FIN_IN) : seen
}

export const isClosed = (stage: number): boolean =>
  (stage & RESET) !== 0 || (stage & (FIN_OUT | FIN_IN)) === (FIN_OUT | FIN_IN)

/** Both ends have spoken, and more than their SYNs. */
function isEstablished(stage: number): boolean {
  if (isClosed(stage)) return false
  const out = (stage & (SYN_OUT | SENT)) !== 0
  const back = (stage & (SYN_IN | HEARD)) !== 0
  return out && back && (stage & (SENT | HEARD)) !== 0
}

/** How long a TCP session lives without another packet (µs). */
export const tcpIdleUs = (stage: number, t: Timeouts): number =>
  isEstablished(stage) ? t.establishedUs : t.transitoryUs

export const opens = (flags: number): boolean => (flags & TCP_SYN) !== 0
export const asksToOpen = (flags: number): boolean => opens(flags) && (flags & TCP_ACK) === 0
export const closes = (flags: number): boolean => (flags & (TCP_FIN | TCP_RST)) !== 0
