import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { Bench, BenchOptions, Row } from './bench.ts'
import { besidePrads } from './beside-prads.ts'
import { cpuNs, type Ratio, ratioOf, ratioOfValues, type Sample } from './measure.ts'

/**
 * What the engine makes of a program, and where memory lies, is drawn anew by each process, and stays: the bare loop takes 40 %
 * more in some than in others. So each process is one value, and rounds in it only make that value good.
 */
const PROCESSES = 5
/** From so many flows on, making the packets takes far longer than measuring. */
const MANY_FLOWS = 1_000_000
const PROCESSES_OF_MANY = 3

/** The rounds of one process. */
interface Told {
  readonly instance: readonly Sample[]
  readonly handler: readonly Sample[]
  readonly loop: readonly Sample[]
  readonly actors: number
}
type Arm = 'instance' | 'handler' | 'loop'

async function processOf(flows: number, seconds: number, o: BenchOptions): Promise<Told> {
  const program = fileURLToPath(new URL('./hot-path-process.js', import.meta.url))
  const args = [program, String(flows), String(seconds), o.tiny ? 'tiny' : 'whole']
  const { stdout } = await promisify(execFile)(process.execPath, args, { maxBuffer: 2 ** 26 })
  return JSON.parse(stdout) as Told
}

async function at(flows: number, least: number, o: BenchOptions): Promise<Row[]> {
  const told: Told[] = []
  const processes = o.tiny ? 1 : flows < MANY_FLOWS ? PROCESSES : PROCESSES_OF_MANY
  for (let n = 1; n <= processes; n++) {
    o.say(`hot-path: ${flows} flows, process ${n} of ${processes}`)
    told.push(await processOf(flows, o.seconds / processes, o))
  }
  const whole = over(told, 'instance')
  const part = over(told, 'handler')
  const ns = (arm: Arm) => told.map((one) => cpuNs(one[arm]).toFixed(0)).join(' ')
  const loop = `bare loop ${ns('loop')}`
  return [
    {
      what: `${flows} flows, from batches to verdicts ÷ bare loop`,
      value: whole.mean,
      unit: '',
      ratio: whole,
      goal: { least },
      samples: samplesOf(told),
      note: `${byCpu(told, 'instance')}; ns of processor time a packet, by process: ${ns('instance')}; ${loop}`,
    },
    {
      what: `${flows} flows, parse and handler alone ÷ bare loop`,
      value: part.mean,
      unit: '',
      ratio: part,
      note: `${byCpu(told, 'handler')}; ${ns('handler')}; ${told[0]!.actors} actors`,
    },
  ]
}

/** Rates of an arm and of the loop as a ratio: of each process the mean of its rounds, then over the processes. */
function over(told: readonly Told[], arm: 'instance' | 'handler'): Ratio {
  return ratioOfValues(
    told.map((one) => ratioOf(one[arm], one.loop).mean),
    'processes',
  )
}

/** The ratio of packets per second of processor time: what else the machine does is not in it. */
function byCpu(told: readonly Told[], arm: 'instance' | 'handler'): string {
  const cost = (s: Sample) => s.cpuMs / s.count
  const ofRounds = (one: Told) => one[arm].map((s, i) => cost(one.loop[i]!) / cost(s))
  const { mean, half } = ratioOfValues(told.map((one) => ratioOfValues(ofRounds(one)).mean))
  return `by processor time ${mean.toFixed(3)} ±${half.toFixed(3)}`
}

/** All rounds of an arm, each with the process that it ran in. */
function samplesOf(told: readonly Told[]): Record<string, readonly Sample[]> {
  const all = (arm: Arm) =>
    told.flatMap((one, i) => one[arm].map((sample) => ({ ...sample, process: i + 1 })))
  return { instance: all('instance'), handler: all('handler'), 'bare loop': all('loop') }
}

export const hotPath: Bench = {
  name: 'hot-path',
  summary:
    'packets/s through an NF that counts each flow, all home ÷ a bare loop that does the same',
  async run(o) {
    if (o.tiny) return [...(await at(100, 0.6, o)), ...(await besidePrads(o))]
    const rows: Row[] = []
    for (const [flows, least] of [
      [10_000, 0.6],
      [100_000, 0.7],
      [1_000_000, 0.7],
    ] as const) {
      rows.push(...(await at(flows, least, o)))
    }
    return [...rows, ...(await besidePrads(o))]
  },
}
