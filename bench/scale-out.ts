import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { type Bus, MemoryHub, NatsBus, systemClock, wallMs } from '../bus/index.ts'
import type { Entered, Source } from '../cli/index.ts'
import { SLOT_BITS } from '../placement/index.ts'
import type { Bench, BenchOptions, Row } from './bench.ts'
import { Load, Verdicts, type Window } from './load.ts'
import { median, type Ratio, ratioOfValues } from './measure.ts'
import { joinInstance, joinSource, until } from './members.ts'
import { natsGround } from './pair.ts'
import { flowCounter } from './solo-instance.ts'
import { Ticker } from './ticker.ts'

/** Latencies are gathered by windows of this time. */
const WINDOW_MS = 10
/** The load: this share of what source and one instance do flat out, so that nothing is near its limit; and the most. */
const LOAD_SHARE = 0.3
const LOAD_MAX = 15_000
/** How often packets are offered where members are processes (ms). */
const OFFER_MS = 0.5
/** How often the source asks whether all slots have been handed over. */
const ASK_MS = 20

/** A single event's ratios differ from those of the next one by a quarter. */
const EVENTS = 3

/** How a run flips its slots: one by one, a millisecond each or somewhat more; four at a time; or all in one step. */
const ONE_BY_ONE = { flipsPerStep: 1, flipEveryMs: 1 }
const FOUR_BY_FOUR = { flipsPerStep: 4, flipEveryMs: 1 }
const AT_ONCE = { flipsPerStep: 1 << SLOT_BITS, flipEveryMs: 1 }

/** Where the members run: all on one thread by memory, or in processes of their own over NATS. */
interface Ground {
  readonly bus: Bus
  /** Runs `next` when packets are to be offered again. */
  pause(next: () => void): void
  /** Makes an instance join; the first one, then the second one. */
  join(id: string): Promise<void>
  close(): Promise<void>
}

async function memoryGround(): Promise<Ground> {
  const hub = new MemoryHub({ clock: systemClock() })
  const stops: (() => void)[] = []
  return {
    bus: hub.connect(),
    pause: turn,
    async join(id) {
      stops.push((await joinInstance(hub.connect(), id, flowCounter)).stop)
    },
    async close() {
      for (const stop of stops) stop()
    },
  }
}

/** The processes are there and connected before the load begins: their start is no part of the event. */
async function processGround(): Promise<Ground> {
  const nats = await natsGround()
  const file = fileURLToPath(new URL('./scale-out-process.js', import.meta.url))
  const told = (child: ReturnType<typeof fork>, id: string) =>
    new Promise<void>((resolve, reject) => {
      child.once('message', () => resolve())
      child.once('exit', () => reject(new Error(`${id} has ended`)))
    })
  const children = new Map(['i1', 'i2'].map((id) => [id, fork(file, [nats.url, id])]))
  await Promise.all([...children].map(([id, child]) => told(child, id)))
  const bus = await NatsBus.connect({ servers: nats.url, cluster: 'bench', name: 'source' })
  const ticker = new Ticker(OFFER_MS)
  return {
    bus,
    pause: (next) => ticker.next(next),
    async join(id) {
      const child = children.get(id)!
      child.send('join')
      await told(child, id)
    },
    async close() {
      await ticker.stop()
      await bus.close()
      for (const child of children.values()) child.disconnect()
      await nats.close()
    },
  }
}

/** What one run has found. */
interface Found {
  readonly before: Window[]
  readonly during: Window[]
  readonly after: Window[]
  readonly perSecond: number
  /** What the source and one instance did when packets were offered as fast as they go. */
  readonly mostPerSecond: number
  readonly offered: number
  readonly lost: number
  /** Frames that the source sent again. */
  readonly resent: number
  readonly moved: number
}

class Run {
  private readonly ground: Ground
  private readonly load: Load
  private readonly verdicts: Verdicts
  private readonly source: Entered<Source>

  private constructor(ground: Ground, load: Load, verdicts: Verdicts, source: Entered<Source>) {
    this.ground = ground
    this.load = load
    this.verdicts = verdicts
    this.source = source
  }

  static async start(ground: Ground, flows: number, flips: typeof ONE_BY_ONE): Promise<Run> {
    const load = new Load(flows)
    const verdicts = new Verdicts()
    await ground.join('i1')
    const more = { ...flips, onVerdicts: verdicts.note.bind(verdicts) }
    const source = await joinSource(ground.bus, flowCounter, () => load.dueMs, {}, more)
    return new Run(ground, load, verdicts, source)
  }

