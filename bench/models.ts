import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { PlacementKind, StateModel } from '../actors/index.ts'
import type { Latency } from '../loadgen/index.ts'
import { builtIn, type NF, type OptionValues, steeringOf } from '../nf-apps/index.ts'
import type { Bench, BenchOptions, Row } from './bench.ts'
import { ProcessCluster } from './cluster.ts'
import {
  isNarrow,
  median,
  paired,
  type Ratio,
  rate,
  ratioOf,
  ratioOfValues,
  type Sample,
} from './measure.ts'
import type { Setup } from './members.ts'
import { type Packets, streamOf } from './packets.ts'
import { natsGround } from './pair.ts'
import { accesses } from './store.ts'
import { Ticker } from './ticker.ts'

/**
 * Where there is a goal, each model has so many clusters, one after the other: what the engine makes of the same code differs from process to process by
 * more than rounds of one process do.
 */
const CLUSTERS = 3
/** Packets of one round: some hundred ms. */
const ROUND = 30_000
/** The stream has so many rounds; all models get the same ones. */
const ROUNDS_MAX = 32
/** Before anything is measured: every process has compiled what it runs by then. */
const WARM_ROUNDS = 3
const FLOWS = 10_000
/** Of a packet: enough for a service's greeting. */
const PAYLOAD = 64
/** A load that leaves every model idle most of the time (packets/s). */
const CALM = 4_000
const CALM_MS = 200
/** Each cluster gets so many of them before any counts: behind full load, medians took a second of this one to come down. */
const CALM_WARM = 6_000
/** The other load for latencies: this share of what remote-only does flat out, the least of all. */
const LOADED_SHARE = 0.8
const LOADED_MS = 250
/** Of the time of a comparison, for each of the two. */
const LATENCY_TIME = 0.5
/** With one cluster. */
const LATENCY_ROUNDS_MIN = 2
/** How often the source offers packets (ms): it sleeps between, since it shares two cores with those that it measures. */
const OFFER_MS = 0.5

const compared = ['shared', 'local-only', 'remote-only'] as const satisfies StateModel[]
type Compared = (typeof compared)[number]
type ByModel<T> = Partial<Record<Compared, T>>

/** What is run: an NF, where its keys lie, on which packets, by which models. */
interface Case {
  readonly nf: NF
  readonly options: OptionValues
  readonly placement: PlacementKind
  readonly packets: Packets
  readonly models: readonly Compared[]
}
/** Latencies of the rounds of one load (packets/s). */
interface Loaded {
  readonly perSecond: number
  readonly rounds: ByModel<Latency[]>
  /** Of the same packets, from when they were at the instance. */
  readonly atInstance: ByModel<Latency[]>
}
const NONE: Loaded = { perSecond: 0, rounds: {}, atInstance: {} }
interface Found {
  readonly samples: ByModel<Sample[]>
  /** Processor time for each packet (µs), by process. */
  readonly cpuUs: ByModel<Record<string, number>>
  readonly calm: Loaded
  readonly loaded: Loaded
}

async function measure(of: Case, o: BenchOptions, clusters: number): Promise<Found> {
  const found: Found[] = []
  o.say(`models: ${of.nf.name}, ${of.placement}: ${of.models.join(', ')}`)
  while (found.length < clusters) {
    found.push(await oneCluster(of, { ...o, seconds: o.seconds / clusters }))
  }
  return joined(found)
}

/** What was found with one cluster after the other. */
function joined(found: readonly Found[]): Found {
  const models = Object.keys(found[0]!.samples) as Compared[]
  const byModel = <T>(of: (one: Found, model: Compared, process: number) => readonly T[]) =>
    Object.fromEntries(models.map((m) => [m, found.flatMap((one, i) => of(one, m, i + 1))]))
  const loaded = (which: 'calm' | 'loaded'): Loaded => ({
    perSecond: mean(found.map((one) => one[which].perSecond)),
    rounds: byModel((one, model) => one[which].rounds[model] ?? []),
    atInstance: byModel((one, model) => one[which].atInstance[model] ?? []),
  })
  const cpuUs = (model: Compared) => {
    const ids = Object.keys(found[0]!.cpuUs[model] ?? {})
    const of = (id: string) => mean(found.map((one) => one.cpuUs[model]![id]!))
    return Object.fromEntries(ids.map((id) => [id, of(id)]))
  }
  return {
    samples: byModel((one, model, process) =>
      one.samples[model]!.map((sample) => ({ ...sample, process })),
    ),
    cpuUs: Object.fromEntries(models.map((model) => [model, cpuUs(model)])),
    calm: loaded('calm'),
    loaded: loaded('loaded'),
  }
}

