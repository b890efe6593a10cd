import type { Found } from '../../actors/index.ts'
import { RehomeError } from '../../bus/index.ts'
import { notUsed } from '../nf.ts'
import { type FlowKey, type Ip, NET_IPV4, NET_IPV6, Packet, PROTO_TCP } from '../packet/index.ts'
import type { Hit } from './engine.ts'
import type { Environment } from './environment.ts'
import type { FlowState } from './flow-state.ts'
import { type Format, formatAlert } from './output.ts'
import {
  type AlertRecord,
  decide,
  inRecordOrder,
  type Losses,
  logKey,
  type Tracker,
  trackerKey,
} from './records.ts'
import { refusalText } from './rules.ts'
import type { Signature, Threshold } from './signature.ts'
import type { IdsActors } from './state.ts'

/** Sends a packet's hits where they are kept or counted. None of it waits. */
export function tell(p: Packet, hits: readonly Hit[], state: IdsActors): void {
  const logged: AlertRecord[] = []
  for (const hit of hits) {
    const { signature: s } = hit
    if (s.action === 'pass') {
      whitelist(p, s, state)
      continue
    }
    const alert = recordOf(p, hit)
    if (s.threshold === undefined) logged.push(alert)
    else {
      const [source, destination] = endsOf(p, hit)
      const key = trackerKey(s.threshold, s.number, source, destination)
      state.trackers.at(key).add({ threshold: s.threshold, alerts: [alert] })
    }
  }
  if (logged.length === 0) return
  state.alerts.at(logKey(p.index)).add(logged)
  const worst = hits.reduce((least, { signature }) => Math.min(least, signature.priority), 255)
  state.malicious.at(p.src).note({ alerts: logged.length, firstIndex: p.index, worst })
}

function whitelist(p: Packet, s: Signature, state: IdsActors): void {
  void state.whitelist.with(p.symmetricFlow, (entry, created) => {
    if (!created) return
    entry.sid = s.sid
    entry.index = p.index
  })
}

/** Source and destination of what matched: the packet's, or turned where it was what the other side had sent. */
function endsOf(p: Packet, hit: Hit): readonly [Ip, Ip] {
  return hit.turned ? [p.dst, p.src] : [p.src, p.dst]
}

function recordOf(p: Packet, hit: Hit): AlertRecord {
  const [source, destination] = endsOf(p, hit)
  const [sourcePort, destinationPort] = portsOf(p)
  return [
    p.index,
    p.timeUs,
    hit.signature.number,
    addressText(source, p.kind),
    hit.turned ? destinationPort : sourcePort,
    addressText(destination, p.kind),
    hit.turned ? sourcePort : destinationPort,
    p.ipProtocol,
  ]
}

/** Of ICMP, as fast.log has it, type and code. */
function portsOf(p: Packet): readonly [number, number] {
  const icmp = p.ipProtocol === 1 || p.ipProtocol === 58
  return icmp ? [p.icmpType, p.icmpCode] : [p.srcPort, p.dstPort]
}

/** IPv6 in all its digits, as Suricata writes it. */
function addressText(address: Ip, kind: number): string {
  if (kind !== NET_IPV6) return address.toString()
  const words = [address.a, address.b, address.c, address.d]
  const groups = words.flatMap((word) => [word >>> 16, word & 0xffff])
  return groups.map((group) => group.toString(16).padStart(4, '0')).join(':')
}

/** The result as lines, in an order that no instance decides. */
export async function report(state: IdsActors, env: Environment): Promise<string[]> {
  const { format } = env
  for (const { state: c } of await state.configuration.all()) {
    if (c.rules.length > 1) {
      throw new RehomeError('mismatch', 'instances have loaded different rules', {
        digests: [...c.rules].sort().join(' '),
      })
    }
  }
  if (format === 'rules') return ruleLines(env)
  if (format === 'hosts') return hostLines(state)
  const alerts = await allAlerts(state, env)
  return linesOf(alerts, env)
}

function linesOf(alerts: readonly AlertRecord[], env: Environment): string[] {
  const format: Format = env.format === 'fast' ? 'fast' : 'eve'
  return alerts.map((alert) => formatAlert(format, alert, env.signatures[alert[2]]!))
}

/**
 * The alerts there are by now. What only a flow's end would show is not among them, so no flow need be read; a threshold
 * counts those that have come, so a straggler may show at the end that it would have let another through.
 */
export async function found(state: IdsActors, env: Environment): Promise<string[]> {
  const [logs, trackers] = await Promise.all([state.alerts.all(), state.trackers.all()])
  const alerts = logs.flatMap((log) => [...log.state.alerts])
  for (const { state: t } of trackers) alerts.push(...passedBy(t, t.waiting))
  return linesOf(inOrder(alerts, env), env)
}

type TrackerState = Found<unknown, (typeof Tracker)['fields']>['state']

/** Passed already, and what would pass of those that wait; the tracker is left as it is. */
function passedBy(t: TrackerState, waiting: readonly AlertRecord[]): AlertRecord[] {
  const counting = { ...t, seen: [...t.seen] }
  return [...t.passed, ...decide(t.threshold!, counting, [...waiting].sort(inRecordOrder))]
}

