import { describe, expect, it } from 'vitest'
import {
  CheckFailed,
  checkWalkHistory,
  type HistoryEvent,
  inMacrotask,
  leftovers,
  settingsFor,
  Walk,
} from '../kit/index.ts'

/** A fresh slice each time; REHOME_SEED=S begins at S. */
const first = Number(process.env.REHOME_SEED ?? Date.now() % 2 ** 31)
const WALKS = 100
const WALKS_LEAST = 8
/** Whatever the machine does besides: the rest is left to the next run (ms). */
const TIME_MAX = 8_000
/** Until acknowledgements and grants are through as well (virtual ms). */
const REST_MS = 1000

/** What a crash may have ended, and nobody heard of, multiplies the orders that are to be tried. */
const OPERATIONS_MAX = 80

async function walked(seed: number, crashes = 0): Promise<{ walk: Walk; history: HistoryEvent[] }> {
  const own = settingsFor(seed)
  const ops = crashes > 0 ? Math.min(own.ops, OPERATIONS_MAX) : own.ops
  const walk = new Walk({ ...own, ops, crashes, model: 'shared' })
  const history: HistoryEvent[] = []
  walk.operations.onHistory = (event) => history.push(event)
  await inMacrotask(() => {
    walk.run()
    walk.cluster.pass(REST_MS)
  })
  return { walk, history }
}

describe('walks, once they are over', () => {
  it('have histories that anybody may check, and leave nothing behind', async () => {
    const end = performance.now() + TIME_MAX
    let seed = first
    let events = 0
    const isDue = () => seed < first + WALKS_LEAST || performance.now() < end
    for (; seed < first + WALKS && isDue(); seed++) {
      const { walk, history } = await walked(seed)
      try {
        checkWalkHistory(history)
      } catch (error) {
        throw new Error(`REHOME_SEED=${seed} shows it again`, { cause: error })
      }
      events += history.length
      const bodies = walk.cluster.active.map(({ entered }) => entered!.body)
      for (const body of [...bodies, walk.cluster.source]) {
        expect(leftovers(body), `REHOME_SEED=${seed}`).toEqual([])
      }
    }
    console.log(`histories: seeds ${first} to ${seed - 1}, ${events} events`)
  })

  it('have such histories too where instances crash', async () => {
    const end = performance.now() + TIME_MAX / 2
    let seed = first
    const isDue = () => seed < first + WALKS_LEAST || performance.now() < end
    for (; seed < first + WALKS && isDue(); seed++) {
      const { history } = await walked(seed, 1 + (seed % 3))
      try {
        checkWalkHistory(history, true)
      } catch (error) {
        throw new Error(`REHOME_SEED=${seed} shows it again`, { cause: error })
      }
    }
    console.log(`histories with crashes: seeds ${first} to ${seed - 1}`)
  })

  it('a history with one wrong result does not pass', async () => {
    const { history } = await walked(first)
    const isTelling = (e: HistoryEvent) => e.type === 'ok' && typeof e.value === 'number'
    const telling = history.filter((e) => isTelling(e) && e.f !== 'collect')
    for (let i = 0; i < telling.length; i += 10) {
      const e = telling[i]!
      const wrong = history.map((x) => (x === e ? { ...e, value: Number(e.value) + 1 } : x))
      expect(() => checkWalkHistory(wrong)).toThrow(CheckFailed)
    }
  })
})