const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length

/** Each model's cluster stands beside the others, on one server; rounds go to one after the other. */
async function oneCluster(of: Case, o: BenchOptions): Promise<Found> {
  const ground = await natsGround()
  const clusters = new Map<Compared, ProcessCluster>()
  const { nf, options, placement } = of
  try {
    for (const model of of.models) {
      const setup: Setup = { options, model, placement }
      const cluster = await ProcessCluster.start(ground.url, `bench-${model}`, nf, setup, 2)
      clusters.set(model, cluster)
    }
    return await new Comparison(clusters, of.packets, o).run()
  } finally {
    for (const cluster of clusters.values()) await cluster.close()
    await ground.close()
  }
}

/** The rounds of a case: as fast as packets go, then two steady loads. */
class Comparison {
  private readonly clusters: ReadonlyMap<Compared, ProcessCluster>
  private readonly packets: Packets
  private readonly o: BenchOptions
  /** The packet that each model gets next. */
  private readonly next: ByModel<number> = {}

  constructor(clusters: ReadonlyMap<Compared, ProcessCluster>, packets: Packets, o: BenchOptions) {
    this.clusters = clusters
    this.packets = packets
    this.o = o
    for (const model of clusters.keys()) this.next[model] = 0
  }

  private take(model: Compared, count: number): number {
    const from = this.next[model]!
    this.next[model] = from + count
    return from
  }

  async run(): Promise<Found> {
    const { clusters, packets, o } = this
    const models = [...clusters.keys()]
    const size = o.tiny ? 1_000 : ROUND
    for (let round = 0; round < (o.tiny ? 0 : WARM_ROUNDS); round++) {
      for (const model of models) {
        await clusters.get(model)!.flood(packets, this.take(model, size), size)
      }
    }
    const first = this.next.shared!
    const before = new Map(models.map((model) => [model, clusters.get(model)!.cpuMs()]))
    const arms = models.map((model) => ({
      name: model,
      run: () => clusters.get(model)!.flood(packets, this.take(model, size), size),
      cpuMs: () => sum(clusters.get(model)!.cpuMs()),
      // What is left is for the latencies.
      isOver: () => this.next[model]! + size > packets.count * 0.6,
    }))
    const told = await paired(arms, o)
    const samples: ByModel<Sample[]> = {}
    const cpuUs: ByModel<Record<string, number>> = {}
    for (const [i, model] of models.entries()) {
      samples[model] = told[i]!
      const perPacket = ([id, ms]: [string, number]) =>
        [id, ((ms - before.get(model)![id]!) * 1000) / (this.next[model]! - first)] as const
      const ofProcesses = Object.entries(clusters.get(model)!.cpuMs())
      // The source is one process for all models.
      cpuUs[model] = Object.fromEntries(
        ofProcesses.filter(([id]) => id !== 'source').map(perPacket),
      )
    }
    const remote = samples['remote-only']
    if (!remote) return { samples, cpuUs, calm: NONE, loaded: NONE }
    const ticker = new Ticker(OFFER_MS)
    for (const [model, cluster] of o.tiny ? [] : clusters) {
      await cluster.paced(packets, this.take(model, CALM_WARM), CALM_WARM, CALM, ticker)
    }
    const calm = await this.latencies(ticker, o.tiny ? 400 : CALM, CALM_MS)
    const load = o.tiny ? 1_000 : LOADED_SHARE * median(remote.map(rate))
    const loaded = await this.latencies(ticker, load, LOADED_MS)
    await ticker.stop()
    return { samples, cpuUs, calm, loaded }
  }

  /** Rounds of all models at this load, until the ratio of remote-only's median to shared's is known or the time is up. */
  private async latencies(ticker: Ticker, perSecond: number, ms: number): Promise<Loaded> {
    const { o } = this
    const rounds: ByModel<Latency[]> = {}
    const atInstance: ByModel<Latency[]> = {}
    const models = [...this.clusters.keys()]
    const count = Math.round((perSecond * ms) / 1000)
    const end = performance.now() + o.seconds * 1000 * LATENCY_TIME
    for (let round = 0; models.every((m) => this.next[m]! + count <= this.packets.count); round++) {
      for (let i = 0; i < models.length; i++) {
        const model = models[(i + round) % models.length]!
        const cluster = this.clusters.get(model)!
        const from = this.take(model, count)
        const told = await cluster.paced(this.packets, from, count, perSecond, ticker)
        rounds[model] = [...(rounds[model] ?? []), told.sinceDue]
        atInstance[model] = [...(atInstance[model] ?? []), told.atInstance]
      }
      const isKnown = isNarrow(ratiosOf(rounds, 'remote-only', 'shared'))
      const isEnough = round + 1 >= (o.tiny ? 1 : LATENCY_ROUNDS_MIN)
      if (isEnough && (o.tiny || isKnown || performance.now() > end)) break
    }
    return { perSecond, rounds, atInstance }
  }
}

