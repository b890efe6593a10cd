import type { Found } from '../../actors/index.ts'
import { macText, PROTO_ICMP, PROTO_TCP, PROTO_UDP } from '../packet/index.ts'
import { distanceOf, fingerprintText, ICMP, kindNames, UDP } from './fingerprint.ts'
import type { Host } from './host-key.ts'
import type { Signatures } from './signatures.ts'
import { type Asset, type Claim, type Offer, SERVER, type StackSighting } from './state.ts'
import { firstSeen, type Seen, type Timeline } from './timeline.ts'

export type FoundAsset = Found<Host, (typeof Asset)['fields']>

const ASSET_LOG_HEADER = 'asset,vlan,port,proto,service,[service-info],distance,discovered'
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
    for (const [key, timeline] of Object.entries(state.offers)) {
      for (const { index, text } of offerLines(ip, key, timeline)) {
        lines.push({ index, order: 0, text })
      }
    }
    for (const change of macChanges(state.claims)) {
      lines.push({
        index: change.index,
        order: 0,
        text: macLine(ip, change, signatures, state.claims),
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
export function offersTold(timeline: Timeline<Offer>): Seen<Offer>[] {
  const told: Seen<Offer>[] = []
  const names = new Set<string>()
  let known: string | undefined
  let doubts = 0
  for (const seen of firstSeen(timeline)) {
    const { application } = seen.value
    names.add(application)
    const better = known?.startsWith('@') && !application.startsWith('@')
    if (known !== undefined && !better && application === known) doubts = 0
    else if (known !== undefined && !better && doubts <= DOUBTS_MAX) doubts++
    else {
      told.push(seen)
      known = application
      doubts = 0
    }
  }
  return [...told, ...timeline.later.filter(({ value }) => !names.has(value.application))]
}

/** Protocol and port of a timeline of offers, and the role that its first sighting had. */
export function offerPlace(key: string, timeline: Timeline<Offer>) {
  const [protocol = 0, port = 0] = key.split(' ').map(Number)
  const [first] = firstSeen(timeline)
  return { protocol, port, server: first?.value.role === SERVER, ttl: first?.value.ttl ?? 0 }
}

/** Role and distance are those of the port's first sighting. */
function offerLines(ip: string, key: string, timeline: Timeline<Offer>) {
  const { protocol, port, server, ttl } = offerPlace(key, timeline)
  return offersTold(timeline).map(({ index, seconds, value }) => {
    const head = `${ip},${value.vlan},${port},${protocol},${server ? 'SERVER' : 'CLIENT'}`
    const info = `[${value.service}:${printable(value.application)}]`
    return { index, text: `${head},${info},${distanceOf(ttl)},${seconds}` }
  })
}

/** Payload was read byte by byte; the log holds the bytes, so those that are UTF-8 are read as that. */
function printable(application: string): string {
  return /^[\0-\x7f]*$/.test(application)
    ? application
    : Buffer.from(application, 'latin1').toString('utf8')
}

/** The ARP replies that gave another address than the one before; the first, too. */
export function macChanges(timeline: Timeline<Claim>): Seen<Claim>[] {
  const changes: Seen<Claim>[] = []
  const macs = new Set<number>()
  let known = 0
  for (const seen of firstSeen(timeline)) {
    macs.add(seen.value.mac)
    if (seen.value.mac !== known) changes.push(seen)
    known = seen.value.mac
  }
  return [...changes, ...timeline.later.filter(({ value }) => !macs.has(value.mac))]
}

/** The vendor is that of the first address whose vendor is known: real prads keeps it when the address changes. */
function macLine(
  ip: string,
  { index, seconds, value }: Seen<Claim>,
  { vendors }: Signatures,
  timeline: Timeline<Claim>,
): string {
  let vendor: string | undefined
  for (const earlier of macChanges(timeline)) {
    if (vendor !== undefined || earlier.index > index) break
    vendor = vendors.vendor(earlier.value.mac)
  }
  const mac = macText(value.mac).toUpperCase()
  const info = vendor === undefined ? `[${mac}]` : `[${mac},(${vendor})]`
  return `${ip},${value.vlan},0,0,ARP,${info},0,${seconds}`
}

/** The warnings that real prads prints when an address of a host changes. */
export function macWarnings(assets: readonly FoundAsset[]): string[] {
  const warnings: { index: number; text: string }[] = []
  for (const { key, state } of assets) {
    const changes = macChanges(state.claims)
    for (let i = 1; i < changes.length; i++) {
      const { index, value } = changes[i]!
      const before = macText(changes[i - 1]!.value.mac)
      const text = `ACHTUNG! MAC changed! : ${before} -> ${macText(value.mac)}`
      warnings.push({ index, text: `${text} (${key.ip})` })
    }
  }
  return warnings.sort((a, b) => a.index - b.index).map((w) => w.text)
}
