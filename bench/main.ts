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
import {
  type Bench,
  benches,
  isReached,
  lineOf,
  type Measured,
  page,
  pictures,
  type Row,
} from './index.ts'

const USAGE =
  'npm run bench -- NAME|all [--json FILE] [--report FILE.html] [--pictures FOLDER] [--from FILE.json] [--seconds N]'
/** Ends a comparison whose interval does not get narrow. */
const SECONDS = 15
/** The same where all benches run: the whole stays under 20 minutes on two slow cores. */
const SECONDS_OF_ALL = 7

class Mistake extends Error {}

function parse(argv: readonly string[]) {
  const text = { type: 'string' as const }
  try {
    const flag = { type: 'boolean' as const, default: false }
    const options = {
      json: text,
      report: text,
      pictures: text,
      from: text,
      seconds: text,
      tiny: flag,
    }
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
  const system = `${os.type()} ${os.release().split('-')[0]}`
  const parts = [
    `${os.cpus().length} × ${cpu?.model ?? 'unknown'}`,
    memory,
    system,
    `Node ${process.version}`,
    nats.replace(': ', ' '),
  ]
  return parts.filter((part) => part !== '').join(', ')
}

/** What an earlier run has told: of the benches that do not run now, that stands. */
function earlier(file: string | undefined): Measured['benches'] {
  if (file === undefined) return {}
  try {
    return (JSON.parse(fs.readFileSync(file, 'utf8')) as Measured).benches
  } catch (error) {
    throw new Mistake(
      `--from takes what --json wrote: ${error instanceof Error ? error.message : error}`,
    )
  }
}

/** The pictures that the README shows. */
const SHOWN = new Set(['latency-over-scale-out.svg', 'throughput-by-model.svg'])

function write(told: Measured, to: { json?: string; report?: string; pictures?: string }): void {
  if (to.json !== undefined) fs.writeFileSync(to.json, `${JSON.stringify(told, null, 1)}\n`)
  if (to.report !== undefined) fs.writeFileSync(to.report, page(told))
  if (to.pictures === undefined) return
  fs.mkdirSync(to.pictures, { recursive: true })
  for (const { file, svg } of pictures(told.benches)) {
    if (SHOWN.has(file)) fs.writeFileSync(path.join(to.pictures, file), svg)
  }
}

/** As they run, whichever of them is of an earlier run. */
function inOrder(all: Measured['benches']): Measured['benches'] {
  const ran = benches.filter(({ name }) => all[name])
  return Object.fromEntries(ran.map(({ name }) => [name, all[name]!]))
}

/** Undefined if it failed: the others go on. */
async function rowsOf(bench: Bench, tiny: boolean, seconds: number): Promise<Row[] | undefined> {
  const start = performance.now()
  const at = () => `${((performance.now() - start) / 1000).toFixed(0)} s`.padStart(5)
  const say = (line: string) => void process.stderr.write(`${at()}  ${line}\n`)
  try {
    const rows = await bench.run({ tiny, seconds, say })
    say(`${bench.name} is through`)
    return rows
  } catch (error) {
    process.stderr.write(`bench: ${bench.name}: ${error instanceof Error ? error.stack : error}\n`)
    return undefined
  }
}

async function main(): Promise<number> {
  const { values, positionals } = parse(process.argv.slice(2))
  const isDrawn = values.report !== undefined || values.pictures !== undefined
  const usual = isDrawn && values.from === undefined ? 'all' : undefined
  const [name = usual, ...more] = positionals
  if (more.length > 0) throw new Mistake(`one bench at a time; ${USAGE}`)
  if (name === undefined && !isDrawn) {
    list()
    return 0
  }
  const seconds = Number(values.seconds ?? (name === 'all' ? SECONDS_OF_ALL : SECONDS))
  if (!(seconds > 0)) throw new Mistake(`--seconds takes a number above 0, not '${values.seconds}'`)
  const chosen = name === undefined ? [] : named(name)
  const all: Record<string, readonly Row[]> = { ...earlier(values.from) }
  const machineNow = machine()
  const told = () => ({ machine: machineNow, at: new Date().toISOString(), benches: inOrder(all) })
  process.stdout.write(`${machineNow}\n`)
  let failed = 0
  for (const [i, bench] of chosen.entries()) {
    process.stderr.write(`${bench.name}, ${i + 1} of ${chosen.length}\n`)
    process.stdout.write(`${bench.name}: ${bench.summary}\n`)
    const rows = await rowsOf(bench, values.tiny, seconds)
    if (!rows) {
      failed++
      continue
    }
    for (const row of rows) process.stdout.write(`  ${lineOf(row)}\n`)
    all[bench.name] = rows
    write(told(), values.json === undefined ? {} : { json: values.json }) // as far as it has come
  }
  write(told(), values)
  const goals = Object.values(all)
    .flat()
    .filter((row) => row.goal)
  const missed = goals.filter((row) => isReached(row) === false).length
  const failures = failed > 0 ? `; ${failed} benches failed` : ''
  process.stdout.write(`${goals.length - missed} of ${goals.length} goals reached${failures}\n`)
  return failed > 0 ? 1 : 0
}

main().then(
  (code) => process.exit(code),
  (error) => {
    if (!(error instanceof Mistake)) throw error
    process.stderr.write(`bench: ${error.message}\n`)
    process.exitCode = 2
  },
)
