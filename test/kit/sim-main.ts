/**
 * `npm run sim`: random walks of the product's own members under a virtual clock. The same seed runs the same
 * walk; a violation is shown by the shortest script that was found, and by the line that replays the walk.
 */
import * as fs from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { HistoryEvent } from './history/history.ts'
import { inParts, partOf, tellParent, tellSeeds } from './sim/jobs.ts'
import { inMacrotask } from './sim/microtasks.ts'
import { untilCaught, walkSettings, withRules, writeTable } from './sim/mutant-table.ts'
import { type MutantOf, mutantNamed, without } from './sim/mutants.ts'
import { runNF } from './sim/nf-walk.ts'
import { Mistake, type Options, parse } from './sim/options.ts'
import { Progress } from './sim/progress.ts'
import { type Script, scriptFor } from './sim/script.ts'
import { parseScript, ScriptError, textOf } from './sim/script-text.ts'
import { shrink } from './sim/shrink.ts'
import { summary, Tally } from './sim/tally.ts'
import { Walk } from './sim/walk.ts'
import { checkWalkHistory } from './sim/walk-history.ts'

/** Fewer seeds than this are not worth a process of their own. */
const SEEDS_A_JOB = 200
/** A mix of so many walks that does not reach a message, fault or transition is a bad one. */
const SEEDS_REACH_ALL = 1000
/** Exit code of a run that Ctrl-C has cut short, as shells have it. */
const INTERRUPTED = 130
/** How long a violation's script is made shorter (ms). */
const PATIENCE = { ms: 20_000, now: () => performance.now() }

function scriptOf(o: Options, seed: number): Script {
  if (o.script !== undefined) return readScript(o.script)
  const settings = walkSettings(seed, mutantOf(o))
  const own = o.instances === undefined ? settings : { ...settings, startInstances: o.instances }
  return scriptFor(own)
}

function readScript(file: string): Script {
  try {
    return parseScript(fs.readFileSync(file, 'utf8'))
  } catch (error) {
    if (error instanceof ScriptError) throw new Mistake(`--script ${file}: ${error.message}`)
    throw new Mistake(`--script: ${file} cannot be read`)
  }
}

const mutantOf = (o: Options) => (o.mutant === undefined ? undefined : mutantNamed(o.mutant))

/** Runs the seeds from `from` in steps of `step`; stops at the first violation, and at Ctrl-C behind the walk at hand. */
async function runSeeds(o: Options, from: number, step: number): Promise<Tally> {
  // Errors that are tried again are common here, and their stacks dear; one seed alone shows them.
  if (o.seeds > 1) Error.stackTraceLimit = 0
  const tally = new Tally()
  let stopped = false
  const stop = () => {
    stopped = true
  }
  process.on('SIGINT', stop)
  for (let seed = from; seed < o.from + o.seeds && !tally.failure && !stopped; seed += step) {
    try {
      if (o.nf === undefined) tally.add(await runWalk(o, seed))
      else {
        await runNF(o.nf, seed)
        tally.addRun()
      }
    } catch (error) {
      tally.fail(seed, error)
    }
    tellSeeds(tally.seeds, PATIENCE.now())
  }
  process.removeListener('SIGINT', stop)
  return tally
}

async function runWalk(o: Options, seed: number) {
  const script = scriptOf(o, seed)
  const walk = new Walk(script.settings, without(mutantOf(o)), script)
  const events: HistoryEvent[] = []
  const inHistory = mutantOf(o)?.inHistory === true
  if (o.history !== undefined || inHistory) {
    walk.operations.onHistory = (event) => events.push(event)
  }
  try {
    const walked = await inMacrotask(() => walk.run())
    if (inHistory) checkWalkHistory(events)
    return walked
  } finally {
    const lines = events.map((e) => `${JSON.stringify(e)}\n`)
    if (o.history !== undefined) fs.writeFileSync(o.history, lines.join(''))
  }
}