const sum = (values: Record<string, number>) => Object.values(values).reduce((a, b) => a + b, 0)
const k = (s: readonly Sample[]) => `${(median(s.map(rate)) / 1000).toFixed(1)} k/s`

function rowsOf(what: string, placement: PlacementKind, found: Found): Row[] {
  const { samples, cpuUs, calm, loaded } = found
  const { shared = [], 'local-only': local = [], 'remote-only': remote = [] } = samples
  const toLocal = ratioOver(shared, local)
  const toRemote = ratioOver(shared, remote)
  const cpu = (model: Compared) =>
    Object.entries(cpuUs[model] ?? {})
      .map(([id, us]) => `${id} ${us.toFixed(1)}`)
      .join(', ')
  const perPacket = compared.map((model) => `${model}: ${cpu(model)}`).join('; ')
  return [
    {
      what: `${what}: packets/s shared ÷ local-only`,
      value: toLocal.mean,
      unit: '',
      ratio: toLocal,
      goal: { least: placement === 'spread' ? 0.95 : 0.98 },
      samples,
      note: `${k(shared)} and ${k(local)}; by processor time ${byCpu(shared, local)}; µs of it a packet, by process: ${perPacket}`,
    },
    {
      what: `${what}: packets/s shared ÷ remote-only`,
      value: toRemote.mean,
      unit: '',
      ratio: toRemote,
      goal: { least: 3 },
      note: `${k(remote)}; by processor time ${byCpu(shared, remote)}`,
    },
    {
      ...latencyRow(`${what}: median latency shared ÷ local-only`, calm, 'shared', 'local-only'),
      goal: { most: 1.1 },
      figures: figuresOf(calm),
    },
    {
      ...latencyRow(
        `${what}: median latency remote-only ÷ shared, little load`,
        calm,
        'remote-only',
        'shared',
      ),
      goal: { least: 20 },
    },
    {
      ...latencyRow(
        `${what}: median latency remote-only ÷ shared, at ${100 * LOADED_SHARE} % of what remote-only does flat out`,
        loaded,
        'remote-only',
        'shared',
      ),
      goal: { least: 20 },
      figures: figuresOf(loaded),
    },
    timeAtInstance(what, calm),
  ]
}

/** Flows of one packet and more: what begins and ends is a larger part of it. */
function shortRow(what: string, { samples }: Found): Row {
  const { shared = [], 'local-only': local = [] } = samples
  const ratio = ratioOver(shared, local)
  const note = `${k(shared)} and ${k(local)}; by processor time ${byCpu(shared, local)}; no goal for these`
  return {
    what: `${what}, mean flow 3.2 packets: packets/s shared ÷ local-only`,
    value: ratio.mean,
    unit: '',
    ratio,
    samples,
    note,
  }
}

/** Of each cluster the mean of its rounds, then over the clusters; of a single one over its rounds. */
function ratioOver(ours: readonly Sample[], base: readonly Sample[]): Ratio {
  const of = (samples: readonly Sample[], process: number | undefined) =>
    samples.filter((sample) => sample.process === process)
  const processes = [...new Set(ours.map(({ process }) => process))]
  if (processes.length === 1) return ratioOf(ours, base)
  return ratioOfValues(
    processes.map((no) => ratioOf(of(ours, no), of(base, no)).mean),
    'processes',
  )
}

/** Of median latencies, round by round. */
function ratiosOf(rounds: ByModel<Latency[]>, ours: Compared, base: Compared): number[] {
  const [a = [], b = []] = [rounds[ours], rounds[base]]
  return a.map((one, i) => one.percentile(50) / b[i]!.percentile(50))
}

function latencyRow(what: string, of: Loaded, ours: Compared, base: Compared): Row {
  const ratio = ratioOfValues(ratiosOf(of.rounds, ours, base))
  const ms = (us: number) => (us / 1000).toFixed(us < 10_000 ? 2 : 0)
  const each = Object.entries(of.rounds).map(
    ([model, rounds]) => `${model} ${ms(p(rounds, 50))} (${ms(p(rounds, 99))})`,
  )
  const load = `${Math.round(of.perSecond).toLocaleString('en-US')} packets/s`
  const note = `at ${load}, median (p99) in ms: ${each.join(', ')}; the way from the source to the instance is in all`
  return { what, value: ratio.mean, unit: '', ratio, note }
}

