/** The soak's checker sees each kind of violation; the history that it is held against is a right one with one thing wrong. */
import { expect, it } from 'vitest'
import { Checker, digestOf, type Line, type Round } from '../kit/soak/index.ts'

/** Two lives of an actor, a flow and a sum, as two processes (7 and 8) write them down. */
function history(): Line[] {
  const lines: Line[] = []
  let now = 1_000
  const t = () => {
    now += 10
    return now
  }
  const digests = new Map<string, number>()
  const turn = (actor: string, life: number, n: number, id: number, more: object = {}) => {
    const before = n === 1 ? 0 : digests.get(actor)!
    const digest = digestOf(before, id)
    digests.set(actor, digest)
    const line = { k: 'turn', t: t(), actor, life, n, digest, id, by: 7, seq: id, ...more }
    lines.push(line as Line)
    return { life, n, digest }
  }
  type Begin = Extract<Line, { k: 'begin' }>
  const asked = (id: number, f: Begin['f'], actor: string, run: () => unknown) => {
    lines.push({ k: 'begin', t: t(), id, by: 7, f, actor })
    const value = run() as null
    lines.push({ k: 'end', t: t(), id, by: 7, is: 'ok', value })
  }
  asked(1, 'append', 'multis/1', () => turn('multis/1', 500, 1, 1, { plain: true }))
  lines.push({ k: 'post', t: t(), id: 2, actor: 'multis/1' })
  const second = turn('multis/1', 500, 2, 2)
  asked(3, 'read', 'multis/1', () => second)
  asked(4, 'remove', 'multis/1', () => true)
  asked(5, 'read', 'multis/1', () => null)
  asked(6, 'append', 'multis/1', () => turn('multis/1', 600, 1, 6, { plain: true }))
  asked(8, 'packet', 'flows/1', () => turn('flows/1', 700, 1, 8, { by: 0, seq: 1 }))
  asked(10, 'packet', 'flows/1', () => turn('flows/1', 700, 2, 10, { by: 0, seq: 2 }))
  lines.push({ k: 'add', t: t(), id: 11, actor: 'sums/1', x: 3 })
  lines.push({ k: 'add', t: t(), id: 12, actor: 'sums/1', x: 4 })
  turn('sums/1', 800, 1, 0, { by: 0, seq: 0, x: 7 })
  asked(13, 'with', 'singles/1', () => turn('singles/1', 900, 1, 13))
  return lines
}

function roundOf(lines: Line[]): Round {
  const found = new Map<string, { life: number; n: number; digest: number; sum?: number }>()
  for (const line of history()) {
    if (line.k !== 'turn') continue
    const { life, n, digest, x } = line
    found.set(line.actor, { life, n, digest, ...(x === undefined ? {} : { sum: x }) })
  }
  return {
    lines,
    found,
    killed: new Map(),
    unheard: new Map(),
    sent: new Map([['flows/1', 2]]),
    withinNs: 5,
  }
}

function wrongs(change: (lines: Line[], round: Round) => void): string {
  const lines = history()
  const round = roundOf(lines)
  change(lines, round)
  const checker = new Checker()
  checker.check(round)
  return checker.violations.join('\n')
}

const isTurn = (id: number) => (line: Line) => line.k === 'turn' && line.id === id
const isEnd = (id: number) => (line: Line) => line.k === 'end' && line.id === id
function without(lines: Line[], which: (line: Line) => boolean): void {
  lines.splice(lines.findIndex(which), 1)
}
function changed(lines: Line[], which: (line: Line) => boolean, to: object): void {
  Object.assign(lines.find(which)!, to)
}

it('finds nothing wrong with a right history, nor with the quiet round after it', () => {
  const checker = new Checker()
  const round = roundOf(history())
  const figures = checker.check(round)
  expect(figures).toMatchObject({ turns: 7, operations: 8, reads: 2, removals: 1, updates: 3 })
  checker.check({ ...round, lines: [] })
  expect(checker.violations).toEqual([])
})

it.each<[string, RegExp, Parameters<typeof wrongs>[0]]>([
  ['a turn twice', /exactly once: 1 ran twice/, (l) => l.push(l.find(isTurn(1))!)],
  ['a turn missing', /nothing lost: update 2 .* never ran/, (l) => without(l, isTurn(2))],
  ['a call answered, not run', /answered, and never ran/, (l) => without(l, isTurn(6))],
  [
    'a call that failed for sure, and ran',
    /ran, and was answered fail/,
    (l) => changed(l, isEnd(1), { is: 'fail' }),
  ],
  [
    'a turn that nobody asked for',
    /92 ran on multis\/2, and nobody asked/,
    (l) => {
      const asked = { k: 'turn', t: 9_000, actor: 'multis/2', id: 92, by: 9, seq: 1 } as const
      l.push({ ...asked, life: 9_000, n: 1, digest: digestOf(0, 92) })
    },
  ],
  ['another answer', /what it did not make/, (l) => changed(l, isEnd(13), { value: { n: 5 } })],
  ['too late a turn', /nobody waited for it/, (l) => changed(l, isTurn(13), { t: 9_999 })],
  ['a call without an end', /converges: append 6/, (l) => without(l, isEnd(6))],
  [
    'a turn on an old state',
    /one home: .* when there had been 1/,
    (l) => changed(l, isTurn(2), { n: 1 }),
  ],
  ['another state', /same state: .* differs/, (l) => changed(l, isTurn(2), { digest: 5 })],
  [
    'two lives at once',
    /one home: .* before one that it follows/,
    (l) => changed(l, isTurn(2), { t: 1_500 }),
  ],
  [
    'a life without an end',
    /is gone, and nobody removed/,
    (l) => changed(l, isEnd(4), { value: false }),
  ],
  [
    'a removal of nothing',
    /removed 1 times more/,
    (l) => {
      l.push({ k: 'begin', t: 9_000, id: 91, by: 7, f: 'remove', actor: 'multis/1' })
      l.push({ k: 'end', t: 9_010, id: 91, by: 7, is: 'ok', value: true })
    },
  ],
  ['a flow out of order', /in order: flows\/1 had 10/, (l) => changed(l, isTurn(8), { seq: 3 })],
  ['a packet without a turn', /1 turns for 2 packets/, (l) => without(l, isTurn(8))],
  [
    'an update lost in merging',
    /given 8 and got 7/,
    (l) => changed(l, (x) => x.k === 'add', { x: 4 }),
  ],
  ['an old value', /bounded: read 3 saw/, (l) => changed(l, isEnd(3), { value: null })],
  [
    'a value that goes back',
    /bounded: .* go back/,
    (l, r) => {
      const { t, life, n, digest } = l.find(isTurn(1)) as Extract<Line, { k: 'turn' }>
      const at = (l.find(isEnd(3)) as { t: number }).t
      l.push({ k: 'begin', t: at + 1, id: 90, by: 7, f: 'read', actor: 'multis/1' })
      l.push({ k: 'end', t: at + 2, id: 90, by: 7, is: 'ok', value: { life, n, digest } })
      Object.assign(r, { withinNs: at - t })
    },
  ],
  [
    'another end',
    /same state: singles\/1 ends/,
    (_, r) => changed([r.found.get('singles/1') as never], () => true, { n: 4 }),
  ],
  [
    'another sum',
    /N = 1: sums\/1 ends as 9/,
    (_, r) => changed([r.found.get('sums/1') as never], () => true, { sum: 9 }),
  ],
])('sees %s', (_name, says, change) => {
  expect(wrongs(change)).toMatch(says)
})
