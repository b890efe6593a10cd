import * as os from 'node:os'
import { parseArgs } from 'node:util'
import { builtIn } from '../../../nf-apps/index.ts'
import { mutantNamed } from './mutants.ts'

const USAGE =
  'npm run sim -- [--seeds N] [--from S] [--seed S] [--nf NAME] [--mutant NAME] [--mutants] ' +
  '[--instances N] [--jobs N] [--history FILE] [--script FILE] [--json]'
/** Settings are drawn from 32 bits of the seed. */
const SEED_MAX = 2 ** 32 - 1
const JOBS_MAX = 256

/** What the user has got wrong. */
export class Mistake extends Error {}

export interface Options {
  readonly seeds: number
  readonly from: number
  readonly jobs: number
  readonly instances: number | undefined
  readonly nf: string | undefined
  readonly mutant: string | undefined
  readonly mutants: boolean
  readonly history: string | undefined
  readonly script: string | undefined
  readonly json: boolean
}

export function parse(argv: readonly string[]): Options {
  const text = { type: 'string' as const }
  const flag = { type: 'boolean' as const, default: false }
  const values = readArgs(argv, {
    seeds: text,
    from: text,
    seed: text,
    jobs: text,
    instances: text,
    nf: text,
    mutant: text,
    history: text,
    script: text,
    mutants: flag,
    json: flag,
  })
  const { seed, nf, mutant, history, script, mutants, json } = values
  if (seed !== undefined && (values.seeds ?? values.from) !== undefined) {
    throw new Mistake('--seed runs one walk: --seeds and --from do not go with it')
  }
  if (mutant !== undefined && !mutantNamed(mutant)) {
    throw new Mistake(`--mutant: there is no '${mutant}'; the names are in test/kit/MUTANTS.md`)
  }
  if (nf !== undefined && !builtIn.some((one) => one.name === nf)) {
    const known = builtIn.map((one) => one.name).join(', ')
    throw new Mistake(`--nf: there is no '${nf}'; built in are ${known}`)
  }
  const one = seed !== undefined || script !== undefined
  const seeds = one ? 1 : number('seeds', values.seeds ?? '200', 1, 1e9)
  if (history !== undefined && seeds !== 1) throw new Mistake('--history goes with --seed')
  const instances =
    values.instances === undefined ? undefined : number('instances', values.instances, 1, 16)
  const from = number(seed ? 'seed' : 'from', seed ?? values.from ?? '1', 0, SEED_MAX)
  const jobs = number('jobs', values.jobs ?? `${os.availableParallelism()}`, 1, JOBS_MAX)
  return { seeds, from, jobs, instances, nf, mutant, mutants, history, script, json }
}

function readArgs<T extends NonNullable<Parameters<typeof parseArgs>[0]>['options']>(
  args: readonly string[],
  options: NonNullable<T>,
) {
  try {
    return parseArgs({ args: [...args], options, strict: true }).values
  } catch (error) {
    throw new Mistake(`${error instanceof Error ? error.message.split('\n')[0] : error}; ${USAGE}`)
  }
}

function number(name: string, text: string, least: number, most: number): number {
  const n = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN
  if (n >= least && n <= most) return n
  throw new Mistake(`--${name} takes a whole number from ${least} to ${most}, not '${text}'`)
}
