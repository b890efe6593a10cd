import type { Row } from './bench.ts'
import { median, rate, type Sample, wallNs } from './measure.ts'
import { bars, lines, type Spread } from './svg.ts'

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
const isDefined = <T>(value: T | undefined): value is T => value !== undefined

/** The pictures that the benches which ran have figures for. */
export function pictures(told: Told): Picture[] {
  return [
    throughput(told),
    latencies(told, 'little load', 'latency-by-model.svg'),
    latencies(told, 'what remote-only does', 'latency-by-model-loaded.svg'),
    ...scaleStops(told),
    ...scaleOuts(told),
    cpu(told),
    accesses(told),
    hotPath(told),
    growth(told),
    rehomed(told),
    placement(told),
  ].filter(isDefined)
}

/** The middle half of the rounds around their median. */
function quartiles(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b)
  const at = (part: number) => sorted[Math.round(part * (sorted.length - 1))] ?? Number.NaN
  return { least: at(0.25), middle: median(sorted), most: at(0.75) }
}
function spreadOf(samples: readonly Sample[] | undefined, of: (s: Sample) => number) {
  return samples && samples.length > 0 ? quartiles(samples.map(of)) : undefined
}

function modelRows(told: Told): readonly Row[] {
  return (told.models ?? []).filter((row) => row.samples?.['remote-only'] && row.goal)
}

function throughput(told: Told): Picture | undefined {
  const rows = modelRows(told)
  if (rows.length === 0) return undefined
  const series = modelNames.map((name) => ({
    name,
    values: rows.map((row) => spreadOf(row.samples![name], (s) => rate(s) / 1000)),
  }))
  const goals = rows.map((row, i) => (series[1]!.values[i]?.middle ?? 0) * (row.goal?.least ?? 1))
  const svg = bars({
    title: 'Throughput by state model, two instances over NATS',
    y: 'thousand packets per second',
    groups: rows.map(subject),
    series,
    marks: { name: 'goal for shared: 0.95 (spread), 0.98 (aligned) of local-only', values: goals },
  })
  const says =
    'Medians of paired rounds, one after the other on one machine; the whiskers hold the middle half of the rounds. “Spread”: half of the first state accesses are remote; “aligned”: keys lie where their packets go. local-only keeps no state across instances, so its results break when it scales; remote-only asks a store for each access. Source, instances, store and NATS share two cores.'
  return { file: 'throughput-by-model.svg', svg, says }
}

/** Rows of one load; the whiskers end at the 99th percentile. */
function latencies(told: Told, load: string, file: string): Picture | undefined {
  const all = told.models ?? []
  const rows = all.filter(
    (row) => row.figures?.shared && row.what.includes('remote-only') === (load !== 'little load'),
  )
  if (rows.length === 0) return undefined
  const ms = (row: Row, name: string) => (row.figures![name] ?? Number.NaN) / 1000
  const series = modelNames.map((name) => ({
    name,
    values: rows.map((row) => {
      const [middle, most] = [ms(row, name), ms(row, `${name}, p99`)]
      return middle > 0 ? { middle, least: middle, most } : undefined
    }),
  }))
  const calm = load === 'little load'
  const what = calm ? '4,000 packets/s' : 'at 80 % of what remote-only does flat out'
  const svg = bars({
    title: `Latency by state model, ${what}`,
    y: 'ms, log scale',
    log: true,
    groups: rows.map(subject),
    series,
  })
  const says =
    'Medians, from the time a packet was due at its source to its verdict; the whiskers reach to the 99th percentile. The way over NATS is in all of them.'
  return { file, svg, says }
}