  /** Offers packets as long as that is so. A promise a turn would be most of the thread's garbage, and half of the windows would have a collection. */
  private offer(more: () => boolean, pause = this.ground.pause): Promise<void> {
    return new Promise((resolve) => {
      const go = () => {
        if (!more()) return resolve()
        this.load.step(this.source.body)
        pause(go)
      }
      go()
    })
  }

  /** Until each packet has its verdict. */
  private through(): Promise<void> {
    const { steerer, member } = this.source.body
    return until(() => {
      steerer.flush()
      member.wake()
      return steerer.outstanding === 0
    })
  }

  private async reports() {
    let told: Awaited<ReturnType<Source['reports']>> | undefined
    void this.source.body.reports().then((reports) => {
      told = reports
    })
    await this.offer(() => told === undefined)
    return told ?? []
  }

  /** As fast as they go, until there are so many flows: answers how fast that was at its end. */
  private async fill(flows: number): Promise<number> {
    this.load.begin(Number.POSITIVE_INFINITY)
    for (;;) {
      const [start, offered] = [performance.now(), this.load.offered]
      await this.offer(forMs(100), turn)
      const rate = ((this.load.offered - offered) * 1000) / (performance.now() - start)
      if ((await this.reports()).reduce((n, r) => n + r.actors, 0) >= flows) return rate
    }
  }

  async measure(flows: number, restMs: number): Promise<Found> {
    const { load, verdicts, ground } = this
    const { steerer, member } = this.source.body
    const mostPerSecond = await this.fill(flows)
    const perSecond = Math.min(LOAD_MAX, LOAD_SHARE * mostPerSecond)
    await this.through()
    load.begin(perSecond)
    await this.offer(forMs(restMs / 2))
    const [begin, already] = [wallMs(), load.offered]
    await this.offer(forMs(restMs))
    const start = wallMs()
    const end = await this.scaleOut()
    await this.offer(forMs(restMs))
    const last = wallMs()
    await this.through()
    const { lost } = steerer
    const reports = await this.source.body.reports()
    const found = {
      before: verdicts.windows(begin, start, WINDOW_MS),
      during: verdicts.windows(start, end, WINDOW_MS),
      after: verdicts.windows(end, last, WINDOW_MS),
      perSecond,
      mostPerSecond,
      offered: load.offered - already,
      lost,
      resent: member.links.stats.resent,
      moved: reports.reduce((n, r) => n + r.rehomedIn, 0),
    }
    this.source.stop()
    await ground.close()
    return found
  }

  /** From the word to join to the last slot handed over and flipped; answers when that was. */
  private async scaleOut(): Promise<number> {
    const { steerer } = this.source.body
    let joined = false
    const joining = this.ground.join('i2').then(() => {
      joined = true
    })
    await this.offer(() => !joined || !steerer.settled)
    await joining
    for (;;) {
      const reports = await this.reports()
      if (reports.length === 2 && reports.every((r) => r.slotsDue === 0) && steerer.settled) break
      await this.offer(forMs(ASK_MS))
    }
    return wallMs()
  }
}

const turn = (next: () => void) => void setImmediate(next)

function forMs(ms: number): () => boolean {
  const end = performance.now() + ms
  return () => performance.now() < end
}

const of = (windows: readonly Window[], what: 'p50' | 'p99') =>
  median(windows.map((one) => one[what]))
const worst = (windows: readonly Window[]) => Math.max(...windows.map((one) => one.p99))
const us = (value: number) => `${value.toFixed(0)} µs`

/** By time from the begin of the event (ms). */
function curve({ before, during, after }: Found, what: 'p50' | 'p99'): [number, number][] {
  const start = Math.min(...during.map((one) => one.fromMs))
  const all = [...before, ...during, ...after].sort((a, b) => a.fromMs - b.fromMs)
  return all.map((one) => [one.fromMs - start, one[what]])
}

/** During ÷ before, of one event. */
const ratio = ({ during, before }: Found, what: 'p50' | 'p99') =>
  of(during, what) / of(before, what)
/** The same of several. */
const meanOf = (events: readonly Found[], what: 'p50' | 'p99'): Ratio =>
  ratioOfValues(
    events.map((found) => ratio(found, what)),
    'events',
  )

