import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { Bench, BenchOptions, Row } from './bench.ts'

const ROUNDS = 40

/** Each arm does one part more than the one before it. */
const ARMS = [
  ['parse', 'parse'],
  ['nothing', 'batches read, verdicts sent'],
  ['key', 'key'],
  ['turn', 'look-up, turn'],
  ['whole', 'counters'],
] as const

async function measured(arm: string, flows: number, o: BenchOptions): Promise<number> {
  const program = fileURLToPath(new URL('./parts-process.js', import.meta.url))
  const args = [program, arm, String(flows), String(o.tiny ? 1 : ROUNDS)]
  const { stdout } = await promisify(execFile)(process.execPath, args)
  const { least } = JSON.parse(stdout) as { least: number }
  return least
}

async function at(flows: number, o: BenchOptions): Promise<Row[]> {
  o.say(`parts: a packet among ${flows} flows`)
  const rows: Row[] = []
  let before = 0
  for (const [arm, what] of ARMS) {
    const ns = await measured(arm, flows, o)
    rows.push({ what: `${flows} flows: ${what}`, value: Math.max(0, ns - before), unit: 'ns' })
    before = ns
  }
  const bare = await measured('bare', flows, o)
  const note = `bare loop ${bare.toFixed(0)} ns`
  return [...rows, { what: `${flows} flows: all of it`, value: before, unit: 'ns', note }]
}

export const parts: Bench = {
  name: 'parts',
  summary: 'what a packet of hot-path costs by part: ns of processor time, least of 40 rounds',
  async run(o) {
    const rows: Row[] = []
    for (const flows of o.tiny ? [50] : [10_000, 1_000_000]) rows.push(...(await at(flows, o)))
    return rows
  },
}