const inOrder = (alerts: AlertRecord[], env: Environment): AlertRecord[] =>
  alerts.sort((a, b) => a[0] - b[0] || sidOf(env, a) - sidOf(env, b) || inRecordOrder(a, b))

async function allAlerts(state: IdsActors, env: Environment): Promise<AlertRecord[]> {
  const alerts = (await state.alerts.all()).flatMap((log) => [...log.state.alerts])
  const held = new Map<string, AlertRecord[]>()
  const thresholds = new Map<string, Threshold>()
  for (const { state: flow, key } of await state.flows.all()) {
    endFlow(key, flow, env, alerts, held, thresholds)
  }
  for (const { key, state: t } of await state.trackers.all()) {
    alerts.push(...passedBy(t, [...t.waiting, ...(held.get(key) ?? [])]))
    held.delete(key)
  }
  for (const [key, waiting] of held) {
    const fresh = { startUs: 0, count: 0, started: 0, seen: [] }
    alerts.push(...decide(thresholds.get(key)!, fresh, waiting.sort(inRecordOrder)))
  }
  return inOrder(alerts, env)
}

function sidOf(env: Environment, alert: AlertRecord): number {
  return env.signatures[alert[2]]!.sid
}

/** What the flow's end shows goes with the alerts. The state is a copy, which this uses up. */
function endFlow(
  key: FlowKey,
  flow: Readonly<FlowState>,
  env: Environment,
  alerts: AlertRecord[],
  held: Map<string, AlertRecord[]>,
  thresholds: Map<string, Threshold>,
): void {
  if (flow.connection === null) return
  const p = lastPacketOf(key, flow)
  for (const hit of env.engine.finish(p, { ...flow })) {
    const { threshold, number } = hit.signature
    if (hit.signature.action === 'pass') continue
    const alert = recordOf(p, hit)
    if (threshold === undefined) alerts.push(alert)
    else {
      const [source, destination] = endsOf(p, hit)
      const to = trackerKey(threshold, number, source, destination)
      held.set(to, [...(held.get(to) ?? []), alert])
      thresholds.set(to, threshold)
    }
  }
}

/** A packet without payload that stands for the end of a flow. */
function lastPacketOf(key: FlowKey, flow: Readonly<FlowState>): Packet {
  const p = new Packet()
  p.kind = key.src.v4 ? NET_IPV4 : NET_IPV6
  p.ipProtocol = PROTO_TCP
  p.l4Offset = 0
  p.src.copy(key.src)
  p.dst.copy(key.dst)
  p.srcPort = key.srcPort
  p.dstPort = key.dstPort
  p.symmetricFlow.copy(key)
  p.symmetricFlow.forward = true
  p.timeUs = p.clockUs = flow.lastUs
  p.index = flow.lastIndex
  return p
}

async function hostLines(state: IdsActors): Promise<string[]> {
  const hosts = await state.malicious.all()
  hosts.sort((a, b) => a.key.compare(b.key))
  return hosts.map(({ key, state: h }) =>
    JSON.stringify({
      ip: key.toString(),
      alerts: h.alerts,
      first_pcap_cnt: h.firstIndex + 1,
      severity: h.worst,
    }),
  )
}

function ruleLines(env: Environment): string[] {
  const lines = env.refused.map(refusalText)
  const rules = env.signatures.length
  return [...lines, `${rules} rules loaded, ${env.refused.length} refused, digest ${env.digest}`]
}

/** Rules not honoured, and what rules did not get to see. */
export async function notes(state: IdsActors, env: Environment): Promise<string[]> {
  const refused = notUsed(
    `rules not honoured, ${env.signatures.length} loaded`,
    env.refused.map(refusalText),
    '--format rules has all',
  )
  const lost = await state.losses.lookup('only')
  const own = env.engine.takeLosses() // of the flows' ends, which the result has looked at here
  const told = (what: keyof Losses) => (lost?.[what] ?? 0) + (own?.[what] ?? 0)
  const trackers = await state.trackers.all()
  const sum = (what: 'late' | 'dropped') => trackers.reduce((n, t) => n + t.state[what], 0)
  const counts: readonly (readonly [number, string])[] = [
    [told('segments'), 'TCP segments found no room to be put in order'],
    [told('deep'), 'sides of connections were read for their first bytes alone'],
    [told('bodies'), 'HTTP bodies were read for their first 100 KiB alone'],
    [told('unread'), 'flows ended by a day of silence with bytes that no rule has seen'],
    [told('fragments'), 'fragments found no room'],
    [told('searches'), 'searches ended at their bound, without a match'],
    [told('alerts'), 'alerts left out, of packets that raised more than 15'],
    [sum('late'), 'alerts came too late for their threshold and were counted when they came'],
    [sum('dropped'), 'alerts left out, of trackers that passed too many'],
  ]
  return [...refused, ...counts.filter(([n]) => n > 0).map(([n, what]) => `${n} ${what}`)]
}
