import type { Row } from './bench.ts'
import { isReached, lineOf } from './bench.ts'
import { cpuNs, median, rate, wallNs } from './measure.ts'
import { bars, escaped, lines } from './svg.ts'

/** The rows of each bench that ran, by its name. */
export type Told = Readonly<Record<string, readonly Row[]>>

export interface Picture {
  readonly file: string
  readonly svg: string
  /** What is to be seen, and how it was measured. */
  readonly says: string
}

const modelNames = ['shared', 'local-only', 'remote-only']

/** What a row of `models` is about: the NF and the placement, before its colon. */
const subject = (row: Row) => row.what.split(':')[0]!.replace(', ', ' · ')

/** The pictures that the benches which ran have figures for. */
export function pictures(told: Told): Picture[] {
  return [
    throughput(told),
    latencies(told),
    ...scaleOuts(told),
    cpu(told),
    ...curves(told, 'hot-path'),
    ...curves(told, 'growth'),
  ].filter((p) => p !== undefined)
}

function modelRows(told: Told): readonly Row[] {
  return (told.models ?? []).filter((row) => row.samples?.['remote-only'])
}

function throughput(told: Told): Picture | undefined {
  const rows = modelRows(told)
  if (rows.length === 0) return undefined
  const series = modelNames.map((name) => ({
    name,
    values: rows.map((row) => median((row.samples![name] ?? []).map(rate)) / 1000),
  }))
  const svg = bars({
    title: 'Throughput by state model, two instances over NATS',
    y: 'thousand packets per second',
    groups: rows.map(subject),
    series,
    marks: {
      name: 'goal for shared: 0.95 (spread), 0.98 (aligned) of local-only',
      values: rows.map((row, i) => series[1]!.values[i]! * (row.goal?.least ?? 1)),
    },
  })
  const says =
    'Medians of paired rounds, one after the other on one machine. “Spread”: half of the first state accesses are remote; “aligned”: keys lie where their packets go. Goals: shared at least 0.95 (spread) and 0.98 (aligned) of local-only, and three times remote-only.'
  return { file: 'throughput-by-model.svg', svg, says }
}

function latencies(told: Told): Picture | undefined {
  const rows = (told.models ?? []).filter((row) => row.figures?.shared)
  if (rows.length === 0) return undefined
  const series = modelNames.map((name) => ({
    name,
    values: rows.map((row) => (row.figures![name] ?? Number.NaN) / 1000),
  }))
  const title = 'Median latency by state model, calm load'
  const svg = bars({ title, y: 'ms, log scale', log: true, groups: rows.map(subject), series })
  const says =
    'From the time a packet was due at its source to its verdict: the way over NATS is in all of them.'
  return { file: 'latency-by-model.svg', svg, says }
}

function scaleOuts(told: Told): Picture[] {
  const rows = (told['scale-stop'] ?? []).filter((row) => row.series)
  return rows.map((row, i) => {
    const flows = Number(row.what.split(' ')[0]).toLocaleString('en-US')
    const series = Object.entries(row.series!).map(([name, points]) => ({
      name,
      points: points.map(([ms, us]) => [ms, us / 1000] as const),
    }))
    const svg = lines({
      title: `Latency while 1 instance becomes 2 (at 0), ${flows} flows`,
      y: 'ms, log scale',
      x: 'ms from the begin of the scale-out; windows of 10 ms',
      log: true,
      series,
      goals: row.goal ? [{ at: goalOf(series), text: 'goal: 100 × shared’s median' }] : [],
    })
    const last = i === rows.length - 1
    const file = last ? 'latency-over-scale-out.svg' : `latency-over-scale-out-${i + 1}.svg`
    const says =
      'The same load and flows. stop-and-sync keeps the packets of all flows that move until all their state has; shared moves state on first access. A gap: no packet had its verdict in that window. Both instances share one thread.'
    return { file, svg, says }
  })
}

/** A hundred times the median of shared's windows. */
function goalOf(
  series: readonly { name: string; points: readonly (readonly [number, number])[] }[],
) {
  const shared = series.find((s) => s.name === 'shared, median')
  return 100 * median((shared?.points ?? []).map(([, y]) => y))
}

