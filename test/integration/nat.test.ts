import { describe, expect, it } from 'vitest'
import { findNatsServer } from '../../bus/index.ts'
import { nat } from '../kit/index.ts'
import { cut, sample } from './rehome.ts'

describe('nat over a capture, on 1,2,3,1 instances', () => {
  it('passes and drops what it does on one', () => {
    const ways = [['--bus', 'memory', '--placement', 'spread']]
    if (findNatsServer()) ways.push(['--bus', 'nats'])
    else console.log('there is no nats-server: the memory bus alone')
    // All of it, and all captures: npm run check:nat.
    for (const result of nat.overCapture(cut(sample, 6_000), ways)) {
      expect(result).toMatchObject({ different: 0, sameCounts: true, faults: [] })
      expect(result.passed).toBeGreaterThan(100)
    }
  })
})
