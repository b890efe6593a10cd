import { execFile, execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'
import { CaptureRecord, openCapture, PcapWriter } from '../../loadgen/index.ts'
import * as pk from '../../nf-apps/packet/index.ts'
import {
  BAD_IP_HEADER_LENGTH,
  BAD_IP_VERSION,
  build,
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
  'ieee8021ad.id',
  'ip.checksum.status',
  'tcp.checksum.status',
  'udp.checksum.status',
  'icmp.checksum.status',
  'icmpv6.checksum.status',
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

async function dissect(path: string): Promise<Row[]> {
  const switches = [
    'ip.defragment',
    'ipv6.defragment',
    'tcp.desegment_tcp_streams',
    'tcp.analyze_sequence_numbers',
  ]
  const { stdout } = await promisify(execFile)(
    'tshark',
    ['-n', '-r', path, '-c', String(PACKETS_MAX)]
      .concat(switches.flatMap((name) => ['-o', `${name}:FALSE`]))
      .concat(['ip', 'tcp', 'udp'].flatMap((name) => ['-o', `${name}.check_checksum:TRUE`]))
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
  same('vlan', p.vlanCount > 0 ? p.vlan : '', row['ieee8021ad.id'] || row['vlan.id'])
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

/** How many of a capture's packets are read differently, and how the first ones are. */
function compare(path: string, rows: Row[]): { packets: number; different: number; how: string } {
  const reader = openCapture(path)
  const record = new CaptureRecord()
  const packet = new Packet()
  const how: string[] = []
  let packets = 0
  let different = 0
  while (packets < rows.length && reader.next(record)) {
    const { bytes, start, end, linkType, wireLength, timeUs } = record
    packet.load(bytes, start, end, linkType, wireLength, timeUs, timeUs, packets, 0)
    const all = differences(packet, rows[packets++]!)
    if (all.length > 0) different++
    if (all.length > 0 && how.length < 10) how.push(`packet ${packets}: ${all.join('; ')}`)
  }
  reader.close()
  expect(packets).toBe(rows.length)
  return { packets, different, how: how.join('\n') }
}

describe.runIf(tshark && captures.length > 0)('the packet view reads what tshark reads', () => {
  it.each(captures)('in %s', async (capture) => {
    const path = folder + capture
    const { packets, different, how } = compare(path, await dissect(path))
    expect(different / packets, how).toBeLessThanOrEqual(0.001)
  })
})

describe.runIf(tshark)('tshark reads what is built, and finds its checksums right', () => {
  const links = [
    pk.LINK_ETHERNET,
    pk.LINK_RAW,
    pk.LINK_COOKED,
    pk.LINK_COOKED2,
    pk.LINK_NULL,
    pk.LINK_LOOP,
    pk.LINK_PPP,
    pk.LINK_CHDLC,
  ]
  it.each(links)('over link type %i', async (linkType) => {
    const directory = mkdtempSync(join(tmpdir(), 'rehome-packet-'))
    try {
      const path = join(directory, 'built.pcap')
      writeCapture(path, linkType)
      const rows = await dissect(path)
      const { different, how } = compare(path, rows)
      expect(different, how).toBe(0)
      const checked = new Map<string, number>()
      for (const row of rows) {
        for (const layer of ['ip', 'tcp', 'udp', 'icmp', 'icmpv6'] as const) {
          const status = row[`${layer}.checksum.status`]
          expect(status, `${layer}: 0 is a wrong checksum`).not.toBe('0')
          if (status === '1') checked.set(layer, (checked.get(layer) ?? 0) + 1)
        }
      }
      expect(checked.size, 'layers whose checksums were found right').toBe(5)
    } finally {
      rmSync(directory, { recursive: true })
    }
  })

  function writeCapture(path: string, linkType: number): void {
    const writer = new PcapWriter(path, { linkType })
    const record = new CaptureRecord()
    for (const part of parts(linkType === pk.LINK_ETHERNET || linkType === pk.LINK_COOKED)) {
      record.bytes = build.frame(linkType, part)
      record.end = record.wireLength = record.bytes.length
      record.linkType = linkType
      writer.write(record)
    }
    writer.close()
  }

  function parts(tagged: boolean): build.Part[] {
    const four = {
      src: '10.0.0.1',
      dst: '192.168.0.255',
      ttl: 3,
      options: Uint8Array.of(1, 1, 1, 0),
    }
    const extensions = [
      { type: pk.PROTO_HOP_BY_HOP, body: Uint8Array.of(1, 4, 0, 0, 0, 0) },
      { type: pk.PROTO_DESTINATION, body: Uint8Array.of(1, 12) },
    ]
    const six = { src: '2001:db8::1', dst: '2001:db8::ffff:9', hopLimit: 7, extensions }
    const options = Uint8Array.of(2, 4, 5, 180, 1, 3, 3, 7)
    const long = 'odd'.repeat(33)
    const above = [
      build.tcp({ seq: 0xfedc_ba98, flags: pk.TCP_SYN, options }),
      build.tcp({ srcPort: 65535, dstPort: 9 }, long),
      build.udp({ srcPort: 40000, dstPort: 40001 }, long),
      build.udp({ srcPort: 40000, dstPort: 40001 }),
    ]
    const ips = [
      ...above.flatMap((part) => [build.ipv4(four, part), build.ipv6(six, part)]),
      build.ipv4(four, build.icmp({ id: 7, sequence: 8 }, long)),
      build.ipv6(six, build.icmpv6({ id: 7, sequence: 8 }, long)),
      ...build.ipv4Fragments(four, above[2]!, 40),
      ...build.ipv6Fragments(six, above[2]!, 40, 99),
    ]
    if (!tagged) return ips
    const arp = build.arp({ senderIp: '10.0.0.1', targetIp: '10.0.0.2', senderMac: 1 })
    return [arp, ...ips].flatMap((part) => [
      part,
      build.vlan(77, part),
      build.vlan(5, build.vlan(6, part), pk.ETHER_QINQ),
    ])
  }
})
