import { mix } from '../../actors/index.ts'
import { besides, NET_IPV4, type Packet, steeringHash } from '../packet/index.ts'
import { isInside, type NatConfig } from './config.ts'

/**
 * What steers a NAT's packets. From inside: their host, so that all of its flows reach the instance where what decides about the
 * host lies (`address` in keys.ts), and ask nothing elsewhere. From outside: their flow. A port that the inside host wants
 * preserved is any, so no function of it could tell the host; where a port is chosen, it is one that brings the way back here.
 */
export function natSteering(p: Packet, config: NatConfig): number {
  const own = steeringHash(p)
  if (p.kind !== NET_IPV4 || !isInside(config, p.src)) return own
  return besides(hostHash(p.src.w3), own)
}

/** Whose slot is that of an inside host. */
export const hostHash = (address: number): number => mix(address)
