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
  /** Says when two states are the same; JSON if left out. */
  key?(state: S): string
}

/** States and operations tried for one actor before the search is given up. */
const STEPS_MAX = 2_000_000

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
    const found = search(tried, model.initial(actor), steps, stepsMax)
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

  key(state: S): string {
    return this.model.key?.(state) ?? JSON.stringify(state) ?? ''
  }
}

interface Link {
  before: Link | undefined
  next: Entry | undefined
}
/** A begin or an end in the list of what is not in the order yet. */
interface Entry extends Link {
  readonly operation: Operation
  readonly bit: bigint
  readonly isEnd: boolean
  /** A begin's end; none if it never ended. */
  end: Entry | undefined
}

interface Found<S> {
  readonly verdict: 'linearizable' | 'not-linearizable' | 'out-of-steps'
  /** The longest order that was found, its state, and the operation that fits nowhere behind it. */
  readonly order: readonly Operation[]
  readonly state: S
  readonly misfit: Operation | undefined
}

/**
 * Takes operations into the order one by one, each only before the first end of those that are not in it, and takes
 * them out again where there is no way on (Wing & Gong). A set of operations that has been taken before with
 * the same state is not tried again (Lowe).
 */
function search<S>(
  all: readonly Operation[],
  initial: S,
  steps: Steps<S>,
  stepsMax: number,
): Found<S> {
  const head = entriesOf(all)
  const seen = new Set<string>()
  const order: { entry: Entry; state: S }[] = []
  let best: Pick<Found<S>, 'order' | 'state' | 'misfit'> = {
    order: [],
    state: initial,
    misfit: undefined,
  }
  let taken = 0n
  let state = initial
  let left = all.filter(({ outcome }) => outcome === 'ok').length
  let entry = head.next
  for (let tried = 0; left > 0; tried++) {
    if (tried > stepsMax) return { verdict: 'out-of-steps', ...best }
    if (entry && !entry.isEnd) {
      const after = stepTo(entry.operation, state, steps)
      const key = after && `${(taken | entry.bit).toString(36)} ${steps.key(after[0])}`
      if (!after || key === undefined || seen.has(key)) {
        entry = entry.next
        continue
      }
      seen.add(key)
      order.push({ entry, state })
      state = after[0]
      taken |= entry.bit
      if (entry.operation.outcome === 'ok') left--
      lift(entry)
      entry = head.next
      continue
    }
    // An end: its operation should have been in the order by now.
    if (order.length >= best.order.length && entry) {
      const operations = order.map((o) => o.entry.operation)
      best = { order: operations, state, misfit: entry.operation }
    }
    const last = order.pop()
    if (!last) return { verdict: 'not-linearizable', ...best }
    state = last.state
    taken ^= last.entry.bit
    if (last.entry.operation.outcome === 'ok') left++
    putBack(last.entry)
    entry = last.entry.next
  }
  return { verdict: 'linearizable', ...best }
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

function entriesOf(all: readonly Operation[]): Link {
  const places: { at: number; entry: Entry }[] = []
  all.forEach((operation, i) => {
    const links = { end: undefined, before: undefined, next: undefined }
    const call: Entry = { operation, bit: 1n << BigInt(i), isEnd: false, ...links }
    places.push({ at: operation.from, entry: call })
    if (operation.outcome !== 'ok') return
    call.end = { operation, bit: 0n, isEnd: true, ...links }
    places.push({ at: operation.to, entry: call.end })
  })
  const head: Link = { before: undefined, next: undefined }
  let last = head
  for (const { entry } of places.sort((a, b) => a.at - b.at)) {
    last.next = entry
    entry.before = last
    last = entry
  }
  return head
}

/** Takes an operation's begin and end out of the list. Both keep their places, to be put back in the opposite order. */
function lift(call: Entry): void {
  unlink(call)
  if (call.end) unlink(call.end)
}
function unlink(entry: Entry): void {
  if (entry.before) entry.before.next = entry.next
  if (entry.next) entry.next.before = entry.before
}
function putBack(call: Entry): void {
  if (call.end) link(call.end)
  link(call)
}
function link(entry: Entry): void {
  if (entry.before) entry.before.next = entry
  if (entry.next) entry.next.before = entry
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
