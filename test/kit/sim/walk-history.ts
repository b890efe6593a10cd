import { checkConservation, checkStale } from '../history/checks.ts'
import type { HistoryEvent } from '../history/history.ts'
import { checkLinearizable, type Model } from '../history/linearizable.ts'
import type { Logged } from './oracle.ts'
import { WITHIN_MS } from './walk-nf.ts'

type Log = readonly number[]

const logged = (log: Log, id: number) => [[...log, id], log.at(-1) ?? 0] as const

/** An actor of a walk is its log; one that is not there has none. */
const model: Model<Log> = {
  initial: () => [],
  reads: ['lookup', 'collect'],
  key: (log) => log.join(),
  steps: {
    with: logged,
    append: logged,
    post: logged,
    packet: logged,
    ifPresent: (log, id: number) => (log.length === 0 ? [log] : logged(log, id)),
    remove: (log) => [[], log.length > 0],
    lost: () => [[]],
    lookup: (log) => [log, log],
    collect: (log) => [log, log],
  },
}

/**
 * The history of a walk, by the checkers that anybody's history is checked by: they know less than the oracle, and they
 * are not in the walk.
 */
export function checkWalkHistory(history: readonly HistoryEvent[], crashed = false): void {
  const sums = history.filter(({ actor }) => actor.startsWith('sums/'))
  // What a crash took of a sum, and of the updates on their way to it, is in no history.
  if (!crashed) checkConservation(sums, { update: 'add', read: 'collect' })
  const logs = history.filter(({ actor }) => !actor.startsWith('sums/'))
  const plain = logs.filter(({ f }) => f !== 'stale')
  checkLinearizable(plain.map(withoutLife), model)
  const version = (result: unknown) => {
    const { life, log } = (result ?? NOTHING) as Logged
    return life === 0 ? undefined : life * LOG_MAX + log.length
  }
  const seen = logs.filter(({ f }) => f === 'stale' || f === 'lookup' || f === 'collect')
  const evidence = ['lookup', 'collect']
  checkStale(seen, { read: 'stale', withinMs: WITHIN_MS, evidence, version })
}

const NOTHING: Logged = { life: 0, log: [] }
/** More than any log of a walk has, so that a later life has a higher version. */
const LOG_MAX = 1e6

/** Lives are the oracle's; who reads an absent actor gets an empty log, or none. */
function withoutLife(e: HistoryEvent): HistoryEvent {
  if (e.type !== 'ok' || (e.f !== 'lookup' && e.f !== 'collect')) return e
  return { ...e, value: ((e.value ?? NOTHING) as Logged).log }
}
