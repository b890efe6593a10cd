import { describe, expect, it } from 'vitest'
import { inMacrotask, settingsFor, Tally, Walk } from '../kit/index.ts'

/** A fresh slice each time; REHOME_SEED=S begins at S. */
const first = Number(process.env.REHOME_SEED ?? Date.now() % 2 ** 31)
const WALKS = 500
/** Whatever the machine does besides: the rest is left to the next run (ms). */
const TIME_MAX = 40_000

describe('random walks of the product under a virtual clock', () => {
  it('break no invariant, and reach every message, fault and transition', async () => {
    const tally = new Tally()
    const end = performance.now() + TIME_MAX
    for (let seed = first; seed < first + WALKS && performance.now() < end; seed++) {
      const walk = new Walk(settingsFor(seed))
      try {
        tally.add(await inMacrotask(() => walk.run()))
      } catch (error) {
        throw new Error(`npm run sim -- --seed ${seed} shows it again`, { cause: error })
      }
    }
    console.log(`walks: seeds ${first} to ${first + tally.seeds - 1}, no violation`)
    expect(tally.seeds).toBeGreaterThan(50)
    expect(tally.unreached).toEqual([])
  })

  it('run the same when their seed is the same', async () => {
    const run = () => inMacrotask(() => new Walk(settingsFor(first)).run())
    expect(await run()).toEqual(await run())
  })

  it('begin on the median with three instances and hundreds of calls', () => {
    const all = Array.from({ length: 99 }, (_, i) => settingsFor(i))
    const median = (of: (s: (typeof all)[number]) => number) =>
      all.map(of).sort((a, b) => a - b)[49]
    expect(median((s) => s.startInstances + s.joins)).toBeGreaterThanOrEqual(3)
    expect(median((s) => s.ops)).toBeGreaterThanOrEqual(200)
  })
})
