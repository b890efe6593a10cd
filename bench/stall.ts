import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { NatsBus } from '../bus/index.ts'
import type { BenchOptions, Row } from './bench.ts'
import { churning } from './churning.ts'
import { Load } from './load.ts'
import { joinSource } from './members.ts'
import { natsGround } from './pair.ts'
import type { Stall } from './stalls.ts'
import { Ticker } from './ticker.ts'

/** Live flows of the traffic, which begin and end; the other actors lie idle. */
const LIVE = 100_000
/** A load that leaves each process room on two cores (packets/s). */
const LOAD = 15_000
const CHURN_MS = 15_000
/** From the end of the flips on: the actors that follow them. */
const REST_MS = 5_000
const OFFER_MS = 0.5

/** A process that tells its longest stall since it was last asked. */
class Watched {
  private readonly child: ChildProcess
  private readonly heard: Stall[] = []
  private wanted: ((stall: Stall) => void) | undefined

  constructor(...args: string[]) {
    this.child = fork(fileURLToPath(new URL('./stall-process.js', import.meta.url)), args)
    this.child.on('message', (told) => {
      const { wanted } = this
      this.wanted = undefined
      if (wanted) wanted(told as Stall)
      else this.heard.push(told as Stall)
    })
  }

  private next(): Promise<Stall> {
    const stall = this.heard.shift()
    if (stall !== undefined) return Promise.resolve(stall)
    return new Promise((resolve, reject) => {
      this.wanted = resolve
      this.child.once('exit', () => reject(new Error('a process of the bench has ended')))
    })
  }
  ready(): Promise<Stall> {
    return this.next()
  }
  say(word: 'join' | 'tell'): Promise<Stall> {
    this.child.send(word)
    return this.next()
  }
  end(): void {
    this.child.disconnect()
  }
}

function forMs(ms: number): () => boolean {
  const end = performance.now() + ms
  return () => performance.now() > end
}

/** The longest stall of two instances while flows begin and end and while one becomes two, beyond an idle process's. */
export async function stall(idle: number, o: BenchOptions): Promise<Row> {
  o.say(`growth: flows that begin and end beside ${idle} idle ones, then a scale-out`)
  const part = o.tiny ? 50 : 1
  const nats = await natsGround()
  const [first, second] = [new Watched('i1', nats.url, String(idle)), new Watched('i2', nats.url)]
  const control = new Watched('control')
  const all = [first, second, control]
  await Promise.all(all.map((one) => one.ready()))
  await first.say('join')
  const bus = await NatsBus.connect({ servers: nats.url, cluster: 'bench', name: 'source' })
  const load = new Load(LIVE / part)
  const flips = { flipsPerStep: o.tiny ? 256 : 1, flipEveryMs: 1 }
  const source = await joinSource(bus, churning, () => load.dueMs, {}, flips)
  load.begin(LOAD)
  const ticker = new Ticker(OFFER_MS)
  const tick = () => new Promise<number>((resolve) => ticker.next(resolve))
  /** Offers the load until that is through. */
  const offer = async (done: () => boolean) => {
    for (; !done(); await tick()) load.step(source.body)
  }
  await offer(forMs(CHURN_MS / part / 3))
  const tell = () => Promise.all(all.map((one) => one.say('tell')))
  await tell()
  await offer(forMs(CHURN_MS / part))
  const churn = await tell()
  let joined = false
  const joining = second.say('join').then(() => {
    joined = true
  })
  await offer(() => joined && source.body.steerer.settled)
  await joining
  await offer(forMs(REST_MS / part))
  const scale = await tell()
  const reports = await source.body.reports()
  const moved = reports.reduce((n, r) => n + r.rehomedIn, 0)
  const actors = reports.reduce((n, r) => n + r.actors, 0)
  await ticker.stop()
  source.stop()
  await bus.close()
  for (const one of all) one.end()
  await nats.close()
  return row(actors, moved, churn, scale)
}

function row(actors: number, moved: number, churn: Stall[], scale: Stall[]): Row {
  const [first, , control] = churn as [Stall, Stall, Stall]
  const [one, other, beside] = scale as [Stall, Stall, Stall]
  const idleMs = Math.max(control.ms, beside.ms)
  const longest = [first, one, other].reduce((a, b) => (b.ms > a.ms ? b : a))
  const ms = (stalls: readonly Stall[]) => stalls.map((s) => s.ms.toFixed(1)).join(', ')
  const part = `in the longest one its thread ran for ${longest.ranMs.toFixed(1)} ms and waited ${longest.waitedMs.toFixed(1)} ms for a processor that others had`
  return {
    what: `longest stall of an instance among ${actors} actors, beyond an idle process's`,
    value: Math.max(0, longest.ms - idleMs),
    unit: 'ms',
    goal: { most: 10 },
    note: `${CHURN_MS / 1000} s of flows that begin and end: first instance and control ${ms([first, control])}; scale-out, ${moved} actors moved: both instances and control ${ms(scale)}; ${part}`,
  }
}
