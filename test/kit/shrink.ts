import type { Step } from './traffic.ts'

/** A script that fails, and how. */
export interface Failing {
  readonly steps: readonly Step[]
  readonly what: string
}

/** Says how a script fails; undefined if it passes. */
export type Try = (steps: readonly Step[]) => Promise<string | undefined>

/** Scripts that are tried on the way to the shortest one. */
const TRIES_MAX = 300

/**
 * Leaves out what a failing script does not need: halves first, then ever smaller parts, until no single step can
 * go any more. Where a part's time is needed, a wait takes its place, so that the others still meet as they
 * did. With `plain`, packets are made the simplest ones that still fail.
 */
export async function shrink(
  first: Failing,
  tryOut: Try,
  o: { readonly paceMs: number; readonly plain: boolean },
): Promise<Failing> {
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

/** Simpler steps in the place of one, the simplest first. */
function simplerThan(step: Step): Step[] {
  if (step.do !== 'packet') return []
  const { packet } = step
  const all = [
    { flow: 0, back: false, what: 'udp' as const, bytes: 0 },
    { ...packet, back: false, what: 'udp' as const, bytes: 0 },
    { ...packet, bytes: 0 },
  ]
  const same = all.findIndex((p) => JSON.stringify(p) === JSON.stringify(packet))
  return all.slice(0, same < 0 ? all.length : same).map((p) => ({ do: 'packet', packet: p }))
}
