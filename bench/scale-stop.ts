import { numberKey, type StateModel } from '../actors/index.ts'
import { type Bus, MemoryHub, systemClock, wallMs } from '../bus/index.ts'
import type { Entered, Instance, Source } from '../cli/index.ts'
import { Latency } from '../loadgen/index.ts'
import type { Handles } from '../nf-apps/index.ts'
import { SLOT_BITS, slotOf } from '../placement/index.ts'
import type { Bench, BenchOptions, Row } from './bench.ts'
import { counters } from './counters.ts'
import { isNarrow, median, ratioOfValues } from './measure.ts'
import { joinInstance, joinSource, until } from './members.ts'
import { arrivalAt, type Packets, streamOf } from './packets.ts'
import { flowCounter } from './solo-instance.ts'

/** Latencies are gathered by windows of this time. */
const WINDOW_MS = 10
/** A load that one thread bears with room to spare (packets/s). */
const LOAD = 15_000
const BEFORE_MS = 300
const AFTER_MS = 700

/** One instance with live flows, under a steady load, and what a second one makes of its latencies. */
class Event {
  /** Of all packets with their verdicts in the event, and of those whose flows moved. */
  readonly all = new Latency()
  readonly moved = new Latency()
  /** By time from the event's begin (ms): the window's median and 99th percentile (µs). */
  readonly p50: [number, number][] = []
  readonly p99: [number, number][] = []
  /** When the packets had been stopped, when tokens and actors were there, and kept packets had their verdicts (ms). */
  stoppedMs = 0
  movedMs = 0
  tookMs = 0
  actors = 0
  /** Actors at the first instance before. */
  before = 0
  private due = 0
  private at = 0
  private startMs = 0
  private readonly packets: Packets
  private readonly model: StateModel

  constructor(model: StateModel, packets: Packets) {
    this.model = model
    this.packets = packets
  }

  /** Packets as fast as they go until there are so many flows, then the event. */
  async run(flows: number): Promise<void> {
    const hub = new MemoryHub({ clock: systemClock() })
    const setup = { model: this.model }
    const first = await joinInstance(hub.connect(), 'i1', flowCounter, setup)
    const source = await joinSource(hub.connect(), flowCounter, () => this.due, setup)
    this.due = wallMs()
    const { space } = first.body.member
    while (space.actors < flows) await this.offer(source.body, () => space.actors < flows)
    await until(() => source.body.steerer.outstanding === 0)
    this.startMs = wallMs() - (this.at * 1000) / LOAD
    await this.windows(source.body, [first.body], -BEFORE_MS, (ms) => ms < 0)
    this.before = first.body.member.space.actors
    const second = await this.scaleOut(hub.connect(), source.body, first.body)
    await this.windows(
      source.body,
      [first.body, second.body],
      this.tookMs,
      (ms) => ms < this.tookMs + AFTER_MS,
    )
    for (const one of [source, first, second]) one.stop()
  }

  private async scaleOut(bus: Bus, source: Source, first: Instance): Promise<Entered<Instance>> {
    let second: Entered<Instance> | undefined
    const instances = [first]
    const joining = joinInstance(bus, 'i2', flowCounter, { model: this.model })
    void joining.then((entered) => {
      second = entered
      instances.push(entered.body)
    })
    const isOver = (ms: number) => {
      const { body } = second ?? {}
      if (!body || body.member.view === undefined) return false
      const { space } = body.member
      if (this.stoppedMs === 0 && space.core.mayMove) this.stoppedMs = ms
      const there = space.slotsDue === 0 && space.moved && source.steerer.settled
      if (there && this.movedMs === 0 && space.stats.rehomedIn > 0) this.movedMs = ms
      return there && body.intake.held.holds === 0
    }
    const start = await this.windows(source, instances, 0, (ms) => !isOver(ms), this.moved)
    this.tookMs = start
    const entered = await joining
    this.actors = entered.body.member.space.stats.rehomedIn
    return entered
  }

  /** Offers what is due, and what is beyond it as long as `more` says so. */
  private async offer(source: Source, more: (n: number) => boolean): Promise<void> {
    for (let burst = 0; burst < 512 && this.at < this.packets.count && more(this.at); burst++) {
      if (!source.steerer.offer(arrivalAt(this.packets, this.at), this.packets.hash[this.at]!))
        break
      this.at++
    }
    source.steerer.flush()
    source.member.wake()
    await new Promise((resolve) => setImmediate(resolve))
  }

  private async windows(
    source: Source,
    instances: readonly Instance[],
    fromMs: number,
    more: (ms: number) => boolean,
    moved?: Latency,
  ): Promise<number> {
    for (const { intake } of instances) intake.latency.reset()
    const start = performance.now()
    let ms = fromMs
    let next = fromMs + WINDOW_MS
    while (more(ms)) {
      await this.offer(source, (n) => {
        this.due = this.startMs + (n * 1000) / LOAD
        return this.due <= wallMs()
      })
      ms = fromMs + performance.now() - start
      if (ms < next) continue
      next = ms + WINDOW_MS
      this.gather(instances, ms, moved)
    }
    this.gather(instances, ms, moved)
    return ms
  }

