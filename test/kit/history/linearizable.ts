import { isDeepStrictEqual } from 'node:util'
import {
  byActor,
  CheckFailed,
  type HistoryEvent,
  type Operation,
  operations,
  short,
  told,
} from './history.ts'

/** What an actor does, said once more as plain functions: one for each `f` of its operations. */
export interface Model<S> {
  /** The state of an actor that nothing has been done to. */
  initial(actor: string): S
  /** The state afterwards, and the result; both are values, never changed in place. */
  readonly steps: Readonly<Record<string, (state: S, argument: never) => readonly [S, unknown?]>>
  /** The `f`s that never change anything: said, the search is shorter. */
  readonly reads?: readonly string[]
  /** Says when two states are the same; JSON if left out. */
  key?(state: S): string
}

/** States and operations tried for one actor before the search is given up. */
const STEPS_MAX = 500_000

/**
 * Whether the results of each actor's operations are those of some order in which each takes effect at one moment
 * between its begin and its end. `info` may have run, at any time from its begin on, or not. Throws
 * `CheckFailed` if there is no such order, and also if the search was given up before it was through.
 */
export function checkLinearizable<S>(
  history: readonly HistoryEvent[],
  model: Model<S>,
  { stepsMax = STEPS_MAX } = {},
): void {
  for (const [actor, all] of byActor(operations(history))) {
    const steps = new Steps(actor, model)
    const tried = all.filter(({ outcome }) => outcome !== 'fail')
    const found = searchWithFew(tried, model.initial(actor), steps, stepsMax)
    if (found.verdict === 'linearizable') continue
    if (found.verdict === 'out-of-steps') {
      const what = `${tried.length} operations, no answer after ${stepsMax} steps`
      throw new CheckFailed('out-of-steps', actor, what)
    }
    throw new CheckFailed('not-linearizable', actor, stuck(found))
  }
}

/** The model's steps, called with what a history holds. */
class Steps<S> {
  private readonly actor: string
  private readonly model: Model<S>
  constructor(actor: string, model: Model<S>) {
    this.actor = actor
    this.model = model
  }

  after(state: S, { f, argument }: Operation): readonly [S, unknown?] {
    const step = Object.hasOwn(this.model.steps, f) ? this.model.steps[f] : undefined
    if (!step) throw new CheckFailed('malformed', this.actor, `the model has no step '${f}'`)
    return step(state, argument as never)
  }

  isRead({ f, outcome }: Operation): boolean {
    return outcome === 'ok' && this.model.reads?.includes(f) === true
  }

  key(state: S): string {
    return this.model.key?.(state) ?? JSON.stringify(state) ?? ''
  }
}

interface Found<S> {
  readonly verdict: 'linearizable' | 'not-linearizable' | 'out-of-steps'
  /** Orders were left out for having too many operations that nobody saw the end of. */
  readonly cut: boolean
  /** Steps that were tried. */
  readonly steps: number
  /** The longest order that was found, its state, and the operation that fits nowhere behind it. */
  readonly order: readonly Operation[]
  readonly state: S
  readonly misfit: Operation | undefined
}

/** One place in the order: what may stand here, and how far that has been tried. */
interface Place<S> {
  readonly state: S
  readonly taken: bigint
  /** How many of those that nobody saw the end of stand before. */
  readonly unseen: number
  readonly candidates: readonly Candidate[]
  at: number
}
interface Candidate {
  readonly operation: Operation
  readonly bit: bigint
  /** The same for operations that nothing but their times tells apart. */
  readonly kind: string
}

/**
 * Few of the operations that nobody saw the end of are needed to explain what was seen, as a rule, and each of them
 * multiplies the orders: those with none of them are tried first, then those with one, with two …
 */
function searchWithFew<S>(
  all: readonly Operation[],
  initial: S,
  steps: Steps<S>,
  stepsMax: number,
): Found<S> {
  for (let unseenMax = 0, left = stepsMax; ; unseenMax++) {
    const found = search(all, initial, steps, { stepsMax: left, unseenMax })
    if (found.verdict !== 'not-linearizable' || !found.cut) return found
    left -= found.steps
  }
}

/**
 * Puts operations into an order place by place (Wing & Gong); at each may stand what began before the first end of those that
 * are left. A set of operations that led to the same state before is not tried again (Lowe). What ends first is
 * tried first; of operations that are the same only that one; and a read that fits is taken without trying
 * others: if it can stand later, it can stand here.
 */
