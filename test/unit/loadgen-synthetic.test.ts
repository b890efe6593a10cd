import { describe, expect, it } from 'vitest'
import { parseSynthetic, Random, syntheticDefaults } from '../../loadgen/index.ts'

describe('the text form of synthetic traffic', () => {
  it('names settings, the others have their defaults', () => {
    expect(parseSynthetic('')).toEqual(syntheticDefaults)
    expect(parseSynthetic('flows=10000,packets=500000,seed=7')).toEqual({
      ...syntheticDefaults,
      flows: 10_000,
      packets: 500_000,
      seed: 7,
    })
    expect(parseSynthetic(' least = 1 , rate=20, payload=64-1400, ipv6=.5,')).toEqual({
      ...syntheticDefaults,
      least: 1,
      rate: 20,
      payload: [64, 1_400],
      ipv6: 0.5,
    })
    expect(parseSynthetic('payload=9').payload).toEqual([9, 9])
  })

  for (const [text, message] of [
    ['flows=0', '"flows=0": flows takes a whole number from 1 to 4000000'],
    ['seed=1,packets=many', '"packets=many": packets takes a whole number from 1 to'],
    ['packets=1.5', 'packets takes a whole number'],
    ['packets=-5', 'packets takes a whole number'],
    ['flowz=3', '"flowz=3": the settings are flows, packets, seed, least, rate, payload, ipv6'],
    ['toString=3', 'the settings are flows'],
    ['flows', '"flows": flows takes a whole number'],
    ['flows=3,flows=4', '"flows=4": flows is set twice'],
    ['payload=9-3', 'payload takes bytes, as 512 or 64-1400, up to 1440'],
    ['payload=1441', 'payload takes bytes'],
    ['ipv6=1.1', 'ipv6 takes a share from 0 to 1'],
    ['ipv6=', 'ipv6 takes a share from 0 to 1'],
    ['least=101', 'least takes a whole number from 1 to 100'],
  ] as const)
    it(`refuses ${text}`, () => {
      expect(() => parseSynthetic(text)).toThrow(message)
      expect(() => parseSynthetic(text)).toThrow(expect.objectContaining({ code: 'bad-argument' }))
    })
})

describe('Random', () => {
  it('is even in every bit, and other for other seeds', () => {
    const seen = new Set<number>()
    for (const seed of [0, 1, 2, 0xffffffff, 2 ** 32, 2 ** 40 + 1]) {
      const random = new Random(seed)
      seen.add(random.u32())
      const ones = new Array<number>(32).fill(0)
      for (let i = 0; i < 10_000; i++) {
        const word = random.u32()
        for (let bit = 0; bit < 32; bit++) ones[bit]! += (word >>> bit) & 1
      }
      for (const n of ones) expect(Math.abs(n - 5_000)).toBeLessThan(300)
    }
    expect(seen.size).toBe(6)
  })

  it('stays within its bounds', () => {
    const random = new Random(5)
    let sum = 0
    const counts = new Array<number>(10).fill(0)
    for (let i = 0; i < 100_000; i++) {
      counts[random.below(10)]!++
      sum += random.exponential(3)
    }
    for (const n of counts) expect(Math.abs(n - 10_000)).toBeLessThan(500)
    expect(sum / 100_000).toBeCloseTo(3, 1)
  })
})
