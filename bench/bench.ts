import type { Effort, Ratio, Sample } from './measure.ts'

export interface BenchOptions extends Effort {
  /** A line for people on how far it is. */
  readonly say: (line: string) => void
}

/** One figure, beside its goal if it has one. */
export interface Row {
  readonly what: string
  readonly value: number
  readonly unit: string
  /** What the value is the mean of, where it is a ratio. */
  readonly ratio?: Ratio
  readonly goal?: Goal
  /** All rounds, for `--json`. */
  readonly samples?: Readonly<Record<string, readonly Sample[]>>
  /** Named curves that a picture is made of. */
  readonly series?: Readonly<Record<string, readonly (readonly [number, number])[]>>
  /** Named figures that a picture is made of. */
  readonly figures?: Readonly<Record<string, number>>
  /** What stands behind the figure: other figures of the same runs. */
  readonly note?: string
}
export interface Goal {
  readonly least?: number
  readonly most?: number
}

export interface Bench {
  readonly name: string
  /** One line: what is measured, and against what. */
  readonly summary: string
  run(o: BenchOptions): Promise<Row[]>
}

/** Undefined where there is no goal. */
export function isReached({ value, goal }: Row): boolean | undefined {
  if (!goal) return undefined
  return value >= (goal.least ?? Number.NEGATIVE_INFINITY) && value <= (goal.most ?? Infinity)
}

/** One line for people. */
export function lineOf(row: Row): string {
  const { what, value, unit, ratio, goal, note } = row
  const spread = ratio
    ? ` ±${ratio.half.toFixed(3)} (${figure(ratio.least)}–${figure(ratio.most)}, ${ratio.count} ${ratio.of})`
    : ''
  const wanted = goal ? `  goal ${goalText(goal)}: ${isReached(row) ? 'reached' : 'MISSED'}` : ''
  return `${what}: ${figure(value)}${unit === '' ? '' : ` ${unit}`}${spread}${wanted}${note ? `  [${note}]` : ''}`
}

function goalText({ least, most }: Goal): string {
  if (least !== undefined && most !== undefined) return `${least} to ${most}`
  return least === undefined ? `≤ ${figure(most ?? 0)}` : `≥ ${figure(least)}`
}

/** Three digits that say something. */
function figure(value: number): string {
  const size = Math.abs(value)
  if (size >= 1e6) return `${(value / 1e6).toPrecision(3)} M`
  if (size >= 1e4) return `${(value / 1e3).toPrecision(3)} k`
  return size >= 1000 || Number.isInteger(value) ? value.toFixed(0) : value.toPrecision(3)
}
