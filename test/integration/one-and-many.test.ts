import { describe, expect, it } from 'vitest'
import { findNatsServer } from '../../bus/index.ts'
import { oneAndMany } from '../kit/index.ts'
import { cut, sample, shared } from './rehome.ts'

const { judge, runOver, subjects } = oneAndMany
type Outcome = oneAndMany.Outcome

const ways = [['--bus', 'memory', '--placement', 'spread']]
if (findNatsServer()) ways.push(['--bus', 'nats', '--placement', 'aligned'])
else console.log('there is no nats-server: the memory bus alone')

/** The beginning of the sample. All of it, and all captures: npm run check:scale. */
const capture = cut(sample, 6_000)

describe.each(subjects(shared))('$nf on 1,3,2,4,1 instances', (subject) => {
  const one = runOver(subject, capture, '--scale', '1', '--bus', 'memory')

  it('does what it does on one', () => {
    for (const way of ways) {
      const many = runOver(subject, capture, '--scale', '1,3,2,4,1', ...way)
      const { results, different, faults } = judge(subject, capture, one, many)
      expect({ different, faults }, way.join(' ')).toEqual({ different: 0, faults: [] })
      expect(results).toBeGreaterThan(1)
    }
  })

  it('would not lose or alter a result unnoticed', () => {
    const wrong = subject.nf === 'nat' ? wrongFrames(one) : wrongLines(one)
    for (const [what, many] of Object.entries(wrong)) {
      const { different, faults } = judge(subject, capture, one, many)
      expect(different + faults.length, what).toBeGreaterThan(0)
    }
  })

  it('is not blamed for an instance that died', () => {
    const lost = { instances: 1, actors: 7, updates: 0 }
    const many = { ...one, text: '', report: { ...one.report, lost } }
    const { different, faults } = judge(subject, capture, one, many)
    expect(different).toBe(0)
    expect(faults.join()).toMatch(/1 instances .* taken for dead/)
  })
})

function wrongLines(one: Outcome): Record<string, Outcome> {
  const lines = one.text.split('\n').slice(0, -1)
  const of = (text: readonly string[]) => ({ ...one, text: `${text.join('\n')}\n` })
  return {
    'one is lost': of(lines.with(1, '').filter(Boolean)),
    'one is altered': of(lines.with(1, lines[1]!.replace(/\d/, 'x'))),
    'one is there twice': of([...lines, lines[1]!]),
    'two have changed places': of(lines.with(0, lines[1]!).with(1, lines[0]!)),
  }
}

function wrongFrames(one: Outcome): Record<string, Outcome> {
  const { frames } = one
  const of = (seen: Outcome['frames']) => ({ ...one, frames: seen })
  const altered = (at: number) => {
    const bytes = frames[9]!.bytes.slice()
    bytes[at]!++
    return of(frames.with(9, { ...frames[9]!, bytes }))
  }
  return {
    'one is lost': of(frames.filter((_, i) => i !== 9)),
    'one is there twice': of([...frames, frames[9]!]),
    'its address is altered': altered(29),
    'its port is altered': altered(35),
    'its checksum is altered': altered(25),
    'its payload is altered': altered(frames[9]!.bytes.length - 1),
    'another count': { ...one, text: one.text.replace('translated ', 'translated 1') },
  }
}