function search<S>(
  all: readonly Operation[],
  initial: S,
  steps: Steps<S>,
  { stepsMax, unseenMax }: { stepsMax: number; unseenMax: number },
): Found<S> {
  const operations = all.map((operation, i): Candidate => {
    const { f, argument, result, outcome } = operation
    const kind = JSON.stringify([f, argument, result, outcome])
    return { operation, bit: 1n << BigInt(i), kind }
  })
  const needed = operations.reduce((n, o) => (o.operation.outcome === 'ok' ? n | o.bit : n), 0n)
  const seen = new Set<string>()
  const placeAt = (state: S, taken: bigint, unseen: number): Place<S> => {
    return {
      state,
      taken,
      unseen,
      candidates: candidatesOf(operations, taken, state, steps),
      at: 0,
    }
  }
  const order = [placeAt(initial, 0n, 0)]
  let best = longest(order)
  let cut = false
  let tried = 0
  for (; order.length > 0; tried++) {
    const place = order[order.length - 1]!
    const at = { ...best, cut, steps: tried }
    if ((place.taken & needed) === needed) return { verdict: 'linearizable', ...at }
    if (tried > stepsMax) return { verdict: 'out-of-steps', ...at }
    const candidate = place.candidates[place.at++]
    if (!candidate) {
      if (order.length > best.order.length) best = longest(order)
      order.pop()
      continue
    }
    const after = stepTo(candidate.operation, place.state, steps)
    if (!after) continue
    const unseen = place.unseen + (candidate.operation.outcome === 'info' ? 1 : 0)
    if (unseen > unseenMax) {
      cut = true
      continue
    }
    const taken = place.taken | candidate.bit
    const key = `${taken.toString(36)} ${steps.key(after[0])}`
    if (seen.has(key)) continue
    seen.add(key)
    order.push(placeAt(after[0], taken, unseen))
  }
  return { verdict: 'not-linearizable', ...best, cut, steps: tried }
}

function longest<S>(order: readonly Place<S>[]): Pick<Found<S>, 'order' | 'state' | 'misfit'> {
  const last = order.at(-1)!
  const taken = order.slice(0, -1).map(({ candidates, at }) => candidates[at - 1]!.operation)
  const misfit = last.candidates.find(({ operation }) => operation.outcome === 'ok')?.operation
  return { order: taken, state: last.state, misfit }
}

function candidatesOf<S>(
  operations: readonly Candidate[],
  taken: bigint,
  state: S,
  steps: Steps<S>,
): Candidate[] {
  const byKind = new Map<string, Candidate>()
  let end = Number.POSITIVE_INFINITY
  for (const candidate of operations) {
    const { operation } = candidate
    if (operation.from > end) break
    if ((taken & candidate.bit) !== 0n) continue
    end = Math.min(end, operation.to)
    const same = byKind.get(candidate.kind)
    if (!same || operation.to < same.operation.to) byKind.set(candidate.kind, candidate)
  }
  const found = [...byKind.values()].sort((a, b) => a.operation.to - b.operation.to)
  const fitting = found.find(({ operation }) => {
    return steps.isRead(operation) && stepTo(operation, state, steps)
  })
  return fitting ? [fitting] : found
}

/** The state and result behind an operation, if the result is the one it had. */
function stepTo<S>(operation: Operation, state: S, steps: Steps<S>): readonly [S] | undefined {
  const [after, result] = steps.after(state, operation)
  if (operation.outcome === 'info') {
    // Nobody saw it: it is only of use if it changes something.
    return steps.key(after) === steps.key(state) ? undefined : [after]
  }
  // JSON has no undefined.
  return isDeepStrictEqual(result ?? null, operation.result ?? null) ? [after] : undefined
}

/** Operations of the order that are told: the last ones. */
const TOLD = 5

function stuck<S>({ order, state, misfit }: Found<S>): string {
  const last = order.slice(-TOLD).map((operation) => `  ${told(operation)}`)
  const more = order.length > TOLD ? [`  … ${order.length - TOLD} before`] : []
  const lines = [...more, ...last, `  then it is ${short(state)}`]
  const what = misfit ? told(misfit) : 'its operations'
  return `no order explains ${what}\nthe longest that was found:\n${lines.join('\n')}`
}
