import type { WalkReport } from './walk.ts'

type Counts = Record<string, number>

export interface Figures {
  readonly seeds: number
  readonly failure: { seed: number; what: string } | undefined
  readonly messages: Counts
  readonly faults: Counts
  readonly transitions: Counts
}

/** Figures that operators ask for: no walk does. */
const ASKED = new Set(['ASK', 'TELL'])

/** What many walks came to, together. */
export class Tally {
  seeds = 0
  failure: { seed: number; what: string } | undefined
  readonly messages: Counts = {}
  readonly faults: Counts = {}
  readonly transitions: Counts = {}

  add(report: WalkReport): void {
    this.seeds++
    this.sum(report)
  }

  /** A run that has no figures of its own. */
  addRun(): void {
    this.seeds++
  }

  private sum(from: Pick<WalkReport, 'messages' | 'faults' | 'transitions'>): void {
    for (const what of ['messages', 'faults', 'transitions'] as const) {
      const to = this[what]
      for (const [name, n] of Object.entries(from[what])) to[name] = (to[name] ?? 0) + n
    }
  }

  fail(seed: number, error: unknown): void {
    const what = error instanceof Error ? error.message : String(error)
    this.failure = { seed, what }
  }

  merge(other: Tally): void {
    this.seeds += other.seeds
    this.failure ??= other.failure
    this.sum(other)
  }

  /** Kinds of messages, faults and transitions that never came: a mix that never reaches one shows little of it. */
  get unreached(): string[] {
    return [this.messages, this.faults, this.transitions].flatMap((counts) =>
      Object.keys(counts).filter((name) => counts[name] === 0 && !ASKED.has(name)),
    )
  }

  figures(): Figures {
    const { seeds, failure, messages, faults, transitions } = this
    return { seeds, failure, messages, faults, transitions }
  }

  /** From what another process has sent. */
  static from({ seeds, failure, ...counts }: Figures): Tally {
    const tally = new Tally()
    tally.seeds = seeds
    tally.failure = failure
    tally.sum(counts)
    return tally
  }
}

export function summary(tally: Tally, seconds: number): string {
  const line = (counts: Counts) =>
    Object.entries(counts)
      .map(([name, n]) => `${name} ${n}`)
      .join(', ')
  return [
    `messages: ${line(tally.messages)}`,
    `faults: ${line(tally.faults)}`,
    `transitions: ${line(tally.transitions)}`,
    `${tally.seeds} seeds, ${(tally.seeds / seconds).toFixed(1)} seeds/s`,
    tally.failure ? 'a violation' : 'no violation',
    '',
  ].join('\n')
}
