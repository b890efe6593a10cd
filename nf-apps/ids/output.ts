import type { AlertRecord } from './records.ts'
import type { Signature } from './signature.ts'

/** Alerts as the tools round an IDS read them: Suricata's eve.json and fast.log. */

export type Format = 'eve' | 'fast'

export function formatAlert(format: Format, alert: AlertRecord, s: Signature): string {
  return format === 'eve' ? eveLine(alert, s) : fastLine(alert, s)
}

const ICMP = 1
const ICMPV6 = 58
const PROTOCOLS: Readonly<Record<number, string>> = {
  1: 'ICMP',
  2: 'IGMP',
  6: 'TCP',
  17: 'UDP',
  41: 'IPv6',
  47: 'GRE',
  50: 'ESP',
  51: 'AH',
  58: 'IPv6-ICMP',
  88: 'EIGRP',
  89: 'OSPFIGP',
  103: 'PIM',
  132: 'SCTP',
}
const hasPorts = (protocol: number): boolean =>
  protocol === 6 || protocol === 17 || protocol === 132

function eveLine(alert: AlertRecord, s: Signature): string {
  const [index, timeUs, , source, sourcePort, destination, destinationPort, protocol] = alert
  const ports = hasPorts(protocol)
  const icmp = protocol === ICMP || protocol === ICMPV6
  return JSON.stringify({
    timestamp: isoTime(timeUs),
    flow_id: flowId(alert),
    pcap_cnt: index + 1,
    event_type: 'alert',
    src_ip: source,
    ...(ports ? { src_port: sourcePort } : {}),
    dest_ip: destination,
    ...(ports ? { dest_port: destinationPort } : {}),
    proto: protocolName(protocol),
    ...(icmp ? { icmp_type: sourcePort, icmp_code: destinationPort } : {}),
    alert: {
      action: 'allowed',
      gid: s.gid,
      signature_id: s.sid,
      rev: s.rev,
      signature: s.message,
      category: s.category,
      severity: s.priority,
    },
  })
}

function fastLine(alert: AlertRecord, s: Signature): string {
  const [, timeUs, , source, sourcePort, destination, destinationPort, protocol] = alert
  const name = protocolName(protocol)
  const rule = `[**] [${s.gid}:${s.sid}:${s.rev}] ${s.message} [**]`
  const kind = `[Classification: ${s.category || '(null)'}] [Priority: ${s.priority}]`
  const ends = `${source}:${sourcePort} -> ${destination}:${destinationPort}`
  return `${americanTime(timeUs)}  ${rule} ${kind} {${name}} ${ends}`
}

function protocolName(protocol: number): string {
  return PROTOCOLS[protocol] ?? String(protocol).padStart(3, '0')
}

function parts(timeUs: number): { date: Date; us: string } {
  const us = ((timeUs % 1_000_000) + 1_000_000) % 1_000_000
  return { date: new Date(Math.floor(timeUs / 1000)), us: String(us).padStart(6, '0') }
}

const two = (n: number): string => String(n).padStart(2, '0')

function isoTime(timeUs: number): string {
  const { date, us } = parts(timeUs)
  return `${date.toISOString().slice(0, 19)}.${us}+0000`
}

function americanTime(timeUs: number): string {
  const { date, us } = parts(timeUs)
  const day = `${two(date.getUTCMonth() + 1)}/${two(date.getUTCDate())}/${date.getUTCFullYear()}`
  return `${day}-${date.toISOString().slice(11, 19)}.${us}`
}

/** The same for all alerts of a flow, either way round: a hash of its ends (FNV-1a, folded to 52 bits). */
function flowId([
  ,
  ,
  ,
  source,
  sourcePort,
  destination,
  destinationPort,
  protocol,
]: AlertRecord): number {
  const ports = hasPorts(protocol)
  const ends = [
    `${source} ${ports ? sourcePort : 0}`,
    `${destination} ${ports ? destinationPort : 0}`,
  ]
  let hash = 0xcbf29ce484222325n
  for (const c of `${ends.sort().join(' ')} ${protocol}`) {
    hash = BigInt.asUintN(64, (hash ^ BigInt(c.charCodeAt(0))) * 0x100000001b3n)
  }
  return Number((hash ^ (hash >> 52n)) & 0xfffffffffffffn)
}
