import {
  byActor,
  CheckFailed,
  type HistoryEvent,
  type Operation,
  operations,
  short,
  told,
} from './history.ts'

/** How `checkConservation` reads a history. */
export interface ConservationOptions {
  /** The `f` of the untethered updates: `ok` was made and must be in, `info` may be. */
  readonly update: string
  /** The `f` of the reads. The last one of each actor that began when all its updates had ended counts. */
  readonly read: string
  /** What an update adds; its argument if left out. */
  readonly amount?: (argument: unknown) => number
  /** What a read found: a sum, or the arguments of all updates; the result itself if left out. */
  readonly found?: (result: unknown) => number | readonly unknown[]
}

/**
 * Whether what was updated is in: each update once, those with `info` at most once. Where a read finds a list of the
 * updates' arguments (each is given once), it is compared one by one; where it finds a sum, by sums.
 */
export function checkConservation(history: readonly HistoryEvent[], o: ConservationOptions): void {
  for (const [actor, all] of byActor(operations(history))) {
    const updates = all.filter(({ f, outcome }) => f === o.update && outcome !== 'fail')
    if (updates.length === 0) continue
    const end = Math.max(...updates.map(({ from, to }) => (Number.isFinite(to) ? to : from)))
    const last = all.findLast(({ f, outcome, from }) => {
      return f === o.read && outcome === 'ok' && from > end
    })
    if (!last) {
      throw new CheckFailed(
        'malformed',
        actor,
        `no '${o.read}' began behind the last '${o.update}'`,
      )
    }
    const found = o.found ? o.found(last.result) : last.result
    if (Array.isArray(found)) compareOnes(actor, updates, found)
    else if (typeof found === 'number') compareSums(actor, updates, found, o.amount ?? Number)
    else throw new CheckFailed('malformed', actor, `${told(last)} is neither a sum nor a list`)
  }
}

function compareOnes(
  actor: string,
  updates: readonly Operation[],
  found: readonly unknown[],
): void {
  const times = new Map<string, number>()
  for (const one of found) times.set(nameOf(one), (times.get(nameOf(one)) ?? 0) + 1)
  for (const update of updates) {
    const name = nameOf(update.argument)
    const n = times.get(name) ?? 0
    times.delete(name)
    if (n > 1) throw new CheckFailed('doubled', actor, `${told(update)} is in ${n} times`)
    if (n === 0 && update.outcome === 'ok') {
      throw new CheckFailed('lost', actor, `${told(update)} is not in`)
    }
  }
  for (const name of times.keys()) {
    throw new CheckFailed('doubled', actor, `${name} is in, and nobody made it`)
  }
}

const nameOf = (argument: unknown) => JSON.stringify(argument) ?? ''

/** Sums that updates with `info` may make: more than these are not told apart. */
const SUMS_MAX = 100_000

function compareSums(
  actor: string,
  updates: readonly Operation[],
  found: number,
  amount: (argument: unknown) => number,
): void {
  let least = 0
  let sums = new Set([0])
  for (const { argument, outcome } of updates) {
    const x = amount(argument)
    if (outcome === 'ok') least += x
    else sums = new Set([...sums].flatMap((sum) => [sum, sum + x]))
    if (sums.size <= SUMS_MAX) continue
    const what = 'too many updates ended with info to tell which sums they may make'
    throw new CheckFailed('out-of-steps', actor, what)
  }
  if (sums.has(found - least)) return
  const most = Math.max(...sums)
  const range = most === 0 ? `${least}` : `${least} to ${least + most}`
  const what = `${updates.length} updates came to ${found}, not ${range}`
  throw new CheckFailed(found < least ? 'lost' : 'doubled', actor, what)
}

/** How `checkStale` reads a history; `withinMs` is the bound that is checked. */
export interface StaleOptions {
  /** The `f` of the stale reads. */
  readonly read: string
  readonly withinMs: number
  /** Other `f`s whose results tell the actor's version, once they have ended: plain calls, lookups. */
  readonly evidence?: readonly string[]
  /** A number that grows with each change of the actor, from a result; undefined: it tells nothing. */
  readonly version?: (result: unknown) => number | undefined
}

/**
 * Whether stale reads keep their bound: what any operation has seen by then is in each read that began `withinMs` later;
 * and one reader's later reads are never older than its earlier ones.
 */
export function checkStale(history: readonly HistoryEvent[], o: StaleOptions): void {
  const telling = new Set([o.read, ...(o.evidence ?? [])])
  const version = o.version ?? Number
  for (const [actor, all] of byActor(operations(history))) {
    const seen: Seen[] = []
    for (const operation of all) {
      const v = operation.outcome === 'ok' && telling.has(operation.f) && version(operation.result)
      if (typeof v !== 'number') continue
      if (Number.isNaN(v)) {
        throw new CheckFailed('malformed', actor, `${short(operation.result)} tells no version`)
      }
      seen.push({ operation, version: v })
    }
    const reads = seen.filter(({ operation }) => operation.f === o.read)
    checkAge(actor, reads, seen, o.withinMs)
    checkReaders(actor, reads)
  }
}

interface Seen {
  readonly operation: Operation
  readonly version: number
}

function checkAge(
  actor: string,
  reads: readonly Seen[],
  seen: readonly Seen[],
  withinMs: number,
): void {
  const byBegin = [...reads].sort((a, b) => a.operation.began - b.operation.began)
  const byEnd = [...seen].sort((a, b) => a.operation.ended - b.operation.ended)
  let newest: Seen | undefined
  let at = 0
  for (const read of byBegin) {
    const oldest = read.operation.began - withinMs * 1e6
    for (let s = byEnd[at]; s && s.operation.ended < oldest; s = byEnd[++at]) {
      if (!newest || s.version > newest.version) newest = s
    }
    if (!newest || newest.version <= read.version) continue
    const what = `${told(read.operation)}, and more than ${withinMs} ms before it ${told(newest.operation)}`
    throw new CheckFailed('too-old', actor, what)
  }
}

function checkReaders(actor: string, reads: readonly Seen[]): void {
  const byReader = new Map<number, Seen[]>()
  for (const read of reads) {
    const own = byReader.get(read.operation.process)
    if (own) own.push(read)
    else byReader.set(read.operation.process, [read])
  }
  for (const own of byReader.values()) {
    const byEnd = [...own].sort((a, b) => a.operation.to - b.operation.to)
    let newest: Seen | undefined
    let at = 0
    for (const read of own) {
      for (let s = byEnd[at]; s && s.operation.to < read.operation.from; s = byEnd[++at]) {
        if (!newest || s.version > newest.version) newest = s
      }
      if (!newest || newest.version <= read.version) continue
      const what = `${told(read.operation)}, and before it ${told(newest.operation)}`
      throw new CheckFailed('backwards', actor, what)
    }
  }
}