async function runAll(o: Options): Promise<Tally> {
  const jobs = Math.min(o.jobs, Math.ceil(o.seeds / SEEDS_A_JOB))
  if (o.seeds <= SEEDS_A_JOB) return runSeeds(o, o.from, 1)
  const progress = new Progress(o.seeds, PATIENCE.now)
  const program = fileURLToPath(import.meta.url)
  try {
    return await inParts(program, process.argv.slice(2), jobs, progress.seeds)
  } finally {
    progress.end()
  }
}

function print(o: Options, tally: Tally, seconds: number): void {
  const rate = tally.seeds / seconds
  if (!o.json) return void process.stdout.write(summary(tally, seconds))
  const { unreached } = tally
  const figures = { from: o.from, seconds, rate, ...tally.figures(), unreached }
  process.stdout.write(`${JSON.stringify(figures)}\n`)
}

async function explain(o: Options, { seed, what }: { seed: number; what: string }): Promise<void> {
  const say = (text: string) => void process.stderr.write(`${text}\n`)
  say(`seed ${seed}: ${what}`)
  const given = Object.entries({ mutant: o.mutant, instances: o.instances, nf: o.nf })
  const extra = given.map(([name, value]) => (value === undefined ? '' : ` --${name} ${value}`))
  if (o.script === undefined) say(`again: npm run sim -- --seed ${seed}${extra.join('')}`)
  // A script is made shorter while the walk itself fails; here its history alone does.
  if (o.nf !== undefined || mutantOf(o)?.inHistory) return
  Error.stackTraceLimit = 0
  const short = await inMacrotask(() => shrink(scriptOf(o, seed), mutantOf(o), PATIENCE))
  say(
    `the shortest script that was found; in a FILE, npm run sim -- --script FILE${extra[0]} plays it:`,
  )
  say(textOf(short))
}

/** Written where the sources are: the program may be the built one. */
async function mutantTable(): Promise<number> {
  Error.stackTraceLimit = 0
  const say = (line: string) => void process.stdout.write(`${line}\n`)
  const { text, uncaught } = await writeTable(say)
  fs.writeFileSync('test/kit/MUTANTS.md', text)
  const page = 'ARCHITECTURE.md'
  fs.writeFileSync(page, withRules(fs.readFileSync(page, 'utf8')))
  return uncaught === 0 ? 0 : 1
}

/** A mutant whose race is a story of its own, and not one that walks come to. */
async function playScenario(mutant: MutantOf): Promise<number> {
  const caught = await untilCaught(mutant)
  const seen = caught ? `${caught.by}: ${caught.what}` : 'seen by nothing'
  process.stdout.write(`${mutant.name}: ${mutant.race}\n${seen}\n`)
  return caught ? 1 : 0
}

/** What is printed first: seeds, and the settings of one. */
function begun(o: Options): string {
  const to = o.from + o.seeds - 1
  if (o.nf !== undefined) return `${o.nf}: seeds ${o.from} to ${to}`
  if (o.seeds > 1) return `seeds ${o.from} to ${to}, settings drawn from each`
  const { settings, entries } = scriptOf(o, o.from)
  return `seed ${settings.seed}: ${JSON.stringify(settings)}, ${entries.length} entries`
}

async function main(): Promise<number> {
  const o = parse(process.argv.slice(2))
  const mine = partOf()
  if (mine) {
    tellParent(await runSeeds(o, o.from + mine.part, mine.of))
    return 0
  }
  if (o.mutants) return mutantTable()
  const mutant = mutantOf(o)
  if (mutant?.scenario && o.script === undefined) return playScenario(mutant)
  if (!o.json) {
    process.stdout.write(`${begun(o)}\n`)
  }
  const began = performance.now()
  const tally = await runAll(o)
  print(o, tally, (performance.now() - began) / 1000)
  if (tally.failure) await explain(o, tally.failure)
  const reached =
    tally.unreached.length === 0 || tally.seeds < SEEDS_REACH_ALL || o.nf !== undefined
  if (!reached) process.stderr.write(`never: ${tally.unreached.join(', ')}\n`)
  if (tally.failure || !reached) return 1
  return tally.seeds < o.seeds ? INTERRUPTED : 0
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
