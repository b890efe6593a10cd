import type { InstanceReport } from './instance.ts'
import type { LiveFigures } from './live-input.ts'

/** What `rehome run --json` prints. Counts are of the whole run, over all instances that took part. */
export interface RunReport {
  nf: string
  bus: 'nats' | 'memory'
  model: string
  placement: string
  packets: number
  bytes: number
  malformed: number
  /** Packets without a verdict: lost with an instance that died. What an NF drops is not among them. */
  dropped: number
  seconds: number
  packetsPerSecond: number
  epochs: number
  rehomes: number
  handoffs: number
  packetsDuringHandoff: number
  latencyUs: { p50: number; p99: number; p999: number; max: number }
  calls: {
    plain: number
    stale: number
    staleHits: number
    untether: number
    untetherMerged: number
    untetherApplied: number
  }
  instances: {
    id: string
    packets: number
    actors: number
    rehomedIn: number
    rehomedOut: number
    plainOut: number
    suspendedMax: number
    errors: number
  }[]
  errors: number
  /** What the NF's result cannot show, as the NF tells it. */
  notes: string[]
  /** Instances that died, what they had by their last heartbeats, and updates that were under way to them. */
  lost: { instances: number; actors: number; updates: number }
  /** Of a run on interfaces. */
  live?: LiveFigures
}

const sum = (reports: readonly InstanceReport[], what: keyof InstanceReport): number =>
  reports.reduce((n, r) => n + Number(r[what]), 0)

function callsOf(reports: readonly InstanceReport[]): RunReport['calls'] {
  return {
    plain: sum(reports, 'plainOut'),
    stale: sum(reports, 'stale'),
    staleHits: sum(reports, 'staleHits'),
    untether: sum(reports, 'untether'),
    untetherMerged: sum(reports, 'untetherMerged'),
    untetherApplied: sum(reports, 'untetherApplied'),
  }
}

export function runReport(
  head: Pick<
    RunReport,
    'nf' | 'bus' | 'model' | 'placement' | 'epochs' | 'dropped' | 'latencyUs'
  > & {
    died: { members: number; actors: number }
  },
  packets: number,
  seconds: number,
  reports: readonly InstanceReport[],
): RunReport {
  const instances = reports.map(
    ({ id, packets, actors, rehomedIn, rehomedOut, plainOut, suspendedMax, errors }) => ({
      id,
      packets,
      actors,
      rehomedIn,
      rehomedOut,
      plainOut,
      suspendedMax,
      errors,
    }),
  )
  const { nf, bus, model, placement, dropped, epochs, latencyUs, died } = head
  return {
    nf,
    bus,
    model,
    placement,
    packets,
    bytes: sum(reports, 'bytes'),
    malformed: sum(reports, 'malformed'),
    dropped,
    seconds: Number(seconds.toFixed(3)),
    packetsPerSecond: Math.round(packets / seconds),
    epochs,
    rehomes: sum(reports, 'rehomedIn'),
    handoffs: sum(reports, 'handoffs'),
    packetsDuringHandoff: sum(reports, 'packetsDuringHandoff'),
    latencyUs,
    calls: callsOf(reports),
    instances,
    errors: sum(reports, 'errors'),
    notes: [],
    lost: {
      instances: died.members,
      actors: died.actors,
      updates: sum(reports, 'untetherLost'),
    },
  }
}

const whole = (n: number): string => Math.round(n).toLocaleString('en-US')

/** The figures for people. */
export function figures(r: RunReport): string[] {
  const { latencyUs: l, calls: c } = r
  const lines = [
    `${whole(r.packets)} packets in ${r.seconds.toFixed(1)} s, ${whole(r.packetsPerSecond)} packets/s; ` +
      `${r.dropped} dropped, ${r.malformed} malformed, ${r.errors} errors`,
    `${r.epochs} views, ${whole(r.handoffs)} slots handed off, ${whole(r.rehomes)} actors rehomed, ` +
      `${whole(r.packetsDuringHandoff)} packets handled meanwhile`,
    `latency p50 ${whole(l.p50)} µs, p99 ${whole(l.p99)} µs, p99.9 ${whole(l.p999)} µs, max ${whole(l.max)} µs`,
    `updates ${whole(c.untether)} made, ${whole(c.untetherApplied)} applied, ${whole(c.untetherMerged)} merged; ` +
      `plain calls away ${whole(c.plain)}; stale reads ${whole(c.stale)}, ${whole(c.staleHits)} from the cache`,
  ]
  const { instances, actors, updates } = r.lost
  if (instances > 0) {
    lines.push(
      `${instances} instances died, with ${whole(actors)} actors by their last heartbeats, ` +
        `${r.dropped} packets and ${updates} updates`,
    )
  }
  if (r.live) lines.push(liveLine(r.live))
  const head = ['instance', 'packets', 'actors', 'rehomed in', 'out', 'suspended max', 'errors']
  const rows = r.instances.map((i) => [
    i.id,
    whole(i.packets),
    whole(i.actors),
    whole(i.rehomedIn),
    whole(i.rehomedOut),
    whole(i.suspendedMax),
    whole(i.errors),
  ])
  const notes = r.notes.length > 0 ? ['', ...r.notes] : []
  return [...lines, '', ...table([head, ...rows]), ...notes]
}

function liveLine(l: LiveFigures): string {
  const lost = `${whole(l.missed)} missed coming in, ${whole(l.unsent)} not taken going out`
  const ends =
    `${whole(l.ignored)} not to be sent on, ${whole(l.unroutable)} without a route, ${whole(l.unanswered)} whose next hop was silent, ` +
    `${whole(l.expired)} at the end of their time, ${whole(l.tooBig)} too big`
  return `frames ${whole(l.received)} in, ${whole(l.sent)} out; ${lost}; ${ends}`
}

/** Columns, the first to the left and the others to the right. */
export function table(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
  return rows.map((row) =>
    row
      .map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)))
      .join('  ')
      .trimEnd(),
  )
}