/** What S6 compares, whose packets come from the wire beside it: state at hand, or a way over the network. */
function timeAtInstance(what: string, { perSecond, atInstance }: Loaded): Row {
  const ratio = ratioOfValues(ratiosOf(atInstance, 'remote-only', 'shared'))
  const each = Object.entries(atInstance).map(
    ([model, rounds]) => `${model} ${p(rounds, 50).toFixed(0)} (${p(rounds, 99).toFixed(0)})`,
  )
  return {
    what: `${what}: median time at the instance remote-only ÷ shared, little load`,
    value: ratio.mean,
    unit: '',
    ratio,
    note: `at ${perSecond.toLocaleString('en-US')} packets/s, from a batch's arrival to the verdict, median (p99) in µs: ${each.join(', ')}; no goal for these`,
  }
}

const p = (rounds: readonly Latency[], percent: number) =>
  median(rounds.map((one) => one.percentile(percent)))

function figuresOf({ rounds }: Loaded): Record<string, number> {
  const each = Object.entries(rounds).flatMap(([model, all]) => [
    [model, p(all, 50)] as const,
    [`${model}, p99`, p(all, 99)] as const,
  ])
  return Object.fromEntries(each)
}

/** Packets for each unit of processor time of all processes but NATS's: what else the machine does is not in it. */
function byCpu(ours: readonly Sample[], base: readonly Sample[]): string {
  const total = (s: readonly Sample[]) =>
    s.reduce((n, x) => n + x.cpuMs, 0) / s.reduce((n, x) => n + x.count, 0)
  return (total(base) / total(ours)).toFixed(2)
}

/** Rules of a kind that traffic like this is watched with: some text of a request, by the service. */
function ruleFile(dir: string): string {
  const rules = Array.from({ length: 200 }, (_, n) => {
    const port = [80, 443, 22, 25, 53, 110, 3306, 8080][n % 8]
    const content = `content:"bench-${n}"; nocase;`
    return `alert tcp any any -> any ${port} (msg:"bench ${n}"; flow:to_server; ${content} sid:${n + 1};)`
  })
  const file = join(dir, 'bench.rules')
  writeFileSync(file, rules.join('\n'))
  return file
}

function nfNamed(name: string): NF {
  return builtIn.find((one) => one.name === name)!
}

/** The NFs, and the packets of each. NAT gets those that come from inside: answers to its public ends cannot be made beforehand. */
function casesOf(dir: string, least: number, o: BenchOptions): Case[] {
  const [flows, count] = o.tiny ? [50, 12_000] : [FLOWS, ROUND * ROUNDS_MAX]
  const both = streamOf(flows, count, PAYLOAD, { least })
  const nat = nfNamed('nat')
  const natOptions = { inside: ['10.0.0.0/8'], pool: ['198.18.0.0/24'] }
  const hashOf = steeringOf(nat, nat.setup(natOptions))
  const inside = streamOf(flows, count, PAYLOAD, { least, only: 'clients', hashOf })
  const all: [NF, OptionValues, Packets][] = [
    [nfNamed('prads'), {}, both],
    [nfNamed('ids'), { rules: [ruleFile(dir)] }, both],
    [nat, natOptions, inside],
  ]
  const models = least === 1 ? compared.slice(0, 2) : compared
  const placements: PlacementKind[] = o.tiny ? ['spread'] : ['spread', 'aligned']
  return (o.tiny ? all.slice(0, 1) : all).flatMap(([nf, options, packets]) =>
    placements.map((placement) => ({ nf, options, placement, packets, models })),
  )
}

export const models: Bench = {
  name: 'models',
  summary:
    'PRADS, IDS, NAT on 2 instances, processes over NATS: state shared ÷ each its own (local-only) ÷ in a store (remote-only)',
  async run(o) {
    const dir = mkdtempSync(join(tmpdir(), 'rehome-bench-'))
    const rows: Row[] = []
    try {
      for (const each of casesOf(dir, 3, o)) {
        const { nf, placement } = each
        const found = await measure(each, o, o.tiny ? 1 : CLUSTERS)
        rows.push(...rowsOf(`${nf.name}, ${placement}`, placement, found))
      }
      rows.push(...(await accesses({ ...o, seconds: o.seconds / 2 })))
      const short = { ...o, seconds: o.seconds / 2 }
      for (const each of casesOf(dir, 1, o)) {
        rows.push(shortRow(`${each.nf.name}, ${each.placement}`, await measure(each, short, 1)))
      }
    } finally {
      rmSync(dir, { recursive: true, force: true })
    }
    return rows
  },
}