/** Latency over an event, window by window: the seed's figure. */
function scaleStops(told: Told): Picture[] {
  const rows = (told['scale-stop'] ?? []).filter((row) => row.series)
  return rows.map((row, i) => {
    const flows = Number(row.what.split(' ')[0]).toLocaleString('en-US')
    const series = inMs(row)
    const shared = series.find((s) => s.name === 'shared, median')?.points ?? []
    const goal = {
      at: 100 * median(shared.map(([, y]) => y)),
      text: 'goal for the median of stop-and-sync: above 100 × shared',
    }
    const svg = lines({
      title: `Latency while 1 instance becomes 2, ${flows} flows: shared and stop-and-sync`,
      y: 'ms, log scale',
      x: 'ms from the begin of the scale-out; windows of 10 ms',
      log: true,
      series,
      goals: row.goal ? [goal] : [],
    })
    const isLast = i === rows.length - 1
    const file = isLast ? 'latency-over-scale-out.svg' : `latency-over-scale-out-${i + 1}.svg`
    const says =
      'The same load and flows. stop-and-sync keeps the packets of all flows that move until all their state has, so they have their verdicts late and together; shared moves state on first access while packets flow. Both instances share one thread.'
    return { file, svg, says }
  })
}

function scaleOuts(told: Told): Picture[] {
  const rows = (told['scale-out'] ?? []).filter((row) => row.series)
  return rows.map((row, i) => {
    const { durationMs = 0 } = row.figures ?? {}
    const svg = lines({
      title: `Latency while 1 instance becomes 2: ${row.what.split(':')[0]}`,
      y: 'ms, log scale',
      x: 'ms from the word to join; windows of 10 ms',
      log: true,
      series: inMs(row),
      bands: [{ from: 0, to: durationMs, text: 'scale-out' }],
    })
    const says =
      '100 k live flows, slots flipped one by one. From the time a packet was due at its source until its verdict was back there; what waits at the source is not left out.'
    return { file: `scale-out-${i + 1}.svg`, svg, says }
  })
}

const inMs = (row: Row) =>
  Object.entries(row.series!).map(([name, points]) => ({
    name,
    points: points.map(([ms, us]) => [ms, us / 1000] as const),
  }))

function cpu(told: Told): Picture | undefined {
  const rows = modelRows(told)
  if (rows.length === 0) return undefined
  const series = modelNames.map((name) => ({
    name,
    values: rows.map((row) => spreadOf(row.samples![name], (s) => (s.cpuMs * 1000) / s.count)),
  }))
  const title = 'Processor time of a packet, all processes but NATS’s'
  const svg = bars({ title, y: 'µs', groups: rows.map(subject), series })
  const says =
    'Source, instances and store together, whatever waits for whom. What else the machine does is not in it.'
  return { file: 'cpu-by-model.svg', svg, says }
}

/** Arms of `calls` and `store` by what they are to readers. */
const ARMS: Readonly<Record<string, string>> = {
  actor: 'plain calls',
  calls: 'plain calls',
  updates: 'merged updates',
  operations: 'store, calls',
  turns: 'store, turns',
  HINCRBY: 'Redis',
}

/** What crosses from one process to another, of those who carry it: each once. */
function accesses(told: Told): Picture | undefined {
  const arms = new Map<string, readonly Sample[]>()
  for (const row of [...(told.calls ?? []), ...(told.store ?? [])]) {
    for (const [arm, samples] of Object.entries(row.samples ?? {})) {
      const name = ARMS[arm] ?? arm
      if (!arms.has(name) && samples.length > 0) arms.set(name, samples)
    }
  }
  if (arms.size < 2) return undefined
  const all = [...arms].map(([name, samples]) => ({ name, samples }))
  all.sort((a, b) => median(a.samples.map(rate)) - median(b.samples.map(rate)))
  const svg = bars({
    title: 'Remote accesses per second, one caller, another process',
    y: 'per second, log scale',
    log: true,
    groups: all.map(({ name }) => name),
    series: [{ name: 'rounds’ median', values: all.map((a) => spreadOf(a.samples, rate)) }],
  })
  const says =
    '1,024 under way at once over one NATS server (Redis: HINCRBY, auto-pipelined); updates are merged before they leave. “Store” is what remote-only is made of; the batched echo has no actors, it is the limit of this bus.'
  return { file: 'accesses.svg', svg, says }
}

const flowsOf = (row: Row) => Number(/(\d+) flows/.exec(row.what)?.[1])

