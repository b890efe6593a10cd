import type { Found } from '../../actors/index.ts'
import {
  type FlowKey,
  PROTO_ICMP,
  PROTO_ICMPV6,
  PROTO_TCP,
  PROTO_UDP,
  TCP_FIN,
  TCP_RST,
} from '../packet/index.ts'
import { type Flow, LOW } from './state.ts'

export type FoundFlow = Found<FlowKey, (typeof Flow)['fields']>

interface Side {
  ip: string
  port: number
  packets: number
  bytes: number
  flags: number
}
interface Connection {
  firstIndex: number
  started: number
  last: number
  protocol: number
  readonly low: Side
  readonly high: Side
  /** The one of these that sent first, unless more was learnt; and the other one. */
  readonly client: Side
  readonly server: Side
  /** As it began. */
  readonly start: { readonly client: Side; readonly server: Side }
}

/**
 * Connections as real prads has them: all ICMP between two hosts is one, all unknown protocols between two hosts are
 * one, fragments belong to that of their packet. Ours are several flows, as they are steered apart; they are joined
 * here, the least index leading.
 */
export function connections(flows: readonly FoundFlow[]): Connection[] {
  const all = new Map<string, Connection>()
  const inOrder = [...flows].sort((a, b) => a.state.firstIndex - b.state.firstIndex)
  for (const flow of inOrder) {
    const connection = connectionOf(flow)
    const { protocol, low, high } = connection
    const name = `${protocol} ${low.ip} ${low.port} ${high.ip} ${high.port}`
    const known = all.get(name)
    if (known) join(known, connection)
    else all.set(name, connection)
  }
  return [...all.values()]
}

function connectionOf({ key, state }: FoundFlow): Connection {
  const protocol = state.opaque ? 0 : key.protocol
  const ports = !state.opaque && (protocol === PROTO_TCP || protocol === PROTO_UDP)
  const low: Side = {
    ip: key.src.toString(),
    port: ports ? key.srcPort : 0,
    packets: state.lowPackets,
    bytes: state.lowBytes,
    flags: state.lowFlags,
  }
  const high: Side = {
    ip: key.dst.toString(),
    port: ports ? key.dstPort : 0,
    packets: state.highPackets,
    bytes: state.highBytes,
    flags: state.highFlags,
  }
  const { firstIndex, started, last, startBytes, startFlags } = state
  const first = state.startSide === LOW ? low : high
  const second = first === low ? high : low
  const clientIsLow = state.client === LOW
  return {
    firstIndex,
    started,
    last,
    protocol,
    low,
    high,
    client: clientIsLow ? low : high,
    server: clientIsLow ? high : low,
    start: {
      client: { ...first, packets: 1, bytes: startBytes, flags: startFlags },
      server: { ...second, packets: 0, bytes: 0, flags: 0 },
    },
  }
}

/** `more` began later. */
function join(known: Connection, more: Connection): void {
  known.last = Math.max(known.last, more.last)
  addSide(known.low, more.low)
  addSide(known.high, more.high)
}

function addSide(to: Side, more: Side): void {
  to.packets += more.packets
  to.bytes += more.bytes
  to.flags |= more.flags
}

/**
 * The connection log: a line when a connection was new, in the order of these, and then each as it ended. What real
 * prads decides by the clock on the wall, an end by silence, is here decided for a capture long past.
 */
export function connectionLog(flows: readonly FoundFlow[]): string[] {
  const all = connections(flows)
  return [
    ...all.map((c, i) => line(c, i + 1, c.start, c.started, '[New]')),
    ...all.map((c, i) => line(c, i + 1, c, c.last, ended(c) ? '[ended]' : '[expired]')),
  ]
}

function ended({ protocol, client, server }: Connection): boolean {
  const fin = client.flags & server.flags & TCP_FIN
  return protocol === PROTO_TCP && (fin | ((client.flags | server.flags) & TCP_RST)) !== 0
}

function line(
  c: Connection,
  number: number,
  { client, server }: { readonly client: Side; readonly server: Side },
  last: number,
  status: string,
): string {
  const id = `${c.started}${String(number).padStart(9, '0')}`
  return [
    id,
    dateText(c.started),
    dateText(last),
    last - c.started,
    c.protocol,
    client.ip,
    client.port,
    server.ip,
    server.port,
    client.packets,
    client.bytes,
    server.packets,
    server.bytes,
    client.flags,
    server.flags,
    status,
  ].join('|')
}

/** "2010-04-07 17:29:29", in UTC. */
function dateText(seconds: number): string {
  return new Date(seconds * 1000).toISOString().slice(0, 19).replace('T', ' ')
}

export const isIcmp = (protocol: number) => protocol === PROTO_ICMP || protocol === PROTO_ICMPV6
