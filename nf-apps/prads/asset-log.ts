import type { Found } from '../../actors/index.ts'
import { macText, PROTO_ICMP, PROTO_TCP, PROTO_UDP } from '../packet/index.ts'
import { distanceOf, fingerprintText, ICMP, kindNames, UDP } from './fingerprint.ts'
import type { Host } from './host-key.ts'
import type { Signatures } from './signatures.ts'
import {
  type Asset,
  type MacSighting,
  type OfferSighting,
  SERVER,
  type StackSighting,
} from './state.ts'
import type { Timeline } from './timeline.ts'

export type FoundAsset = Found<Host, (typeof Asset)['fields']>

export const ASSET_LOG_HEADER = 'asset,vlan,port,proto,service,[service-info],distance,discovered'
/** So many other applications on end, and a service is taken for changed. */
const DOUBTS_MAX = 200

/** A line of the asset log with its place: the packet, and behind its service the packet's stack. */
interface LogLine {
  readonly index: number
  readonly order: number
  readonly text: string
}

/** The asset log, header first, in the order of the packets that gave cause for its lines. */
export function assetLog(assets: readonly FoundAsset[], signatures: Signatures): string[] {
  const lines: LogLine[] = []
  for (const { key, state } of assets) {
    const ip = key.ip.toString()
    for (const stack of Object.values(state.stacks)) {
      lines.push({ index: stack.index, order: 1, text: stackLine(ip, stack, signatures) })
    }
    for (const timeline of Object.values(state.offers)) {
      for (const { index, text } of offerLines(ip, timeline)) lines.push({ index, order: 0, text })
    }
    for (const change of macChanges(state.macs)) {
      lines.push({
        index: change.index,
        order: 0,
        text: macLine(ip, change, signatures, state.macs),
      })
    }
  }
  lines.sort((a, b) => a.index - b.index || a.order - b.order || (a.text < b.text ? -1 : 1))
  return [ASSET_LOG_HEADER, ...lines.map((line) => line.text)]
}

export function osOf(stack: StackSighting, { os }: Signatures): { os: string; detail: string } {
  const known = os[stack.kind]
  return {
    os: known?.os(stack.match) ?? 'unknown',
    detail: known?.detail(stack.match) ?? 'unknown',
  }
}

/** The print as the log writes it; `system` with it. */
export function stackText(stack: StackSighting): string {
  return stack.text || fingerprintText(stack)
}

function stackLine(ip: string, stack: StackSighting, signatures: Signatures): string {
  const { kind, mss, stamp, ttl } = stack
  const { os, detail } = osOf(stack, signatures)
  const protocol = kind === UDP ? PROTO_UDP : kind === ICMP ? PROTO_ICMP : PROTO_TCP
  const link = mss ? `:link:${signatures.links.name(mss)}` : ''
  const uptime = stamp ? `:uptime:${Math.floor(stamp / 360_000)}hrs` : ''
  const info = `[${stackText(stack)}:${os}:${detail}${link}${uptime}]`
  const head = `${ip},${stack.vlan},${stack.port},${protocol},${kindNames[kind]}`
  return `${head},${info},${distanceOf(ttl)},${stack.seconds}`
}

/**
 * The sightings of one port that are logged, by real prads's rules: the first; one that is not guessed by its port
 * after one that is; and one that differs, after so many differed on end. Behind those that were kept in full, each
 * application that was not among them.
 */
export function offersTold({ first, later }: Timeline<OfferSighting>): OfferSighting[] {
  const told: OfferSighting[] = []
  const names = new Set<string>()
  let known: OfferSighting | undefined
  let doubts = 0
  for (const seen of first) {
    names.add(seen.application)
    const guessed = known?.application.startsWith('@') && !seen.application.startsWith('@')
    if (known && !guessed && seen.application === known.application) doubts = 0
    else if (known && !guessed && doubts <= DOUBTS_MAX) doubts++
    else {
      told.push(seen)
      known = seen
      doubts = 0
    }
  }
  return [...told, ...later.filter((seen) => !names.has(seen.application))]
}

/** Role and distance are those of the port's first sighting. */
function offerLines(
  ip: string,
  timeline: Timeline<OfferSighting>,
): { index: number; text: string }[] {
  const first = timeline.first[0]
  if (!first) return []
  const role = first.role === SERVER ? 'SERVER' : 'CLIENT'
  return offersTold(timeline).map((seen) => {
    const head = `${ip},${seen.vlan},${seen.port},${seen.protocol},${role}`
    const info = `[${seen.service}:${printable(seen.application)}]`
    return { index: seen.index, text: `${head},${info},${distanceOf(first.ttl)},${seen.seconds}` }
  })
}

/** Payload was read byte by byte; the log holds the bytes, so those that are UTF-8 are read as that. */
function printable(application: string): string {
  return /^[\0-\x7f]*$/.test(application)
    ? application
    : Buffer.from(application, 'latin1').toString('utf8')
}

/** The ARP replies that gave another address than the one before; the first, too. */
export function macChanges({ first, later }: Timeline<MacSighting>): MacSighting[] {
  const changes: MacSighting[] = []
  const macs = new Set<number>()
  let known = 0
  for (const seen of first) {
    macs.add(seen.mac)
    if (seen.mac !== known) changes.push(seen)
    known = seen.mac
  }
  return [...changes, ...later.filter((seen) => !macs.has(seen.mac))]
}

/** The vendor is that of the first address whose vendor is known: real prads keeps it when the address changes. */
function macLine(
  ip: string,
  change: MacSighting,
  { vendors }: Signatures,
  timeline: Timeline<MacSighting>,
): string {
  let vendor: string | undefined
  for (const earlier of macChanges(timeline)) {
    if (vendor !== undefined || earlier.index > change.index) break
    vendor = vendors.vendor(earlier.mac)
  }
  const mac = macText(change.mac).toUpperCase()
  const info = vendor === undefined ? `[${mac}]` : `[${mac},(${vendor})]`
  return `${ip},${change.vlan},0,0,ARP,${info},0,${change.seconds}`
}

/** The warnings that real prads prints when an address of a host changes. */
export function macWarnings(assets: readonly FoundAsset[]): string[] {
  const warnings: { index: number; text: string }[] = []
  for (const { key, state } of assets) {
    const changes = macChanges(state.macs)
    for (let i = 1; i < changes.length; i++) {
      const { index, mac } = changes[i]!
      const text = `ACHTUNG! MAC changed! : ${macText(changes[i - 1]!.mac)} -> ${macText(mac)}`
      warnings.push({ index, text: `${text} (${key.ip})` })
    }
  }
  return warnings.sort((a, b) => a.index - b.index).map((w) => w.text)
}