function hotPath(told: Told): Picture | undefined {
  const points = new Map<string, [number, number][]>()
  const put = (name: string, point: [number, number]) =>
    points.set(name, [...(points.get(name) ?? []), point])
  for (const row of told['hot-path'] ?? []) {
    const flows = flowsOf(row)
    const loop = row.samples?.['bare loop']
    if (!(flows > 0) || !loop) continue
    for (const [arm, samples] of Object.entries(row.samples ?? {}))
      put(arm, [flows, wallNs(samples)])
    if (row.goal?.least) put('goal for the instance', [flows, wallNs(loop) / row.goal.least])
  }
  const series = [...points].map(([name, all]) => ({ name, points: all }))
  if (!series.some((s) => s.points.length > 1)) return undefined
  const title = 'Cost of a packet, all state home, by live flows'
  const svg = lines({ title, y: 'ns a packet', x: 'live flows, log scale', logX: true, series })
  const says =
    'One thread; medians of paired rounds. The bare loop has no actors, no flow order and no second instance.'
  return { file: 'hot-path.svg', svg, says }
}

/** Curves of rows that have them, one for each name. */
function curves(rows: readonly Row[] | undefined, of: (row: Row) => boolean) {
  const points = new Map<string, (readonly [number, number])[]>()
  for (const row of rows ?? []) {
    if (!of(row)) continue
    for (const [name, some] of Object.entries(row.series ?? {}))
      points.set(name, [...(points.get(name) ?? []), ...some])
  }
  return [...points]
    .map(([name, all]) => ({ name, points: atEach(all) }))
    .filter((s) => s.points.length > 1)
}

/** Where several were measured at one place, their median. */
function atEach(points: readonly (readonly [number, number])[]): [number, number][] {
  const places = [...new Set(points.map(([x]) => x))].sort((a, b) => a - b)
  return places.map((x) => [x, median(points.filter(([at]) => at === x).map(([, y]) => y))])
}

function growth(told: Told): Picture | undefined {
  const series = curves(told.growth, (row) => row.what.startsWith('cost'))
  if (series.length === 0) return undefined
  const svg = lines({
    title: 'Cost of a packet by live flows, to 4 million',
    y: 'ns of processor time a packet',
    x: 'live flows, log scale; packets drawn evenly from all of them',
    logX: true,
    series,
  })
  const says =
    'Both bend where their tables leave the processor’s caches: at 10 k flows all lies in the second level, at 100 k in the third, from 1 M on a packet waits for memory and for the address tables of its pages. The bare loop waits likewise; what the actors cost beside it does not grow.'
  return { file: 'growth.svg', svg, says }
}

function rehomed(told: Told): Picture | undefined {
  const series = curves(told.rehome, () => true)
  if (series.length === 0) return undefined
  const svg = lines({
    title: 'Actors rehomed per second, by how many move',
    y: 'actors per second',
    x: 'actors, log scale',
    logX: true,
    series,
    goals: [
      { at: 300_000, text: 'goal, first access: 300 k' },
      { at: 500_000, text: 'goal, drain: 500 k' },
    ],
  })
  const says =
    'Both instances share one thread, so it is what both sides cost together. 100 k, the rows with goals, come first, where the engine still compiles; 10 k and 1 M after them. At 1 M neither side fits a cache: each actor waits for memory here and there.'
  return { file: 'rehome.svg', svg, says }
}

function placement(told: Told): Picture | undefined {
  const series = curves(told.placement, (row) => row.series !== undefined)
  if (series.length === 0) return undefined
  const svg = lines({
    title: 'What one more instance costs, 1 to 1,000 instances',
    y: 'ms',
    x: 'instances, log scale',
    logX: true,
    series,
    goals: [{ at: 10, text: 'goal: 10 ms' }],
  })
  const says =
    '16,384 slots. The next view is computed by whoever joins; then each member reads it and compares it slot by slot, and the newcomer fetches its tokens, here with all members on one thread. Both go by the number of slots, not of instances: so the curves lie flat, but at the left end, where the newcomer gets a large share of all slots and the engine still compiles.'
  return { file: 'placement.svg', svg, says }
}
