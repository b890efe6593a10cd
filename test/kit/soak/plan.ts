import { Random } from '../../../loadgen/index.ts'

/** What can go wrong under a soak; `scale` is no fault, and the most frequent. */
const faultKinds = [
  'scale',
  'cut',
  'cut all',
  'hold',
  'server restart',
  'server kill',
  'server pause',
  'pause',
  'long pause',
  'kill',
] as const
export type FaultKind = (typeof faultKinds)[number]
export function noFaults(): Record<FaultKind, number> {
  return Object.fromEntries(faultKinds.map((kind) => [kind, 0])) as Record<FaultKind, number>
}

/** One thing that happens in a round. */
export interface FaultPlan {
  /** After the round's begin (ms). */
  readonly at: number
  readonly kind: FaultKind
  /** Which one of those that it may happen to, as a part of 1. */
  readonly whom: number
  /** How long it lasts (ms); to how many instances a `scale` goes. */
  readonly much: number
}

export interface RoundPlan {
  readonly ms: number
  /** Some rounds lose instances; what the others may lose is nothing. */
  readonly deadly: boolean
  readonly faults: readonly FaultPlan[]
}

/** How often each is drawn beside the others. */
const WEIGHTS: Record<FaultKind, number> = {
  scale: 10,
  cut: 5,
  'cut all': 1,
  hold: 3,
  'server restart': 1,
  'server kill': 1,
  'server pause': 1,
  pause: 4,
  'long pause': 2,
  kill: 2,
}

export const INSTANCES_MAX = 4

/** What a round is to be: of the seed and the round's number alone, so that a seed's soak can be had again. */
// A long pause would outlast a soak of some seconds, which is one round: the first one has none.
export function planRound(seed: number, round: number, ms: number, kills: boolean): RoundPlan {
  const random = new Random(seed * 1009 + round)
  const deadly = kills && round % 3 !== 2
  const inTime = (k: FaultKind) => k !== 'long pause' || round > 0
  const kinds = faultKinds.filter((k) => (deadly || !DEADLY.has(k)) && inTime(k))
  const drawn = kinds.flatMap((kind) => new Array<FaultKind>(WEIGHTS[kind]).fill(kind))
  const faults: FaultPlan[] = []
  for (let at = 100; at < ms; at += random.exponential(MEAN_GAP_MS)) {
    const kind = drawn[random.below(drawn.length)]!
    faults.push({ at, kind, whom: random.unit(), much: drawMuch(kind, random) })
  }
  return { ms, deadly, faults }
}
/** Between two of them (ms): some are under way together. */
const MEAN_GAP_MS = 350

function drawMuch(kind: FaultKind, random: Random): number {
  if (kind === 'scale') return 1 + random.below(INSTANCES_MAX)
  const [least, most] = LASTS[kind] ?? [0, 0]
  return least + random.unit() * (most - least)
}

const DEADLY: ReadonlySet<FaultKind> = new Set(['long pause', 'kill'])
const LASTS: Partial<Record<FaultKind, readonly [number, number]>> = {
  hold: [50, 800],
  'server restart': [0, 1200],
  'server kill': [0, 800],
  'server pause': [50, 900],
  pause: [20, 900],
  'long pause': [4_000, 9_000],
}
