import { Random } from '../../loadgen/index.ts'
import type { Step } from './traffic.ts'

/** A script that fails, and how. */
export interface Failing {
  readonly steps: readonly Step[]
  readonly what: string
}

/** Says how a script fails; undefined if it passes. */
export type Try = (steps: readonly Step[]) => Promise<string | undefined>

/** Scripts that are tried on the way to the shortest one: attempts are counted, so that no machine's speed tells. */
const TRIES_MAX = 300
/** Short scripts that are tried before that: so many for each of their steps, and the longest of them. */
const GUESSES = 10
const GUESSED_STEPS_MAX = 5
/** Until an instance that joins has its share of the packets (virtual ms). */
const SETTLE_MS = 20

interface ShrinkOptions {
  readonly paceMs: number
  /** Packets may be made simpler ones. */
  readonly plain: boolean
  readonly seed: number
}

/**
 * The shortest script found that fails. What leaves one step out after the other gets stuck where each next step needs two of
 * them to go at once; so a few random steps of the script alone are tried first, the fewest first.
 */
export async function shrink(first: Failing, tryOut: Try, o: ShrinkOptions): Promise<Failing> {
  return leaveOut((await guess(first, tryOut, o)) ?? first, tryOut, o)
}

async function guess(
  { steps }: Failing,
  tryOut: Try,
  o: ShrinkOptions,
): Promise<Failing | undefined> {
  const random = new Random(o.seed)
  for (let count = 1; count <= GUESSED_STEPS_MAX && count < steps.length; count++) {
    for (let n = 0; n < GUESSES * count; n++) {
      const some = someOf(steps, count, random, o.plain)
      const what = await tryOut(some)
      if (what !== undefined) return { steps: some, what }
    }
  }
  return undefined
}

/** So many of a script's steps: mostly one that joins, given time to, and packets after it. */
function someOf(steps: readonly Step[], count: number, random: Random, plain: boolean): Step[] {
  const some = steps.filter((step) => step.do === 'packet' || step.do === 'leave')
  while (some.length > count) some.splice(Math.floor(random.unit() * some.length), 1)
  const simple = plain && random.unit() < 0.7
  const made = simple ? some.map(bare) : some
  const joins = random.unit() < 0.9 && steps.some((step) => step.do === 'join')
  if (!joins || count < 2) return made
  const waits = count > 2 && random.unit() < 0.6
  const start: Step[] = waits ? [{ do: 'join' }, { do: 'wait', ms: SETTLE_MS }] : [{ do: 'join' }]
  const kept = made.slice(start.length)
  const at = random.unit() < 0.7 ? 0 : Math.floor(random.unit() * (kept.length + 1))
  return [...kept.slice(0, at), ...start, ...kept.slice(at)]
}

/**
 * Leaves out what a failing script does not need: halves first, then ever smaller parts, until no single step can
 * go any more. Where a part's time is needed, a wait takes its place, so that the others still meet as they
 * did. With `plain`, packets are made the simplest ones that still fail.
 */
async function leaveOut(first: Failing, tryOut: Try, o: ShrinkOptions): Promise<Failing> {
  let best = first
  let tries = 0
  const better = async (steps: readonly Step[]) => {
    if (tries >= TRIES_MAX) return false
    tries++
    const what = await tryOut(steps)
    if (what !== undefined) best = { steps, what }
    return what !== undefined
  }
  for (let size = best.steps.length >> 1; size > 0; ) {
    const before = weight(best.steps)
    for (let at = best.steps.length - size; at > -size; at -= size) {
      const from = Math.max(0, at)
      const [head, part, tail] = cut(best.steps, from, at + size)
      if (await better([...head, ...tail])) continue
      const wait: Step = { do: 'wait', ms: part.reduce((ms, step) => ms + msOf(step, o.paceMs), 0) }
      const instead = withoutPairs([...head, wait, ...tail])
      if (weight(instead) < weight(best.steps)) await better(instead)
    }
    if (weight(best.steps) === before || tries >= TRIES_MAX) size >>= 1
  }
  for (let i = 0; o.plain && i < best.steps.length; i++) {
    for (const simpler of simplerThan(best.steps[i]!)) {
      if (await better(best.steps.with(i, simpler))) break
    }
  }
  return best
}

function cut(steps: readonly Step[], from: number, to: number) {
  return [steps.slice(0, from), steps.slice(from, to), steps.slice(to)] as const
}

const msOf = (step: Step, paceMs: number) => (step.do === 'wait' ? step.ms : paceMs)

/** What a script is to have little of; a wait is simpler than any other step. */
function weight(steps: readonly Step[]): number {
  return steps.reduce((n, step) => n + (step.do === 'wait' ? 1 : 2), 0)
}

/** Waits behind each other made one. */
function withoutPairs(steps: readonly Step[]): Step[] {
  const kept: Step[] = []
  for (const step of steps) {
    const last = kept.at(-1)
    if (step.do === 'wait' && last?.do === 'wait') {
      kept[kept.length - 1] = { do: 'wait', ms: last.ms + step.ms }
    } else kept.push(step)
  }
  return kept
}

/** A packet of the same flow that says nothing. */
function bare(step: Step): Step {
  if (step.do !== 'packet') return step
  const { flow } = step.packet
  return { do: 'packet', packet: { flow, back: false, what: 'udp', bytes: 0 } }
}

/** Flows that a packet may be of instead: enough of them to lie on several instances. */
const FLOWS = [0, 1, 2, 3, 4, 5]

/** Simpler steps in the place of one, the simplest first. */
function simplerThan(step: Step): Step[] {
  if (step.do !== 'packet') return []
  const { packet } = step
  const flows = [...FLOWS.filter((flow) => flow < packet.flow), packet.flow]
  const all = flows.map((flow) => bare({ do: 'packet', packet: { ...packet, flow } }))
  all.push({ do: 'packet', packet: { ...packet, bytes: 0 } })
  const same = all.findIndex((p) => JSON.stringify(p) === JSON.stringify(step))
  return same < 0 ? all : all.slice(0, same)
}
