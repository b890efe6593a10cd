import { createHistogram } from 'node:perf_hooks'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { ByteReader, ByteWriter } from '../../bus/index.ts'
import { Latency } from '../../loadgen/index.ts'

/** In ns, from nothing to four minutes, evenly over the powers of ten. */
const sample = fc.tuple(fc.nat(11), fc.integer({ min: 1, max: 99 })).map(([e, m]) => {
  return Math.min(Math.round(10 ** (e - 2) * m), 240_000_000_000)
})
const samples = fc.array(sample, { minLength: 1, maxLength: 300 })
const percents = [0, 1, 25, 50, 90, 99, 99.9, 100]

function recorded(ns: readonly number[]): Latency {
  const latency = new Latency()
  for (const value of ns) latency.record(value / 1000)
  return latency
}

const same = (a: Latency, b: Latency) => {
  expect(b.summary()).toEqual(a.summary())
  expect(b.count).toBe(a.count)
  for (const percent of percents) expect(b.percentile(percent)).toBe(a.percentile(percent))
}

it('reads a percentile off that is not too low and at most 1/128 (or 1/16 µs) too high', () => {
  fc.assert(
    fc.property(samples, (ns) => {
      const latency = recorded(ns)
      const sorted = ns.toSorted((a, b) => a - b)
      for (const percent of percents) {
        const rank = Math.max(1, Math.ceil((ns.length * percent) / 100))
        const exact = sorted[rank - 1]! / 1000
        expect(latency.percentile(percent)).toBeGreaterThanOrEqual(exact)
        expect(latency.percentile(percent)).toBeLessThanOrEqual(
          exact + Math.max(exact / 128, 1 / 16),
        )
      }
      expect(latency.summary().max).toBe(sorted.at(-1)! / 1000)
    }),
  )
})

it("agrees with the runtime's own histogram", () => {
  fc.assert(
    fc.property(samples, (ns) => {
      const latency = recorded(ns)
      const library = createHistogram({ lowest: 1, highest: 250_000_000_000, figures: 3 })
      for (const value of ns) library.record(Math.max(1, value))
      for (let rank = 1; rank <= ns.length; rank++) {
        // The library rounds a rank to the nearest, we round up: both mean this one.
        const percent = ((rank - 0.25) / ns.length) * 100
        const theirs = library.percentile(percent) / 1000
        const off = Math.abs(latency.percentile(percent) - theirs)
        expect(off).toBeLessThanOrEqual(Math.max(theirs / 100, 1 / 16))
      }
    }),
  )
})

it('merges to what one histogram of all would be', () => {
  fc.assert(
    fc.property(fc.array(samples, { maxLength: 5 }), (parts) => {
      const merged = new Latency()
      for (const part of parts) merged.merge(recorded(part))
      same(recorded(parts.flat()), merged)
    }),
  )
})

it('is the same after it was sent', () => {
  fc.assert(
    fc.property(fc.array(sample), (ns) => {
      const writer = new ByteWriter()
      const latency = recorded(ns)
      latency.encode(writer)
      same(latency, Latency.decode(new ByteReader(writer.take())))
    }),
  )
})

it('refuses forged bytes', () => {
  const writer = new ByteWriter()
  recorded([5_000, 7_000_000]).encode(writer)
  const bytes = writer.take()
  fc.assert(
    fc.property(fc.nat(bytes.length - 1), fc.nat(255), fc.boolean(), (at, value, cut) => {
      const forged = cut ? bytes.slice(0, at) : bytes.slice()
      if (!cut) forged[at] = value
      try {
        const latency = Latency.decode(new ByteReader(forged))
        expect(latency.count).toBeGreaterThanOrEqual(0)
      } catch (error) {
        expect(error).toMatchObject({ name: 'RehomeError', code: 'bad-frame' })
      }
    }),
  )
})

it('starts at nothing, and again after a reset', () => {
  const latency = new Latency()
  expect(latency.summary()).toEqual({ p50: 0, p99: 0, p999: 0, max: 0 })
  latency.record(-3)
  latency.record(1e12)
  expect(latency.count).toBe(2)
  latency.reset()
  same(new Latency(), latency)
})
