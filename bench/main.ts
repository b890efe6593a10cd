/**
 * `npm run bench -- NAME [--json FILE] [--report FILE]`: measures one thing side by side with its baseline; `all` measures
 * everything. Without a name it lists them; a report without a name is of all.
 */
import { spawnSync } from 'node:child_process'
import * as fs from 'node:fs'
import * as os from 'node:os'
import * as path from 'node:path'
import { parseArgs } from 'node:util'
import { findNatsServer } from '../bus/index.ts'
import { type Bench, benches, isReached, lineOf, page, pictures, type Row } from './index.ts'

const USAGE =
  'npm run bench -- NAME|all [--json FILE] [--report FILE.html] [--pictures FOLDER] [--seconds N]'
/** Ends a comparison whose interval does not get narrow. */
const SECONDS = 15

class Mistake extends Error {}

function parse(argv: readonly string[]) {
  const text = { type: 'string' as const }
  try {
    const flag = { type: 'boolean' as const, default: false }
    const options = { json: text, report: text, pictures: text, seconds: text, tiny: flag }
    return parseArgs({ args: [...argv], options, allowPositionals: true, strict: true })
  } catch (error) {
    throw new Mistake(`${error instanceof Error ? error.message.split('\n')[0] : error}; ${USAGE}`)
  }
}

function list(): void {
  process.stdout.write(`${USAGE}\n`)
  for (const { name, summary } of benches) process.stdout.write(`  ${name.padEnd(10)} ${summary}\n`)
}

function named(name: string): readonly Bench[] {
  if (name === 'all') return benches
  const bench = benches.find((one) => one.name === name)
  if (bench) return [bench]
  const known = benches.map((one) => one.name).join(', ')
  throw new Mistake(`there is no bench '${name}'; there are ${known}, all`)
}

function machine(): string {
  const [cpu] = os.cpus()
  const server = findNatsServer()
  const nats = server ? spawnSync(server, ['--version'], { encoding: 'utf8' }).stdout.trim() : ''
  const memory = `${Math.round(os.totalmem() / 2 ** 30)} GiB`
  const parts = [
    `${os.cpus().length} × ${cpu?.model ?? 'unknown'}`,
    memory,
    `Node ${process.version}`,
  ]
  return [...parts, nats].filter((part) => part !== '').join(', ')
}

/** The pictures that the README shows. */
const SHOWN = new Set(['latency-over-scale-out.svg', 'throughput-by-model.svg'])

function draw(folder: string, told: Record<string, Row[]>): void {
  fs.mkdirSync(folder, { recursive: true })
  for (const { file, svg } of pictures(told)) {
    if (SHOWN.has(file)) fs.writeFileSync(path.join(folder, file), svg)
  }
}

async function main(): Promise<number> {
  const { values, positionals } = parse(process.argv.slice(2))
  const wantsAll = values.report !== undefined || values.pictures !== undefined
  const [name = wantsAll ? 'all' : undefined, ...more] = positionals
  if (name === undefined) {
    list()
    return 0
  }
  if (more.length > 0) throw new Mistake(`one bench at a time; ${USAGE}`)
  const seconds = Number(values.seconds ?? SECONDS)
  if (!(seconds > 0)) throw new Mistake(`--seconds takes a number above 0, not '${values.seconds}'`)
  const say = (line: string) => void process.stderr.write(`${line}\n`)
  process.stdout.write(`${machine()}\n`)
  const told: Record<string, Row[]> = {}
  for (const bench of named(name)) {
    process.stdout.write(`${bench.name}: ${bench.summary}\n`)
    const rows = await bench.run({ tiny: values.tiny, seconds, say })
    for (const row of rows) process.stdout.write(`  ${lineOf(row)}\n`)
    told[bench.name] = rows
  }
  if (values.json !== undefined) {
    fs.writeFileSync(
      values.json,
      `${JSON.stringify({ machine: machine(), benches: told }, null, 1)}\n`,
    )
  }
  if (values.report !== undefined) fs.writeFileSync(values.report, page(machine(), told))
  if (values.pictures !== undefined) draw(values.pictures, told)
  const all = Object.values(told).flat()
  const missed = all.filter((row) => isReached(row) === false).length
  const goals = all.filter((row) => row.goal).length
  process.stdout.write(`${goals - missed} of ${goals} goals reached\n`)
  return 0
}

main().then(
  (code) => process.exit(code),
  (error) => {
    if (!(error instanceof Mistake)) throw error
    process.stderr.write(`bench: ${error.message}\n`)
    process.exitCode = 2
  },
)
