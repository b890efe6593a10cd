/**
 * `npm run sim`: random walks of the product's own members under a virtual clock. The same seed runs the same
 * walk; a violation prints the line that replays it.
 */
import { fork } from 'node:child_process'
import * as fs from 'node:fs'
import * as os from 'node:os'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import type { HistoryEvent } from './history/history.ts'
import { inMacrotask } from './sim/microtasks.ts'
import { writeTable } from './sim/mutant-table.ts'
import { mutantNamed, without } from './sim/mutants.ts'
import { settingsFor, type WalkSettings } from './sim/settings.ts'
import { summary, Tally } from './sim/tally.ts'
import { Walk } from './sim/walk.ts'

const USAGE =
  'npm run sim -- [--seeds N] [--from S] [--seed S] [--mutant NAME] [--mutants] [--instances N] [--history FILE] [--json]'
/** Above this many, a second process uses the second core. */
const SEEDS_ALONE = 400
/** Settings are drawn from 32 bits of the seed. */
const SEED_MAX = 2 ** 32 - 1

class Mistake extends Error {}

interface Options {
  readonly seeds: number
  readonly from: number
  readonly instances: number | undefined
  readonly mutant: string | undefined
  readonly mutants: boolean
  readonly history: string | undefined
  readonly json: boolean
}

function parse(argv: readonly string[]): Options {
  const text = { type: 'string' as const }
  const flag = { type: 'boolean' as const, default: false }
  const options = {
    seeds: text,
    from: text,
    seed: text,
    instances: text,
    mutant: text,
    history: text,
    mutants: flag,
    json: flag,
  }
  const { values } = readArgs(argv, options)
  const { seed, mutant, history, mutants, json } = values
  if (seed !== undefined && (values.seeds ?? values.from) !== undefined) {
    throw new Mistake('--seed runs one walk: --seeds and --from do not go with it')
  }
  if (mutant !== undefined && !mutantNamed(mutant)) {
    throw new Mistake(`--mutant: there is no '${mutant}'; the names are in test/kit/MUTANTS.md`)
  }
  const seeds = seed === undefined ? number('seeds', values.seeds ?? '200', 1, 1e9) : 1
  if (history !== undefined && seeds !== 1) throw new Mistake('--history goes with --seed')
  const instances =
    values.instances === undefined ? undefined : number('instances', values.instances, 1, 16)
  const name = seed === undefined ? 'from' : 'seed'
  const from = number(name, seed ?? values.from ?? '1', 0, SEED_MAX)
  return { seeds, from, instances, mutant, mutants, history, json }
}

function readArgs<T extends NonNullable<Parameters<typeof parseArgs>[0]>['options']>(
  args: readonly string[],
  options: NonNullable<T>,
) {
  try {
    return parseArgs({ args: [...args], options, strict: true })
  } catch (error) {
    throw new Mistake(`${error instanceof Error ? error.message.split('\n')[0] : error}; ${USAGE}`)
  }
}

function number(name: string, text: string, least: number, most: number): number {
  const n = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN
  if (n >= least && n <= most) return n
  throw new Mistake(`--${name} takes a whole number from ${least} to ${most}, not '${text}'`)
}

function settingsOf(o: Options, seed: number): WalkSettings {
  const bias = o.mutant === undefined ? undefined : mutantNamed(o.mutant)?.bias
  const settings = { ...settingsFor(seed), ...bias }
  return o.instances === undefined ? settings : { ...settings, startInstances: o.instances }
}

/** Runs the seeds from `from` in steps of `step`; stops at the first violation. */
async function runSeeds(o: Options, from: number, step: number): Promise<Tally> {
  // Errors that are tried again are common here, and their stacks dear; one seed alone shows them.
  if (o.seeds > 1) Error.stackTraceLimit = 0
  const tally = new Tally()
  const mutant = o.mutant === undefined ? undefined : mutantNamed(o.mutant)
  for (let seed = from; seed < o.from + o.seeds && !tally.failure; seed += step) {
    const walk = new Walk(settingsOf(o, seed), without(mutant))
    const events: HistoryEvent[] = []
    if (o.history !== undefined) walk.operations.onHistory = (event) => events.push(event)
    try {
      tally.add(await inMacrotask(() => walk.run()))
    } catch (error) {
      tally.fail(seed, error)
    }
    if (o.history !== undefined) {
      fs.writeFileSync(o.history, events.map((e) => `${JSON.stringify(e)}\n`).join(''))
    }
  }
  return tally
}

/** The odd ones in a process of their own, where that pays. */
async function runAll(o: Options): Promise<Tally> {
  if (o.seeds <= SEEDS_ALONE || os.availableParallelism() < 2) return runSeeds(o, o.from, 1)
  const child = fork(fileURLToPath(import.meta.url), process.argv.slice(2), {
    env: { ...process.env, REHOME_SIM_PART: '1' },
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
  const other = new Promise<Tally>((resolve, reject) => {
    child.once('message', (told) => resolve(Tally.from(told)))
    child.once('exit', (code) => reject(new Error(`the second process ended with ${code}`)))
  })
  const tally = await runSeeds(o, o.from, 2)
  if (tally.failure) child.kill()
  else tally.merge(await other)
  other.catch(() => {}) // ended by us
  return tally
}

function print(o: Options, tally: Tally, seconds: number): void {
  const { failure } = tally
  const rate = tally.seeds / seconds
  if (o.json) {
    const figures = { from: o.from, seconds, rate, ...tally.figures() }
    process.stdout.write(`${JSON.stringify(figures)}\n`)
  } else process.stdout.write(summary(tally, seconds))
  if (!failure) return
  const extra = o.mutant === undefined ? '' : ` --mutant ${o.mutant}`
  const instances = o.instances === undefined ? '' : ` --instances ${o.instances}`
  process.stderr.write(`seed ${failure.seed}: ${failure.what}\n`)
  process.stderr.write(`again: npm run sim -- --seed ${failure.seed}${instances}${extra}\n`)
}

/** Written where the sources are: the program may be the built one. */
async function mutantTable(): Promise<number> {
  Error.stackTraceLimit = 0
  const say = (line: string) => void process.stdout.write(`${line}\n`)
  const { text, uncaught } = await writeTable(say)
  fs.writeFileSync('test/kit/MUTANTS.md', text)
  return uncaught === 0 ? 0 : 1
}

async function main(): Promise<number> {
  const o = parse(process.argv.slice(2))
  if (process.env.REHOME_SIM_PART === '1') {
    const tally = await runSeeds(o, o.from + 1, 2)
    process.send?.(tally.figures())
    process.disconnect()
    return 0
  }
  if (o.mutants) return mutantTable()
  if (!o.json) {
    const one = o.seeds === 1 ? `: ${JSON.stringify(settingsOf(o, o.from))}` : ''
    process.stdout.write(`seeds ${o.from} to ${o.from + o.seeds - 1}${one}\n`)
  }
  const began = performance.now()
  const tally = await runAll(o)
  print(o, tally, (performance.now() - began) / 1000)
  return tally.failure ? 1 : 0
}

main().then(
  (code) => {
    process.exitCode = code
  },
  (error) => {
    if (!(error instanceof Mistake)) throw error
    process.stderr.write(`sim: ${error.message}\n`)
    process.exitCode = 2
  },
)
