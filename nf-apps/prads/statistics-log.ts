import type { Snapshot } from '../../actors/index.ts'
import { PROTO_TCP, PROTO_UDP } from '../packet/index.ts'
import { type FoundAsset, offerPlace } from './asset-log.ts'
import { connections, type FoundFlow, isIcmp } from './connection-log.ts'
import { ICMP, UDP } from './fingerprint.ts'
import type { Signatures } from './signatures.ts'
import type { Statistics } from './state.ts'

interface Counted {
  readonly uncounted: Snapshot<(typeof Statistics)['fields']> | undefined
  readonly flows: readonly FoundFlow[]
  readonly assets: readonly FoundAsset[]
}

/** What real prads prints at its end, and which signatures could not be used. */
export function statisticsLog(counted: Counted, { problems }: Signatures): string[] {
  const rows = [...packetRows(counted), ['', 0] as const, ...detectionRows(counted)]
  const lines = rows.map(([name, n]) =>
    name === '' ? '--' : `-- Total ${name.padEnd(33)}:${String(n).padStart(12)}`,
  )
  return ['-- prads:', ...lines, ...problems.map((problem) => `-- Not used: ${problem}`)]
}

type Row = readonly [string, number]

function packetRows({ uncounted, flows }: Counted): Row[] {
  const { arp = 0, gre = 0, other = 0, hollow = 0, tunnels4 = 0, tunnels6 = 0 } = uncounted ?? {}
  const packets = (of: (f: FoundFlow) => boolean) =>
    flows.filter(of).reduce((n, { state }) => n + state.lowPackets + state.highPackets, 0)
  const v4 = packets((f) => f.key.src.v4)
  const v6 = packets((f) => !f.key.src.v4)
  const total = v4 + v6 + arp + gre + other + hollow
  const tagged = flows.reduce((n, { state }) => n + state.vlanPackets, uncounted?.vlan ?? 0)
  return [
    ['packets received from libpcap', total],
    ['Ethernet packets received', total],
    ['VLAN packets received', tagged],
    ['ARP packets received', arp],
    ['IPv4 packets received', v4 + gre + tunnels4],
    ['IPv6 packets received', v6 + tunnels6],
    ['Other link packets received', other],
    ['IPinIPv4 packets received', tunnels4],
    ['IPinIPv6 packets received', tunnels6],
    ['GRE packets received', gre],
    [
      'TCP packets received',
      packets(({ key, state }) => !state.opaque && key.protocol === PROTO_TCP),
    ],
    [
      'UDP packets received',
      packets(({ key, state }) => !state.opaque && key.protocol === PROTO_UDP),
    ],
    ['ICMP packets received', packets(({ key, state }) => !state.opaque && isIcmp(key.protocol))],
    ['Other transport packets received', packets(({ state }) => state.opaque)],
  ]
}

function detectionRows({ flows, assets }: Counted): Row[] {
  const stacks = assets.flatMap(({ state }) => Object.values(state.stacks))
  const places = assets.flatMap(({ state }) =>
    Object.entries(state.offers).map(([place, timeline]) => offerPlace(place, timeline)),
  )
  const offers = (protocol: number, server: boolean) =>
    places.filter((o) => o.protocol === protocol && o.server === server).length
  return [
    ['sessions tracked', connections(flows).length],
    ['assets detected', assets.length],
    ['TCP OS fingerprints detected', stacks.filter((s) => s.kind < UDP).length],
    ['UDP OS fingerprints detected', stacks.filter((s) => s.kind === UDP).length],
    ['ICMP OS fingerprints detected', stacks.filter((s) => s.kind === ICMP).length],
    ['DHCP OS fingerprints detected', 0],
    ['TCP service assets detected', offers(PROTO_TCP, true)],
    ['TCP client assets detected', offers(PROTO_TCP, false)],
    ['UDP service assets detected', offers(PROTO_UDP, true)],
    ['UDP client assets detected', offers(PROTO_UDP, false)],
  ]
}
