/**
 * `npm run bench -- NAME [--json FILE]`: measures one thing side by side with its baseline; `all` measures everything.
 * Without a name it lists them.
 */
import * as fs from 'node:fs'
import * as os from 'node:os'
import { parseArgs } from 'node:util'
import { type Bench, benches, isReached, lineOf, type Row } from './index.ts'

const USAGE = 'npm run bench -- NAME [--json FILE] [--seconds N]'
/** Ends a comparison whose interval does not get narrow. */
const SECONDS = 15

class Mistake extends Error {}

function parse(argv: readonly string[]) {
  const text = { type: 'string' as const }
  try {
    const flag = { type: 'boolean' as const, default: false }
    const options = { json: text, seconds: text, tiny: flag }
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
  return `${os.cpus().length} × ${cpu?.model ?? 'unknown'}, Node ${process.version}`
}

async function main(): Promise<number> {
  const { values, positionals } = parse(process.argv.slice(2))
  const [name, ...more] = positionals
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
