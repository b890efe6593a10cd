import { execFile, execFileSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'
import { CaptureRecord, openCapture } from '../../loadgen/index.ts'
import {
  BAD_IP_HEADER_LENGTH,
  BAD_IP_VERSION,
  Ip,
  NET_ARP,
  NET_NONE,
  Packet,
  PROTO_ICMP,
  PROTO_ICMPV6,
  PROTO_TCP,
  PROTO_UDP,
} from '../../nf-apps/packet/index.ts'

// What an independent program reads out of the same real packets. Where it or the captures are not
// there, there is nothing to compare, and that is said.

const folder = fileURLToPath(new URL('../../../shared/data/pcaps/', import.meta.url))
const captures = existsSync(folder) ? readdirSync(folder).filter((f) => f.endsWith('.pcap')) : []
const tshark = installed()
if (captures.length === 0) console.log('no captures in ../shared/data/pcaps: nothing to compare')
if (!tshark) console.log('tshark is not installed: nothing to compare with')

/** Packets per capture: keeps the whole comparison to seconds. */
const PACKETS_MAX = 20_000
const FIELDS = [
  'frame.protocols',
  'ip.src',
  'ip.dst',
  'ipv6.src',
  'ipv6.dst',
  'tcp.srcport',
  'tcp.dstport',
  'udp.srcport',
  'udp.dstport',
  'tcp.len',
  'udp.length',
  'arp.src.proto_ipv4',
  'arp.dst.proto_ipv4',
  'vlan.id',
  'ip.ttl',
  'ipv6.hlim',
  'tcp.seq_raw',
  'ip.frag_offset',
] as const
type Row = Record<(typeof FIELDS)[number], string>

function installed(): boolean {
  try {
    execFileSync('tshark', ['--version'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

async function dissect(capture: string): Promise<Row[]> {
  const switches = [
    'ip.defragment',
    'ipv6.defragment',
    'tcp.desegment_tcp_streams',
    'tcp.analyze_sequence_numbers',
  ]
  const { stdout } = await promisify(execFile)(
    'tshark',
    ['-n', '-r', folder + capture, '-c', String(PACKETS_MAX)]
      .concat(switches.flatMap((name) => ['-o', `${name}:FALSE`]))
      .concat(['-T', 'fields', '-E', 'occurrence=f', '-E', 'separator=/t'])
      .concat(FIELDS.flatMap((field) => ['-e', field])),
    { maxBuffer: 64 << 20 },
  )
  return stdout.split('\n').slice(0, -1).map(toRow)
}

function toRow(line: string): Row {
  const cells = line.split('\t')
  return Object.fromEntries(FIELDS.map((field, i) => [field, cells[i] ?? ''])) as Row
}

/** What stands on the outermost IP header, past extension headers. */
function transportOf(row: Row): string {
  const layers = row['frame.protocols'].split(':')
  const ip = layers.findIndex((layer) => layer === 'ip' || layer === 'ipv6')
  const above = layers.slice(ip + 1).find((layer) => !layer.startsWith('ipv6.') && layer !== 'ah')
  return ip < 0 ? '' : (above ?? '')
}

const transports: Record<number, string> = {
  [PROTO_TCP]: 'tcp',
  [PROTO_UDP]: 'udp',
  [PROTO_ICMP]: 'icmp',
  [PROTO_ICMPV6]: 'icmpv6',
}

/** Fields in which the two readings differ. */
function differences(p: Packet, row: Row): string[] {
  // Of such a header the one shows nothing, the other what it can: there is nothing to compare.
  if (p.malformed === BAD_IP_HEADER_LENGTH || p.malformed === BAD_IP_VERSION) return []
  const wrong: string[] = []
  const same = (what: string, ours: unknown, theirs: string) => {
    if (String(ours) !== theirs) wrong.push(`${what}: ${ours}, not ${theirs}`)
  }
  if (p.kind === NET_ARP) {
    if (p.headerLength === 0) return wrong
    same('arp sender', p.src, row['arp.src.proto_ipv4'])
    same('arp target', p.dst, row['arp.dst.proto_ipv4'])
  } else if (p.kind !== NET_NONE) {
    // A packet of IPv6 with an IPv4 address in its clothes is written in two ways.
    const ip = (first: string, other: string) => String(Ip.parse(first || other || '::'))
    same('source', p.src, ip(row['ip.src'], row['ipv6.src']))
    same('destination', p.dst, ip(row['ip.dst'], row['ipv6.dst']))
    same('ttl', p.ttl, row['ip.ttl'] || row['ipv6.hlim'])
  } else same('no IP', '', row['ip.src'] || row['ipv6.src'])
  same('vlan', p.vlanCount > 0 ? p.vlan : '', row['vlan.id'])
  compareTransport(p, row, same)
  return wrong
}

function compareTransport(
  p: Packet,
  row: Row,
  same: (what: string, ours: unknown, theirs: string) => void,
): void {
  const theirs = transportOf(row)
  const known = p.l4Offset >= 0 && Object.hasOwn(transports, p.ipProtocol)
  if (!known) {
    // It shows as many fields as there are of a header that is cut off, or broken; we do not.
    if (p.malformed === 0) same('no transport', '', theirs in { tcp: 1, udp: 1 } ? theirs : '')
    return
  }
  same('transport', transports[p.ipProtocol], theirs)
  if (p.hasTcp) {
    same('source port', p.srcPort, row['tcp.srcport'])
    same('destination port', p.dstPort, row['tcp.dstport'])
    same('sequence number', p.seq, row['tcp.seq_raw'])
    // Of an IP total length of 0 (offload) and of a broken one each makes its own.
    if (p.malformed === 0 && !p.isFragment) {
      same('payload', p.payloadWireLength, row['tcp.len'])
    }
  }
  if (p.hasUdp) {
    same('source port', p.srcPort, row['udp.srcport'])
    same('destination port', p.dstPort, row['udp.dstport'])
    same('udp length', p.udpLength, row['udp.length'])
  }
}

describe.runIf(tshark && captures.length > 0)('the packet view reads what tshark reads', () => {
  const packet = new Packet()
  it.each(captures)('in %s', async (capture) => {
    const rows = await dissect(capture)
    const reader = openCapture(folder + capture)
    const record = new CaptureRecord()
    const wrong: string[] = []
    let packets = 0
    let different = 0
    while (packets < rows.length && reader.next(record)) {
      const { bytes, start, end, linkType, wireLength, timeUs } = record
      packet.load(bytes, start, end, linkType, wireLength, timeUs, timeUs, packets, 0)
      const all = differences(packet, rows[packets++]!)
      if (all.length > 0) different++
      if (all.length > 0 && wrong.length < 10) wrong.push(`packet ${packets}: ${all.join('; ')}`)
    }
    reader.close()
    expect(packets).toBe(rows.length)
    expect(different / packets, wrong.join('\n')).toBeLessThanOrEqual(0.001)
  })
})
