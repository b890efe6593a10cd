import { MemoryHub, systemClock } from '../bus/index.ts'
import type { Instance, Source } from '../cli/index.ts'
import { CaptureRecord, Latency, SyntheticTraffic, syntheticDefaults } from '../loadgen/index.ts'
import { Packet, steeringHash } from '../nf-apps/packet/index.ts'
import type { Bench, BenchOptions, Row } from './bench.ts'
import { median } from './measure.ts'
import { joinInstance, joinSource, until, wallMs } from './members.ts'
import { flowCounter } from './solo-instance.ts'

/** Latencies are gathered by windows of this time. */
const WINDOW_MS = 10

interface Window {
  readonly atMs: number
  readonly packets: number
  readonly p50: number
  readonly p99: number
}

/** A source that offers packets at a steady rate, each due at its own time whether or not the one before is through. */
class Load {
  offered = 0
  /** When the packet that is being offered was due (wall clock, ms). */
  dueMs = 0
  private readonly traffic: SyntheticTraffic
  private readonly perMs: number
  private readonly record = new CaptureRecord()
  private readonly packet = new Packet()
  private startMs = 0
  private hash = 0
  private refused = false

  constructor(flows: number, perSecond: number) {
    const settings = { ...syntheticDefaults, flows, packets: 1e9, payload: [0, 0] as const }
    this.traffic = new SyntheticTraffic(settings)
    this.perMs = perSecond / 1000
  }

  begin(): void {
    this.startMs = wallMs()
    this.offered = 0
  }

  /** Offers what is due by now. */
  step(source: Source): void {
    for (;;) {
      const due = this.startMs + this.offered / this.perMs
      if (due > wallMs()) break
      if (!this.refused) this.make()
      this.dueMs = due
      this.refused = !source.steerer.offer(this.record, this.hash)
      if (this.refused) break
      this.offered++
    }
    source.steerer.flush()
    source.member.wake()
  }

  private make(): void {
    const { record, packet } = this
    this.traffic.next(record)
    const { bytes, start, end, linkType, wireLength, timeUs } = record
    packet.load(bytes, start, end, linkType, wireLength, timeUs, 0, 0, 0)
    this.hash = steeringHash(packet)
  }
}

/** Runs the load for so long; answers the latencies of each window. */
async function windows(
  load: Load,
  source: Source,
  instances: readonly Instance[],
  more: () => boolean,
): Promise<Window[]> {
  const found: Window[] = []
  const start = performance.now()
  let next = WINDOW_MS
  while (more()) {
    load.step(source)
    await new Promise((resolve) => setImmediate(resolve))
    const atMs = performance.now() - start
    if (atMs < next) continue
    next = atMs + WINDOW_MS
    const all = new Latency()
    for (const { intake } of instances) {
      all.merge(intake.latency)
      intake.latency.reset()
    }
    const { p50, p99 } = all.summary()
    if (all.count > 0) found.push({ atMs, packets: all.count, p50, p99 })
  }
  return found
}

async function measure(o: BenchOptions): Promise<Row[]> {
  const flows = o.tiny ? 100 : 100_000
  const load = new Load(flows, o.tiny ? 5_000 : 15_000)
  const hub = new MemoryHub({ clock: systemClock() })
  const first = await joinInstance(hub.connect(), 'i1', flowCounter)
  const source = await joinSource(hub.connect(), flowCounter, () => load.dueMs)
  const instances = [first.body]
  const forMs = (ms: number) => {
    const end = performance.now() + ms
    return () => performance.now() < end
  }
  load.begin()
  const enough = () => first.body.member.space.actors < flows
  await windows(load, source.body, instances, enough)
  const before = await windows(load, source.body, instances, forMs(o.tiny ? 200 : 4_000))
  let joined = false
  const second = joinInstance(hub.connect(), 'i2', flowCounter).then((entered) => {
    instances.push(entered.body)
    joined = true
    return entered
  })
  let moving = true
  const during = await windows(load, source.body, instances, () => {
    moving = !joined || instances.some((i) => i.member.space.inHandoff)
    return moving || !source.body.steerer.settled
  })
  const after = await windows(load, source.body, instances, forMs(o.tiny ? 200 : 4_000))
  await until(() => source.body.steerer.outstanding === 0)
  const { lost } = source.body.steerer
  for (const one of [source, first, await second]) one.stop()
  return rows([before, during, after], lost, load.offered)
}

function rows(all: readonly Window[][], lost: number, offered: number): Row[] {
  const [before, during, after] = all as [Window[], Window[], Window[]]
  const of = (w: readonly Window[], what: 'p50' | 'p99') => median(w.map((one) => one[what]))
  const us = (what: 'p50' | 'p99') =>
    `before ${of(before, what).toFixed(0)} µs, during ${of(during, what).toFixed(0)}, after ${of(after, what).toFixed(0)}`
  const worst = Math.max(...during.map((w) => w.p99))
  const calm = Math.max(...before.map((w) => w.p99))
  return [
    {
      what: 'p50 during the scale-out ÷ before',
      value: of(during, 'p50') / of(before, 'p50'),
      unit: '',
      goal: { most: 1.1 },
      note: `${us('p50')}; medians of ${before.length}, ${during.length} and ${after.length} windows of ${WINDOW_MS} ms`,
    },
    {
      what: 'p99 during the scale-out ÷ before',
      value: of(during, 'p99') / of(before, 'p99'),
      unit: '',
      goal: { most: 1.5 },
      note: `${us('p99')}; worst window ${worst.toFixed(0)} µs, before ${calm.toFixed(0)} µs`,
    },
    { what: 'packets lost', value: lost, unit: '', goal: { most: 0 }, note: `of ${offered}` },
  ]
}

export const scaleOut: Bench = {
  name: 'scale-out',
  summary:
    'latency by 10 ms, from when a packet was due to its verdict, while 1 instance becomes 2 ÷ before',
  run: measure,
}
