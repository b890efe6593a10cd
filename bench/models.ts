import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { RunReport } from '../cli/index.ts'
import type { Bench, BenchOptions, Row } from './bench.ts'
import { paired, ratioOf, type Sample } from './measure.ts'

/** What one run told: its own time counts, without the processes' start. */
function runOnce(args: readonly string[]): Promise<RunReport> {
  const main = fileURLToPath(new URL('../cli/main.js', import.meta.url))
  return new Promise((resolve, reject) => {
    const child = fork(main, ['run', ...args, '--json'], {
      stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
    })
    let text = ''
    child.stdout?.on('data', (part) => {
      text += part
    })
    child.once('close', (code) => {
      if (code !== 0) return reject(new Error(`a run ended with ${code}`))
      resolve(JSON.parse(text.trim().split('\n').at(-1) ?? '') as RunReport)
    })
  })
}

async function compare(nf: string, placement: string, goal: number, o: BenchOptions): Promise<Row> {
  const packets = o.tiny ? 2_000 : 400_000
  const traffic = `flows=${o.tiny ? 50 : 10_000},packets=${packets},payload=64`
  const bus = o.tiny ? 'memory' : 'nats'
  const args = [nf, '--synthetic', traffic, '--scale', '2', '--bus', bus, '--placement', placement]
  const told: Record<string, Sample[]> = { shared: [], 'local-only': [] }
  const p50: Record<string, number[]> = { shared: [], 'local-only': [] }
  const arm = (model: string) => ({
    name: model,
    run: async () => {
      const report = await runOnce([...args, '--model', model])
      told[model]!.push({ count: report.packets, wallMs: report.seconds * 1000, cpuMs: 0 })
      p50[model]!.push(report.latencyUs.p50)
      return report.packets
    },
  })
  await paired([arm('shared'), arm('local-only')], o)
  const [shared, local] = [told.shared!, told['local-only']!]
  const ratio = ratioOf(shared, local)
  return {
    what: `${nf}, ${placement}: shared ÷ local-only`,
    value: ratio.mean,
    unit: '',
    ratio,
    goal: { least: goal },
    samples: told,
    note: `p50 ${Math.round(p50.shared![0]!)} and ${Math.round(p50['local-only']![0]!)} µs, unpaced`,
  }
}

export const models: Bench = {
  name: 'models',
  summary:
    'packets/s of an NF on 2 instances, processes over NATS: state shared ÷ each its own (local-only)',
  async run(o) {
    const rows: Row[] = []
    for (const nf of o.tiny ? ['host-counter'] : ['host-counter', 'prads']) {
      for (const [placement, goal] of [
        ['spread', 0.95],
        ['aligned', 0.98],
      ] as const) {
        rows.push(await compare(nf, placement, goal, o))
      }
    }
    return rows
  },
}
