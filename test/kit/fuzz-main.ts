/**
 * `npm run fuzz`: inputs that are nearly right, for everything that reads what comes from outside. A failing input is told with
 * the line that makes it again.
 */
import { parseArgs } from 'node:util'
import { type FuzzOptions, type FuzzReport, fuzz, fuzzTargets } from './fuzz/index.ts'

const NAMES = fuzzTargets.map((t) => t.name).join('|')
const USAGE = `npm run fuzz -- [--minutes M | --count N] [--target ${NAMES}] [--seed S] [--json]`

class Mistake extends Error {}

function options() {
  const text = { type: 'string' as const }
  try {
    const { values } = parseArgs({
      options: {
        minutes: text,
        count: text,
        target: { ...text, multiple: true },
        seed: text,
        json: { type: 'boolean' as const, default: false },
      },
    })
    if (values.minutes !== undefined && values.count !== undefined) {
      throw new Mistake(`--minutes or --count, not both; ${USAGE}`)
    }
    const count = values.count === undefined ? undefined : number('count', values.count, 1, 1e10)
    const minutes = number('minutes', values.minutes ?? '1', 0.01, 10_000)
    const names = values.target ?? fuzzTargets.map((t) => t.name)
    return {
      targets: names.map(targetNamed),
      count: count ?? Number.POSITIVE_INFINITY,
      ms: count === undefined ? 60_000 * minutes : Number.POSITIVE_INFINITY,
      seed: Math.floor(number('seed', values.seed ?? `${Date.now() % 1e6}`, 0, 2 ** 32 - 1)),
      json: values.json,
    }
  } catch (error) {
    if (error instanceof Mistake) throw error
    throw new Mistake(`${error instanceof Error ? error.message.split('\n')[0] : error}; ${USAGE}`)
  }
}

function number(name: string, text: string, least: number, most: number): number {
  const n = /^\d{1,11}(\.\d{1,6})?$/.test(text) ? Number(text) : Number.NaN
  if (n >= least && n <= most) return n
  throw new Mistake(`--${name} takes a number from ${least} to ${most}, not '${text}'`)
}

function targetNamed(name: string) {
  const found = fuzzTargets.find((t) => t.name === name)
  if (found) return found
  throw new Mistake(`--target takes ${NAMES}, not '${name}'`)
}

function line(r: FuzzReport): string {
  const rate = (of: number) => Math.round(r.inputs / Math.max(of, 1e-9)).toLocaleString('en')
  const part = ((100 * r.passed) / Math.max(1, r.inputs)).toFixed(0)
  const count = r.inputs.toLocaleString('en')
  const most = `slowest ${r.slowestMs.toFixed(0)} ms, ${r.heapMb.toFixed(0)} MB`
  return `${r.target}: ${count} inputs, ${rate(r.seconds)}/s, ${rate(r.cpuSeconds)} a second of processor time, ${part} % past the first decoder, ${most}`
}

/** At least half of what is tried must come as far as the code that is meant. */
const PASSED_LEAST = 0.5

function faultOf(r: FuzzReport): string | undefined {
  if (r.failure) {
    const { seed, count, why } = r.failure
    return `${r.target}: ${why}\nagain: npm run fuzz -- --target ${r.target} --seed ${seed} --count ${count}`
  }
  if (r.passed >= r.inputs * PASSED_LEAST) return undefined
  return `${r.target}: only ${r.passed} of ${r.inputs} came past the first decoder`
}

async function main(): Promise<number> {
  const { targets, count, ms, seed, json } = options()
  const say = (text: string) => void (json || process.stdout.write(text))
  const clear = process.stdout.isTTY && !json ? '\r\x1b[K' : ''
  say(`seed ${seed}\n`)
  const reports: FuzzReport[] = []
  for (const target of targets) {
    const now = () => performance.now()
    const o: FuzzOptions = {
      seed,
      count,
      now,
      until: now() + ms / targets.length,
      cpu: () => {
        const { user, system } = process.cpuUsage()
        return (user + system) / 1e6
      },
      heapMb: () => process.memoryUsage().heapUsed / 2 ** 20,
      onProgress: (report) => clear && say(`${clear}${line(report)}`),
    }
    const report = await fuzz(target, o)
    reports.push(report)
    say(`${clear}${line(report)}\n`)
  }
  if (json) process.stdout.write(`${JSON.stringify({ seed, reports })}\n`)
  const faults = reports.flatMap((r) => faultOf(r) ?? [])
  for (const fault of faults) process.stderr.write(`${fault}\n`)
  return faults.length === 0 ? 0 : 1
}

main().then(
  (code) => {
    process.exitCode = code
  },
  (error) => {
    if (!(error instanceof Mistake)) throw error
    process.stderr.write(`fuzz: ${error.message}\n`)
    process.exitCode = 2
  },
)
