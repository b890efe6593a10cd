import { describe, expect, it } from 'vitest'
import {
  inMacrotask,
  mutantNamed,
  parseScript,
  scriptFor,
  settingsFor,
  shrink,
  Tally,
  textOf,
  violationOf,
  Walk,
  type WalkReport,
} from '../kit/index.ts'

/** A fresh slice each time; REHOME_SEED=S begins at S. */
const first = Number(process.env.REHOME_SEED ?? Date.now() % 2 ** 31)
const WALKS = 2000
/** Whatever the machine does besides (ms). */
const TIME_MAX = 600_000

describe('random walks of the product under a virtual clock', () => {
  it(
    'break no invariant, and reach every message, fault and transition',
    async () => {
      console.log(`walks: seeds ${first} to ${first + WALKS - 1}`)
      const tally = new Tally()
      const reports: WalkReport[] = []
      for (let seed = first; seed < first + WALKS; seed++) {
        const walk = new Walk(settingsFor(seed))
        try {
          const report = await inMacrotask(() => walk.run())
          tally.add(report)
          reports.push(report)
        } catch (error) {
          throw new Error(`npm run sim -- --seed ${seed} shows it again`, { cause: error })
        }
      }
      expect(tally.unreached).toEqual([])
      const median = (of: (r: WalkReport) => number) =>
        reports.map(of).sort((a, b) => a - b)[WALKS >> 1]
      expect(median(({ faults }) => faults.joins ?? 0)).toBeGreaterThanOrEqual(3)
      expect(median(({ faults }) => faults.overlaps ?? 0)).toBeGreaterThanOrEqual(2)
      expect(median(({ transitions }) => transitions.calls ?? 0)).toBeGreaterThanOrEqual(200)
    },
    TIME_MAX,
  )

  it('run the same when their seed is the same', async () => {
    const run = () => inMacrotask(() => new Walk(settingsFor(first)).run())
    expect(await run()).toEqual(await run())
  })
})

describe('the script of a walk that breaks an invariant', () => {
  const mutant = mutantNamed('own-by-view')

  it('is made short, and is written and read again as it is', async () => {
    const whole = scriptFor(settingsFor(3))
    const { short, seen, again } = await inMacrotask(() => {
      const found = shrink(whole, mutant, { ms: 20_000, now: () => performance.now() })
      const read = parseScript(textOf(found))
      return { short: found, seen: violationOf(whole, mutant), again: violationOf(read, mutant) }
    })
    expect(seen).toBe('one home')
    expect(again).toBe(seen)
    expect(short.entries.length).toBeLessThanOrEqual(6)
    expect(textOf(parseScript(textOf(short)))).toBe(textOf(short))
  })

  it('breaks none when no rule is left out', async () => {
    const script = scriptFor(settingsFor(3))
    expect(await inMacrotask(() => violationOf(script))).toBeUndefined()
  })
})