function cpu(told: Told): Picture | undefined {
  const rows = modelRows(told)
  if (rows.length === 0) return undefined
  const series = modelNames.map((name) => ({
    name,
    values: rows.map((row) => cpuNs(row.samples![name] ?? []) / 1000),
  }))
  const title = 'Processor time of a packet, all processes but NATS’s'
  const svg = bars({ title, y: 'µs', groups: rows.map(subject), series })
  const says = 'Source, instances and store together. What else the machine does is not in it.'
  return { file: 'cpu-by-model.svg', svg, says }
}

const GOAL = 'goal for the instance'

/** Rows that say at how many flows they were measured, with the arms that ran there. */
function curves(told: Told, bench: string): Picture[] {
  const points = new Map<string, [number, number][]>()
  for (const row of told[bench] ?? []) {
    const flows = Number(/(\d+) flows/.exec(row.what)?.[1])
    for (const [arm, samples] of Object.entries(row.samples ?? {})) {
      if (!(flows > 0) || samples.length === 0) continue
      // An arm among few flows is no point of the curve at many.
      if (arm.startsWith('few')) continue
      const ns = wallNs(samples)
      const curve = points.get(arm)
      if (curve) curve.push([flows, ns])
      else points.set(arm, [[flows, ns]])
    }
    const loop = row.samples?.['bare loop']
    if (!(flows > 0) || !loop || !row.goal?.least) continue
    const goal: [number, number] = [flows, wallNs(loop) / row.goal.least]
    points.set(GOAL, [...(points.get(GOAL) ?? []), goal])
  }
  const series = [...points].map(([name, all]) => ({ name, points: all }))
  if (!series.some((s) => s.points.length > 1)) return []
  const title = `Cost of a packet by live flows (${bench})`
  const svg = lines({ title, y: 'ns a packet', x: 'live flows, log scale', logX: true, series })
  const says =
    'One thread; medians of paired rounds. The bare loop has no actors and no second instance.'
  return [{ file: `${bench}.svg`, svg, says }]
}

const STYLE = `body{font:15px/1.5 Helvetica,Arial,sans-serif;color:#222;background:#fff;max-width:900px;margin:2em auto;padding:0 1em}
h1{font-size:1.5em}h2{font-size:1.15em;margin-top:2em}svg{max-width:100%;height:auto}p.says{color:#444;margin:.2em 0 2em}
table{border-collapse:collapse;width:100%;font-size:13px}td{border-top:1px solid #ddd;padding:.35em .6em;vertical-align:top}
td.note{color:#666}td.missed{color:#b00020;font-weight:bold;white-space:nowrap}td.reached{color:#1a7f37;white-space:nowrap}`

/** One page that needs nothing else: the pictures, and every figure beside its goal. */
export function page(machine: string, told: Told): string {
  const drawn = pictures(told).map((p) => `${p.svg}<p class="says">${escaped(p.says)}</p>`)
  const tables = Object.entries(told).map(
    ([name, rows]) => `<h2>${escaped(name)}</h2><table>${rows.map(rowOf).join('')}</table>`,
  )
  const all = Object.values(told).flat()
  const goals = all.filter((row) => row.goal)
  const missed = goals.filter((row) => isReached(row) === false)
  const sum = `${goals.length - missed.length} of ${goals.length} goals reached.`
  const list = missed.map((row) => `<li>${escaped(lineOf({ ...row, note: '' }))}</li>`)
  const short = missed.length ? `<h2>Not reached</h2><ul>${list.join('')}</ul>` : ''
  return [
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Rehome, measured</title>',
    `<style>${STYLE}</style></head><body><h1>Rehome, measured</h1>`,
    `<p>${escaped(machine)}. ${sum} Ratios are of runs side by side; absolute figures are of this machine.</p>`,
    ...drawn,
    short,
    '<h1>Every figure</h1>',
    ...tables,
    '</body></html>\n',
  ].join('\n')
}

function rowOf(row: Row): string {
  const reached = isReached(row)
  const { note = '', ...rest } = row
  const [figure = '', goal = ''] = lineOf(rest)
    .slice(row.what.length + 2)
    .split('  goal ')
  const state = reached === undefined ? '' : reached ? 'reached' : 'missed'
  const cells = [
    `<td>${escaped(row.what)}</td><td>${escaped(figure)}</td>`,
    `<td class="${state}">${escaped(goal)}</td><td class="note">${escaped(note)}</td>`,
  ]
  return `<tr>${cells.join('')}</tr>`
}
