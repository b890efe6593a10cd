import { hashWords, RehomeError } from '../../actors/index.ts'
import type { OptionValues } from '../nf.ts'
import { Ip, PROTO_ICMP, PROTO_TCP, type Subnet, subnet } from '../packet/index.ts'
import { Hints } from './hints.ts'

/** Who may send in through a mapping (RFC 4787, 5). */
export type Filtering = 'any' | 'address' | 'address-and-port'

/** In packet time (µs). A lease is part of each, see host.ts. */
export interface Timeouts {
  readonly leaseUs: number
  readonly udpUs: number
  readonly icmpUs: number
  readonly establishedUs: number
  readonly transitoryUs: number
}

/** What hosts go by. It is the same for all of them, so what is asked of them names it by its number. */
export interface Rules {
  readonly filtering: Filtering
  readonly keepPorts: boolean
  readonly timeouts: Timeouts
}

export interface NatConfig {
  readonly pool: readonly number[]
  /** The public addresses, each with its place in the pool. */
  readonly publics: ReadonlyMap<number, number>
  readonly inside: readonly Subnet[]
  readonly firstPort: number
  readonly lastPort: number
  readonly rules: number
  readonly hints: Hints
}

/** Public addresses at most: each has a table of its ports in memory, 512 KiB a protocol. */
const POOL_MAX = 256
/** Leases are no longer, so that a mapping outlives its last packet by this much at most (µs). */
const LEASE_MAX_US = 30_000_000

const string = (value: string, help: string) => ({ type: 'string', value, help }) as const

export const natOptions = {
  pool: { type: 'string', multiple: true, help: 'public address or subnet, 192.0.2.1 by default' },
  inside: { type: 'string', multiple: true, help: 'inside subnet, the private ones by default' },
  ports: string('1024-65535', 'public ports that are given out'),
  filtering: string('address', 'who may send in: any | address | address-and-port'),
  'any-port': { type: 'boolean', help: 'choose ports for the way back, do not preserve them' },
  'udp-timeout': string('300', 'seconds that a UDP mapping lives without a packet'),
  'icmp-timeout': string('60', 'seconds that an ICMP query mapping lives without a packet'),
  'tcp-timeout': string('7440', 'seconds that an open connection lives without a packet'),
  'tcp-transitory': string('240', 'seconds for a connection that opens or has closed'),
} as const

const PRIVATE = ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '100.64.0.0/10']

export function natConfig(options: OptionValues): NatConfig {
  const pool = many(options.pool, ['192.0.2.1']).flatMap(addressesOf)
  const inside = many(options.inside, PRIVATE).map((text) => subnet.parse(withPrefix(text)))
  if (pool.length > POOL_MAX) {
    throw wrong('pool', `${pool.length} addresses`, `${POOL_MAX} addresses at most`)
  }
  for (const word of pool) {
    const net = inside.find((n) => n.contains(Ip.v4(word)))
    // Else it could not be told which side of the NAT an address is on (RFC 4787, REQ-7).
    if (net) throw wrong('pool', String(Ip.v4(word)), `addresses outside of ${net}`)
  }
  const [firstPort, lastPort] = ports(String(options.ports ?? natOptions.ports.value))
  const rules = numberOf({
    filtering: filtering(String(options.filtering ?? natOptions.filtering.value)),
    keepPorts: options['any-port'] !== true,
    timeouts: timeouts(options),
  })
  const addresses = [...new Set(pool)]
  const publics = new Map(addresses.map((address, index) => [address, index]))
  const hints = new Hints()
  return { pool: addresses, publics, inside, firstPort, lastPort, rules, hints }
}

/** All rules that NATs of this process were set up with. */
const known = new Map<number, Rules>()

/** The same number for the same rules in every process. */
function numberOf(rules: Rules): number {
  const { filtering, keepPorts, timeouts: t } = rules
  const words = new TextEncoder().encode(
    JSON.stringify([
      filtering,
      keepPorts,
      t.leaseUs,
      t.udpUs,
      t.icmpUs,
      t.establishedUs,
      t.transitoryUs,
    ]),
  )
  const number = hashWords(Uint32Array.from(words), words.length) & 0x7fff_ffff
  known.set(number, rules)
  return number
}

export function rulesOf(number: number): Rules {
  const rules = known.get(number)
  if (!rules) throw new RehomeError('bad-argument', 'instances of one NAT have different options')
  return rules
}

/** The ports to give out; all of them for ICMP, whose identifiers have no ranges. */
export function rangeOf(config: NatConfig, protocol: number): [number, number] {
  return protocol === PROTO_ICMP ? [0, 0xffff] : [config.firstPort, config.lastPort]
}

/** A host's public address: always the same one while it has ports (RFC 4787, REQ-2). */
export function pairedIndex(config: NatConfig, host: number): number {
  return (Math.imul(host, 0x9e3779b1) >>> 0) % config.pool.length
}

export function isInside(config: NatConfig, ip: Ip): boolean {
  for (const net of config.inside) {
    const { address, prefix } = net
    if (prefix === 0 || (ip.w3 ^ address.w3) >>> (32 - prefix) === 0) return true
  }
  return false
}

export const idleUs = (protocol: number, t: Timeouts): number =>
  protocol === PROTO_TCP ? t.transitoryUs : protocol === PROTO_ICMP ? t.icmpUs : t.udpUs

function many(value: OptionValues[string], fallback: readonly string[]): string[] {
  const given = typeof value === 'string' ? [value] : Array.isArray(value) ? value : []
  const all = given.flatMap((text: string) => text.split(','))
  return all.length > 0 ? all : [...fallback]
}

const withPrefix = (text: string) => (text.includes('/') ? text : `${text}/32`)

function addressesOf(text: string): number[] {
  const net = subnet.parse(withPrefix(text))
  if (!net.address.v4 || net.prefix < 24) {
    throw wrong('pool', text, 'IPv4 addresses or subnets of up to 256 addresses')
  }
  const count = 2 ** (32 - net.prefix)
  return Array.from({ length: count }, (_, i) => net.address.d + i)
}

function ports(text: string): [number, number] {
  const m = /^(\d{1,5})-(\d{1,5})$/.exec(text)
  const [first, last] = [Number(m?.[1]), Number(m?.[2])]
  if (!(first >= 1 && first <= last && last <= 0xffff)) {
    throw wrong('ports', text, 'a range like 1024-65535')
  }
  return [first, last]
}

function filtering(text: string): Filtering {
  if (text === 'any' || text === 'address' || text === 'address-and-port') return text
  throw wrong('filtering', text, 'any, address or address-and-port')
}

function timeouts(options: OptionValues): Timeouts {
  const us = (name: keyof typeof natOptions & `${string}-t${string}`) => {
    const text = String(options[name] ?? (natOptions[name] as { value: string }).value)
    const seconds = Number(text)
    if (!(seconds > 0)) throw wrong(name, text, 'a number of seconds')
    return seconds * 1e6
  }
  const udpUs = us('udp-timeout')
  const icmpUs = us('icmp-timeout')
  const establishedUs = us('tcp-timeout')
  const transitoryUs = us('tcp-transitory')
  const least = Math.min(udpUs, icmpUs, establishedUs, transitoryUs)
  const leaseUs = Math.min(LEASE_MAX_US, least / 2)
  return { leaseUs, udpUs, icmpUs, establishedUs, transitoryUs }
}

function wrong(option: string, given: string, expected: string): RehomeError {
  return new RehomeError('bad-argument', `--${option} takes ${expected}, not '${given}'`)
}
