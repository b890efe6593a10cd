import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { PlacementKind, StateModel } from '../actors/index.ts'
import type { Latency } from '../loadgen/index.ts'
import { builtIn, type NF, type OptionValues } from '../nf-apps/index.ts'
import type { Bench, BenchOptions, Row } from './bench.ts'
import { ProcessCluster } from './cluster.ts'
import { median, paired, type Ratio, rate, ratioOf, ratioOfValues, type Sample } from './measure.ts'
import type { Setup } from './members.ts'
import { type Packets, streamOf } from './packets.ts'
import { type NatsGround, natsGround } from './pair.ts'

/** Packets of one round: some hundred ms. */
const ROUND = 30_000
/** The stream has so many rounds; all models get the same ones. */
const ROUNDS_MAX = 24
const FLOWS = 10_000
/** Of a packet: enough for a service's greeting. */
const PAYLOAD = 64
/** A load that every model bears (packets/s), for the latencies. */
const CALM = 4_000
const CALM_MS = 700
const CALM_ROUNDS = 3

const compared = ['shared', 'local-only', 'remote-only'] as const satisfies StateModel[]
type Compared = (typeof compared)[number]

interface Found {
  readonly samples: Record<Compared, Sample[]>
  /** Processor time for each packet (µs), by process. */
  readonly cpuUs: Record<Compared, Record<string, number>>
  /** Median latency under a calm load, in µs. */
  readonly p50: Record<Compared, number>
  readonly p99: Record<Compared, number>
}

/** Each model's cluster stands beside the others, on one server; rounds go to one after the other. */
async function measure(
  nf: NF,
  options: OptionValues,
  placement: PlacementKind,
  packets: Packets,
  o: BenchOptions,
): Promise<Found> {
  const ground = await natsGround()
  const clusters = new Map<Compared, ProcessCluster>()
  try {
    for (const model of compared) {
      o.say(`models: ${nf.name}, ${placement}: ${model} starts`)
      clusters.set(model, await start(ground, nf, { options, model, placement }))
    }
    return await compare(clusters, packets, o)
  } finally {
    for (const cluster of clusters.values()) await cluster.close()
    await ground.close()
  }
}

function start(ground: NatsGround, nf: NF, setup: Setup & { readonly model: Compared }) {
  return ProcessCluster.start(ground.url, `bench-${setup.model}`, nf, setup, 2)
}

async function compare(
  clusters: ReadonlyMap<Compared, ProcessCluster>,
  packets: Packets,
  o: BenchOptions,
): Promise<Found> {
  const size = o.tiny ? 1_000 : ROUND
  const calm = o.tiny ? 400 : (CALM * CALM_MS) / 1000
  const next = record(() => 0)
  const before = record((model) => clusters.get(model)!.cpuMs())
  const arms = compared.map((model) => ({
    name: model,
    run: () => {
      const from = next[model]
      next[model] = from + size
      return clusters.get(model)!.flood(packets, from, size)
    },
    cpuMs: () => sum(clusters.get(model)!.cpuMs()),
    // There are no more packets.
    isOver: () => next[model] + size + calm * CALM_ROUNDS > packets.count,
  }))
  const told = await paired(arms, o)
  const cpuUs = record((model) => {
    const after = clusters.get(model)!.cpuMs()
    const count = next[model]
    return Object.fromEntries(
      Object.entries(after)
        .filter(([id]) => id !== 'source') // one process for all models
        .map(([id, ms]) => [id, ((ms - before[model][id]!) * 1000) / count]),
    )
  })
  const samples = record((model) => told[compared.indexOf(model)]!)
  const latencies = record((): Latency[] => [])
  for (let round = 0; round < CALM_ROUNDS; round++) {
    for (const model of compared) {
      const cluster = clusters.get(model)!
      latencies[model].push(await cluster.paced(packets, next[model], calm, CALM))
      next[model] += calm
    }
  }
  const percentile = (p: number) =>
    record((model) => median(latencies[model].map((l) => l.percentile(p))))
  return { samples, cpuUs, p50: percentile(50), p99: percentile(99) }
}

