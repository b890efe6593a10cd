/**
 * `npm run soak`: the simulator's kind of workload and checkers against real processes on a real nats-server, under faults
 * that are drawn from a printed seed. A violation ends it.
 */
import { parseArgs } from 'node:util'
import { findNatsServer } from '../../bus/index.ts'
import { type Break, breaks, Soak, type SoakReport } from './soak/index.ts'

const USAGE =
  'npm run soak -- [--minutes M] [--seed S] [--rate PACKETS/S] [--round SECONDS] [--no-kills] [--broken HOW] [--json]'

class Mistake extends Error {}

function options() {
  const text = { type: 'string' as const }
  const flag = { type: 'boolean' as const, default: false }
  try {
    const { values } = parseArgs({
      options: {
        minutes: text,
        seed: text,
        rate: text,
        round: text,
        broken: text,
        'no-kills': flag,
        json: flag,
      },
    })
    return {
      ms: 60_000 * number('minutes', values.minutes ?? '1', 0.01, 10_000),
      seed: Math.floor(number('seed', values.seed ?? `${Date.now() % 1e6}`, 0, 2 ** 32 - 1)),
      rate: number('rate', values.rate ?? '1500', 1, 1e6),
      roundMs: 1000 * number('round', values.round ?? '10', 1, 600),
      kills: !values['no-kills'],
      broken: breakNamed(values.broken),
      json: values.json,
    }
  } catch (error) {
    if (error instanceof Mistake) throw error
    throw new Mistake(`${error instanceof Error ? error.message.split('\n')[0] : error}; ${USAGE}`)
  }
}

function number(name: string, text: string, least: number, most: number): number {
  const n = /^\d{1,10}(\.\d{1,6})?$/.test(text) ? Number(text) : Number.NaN
  if (n >= least && n <= most) return n
  throw new Mistake(`--${name} takes a number from ${least} to ${most}, not '${text}'`)
}

function breakNamed(name: string | undefined): Break | undefined {
  if (name === undefined) return undefined
  const found = (Object.keys(breaks) as Break[]).find((one) => one === name)
  if (found) return found
  const all = Object.entries(breaks).map(([one, what]) => `${one} (${what})`)
  throw new Mistake(`--broken takes ${all.join(', ')}; not '${name}'`)
}

const counts = (of: object) =>
  Object.entries(of)
    .map(([name, n]) => `${name} ${Number(n).toLocaleString('en')}`)
    .join(', ')

function roundLine(r: SoakReport): string {
  const { turns, operations } = r.figures
  const at = `round ${r.rounds}, ${r.seconds.toFixed(0)} s`
  const rest = `${r.views} views, ${r.rehomes.toLocaleString('en')} rehomes, ${r.rssMb.at(-1) ?? 0} MB`
  const found = r.violations.length === 0 ? 'no violation' : `${r.violations.length} violations`
  return `${at}: ${counts({ operations, turns })}, ${rest}, ${found}`
}

const spread = (of: number[]) =>
  of.length === 0 ? 'none seen' : `${Math.min(...of)} to ${Math.max(...of)}`

function summary(r: SoakReport): string {
  const { joins, leaves, evicted, unheard, views, handoffs, rehomes } = r
  return [
    `${r.packets.toLocaleString('en')} packets in ${r.seconds.toFixed(0)} s, ${r.rounds} rounds, ${r.deadly} of them with deaths`,
    `checked: ${counts(r.figures)}`,
    `scaling: ${counts({ joins, leaves, evicted, unheard, views, handoffs, rehomes })}`,
    `faults: ${counts(r.faults)}`,
    `memory of the largest instance when all is quiet, by rounds: ${spread(r.rssMb)} MB`,
    r.violations.length === 0 ? 'no violation' : `${r.violations.length} violations`,
    '',
  ].join('\n')
}

async function main(): Promise<number> {
  const { json, ...o } = options()
  if (!findNatsServer()) throw new Mistake('there is no nats-server in PATH or /usr/sbin')
  const say = (text: string) => void (json || process.stdout.write(text))
  const live = process.stdout.isTTY && !json
  const abort = new AbortController()
  process.once('SIGINT', () => abort.abort())
  process.once('SIGTERM', () => abort.abort())
  const clear = live ? '\r\x1b[K' : ''
  const soak = new Soak({
    ...o,
    signal: abort.signal,
    onRound: (report) => say(`${clear}${roundLine(report)}\n`),
    onProgress: (text) => live && say(`${clear}${text}`),
  })
  const { placement, slotBits } = soak.report.settings
  say(`seed ${o.seed}: ${placement} placement, ${2 ** slotBits} slots, ${o.rate} packets/s\n`)
  const report = await soak.run()
  say(`${clear}${summary(report)}`)
  if (json) process.stdout.write(`${JSON.stringify(report)}\n`)
  if (report.violations.length === 0) return 0
  for (const what of report.violations) process.stderr.write(`${what}\n`)
  const broken = o.broken === undefined ? '' : ` --broken ${o.broken}`
  process.stderr.write(`the same plan of faults: npm run soak -- --seed ${o.seed}${broken}\n`)
  return 1
}

main().then(
  (code) => process.exit(code),
  (error) => {
    if (!(error instanceof Mistake)) throw error
    process.stderr.write(`soak: ${error.message}\n`)
    process.exitCode = 2
  },
)