/** Of slots flipped one by one; the event whose ratio lies in the middle is told of, and drawn. */
function rowsOfEvents(kind: string, events: readonly Found[]): Row[] {
  const byRatio = [...events].sort((a, b) => ratio(a, 'p50') - ratio(b, 'p50'))
  const middle = byRatio[byRatio.length >> 1]!
  const { before, during, after, perSecond, mostPerSecond } = middle
  const told = (what: 'p50' | 'p99') => {
    const counts = `${before.length}, ${during.length} and ${after.length} windows of ${WINDOW_MS} ms`
    return `${us(of(before, what))} before, ${us(of(during, what))} during, ${us(of(after, what))} after; medians of ${counts}`
  }
  const share = (100 * perSecond) / mostPerSecond
  const load = `${perSecond.toFixed(0)} packets/s, ${share.toFixed(0)} % of what source and one instance did flat out`
  const quiet = `before ${us(worst(before))}; ${middle.moved} actors moved, ${middle.resent} frames sent again`
  const row = (what: 'p50' | 'p99', more: Omit<Row, 'what' | 'value' | 'unit'>): Row => {
    const mean = meanOf(events, what)
    const text = `${kind}: ${what} during the scale-out ÷ before`
    return { what: text, value: mean.mean, unit: '', ratio: mean, ...more }
  }
  const rest = (what: 'p50' | 'p99') =>
    median(events.map((found) => of(found.after, what) / of(found.before, what)))
  return [
    row('p50', {
      goal: { most: 1.1 },
      series: {
        'shared, median': curve(middle, 'p50'),
        'shared, 99th percentile': curve(middle, 'p99'),
      },
      figures: { durationMs: during.length * WINDOW_MS },
      note: `${told('p50')}; ${load}`,
    }),
    row('p99', {
      goal: { most: 1.5 },
      note: `${told('p99')}; worst window ${us(worst(during))}, ${quiet}`,
    }),
    {
      what: `${kind}: p50 of two instances, after the scale-out, ÷ of one`,
      value: rest('p50'),
      unit: '',
      note: `p99 ${rest('p99').toFixed(2)}; the same load on both, nothing moves: what is above this in the rows before is of the event`,
    },
  ]
}

/** Of slots flipped faster than one by one. */
function rowsOfFaster(kind: string, faster: Found, once: Found): Row[] {
  const { before, during } = once
  return [
    {
      what: `${kind}: p99 with four slots flipped at a time ÷ before`,
      value: ratio(faster, 'p99'),
      unit: '',
      note: `p50 ${ratio(faster, 'p50').toFixed(2)}; ${faster.during.length} windows; worst ${us(worst(faster.during))}, before ${us(worst(faster.before))}`,
    },
    {
      what: `${kind}: p99 with all slots flipped at once ÷ before`,
      value: ratio(once, 'p99'),
      unit: '',
      note: `p50 ${us(of(before, 'p50'))} before, ${us(of(during, 'p50'))} during ${during.length} windows; worst ${us(worst(during))}, ${once.resent} frames sent again`,
    },
  ]
}

function lostOf(kind: string, found: readonly Found[]): Row {
  const sum = (what: 'lost' | 'offered') => found.reduce((n, one) => n + one[what], 0)
  const what = `${kind}: packets lost`
  return { what, value: sum('lost'), unit: '', goal: { most: 0 }, note: `of ${sum('offered')}` }
}

async function compare(kind: string, ground: () => Promise<Ground>, o: BenchOptions) {
  const [flows, restMs] = o.tiny ? [100, 200] : [100_000, 2_000]
  const measure = async (flips: typeof ONE_BY_ONE) =>
    (await Run.start(await ground(), flows, flips)).measure(flows, restMs)
  const events: Found[] = []
  while (events.length < (o.tiny ? 2 : EVENTS)) {
    events.push(await measure(o.tiny ? AT_ONCE : ONE_BY_ONE))
  }
  const faster = await measure(o.tiny ? AT_ONCE : FOUR_BY_FOUR)
  const once = await measure(AT_ONCE)
  const all = [...events, faster, once]
  return [...rowsOfEvents(kind, events), ...rowsOfFaster(kind, faster, once), lostOf(kind, all)]
}

export const scaleOut: Bench = {
  name: 'scale-out',
  summary:
    'latency by 10 ms, from when a packet was due to its verdict, while 1 instance becomes 2 ÷ before',
  async run(o) {
    const processes = await compare('processes over NATS', processGround, o)
    return [...processes, ...(await compare('one thread', memoryGround, o))]
  },
}
