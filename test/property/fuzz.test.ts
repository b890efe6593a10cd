/** A slice of `npm run fuzz`, from a seed of its own; and the runner shown to see what fails. */
import { describe, expect, it } from 'vitest'
import { type FuzzOptions, fuzz, fuzzTargets } from '../kit/fuzz/index.ts'

const COUNTS: Record<string, number> = {
  frames: 500,
  views: 1_500,
  packets: 30_000,
  captures: 500,
  rules: 300,
  signatures: 60,
  configs: 400,
  prads: 5_000,
  ids: 3_000,
  nat: 5_000,
}

const options = (seed: number, count: number): FuzzOptions => ({
  seed,
  count,
  now: () => performance.now(),
  until: Number.POSITIVE_INFINITY,
  cpu: () => 0,
  heapMb: () => process.memoryUsage().heapUsed / 2 ** 20,
})

describe('inputs that are nearly right', () => {
  it.each(fuzzTargets.map((t) => [t.name, t] as const))('%s', async (name, target) => {
    const seed = Date.now() % 1e6
    const report = await fuzz(target, options(seed, COUNTS[name]!))
    expect(report.failure, `npm run fuzz -- --target ${name} --seed ${seed}`).toBe(undefined)
    expect(report.inputs).toBe(COUNTS[name])
    expect(report.passed / report.inputs, 'past the first decoder').toBeGreaterThanOrEqual(0.5)
  })
})

it('tells a failing input by the seed and the count that make it again', async () => {
  const target = {
    name: 'brittle',
    block: 100,
    begin: (random: { below(n: number): number }) => ({
      once: () => {
        if (random.below(150) === 7) throw new Error('seven')
        return true
      },
    }),
  }
  const { failure } = await fuzz(target, options(5, 10_000))
  expect(failure?.why).toContain('seven')
  const again = await fuzz(target, options(failure!.seed, failure!.count))
  expect(again.failure).toMatchObject({ seed: failure!.seed, count: failure!.count })
  const before = await fuzz(target, options(failure!.seed, failure!.count - 1))
  expect(before.failure).toBe(undefined)
})