  private gather(instances: readonly Instance[], ms: number, moved: Latency | undefined): void {
    const all = new Latency()
    for (const [i, { intake }] of instances.entries()) {
      all.merge(intake.latency)
      if (i > 0) moved?.merge(intake.latency)
      intake.latency.reset()
    }
    if (all.count === 0) return
    if (moved) this.all.merge(all)
    this.p50.push([ms, all.percentile(50)])
    this.p99.push([ms, all.percentile(99)])
  }
}

/** Multi-writer actors a second that the background drain brings to an instance that joins, from the first to the last. */
async function drainRate(actors: number): Promise<number> {
  const hub = new MemoryHub({ clock: systemClock() })
  const first = await joinInstance(hub.connect(), 'i1', counters)
  const handles = first.body.member.space.handles as Handles<typeof counters.state>
  for (let n = 0; n < actors; n++) void handles.counters.at(n).addAndGet(1)
  const second = await joinInstance(hub.connect(), 'i2', counters)
  const { space } = second.body.member
  const owner = second.body.member.view!.owner
  const words = new Uint32Array(2)
  let due = 0
  for (let n = 0; n < actors; n++) {
    if (owner[slotOf(numberKey.write(n, words), SLOT_BITS)] === space.core.self) due++
  }
  const start = performance.now()
  await until(() => space.stats.rehomedIn >= due)
  const ms = performance.now() - start
  first.stop()
  second.stop()
  return (due / ms) * 1000
}

interface Pair {
  readonly shared: Event
  readonly stop: Event
}

async function pair(packets: Packets, flows: number): Promise<Pair> {
  const shared = new Event('shared', packets)
  await shared.run(flows)
  const stop = new Event('stop-and-sync', packets)
  await stop.run(flows)
  return { shared, stop }
}

/** Of the medians of the flows that move. */
const ratioOf = ({ stop, shared }: Pair) => stop.moved.percentile(50) / shared.moved.percentile(50)
const ms = (us: number) => Number((us / 1000).toPrecision(2))

function rowsOf(flows: number, pairs: readonly Pair[], goal: boolean): Row[] {
  const p50 = (of: (p: Pair) => Latency) => median(pairs.map((p) => of(p).percentile(50)))
  const moved = ratioOfValues(pairs.map(ratioOf))
  const all = median(pairs.map((p) => p.stop.all.percentile(50) / p.shared.all.percentile(50)))
  const { shared, stop } = pairs.at(-1)!
  const took = (e: Event) => `${e.tookMs.toFixed(0)} ms, ${e.actors} of ${e.before} actors`
  const window = (e: Event) => ms(Math.max(...e.p50.map(([, us]) => us)))
  return [
    {
      what: `${flows} flows: median latency of the flows that move, stop-and-sync ÷ shared`,
      value: moved.mean,
      unit: '',
      ratio: moved,
      ...(goal ? { goal: { least: 100 } } : {}),
      series: {
        'shared, median': shared.p50,
        'shared, 99th percentile': shared.p99,
        'stop-and-sync, median': stop.p50,
        'stop-and-sync, 99th percentile': stop.p99,
      },
      note: `ms: ${ms(p50((p) => p.stop.moved))} and ${ms(p50((p) => p.shared.moved))}; of all packets ${all.toFixed(1)}; the event: stop-and-sync ${took(stop)}, shared ${took(shared)}; worst window's median ${window(stop)} and ${window(shared)}`,
    },
  ]
}

export const scaleStop: Bench = {
  name: 'scale-stop',
  summary:
    'latency while 1 instance becomes 2: packets stopped and all state moved (stop-and-sync) ÷ shared',
  async run(o: BenchOptions) {
    const rows: Row[] = []
    const sizes = o.tiny ? [200] : [1_000, 10_000, 100_000]
    for (const flows of sizes) {
      const packets = streamOf(flows, flows * 12 + (o.tiny ? 8_000 : 150_000), 0)
      const pairs: Pair[] = []
      o.say(`scale-stop: ${flows} flows`)
      const end = performance.now() + o.seconds * 1000
      do pairs.push(await pair(packets, flows))
      while (!o.tiny && !isNarrow(pairs.map(ratioOf)) && performance.now() < end)
      rows.push(...rowsOf(flows, pairs, flows === sizes.at(-1)))
      if (flows === sizes.at(-1)) rows.push(await mover(pairs, o))
    }
    return rows
  },
}

/** Its mover beside our drain: as good, or the comparison would be of movers. */
async function mover(pairs: readonly Pair[], o: BenchOptions): Promise<Row> {
  const rates = pairs.map(({ stop }) => (stop.actors / (stop.movedMs - stop.stoppedMs)) * 1000)
  const drains: number[] = []
  for (const _ of pairs) drains.push(await drainRate(o.tiny ? 500 : 100_000))
  return {
    what: "stop-and-sync's mover ÷ our background drain, actors/s",
    value: median(rates) / median(drains),
    unit: '',
    goal: { least: 0.7 },
    note: `${Math.round(median(rates))} and ${Math.round(median(drains))}; from when the packets were stopped to the last actor; beside its packets, and the drain without any`,
  }
}
