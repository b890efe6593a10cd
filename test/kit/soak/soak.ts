import { mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { NatsBus, type NatsServer, startNatsServer, systemClock } from '../../../bus/index.ts'
import {
  type ClusterSettings,
  type Entered,
  type InstanceReport,
  joinSource,
  type Source,
  writeSettings,
} from '../../../cli/index.ts'
import { Random } from '../../../loadgen/index.ts'
import { Checker, noFigures, type Round, type RoundFigures } from './checker.ts'
import { Harm } from './faults.ts'
import type { Line, Version } from './history.ts'
import { type FaultKind, noFaults, planRound } from './plan.ts'
import { type Break, now, soakNF, WITHIN_MS } from './soak-nf.ts'
import { Traffic } from './traffic.ts'
import { Wire } from './wire.ts'

export interface SoakOptions {
  readonly seed: number
  readonly ms: number
  readonly roundMs: number
  /** Packets a second. */
  readonly rate: number
  readonly kills: boolean
  readonly broken: Break | undefined
  readonly signal: AbortSignal
  /** After each round. */
  readonly onRound: (report: SoakReport) => void
  /** Several times a second. */
  readonly onProgress: (text: string) => void
}

export interface SoakReport {
  readonly seed: number
  readonly settings: Pick<ClusterSettings, 'placement' | 'slotBits'>
  seconds: number
  rounds: number
  /** Rounds in which instances were killed, or stopped for too long. */
  deadly: number
  packets: number
  figures: RoundFigures
  faults: Readonly<Record<FaultKind, number>>
  joins: number
  leaves: number
  /** Instances that were taken for dead though no fault of the plan was so long. */
  evicted: number
  /** Lines that such wrote who had been taken out while they were stopped, before they heard so. */
  unheard: number
  views: number
  /** As far as instances that are gone have told. */
  rehomes: number
  handoffs: number
  /** Resident memory when all was quiet: the largest instance of each round (MB). */
  rssMb: number[]
  violations: string[]
}

/** What was begun must have ended so long after the last fault: a turn's own time is 30 s (ms). */
const CONVERGE_MS = 45_000
/** Above what a process needs by itself, an instance of some thousand actors may have grown by this (MB). */
const RSS_ROOM_MB = 96

/** A cluster of real processes under a workload and a plan of faults, held against the invariants round by round. */
export class Soak {
  readonly report: SoakReport
  private readonly o: SoakOptions
  private readonly folder = mkdtempSync(join(tmpdir(), 'rehome-soak-'))
  private readonly checker = new Checker()
  private readonly rehomed = new Map<number, InstanceReport>()
  private readonly errors: string[] = []
  private readonly settings: ClusterSettings
  private server!: NatsServer
  private harm!: Harm
  private entered!: Entered<Source>
  /** When a view first came here that an instance is no longer in (ns). */
  private readonly takenOut = new Map<string, number>()
  private traffic!: Traffic

  constructor(options: SoakOptions) {
    this.o = options
    const random = new Random(options.seed)
    const placement = random.unit() < 0.5 ? 'aligned' : 'spread'
    const slotBits = [4, 8, 14][random.below(3)]!
    const { broken } = options
    this.settings = {
      nf: fileURLToPath(new URL('./soak-nf.js', import.meta.url)),
      options: { log: this.folder, ...(broken === undefined ? {} : { broken }) },
      placement,
      model: 'shared',
      slotBits,
    }
    this.report = emptyReport(options.seed, { placement, slotBits })
  }

  async run(): Promise<SoakReport> {
    const { o } = this
    const wire = await this.begin()
    const start = performance.now()
    try {
      for (let round = 0; !o.signal.aborted; round++) {
        const left = o.ms - (performance.now() - start)
        if (left <= 0) break
        await this.round(round, Math.min(o.roundMs, Math.max(left, 1_000)))
        this.report.seconds = (performance.now() - start) / 1000
        this.sumUp()
        o.onRound(this.report)
        if (this.report.violations.length > 0) break
      }
      this.memory()
      return this.report
    } finally {
      await this.end(wire)
    }
  }

  private async begin(): Promise<Wire> {
    this.server = await startNatsServer({ storeDir: join(this.folder, 'nats') })
    const port = Number(new URL(this.server.url).port)
    const cluster = `soak-${process.pid}`
    const wire = new Wire(port)
    const bus = await NatsBus.connect({ servers: await wire.open(), cluster, name: 'soak' })
    await writeSettings(bus.register, cluster, this.settings)
    this.harm = new Harm(this.server, wire, { port, cluster })
    await this.harm.scaleTo(2)
    const onError = (what: string, error: unknown) => void this.errors.push(`${what}: ${error}`)
    const common = { bus, clock: systemClock(), id: 'source', nf: soakNF, onError }
    this.entered = await joinSource(
      { ...common, settings: this.settings },
      { flipsPerStep: 128, flipEveryMs: 5 },
    )
    this.noteTakenOut()
    this.traffic = new Traffic(this.entered.body, this.o.seed)
    return wire
  }

  private noteTakenOut(): void {
    const { member } = this.entered.body
    const onView = member.onView.bind(member)
    member.onView = (view) => {
      for (const { id, no } of member.view?.members ?? []) {
        if (!view.memberOf(no)) this.takenOut.set(id, now())
      }
      onView(view)
    }
    this.harm.takenOut = (id) => this.takenOut.get(id)
  }

  private async end(wire: Wire): Promise<void> {
    this.entered?.stop()
    await this.harm?.close()
    wire.close()
    await this.server.stop()
    rmSync(this.folder, { recursive: true, force: true })
  }

  // ---- a round ----

  private async round(no: number, ms: number): Promise<void> {
    const { harm, traffic, report, o } = this
    const plan = planRound(o.seed, no, ms, o.kills)
    const timers = plan.faults.map((f) => setTimeout(() => harm.apply(f), f.at))
    const end = performance.now() + ms
    const stop = () => performance.now() >= end || o.signal.aborted
    let polled = 0
    await traffic.send(o.rate, stop, () => {
      if (performance.now() - polled < 500) return
      polled = performance.now()
      this.ask()
      const left = Math.max(0, (end - polled) / 1000).toFixed(0)
      const at = `round ${no + 1}, ${left} s to go, ${harm.active.length} instances`
      o.onProgress(`${at}, ${traffic.sent.toLocaleString('en')} packets`)
    })
    for (const timer of timers) clearTimeout(timer)
    o.onProgress(`round ${no + 1}: waiting until all is quiet`)
    const quiet = await this.converge()
    report.rounds++
    const { killed, fenced } = harm.mourn()
    if (killed.size > 0) report.deadly++
    if (quiet) await this.check(killed, fenced)
  }

  /** Faults are over: everything that was begun must end, and every slot settle. */
  private async converge(): Promise<boolean> {
    const source = this.entered.body
    let at = 'the faults end'
    const work = async () => {
      const { membership } = this.entered
      await this.harm.settled((id) => membership.view?.members.some((m) => m.id === id) === true)
      at = 'every packet has its verdict'
      await this.traffic.drained()
      at = 'every effect is in'
      await source.finish()
      at = 'every slot settles'
      while (!isAtRest(await source.reports())) await delay(20)
    }
    const outcome = await within(CONVERGE_MS, work())
    if (outcome === 'done') return true
    const told = await within(1_000, source.reports())
    const reports = typeof told === 'object' ? JSON.stringify(told) : 'nobody answers'
    const states = this.harm.nodes.map((n) => `${n.id} ${n.state} ${n.said}`).join(', ')
    const { outstanding } = source.steerer
    this.report.violations.push(
      `converges: not: ${at}; ${outstanding} batches outstanding; ${states}; ${reports}`,
    )
    return false
  }

  private async check(
    killed: ReadonlyMap<number, number>,
    fenced: ReadonlyMap<number, number>,
  ): Promise<void> {
    const { report, harm, checker } = this
    const found = await this.collect()
    const reports = await this.entered.body.reports()
    this.note(reports)
    const actors = reports.reduce((n, r) => n + r.actors, 0)
    if (actors !== found.size) {
      report.violations.push(`one home: ${actors} activations of ${found.size} actors`)
    }
    const { lines, unheard } = this.readLines(fenced)
    const figures = checker.check({
      lines,
      unheard,
      killed,
      sent: this.traffic.flows,
      found,
      withinNs: WITHIN_MS * 1e6,
    })
    for (const name of Object.keys(figures) as (keyof RoundFigures)[]) {
      report.figures[name] += figures[name]
    }
    report.violations.push(...checker.violations.splice(0))
    report.violations.push(...harm.surprises.splice(0), ...this.errors.splice(0))
    for (const node of harm.nodes) {
      if (node.said !== '' && killed.size === 0) report.violations.push(`${node.id}: ${node.said}`)
      node.said = ''
    }
    report.rssMb.push(Math.max(...harm.nodes.map((n) => n.rssMb)))
  }

  /** All actors, from wherever their homes are. */
  private async collect(): Promise<Map<string, Version & { sum?: number }>> {
    const found = new Map<string, Version & { sum?: number }>()
    const { handles } = this.entered.body.member.space
    for (const name of Object.keys(soakNF.state)) {
      const all = await (handles[name] as Collectable).all()
      for (const { key, state } of all) {
        if (found.has(`${name}/${key}`)) {
          this.report.violations.push(`one home: ${name}/${key} was collected twice`)
        }
        found.set(`${name}/${key}`, state)
      }
    }
    return found
  }

  /**
   * What the processes have written since the last round; the files are emptied, so they stay small. One that was taken
   * out while it was stopped goes on where it was, in the middle of a turn or of a burst of packets, until it hears so.
   * No process can be kept from that, but nobody may hear of it: as if it had died when it was taken out, or stopped if that
   * came later. What others have from it is found to be asked by nobody.
   */
  private readLines(fenced: ReadonlyMap<number, number>): { lines: Line[]; unheard: Asked } {
    const lines: Line[] = []
    const unheard = new Map<number, string>()
    for (const name of readdirSync(this.folder)) {
      if (!name.endsWith('.log')) continue
      const file = join(this.folder, name)
      const until = fenced.get(Number.parseInt(name, 10)) ?? Number.POSITIVE_INFINITY
      for (const text of readFileSync(file, 'utf8').split('\n')) {
        if (text === '') continue
        const line = JSON.parse(text) as Line
        if (line.t <= until) lines.push(line)
        else {
          this.report.unheard++
          const late = Math.round((line.t - until) / 1e6)
          if ('id' in line) unheard.set(line.id, `${late} ms after ${name} was taken out`)
        }
      }
      truncateSync(file)
    }
    return { lines, unheard }
  }

  // ---- figures ----

  private ask(): void {
    void this.entered.body.reports().then((reports) => this.note(reports))
  }
  private note(reports: readonly InstanceReport[]): void {
    for (const report of reports) this.rehomed.set(report.no, report)
  }

  private sumUp(): void {
    const { report, harm } = this
    const told = [...this.rehomed.values()]
    report.packets = this.traffic.sent
    report.faults = { ...harm.seen }
    report.joins = harm.joins
    report.leaves = harm.leaves
    report.evicted = harm.evicted
    report.views = this.entered.membership.view?.epoch ?? 0
    report.rehomes = told.reduce((n, r) => n + r.rehomedIn, 0)
    report.handoffs = told.reduce((n, r) => n + r.handoffs, 0)
  }

  /** What the rounds leave behind must not pile up: the later ones need no more than the earlier ones. */
  private memory(): void {
    const { rssMb, violations } = this.report
    const third = Math.floor(rssMb.length / 3)
    if (third < 2) return
    const early = Math.max(...rssMb.slice(0, 2 * third))
    const late = Math.min(...rssMb.slice(-third))
    if (late > early * 1.25 + RSS_ROOM_MB) {
      violations.push(`bounded memory: ${early} MB, later never less than ${late} MB`)
    }
  }
}

type Asked = Round['unheard']

interface Collectable {
  all(): Promise<{ key: unknown; state: Version & { sum?: number } }[]>
}

function isAtRest(reports: readonly InstanceReport[]): boolean {
  return reports.every((r) => r.slotsDue === 0 && r.suspended === 0 && r.state === 'active')
}

async function within<T>(ms: number, work: Promise<T>): Promise<T | 'done' | 'late'> {
  const timer = new AbortController()
  const late = delay(ms, 'late' as const, { signal: timer.signal }).catch(() => 'late' as const)
  try {
    return (await Promise.race([work, late])) ?? 'done'
  } finally {
    timer.abort()
  }
}

function emptyReport(seed: number, settings: SoakReport['settings']): SoakReport {
  return {
    seed,
    settings,
    seconds: 0,
    rounds: 0,
    deadly: 0,
    packets: 0,
    figures: noFigures(),
    faults: noFaults(),
    joins: 0,
    leaves: 0,
    evicted: 0,
    unheard: 0,
    views: 0,
    rehomes: 0,
    handoffs: 0,
    rssMb: [],
    violations: [],
  }
}