function record<T>(of: (model: Compared) => T): Record<Compared, T> {
  return {
    shared: of('shared'),
    'local-only': of('local-only'),
    'remote-only': of('remote-only'),
  }
}
const sum = (values: Record<string, number>) => Object.values(values).reduce((a, b) => a + b, 0)

function rowsOf(what: string, placement: PlacementKind, found: Found): Row[] {
  const { samples, p50, p99, cpuUs } = found
  const { shared, 'local-only': local, 'remote-only': remote } = samples
  const toLocal = ratioOf(shared, local)
  const toRemote = ratioOf(shared, remote)
  const k = (s: readonly Sample[]) => `${(median(s.map(rate)) / 1000).toFixed(1)} k/s`
  const cpu = (model: Compared) =>
    Object.entries(cpuUs[model])
      .map(([id, us]) => `${id} ${us.toFixed(1)}`)
      .join(', ')
  const perPacket = compared.map((model) => `${model}: ${cpu(model)}`).join('; ')
  const ms = (model: Compared) =>
    `${(p50[model] / 1000).toFixed(2)} (${(p99[model] / 1000).toFixed(1)})`
  const latencies = compared.map((model) => `${model} ${ms(model)}`).join(', ')
  const calm = `at ${CALM} packets/s, median (p99) in ms: ${latencies}`
  return [
    {
      what: `${what}: packets/s shared ÷ local-only`,
      value: toLocal.mean,
      unit: '',
      ratio: toLocal,
      goal: { least: placement === 'spread' ? 0.95 : 0.98 },
      samples,
      note: `${k(shared)} and ${k(local)}; by processor time ${text(byCpu(shared, local))}; µs of it a packet, by process: ${perPacket}`,
    },
    {
      what: `${what}: packets/s shared ÷ remote-only`,
      value: toRemote.mean,
      unit: '',
      ratio: toRemote,
      goal: { least: 3 },
      note: `${k(remote)}; by processor time ${text(byCpu(shared, remote))}`,
    },
    {
      what: `${what}: median latency shared ÷ local-only`,
      value: p50.shared / p50['local-only'],
      unit: '',
      goal: { most: 1.1 },
      figures: Object.fromEntries(compared.map((model) => [model, p50[model]])),
      note: calm,
    },
    {
      what: `${what}: median latency remote-only ÷ shared`,
      value: p50['remote-only'] / p50.shared,
      unit: '',
      goal: { least: 20 },
      note: 'the same; the way from the source to the instance is in both',
    },
  ]
}

/** Packets for each unit of processor time of all processes but NATS's: what else the machine does is not in it. */
function byCpu(ours: readonly Sample[], base: readonly Sample[]): Ratio {
  const total = (s: readonly Sample[]) =>
    s.reduce((n, x) => n + x.cpuMs, 0) / s.reduce((n, x) => n + x.count, 0)
  return ratioOfValues([total(base) / total(ours)])
}
const text = (ratio: Ratio) => ratio.mean.toFixed(2)

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

export const models: Bench = {
  name: 'models',
  summary:
    'PRADS, IDS, NAT on 2 instances, processes over NATS: state shared ÷ each its own (local-only) ÷ in a store (remote-only)',
  async run(o) {
    const dir = mkdtempSync(join(tmpdir(), 'rehome-bench-'))
    const packets = o.tiny
      ? streamOf(50, 8_000, PAYLOAD)
      : streamOf(FLOWS, ROUND * ROUNDS_MAX, PAYLOAD)
    const nat = { inside: ['10.0.0.0/8'], pool: ['198.18.0.0/24'] }
    const all: [NF, OptionValues][] = [
      [nfNamed('prads'), {}],
      [nfNamed('ids'), { rules: [ruleFile(dir)] }],
      [nfNamed('nat'), nat],
    ]
    const rows: Row[] = []
    try {
      for (const [nf, options] of o.tiny ? all.slice(0, 1) : all) {
        for (const placement of o.tiny ? (['spread'] as const) : (['spread', 'aligned'] as const)) {
          const found = await measure(nf, options, placement, packets, o)
          rows.push(...rowsOf(`${nf.name}, ${placement}`, placement, found))
        }
      }
    } finally {
      rmSync(dir, { recursive: true, force: true })
    }
    return rows
  },
}
