/**
 * What was done to actors and when, one event a line: it says when an operation began (`invoke`), and how it ended. `ok`
 * carries its result; `fail` did not run; `info` may have run, and so may an operation that never ended.
 * The events stand in the order in which they came.
 */
export interface HistoryEvent {
  /** Who did it: an instance, or a caller outside. */
  readonly process: number
  readonly type: 'invoke' | 'ok' | 'fail' | 'info'
  readonly f: string
  /** `type/key`. */
  readonly actor: string
  /** Of `invoke` the argument, of `ok` the result. */
  readonly value: unknown
  /** In ns, of one clock. */
  readonly time: number
  /** Tells apart what a process does at the same time: the same number on an operation's two events. */
  readonly op?: number
}

/** One operation of a history. */
export interface Operation {
  readonly process: number
  readonly f: string
  readonly actor: string
  readonly argument: unknown
  readonly result: unknown
  readonly outcome: 'ok' | 'fail' | 'info'
  /** Places of its events in the history; what never ended ends behind all others. */
  readonly from: number
  readonly to: number
  /** The same in ns. */
  readonly began: number
  readonly ended: number
}

/** Why a history did not pass. */
export type Finding =
  | 'malformed' // the history itself makes no sense
  | 'not-linearizable' // no order of the operations explains their results
  | 'out-of-steps' // the search was given up: nothing is known
  | 'lost' // an update that was made is not in
  | 'doubled' // an update is in that was not made, or more than once
  | 'too-old' // a stale value was older than its bound
  | 'backwards' // a reader saw a value go back

/** A history did not pass a check. What could not be decided did not pass either. */
export class CheckFailed extends Error {
  readonly finding: Finding
  readonly actor: string
  constructor(finding: Finding, actor: string, what: string) {
    super(`${finding}: ${actor === '' ? '' : `${actor}: `}${what}`)
    this.name = 'CheckFailed'
    this.finding = finding
    this.actor = actor
  }
}

/** The events of a text with one JSON object a line. */
export function parseHistory(text: string): HistoryEvent[] {
  const lines = text.split('\n').map((line, i) => ({ line, at: `line ${i + 1}` }))
  return lines
    .filter(({ line }) => line.trim() !== '')
    .map(({ line, at }) => {
      let event: unknown
      try {
        event = JSON.parse(line)
      } catch {
        throw new CheckFailed('malformed', '', `${at} is no JSON`)
      }
      if (!isEvent(event)) throw new CheckFailed('malformed', '', `${at} is no event: ${line}`)
      return event
    })
}

const TYPES: ReadonlySet<unknown> = new Set(['invoke', 'ok', 'fail', 'info'])

function isEvent(x: unknown): x is HistoryEvent {
  if (typeof x !== 'object' || x === null) return false
  const e = x as Partial<Record<keyof HistoryEvent, unknown>>
  const named = typeof e.f === 'string' && typeof e.actor === 'string' && TYPES.has(e.type)
  return named && Number.isInteger(e.process) && Number.isFinite(e.time)
}

/** Each operation with its two events put together, in the order in which they began. */
export function operations(history: readonly HistoryEvent[]): Operation[] {
  const done: { -readonly [N in keyof Operation]: Operation[N] }[] = []
  const open = new Map<string, number>()
  history.forEach((e, at) => {
    const name = e.op === undefined ? `${e.process} ${e.f} ${e.actor}` : `#${e.op}`
    const begun = open.get(name)
    if (e.type === 'invoke') {
      if (begun !== undefined) throw malformed(e, at, 'begins again before it has ended; give `op`')
      open.set(name, done.length)
      const { process, f, actor, value, time } = e
      const never = { to: Number.POSITIVE_INFINITY, ended: Number.POSITIVE_INFINITY }
      const ends = { result: undefined, outcome: 'info' as const, ...never }
      done.push({ process, f, actor, argument: value, ...ends, from: at, began: time })
      return
    }
    const operation = begun === undefined ? undefined : done[begun]
    if (!operation || operation.f !== e.f || operation.actor !== e.actor) {
      throw malformed(e, at, 'ends and has not begun')
    }
    open.delete(name)
    operation.outcome = e.type
    if (e.type === 'info') return // it may still take effect
    operation.result = e.value
    operation.to = at
    operation.ended = e.time
  })
  return done
}

function malformed(e: HistoryEvent, at: number, what: string): CheckFailed {
  return new CheckFailed('malformed', e.actor, `event ${at + 1}, ${e.f} of ${e.process}, ${what}`)
}

/** By actor, in the order in which the actors came up. */
export function byActor(all: readonly Operation[]): Map<string, Operation[]> {
  const actors = new Map<string, Operation[]>()
  for (const operation of all) {
    const own = actors.get(operation.actor)
    if (own) own.push(operation)
    else actors.set(operation.actor, [operation])
  }
  return actors
}

/** One operation, for people. */
export function told({ process, f, argument, result, outcome, began, ended }: Operation): string {
  const given = argument === null || argument === undefined ? '' : short(argument)
  const got = outcome === 'ok' ? short(result) : outcome
  const end = Number.isFinite(ended) ? ms(ended) : '…'
  return `${f}(${given}) → ${got} by ${process} at ${ms(began)}–${end} ms`
}

const ms = (ns: number) => (ns / 1e6).toFixed(2)

/** As JSON, cut where it gets long. */
export function short(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing'
  return text.length <= 80 ? text : `${text.slice(0, 79)}…`
}
