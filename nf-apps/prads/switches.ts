import { RehomeError } from '../../actors/index.ts'

/** What PRADS looks at: a set of bits, kept in each flow as of its first packet. */
export const LOOK_SYN = 1 << 0
export const LOOK_SYNACK = 1 << 1
export const LOOK_ACK = 1 << 2
export const LOOK_FIN = 1 << 3
export const LOOK_RST = 1 << 4
export const LOOK_TCP_SERVICES = 1 << 5
export const LOOK_TCP_CLIENTS = 1 << 6
export const LOOK_UDP_SERVICES = 1 << 7
export const LOOK_ARP = 1 << 8
export const LOOK_UDP_STACK = 1 << 9
export const LOOK_ICMP_STACK = 1 << 10

/** What real prads looks at when it is told nothing. */
const DEFAULTS =
  LOOK_SYN |
  LOOK_SYNACK |
  LOOK_FIN |
  LOOK_RST |
  LOOK_TCP_SERVICES |
  LOOK_TCP_CLIENTS |
  LOOK_UDP_SERVICES

/**
 * Letters as real prads's command line has them; they add to what is on by default, `X` clears what stands
 * before it. `I` is accepted and does nothing, as there; so are `H` and `P`, which print what is seen of DHCP and log none of it. `i` and `u` stand for what real prads has in its
 * configuration file alone (os_icmp, os_udp).
 */
const LETTERS: Readonly<Record<string, number>> = {
  F: LOOK_FIN,
  R: LOOK_RST,
  M: LOOK_ARP,
  S: LOOK_SYN,
  A: LOOK_ACK,
  K: LOOK_SYNACK,
  U: LOOK_UDP_SERVICES,
  T: LOOK_TCP_SERVICES,
  I: 0,
  H: 0,
  P: 0,
  t: LOOK_TCP_CLIENTS,
  u: LOOK_UDP_STACK,
  i: LOOK_ICMP_STACK,
}

export function parseSwitches(letters: string): number {
  let bits = DEFAULTS
  for (const letter of letters.replace(/^-/, '')) {
    if (letter === 'X') {
      bits = 0
      continue
    }
    const bit = LETTERS[letter]
    if (bit === undefined) {
      const known = `X${Object.keys(LETTERS).join('')}`
      throw new RehomeError('bad-argument', `--switches: '${letter}' is none of ${known}`)
    }
    bits |= bit
  }
  return bits
}
