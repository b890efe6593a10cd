/** How long measuring may take. */
export interface Effort {
  /** Sizes and times that only show that it works: for the tests. */
  readonly tiny: boolean
  /** How long a comparison may go on before its interval is narrow enough. */
  readonly seconds: number
}

/** One arm of a comparison; what `run` answers is how many things it did. */
export interface Arm {
  readonly name: string
  run(): number | Promise<number>
  /** Processor time so far (ms) of all processes that do the work, where that is not this one alone. */
  cpuMs?(): number
  /** It cannot run once more. */
  isOver?(): boolean
}

/** What one run of an arm took: wall time, and processor time of this process and those it names. */
export interface Sample {
  readonly count: number
  readonly wallMs: number
  readonly cpuMs: number
  /** Where an arm ran in several: in which of them, from 1. */
  readonly process?: number
}

/** A ratio of two arms over paired rounds, or over processes that each ran some; or of two phases of an event, over events. */
export interface Ratio {
  /** Geometric mean of the ratios of all. */
  readonly mean: number
  /** Half the width of its 95 % interval. */
  readonly half: number
  readonly least: number
  readonly most: number
  readonly count: number
  readonly of: 'rounds' | 'processes' | 'events'
}

/** What a frame costs is compiled last, after some thousands of frames: calls took twice their time until then. */
const WARM_MS = 2_000

/** The interval that the rounds go on for. */
const HALF_WIDTH = 0.02
const ROUNDS_MIN = 5

/** Student's t, two-sided 95 %, by degrees of freedom from 1; beyond the table the normal's. */
const T95 = [
  12.71, 4.3, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.2, 2.18, 2.16, 2.14, 2.13, 2.12,
  2.11, 2.1, 2.09, 2.09,
]

/** Rates of two arms, ours first, as a ratio: by round, since what disturbs a machine disturbs both of a pair. */
export function ratioOf(ours: readonly Sample[], base: readonly Sample[]): Ratio {
  const ratios = ours.map((sample, i) => rate(sample) / rate(base[i]!))
  return ratioOfValues(ratios)
}

export function ratioOfValues(ratios: readonly number[], of: Ratio['of'] = 'rounds'): Ratio {
  const logs = ratios.map(Math.log)
  const n = logs.length
  const mean = logs.reduce((a, b) => a + b, 0) / n
  const spread = Math.sqrt(logs.reduce((a, b) => a + (b - mean) ** 2, 0) / Math.max(1, n - 1))
  const half = n < 2 ? Number.POSITIVE_INFINITY : ((T95[n - 2] ?? 1.96) * spread) / Math.sqrt(n)
  const centre = Math.exp(mean)
  return {
    mean: centre,
    half: centre * (Math.exp(half) - 1),
    least: Math.min(...ratios),
    most: Math.max(...ratios),
    count: n,
    of,
  }
}

/** Things per second of wall time. */
export function rate(sample: Sample): number {
  return (sample.count / sample.wallMs) * 1000
}
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[sorted.length >> 1] ?? Number.NaN
}
/** Median nanoseconds of processor time for each thing. */
export function cpuNs(samples: readonly Sample[]): number {
  return median(samples.map((s) => (s.cpuMs * 1e6) / s.count))
}
export function wallNs(samples: readonly Sample[]): number {
  return median(samples.map((s) => (s.wallMs * 1e6) / s.count))
}

/** In a row's note: what an arm did a second, and what of it was its caller's. */
export function told(samples: readonly Sample[]): string {
  const perSecond = (median(samples.map(rate)) / 1000).toFixed(0)
  return `${perSecond} k/s, cpu ${cpuNs(samples).toFixed(0)} ns of the caller`
}

function ownCpuMs(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}

async function timed(arm: Arm): Promise<Sample> {
  const cpuMs = arm.cpuMs ?? ownCpuMs
  const cpu = cpuMs()
  const start = performance.now()
  const count = await arm.run()
  const wallMs = performance.now() - start
  return { count, wallMs, cpuMs: cpuMs() - cpu }
}

/**
 * Rounds of all arms, one after the other in an order that turns from round to round, until every arm's
 * ratio to the last one (the baseline) is known to ±0.02, or the time is up. The first round warms up and is not kept.
 */
export async function paired(arms: readonly Arm[], o: Effort): Promise<Sample[][]> {
  const samples: Sample[][] = arms.map(() => [])
  if (!o.tiny) for (const arm of arms) await arm.run()
  const end = performance.now() + o.seconds * 1000
  for (let round = 0; ; round++) {
    for (let i = 0; i < arms.length; i++) {
      const at = (i + round) % arms.length
      samples[at]!.push(await timed(arms[at]!))
    }
    const n = samples[0]!.length
    if (arms.some((arm) => arm.isOver?.())) return samples
    if (n >= 2 && (o.tiny || performance.now() > end)) return samples
    if (n >= ROUNDS_MIN && areNarrow(samples)) return samples
  }
}

/** Runs each arm for a while before it counts: one that does a million calls has only a thousand frames. */
export async function warm(arms: readonly Arm[], o: Effort): Promise<void> {
  if (o.tiny) return
  for (const arm of arms) {
    const end = performance.now() + WARM_MS
    while (performance.now() < end) await arm.run()
  }
}

function areNarrow(samples: readonly Sample[][]): boolean {
  const base = samples[samples.length - 1]!
  return samples.slice(0, -1).every((arm) => ratioOf(arm, base).half <= HALF_WIDTH)
}

/** Values whose mean is known as well as a comparison is to know it. */
export function isNarrow(ratios: readonly number[]): boolean {
  return ratios.length >= ROUNDS_MIN && ratioOfValues(ratios).half <= HALF_WIDTH
}
