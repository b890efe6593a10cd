import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  CheckFailed,
  checkConservation,
  checkLinearizable,
  checkStale,
  type HistoryEvent,
  type Model,
  parseHistory,
} from '../kit/index.ts'

/** A register with a counter's way of changing it. */
const register: Model<number> = {
  initial: () => 0,
  reads: ['get'],
  steps: {
    add: (n, x: number) => [n + x, n + x],
    put: (_, x: number) => [x],
    get: (n) => [n, n],
  },
}

interface Done {
  readonly f: 'add' | 'put' | 'get'
  readonly x: number
  /** How long before its moment it begins, and how long behind it it ends; they overlap. */
  readonly before: number
  readonly after: number
  readonly end: 'ok' | 'info' | 'never' | 'fail'
}
const done: fc.Arbitrary<Done> = fc.record({
  f: fc.constantFrom('add', 'put', 'get'),
  x: fc.nat(9),
  before: fc.nat(40),
  after: fc.nat(40),
  end: fc.oneof(
    { weight: 8, arbitrary: fc.constant('ok' as const) },
    { weight: 1, arbitrary: fc.constantFrom('info' as const, 'never' as const, 'fail' as const) },
  ),
})

/** What callers would have written down of a run, one operation after the other, ten ticks apart. */
function historyOf(run: readonly Done[], actor = 'register/0'): HistoryEvent[] {
  let state = 0
  const events: HistoryEvent[] = []
  run.forEach(({ f, x, before, after, end }, i) => {
    const op = i
    const common = { process: i % 3, f, actor, op }
    const at = 10 * i
    events.push({ ...common, type: 'invoke', value: f === 'get' ? null : x, time: at - before })
    if (end !== 'fail') {
      const [next, result] = register.steps[f]!(state, x as never)
      state = next
      if (end === 'ok') {
        events.push({ ...common, type: 'ok', value: result ?? null, time: at + after })
      }
    }
    if (end !== 'ok' && end !== 'never') {
      events.push({ ...common, type: end, value: null, time: at + after })
    }
  })
  return events.sort(
    (a, b) => a.time - b.time || Number(b.type === 'invoke') - Number(a.type === 'invoke'),
  )
}

/** The same question answered by trying every order: for a few operations. */
function tryAll(history: readonly HistoryEvent[]): boolean {
  const ends = history.filter((e) => e.type !== 'invoke')
  const all = history
    .filter((e) => e.type === 'invoke')
    .map((begin) => ({ begin, end: ends.find((e) => e.op === begin.op) }))
    .filter(({ end }) => end?.type !== 'fail')
  type One = (typeof all)[number]
  const place = (e: HistoryEvent) => history.indexOf(e)
  const isBefore = (a: One, b: One) => a.end?.type === 'ok' && place(a.end) < place(b.begin)
  const go = (left: readonly One[], state: number): boolean => {
    if (left.every(({ end }) => end?.type !== 'ok')) return true
    return left.some((one) => {
      const rest = left.filter((other) => other !== one)
      if (rest.some((other) => isBefore(other, one))) return false
      const [next, result] = register.steps[one.begin.f]!(state, one.begin.value as never)
      if (one.end?.type === 'ok' && one.end.value !== (result ?? null)) return false
      return go(rest, next)
    })
  }
  return go(all, 0)
}

function findingOf(check: () => void): string {
  try {
    check()
    return 'passes'
  } catch (error) {
    if (error instanceof CheckFailed) return error.finding
    throw error
  }
}

describe('checkLinearizable', () => {
  it('passes what a run one after the other would have looked like to overlapping callers', () => {
    fc.assert(
      fc.property(fc.array(done, { maxLength: 60 }), fc.array(done, { maxLength: 20 }), (a, b) => {
        const second = historyOf(b, 'register/1').map((e) => ({ ...e, op: (e.op ?? 0) + 1000 }))
        checkLinearizable([...historyOf(a), ...second], register)
      }),
    )
  })

  it('says the same as trying every order, whatever the results', () => {
    const verdicts = { passes: 0, 'not-linearizable': 0 }
    // So many that nearly a third of the runs become wrong: with two it is one in eight, and some day fewer than asked below.
    const wrong = fc.array(fc.tuple(fc.nat(11), fc.nat(12)), { maxLength: 6 })
    fc.assert(
      fc.property(fc.array(done, { minLength: 1, maxLength: 6 }), wrong, (run, changes) => {
        const history = historyOf(run)
        for (const [at, value] of changes) {
          const event = history[at]
          if (event?.type === 'ok' && event.f !== 'put') history[at] = { ...event, value }
        }
        const verdict = findingOf(() => checkLinearizable(history, register))
        expect(verdict).toBe(tryAll(history) ? 'passes' : 'not-linearizable')
        verdicts[verdict as keyof typeof verdicts]++
      }),
      { numRuns: 1000 },
    )
    expect(Math.min(...Object.values(verdicts))).toBeGreaterThan(100)
  })

  it('a result that nothing explains is told with what came before it', () => {
    const run: Done[] = [1, 2, 3].map((x) => ({ f: 'add', x, before: 4, after: 4, end: 'ok' }))
    const history = historyOf(run)
    history[5] = { ...history[5]!, value: 7 }
    expect(() => checkLinearizable(history, register)).toThrow(
      'not-linearizable: register/0: no order explains add(3) → 7 by 2',
    )
  })

  it('a search that is given up is a failure of its own kind', () => {
    const run = Array.from(
      { length: 14 },
      (_, i): Done => ({ f: 'add', x: 2 ** i, before: 500, after: 500, end: 'ok' }),
    )
    const history = historyOf(run).map((e) => (e.type === 'ok' ? { ...e, value: 0 } : e))
    history.push({
      process: 9,
      f: 'get',
      actor: 'register/0',
      type: 'invoke',
      value: null,
      time: 1e6,
      op: 99,
    })
    const none: Model<number> = {
      initial: () => 0,
      steps: { add: (n, x: number) => [n + x, 0], get: (n) => [n, n] },
    }
    const last = { process: 9, f: 'get', actor: 'register/0', value: -1, time: 1e6, op: 99 }
    history.push({ ...last, type: 'ok' })
    const check = () => checkLinearizable(history, none, { stepsMax: 5000 })
    expect(findingOf(check)).toBe('out-of-steps')
  })
})

describe('a history as a file has it', () => {
  const lines = [
    '{"process":1,"type":"invoke","f":"get","actor":"n/1","value":null,"time":0}',
    '{"process":1,"type":"ok","f":"get","actor":"n/1","value":0,"time":5}',
  ]
  it('is read, with operations paired by their process', () => {
    checkLinearizable(parseHistory(`${lines.join('\n')}\n`), register)
  })
  it.each([
    ['no JSON', '{'],
    ['no event', '{"process":1}'],
    ['an end without a begin', lines[1]!],
    ['two begins that nothing tells apart', `${lines[0]}\n${lines[0]}`],
    ['an operation that the model does not have', lines.join('\n').replaceAll('get', 'steal')],
  ])('%s is malformed', (_what, text) => {
    expect(findingOf(() => checkLinearizable(parseHistory(text), register))).toBe('malformed')
  })
})

describe('checkConservation', () => {
  interface Made {
    readonly x: number
    readonly end: 'ok' | 'info'
    readonly ran: boolean
  }
  const made = fc.array(
    fc.record({
      x: fc.integer({ min: 1, max: 50 }),
      end: fc.constantFrom('ok' as const, 'ok' as const, 'ok' as const, 'info' as const),
      ran: fc.boolean(),
    }),
    { minLength: 1, maxLength: 12 },
  )
  const hasRun = ({ end, ran }: Made) => end === 'ok' || ran
  const history = (all: readonly Made[], found: unknown, ids = false): HistoryEvent[] => {
    const events = all.flatMap(({ x, end }, op): HistoryEvent[] => {
      const common = { process: 1, f: 'add', actor: 'sum/a', time: op, op }
      const value = ids ? op : x
      return [
        { ...common, type: 'invoke', value },
        { ...common, type: end, value: null },
      ]
    })
    const read = { process: 2, f: 'sum', actor: 'sum/a', time: 1000 }
    return [
      ...events,
      { ...read, type: 'invoke', value: null },
      { ...read, type: 'ok', value: found },
    ]
  }
  const sumOf = (all: readonly Made[]) => all.filter(hasRun).reduce((n, { x }) => n + x, 0)
  const idsOf = (all: readonly Made[]) => [...all.keys()].filter((i) => hasRun(all[i]!))
  const options = { update: 'add', read: 'sum' }

  it('passes sums and lists of what ran, whether info did or not', () => {
    fc.assert(
      fc.property(made, (all) => {
        checkConservation(history(all, sumOf(all)), options)
        checkConservation(history(all, idsOf(all).reverse(), true), options)
      }),
    )
  })

  it('finds what is lost, doubled, or made by nobody', () => {
    fc.assert(
      fc.property(made, fc.nat(11), (all, at) => {
        const ids = idsOf(all)
        const one = all.findIndex((m, i) => m.end === 'ok' && i >= at % all.length)
        const finding = (found: unknown, listed: boolean) =>
          findingOf(() => checkConservation(history(all, found, listed), options))
        if (one >= 0) {
          expect(
            finding(
              ids.filter((i) => i !== one),
              true,
            ),
          ).toBe('lost')
          expect(finding([...ids, one], true)).toBe('doubled')
        }
        expect(finding([...ids, 99], true)).toBe('doubled')
        const certain = all.filter(({ end }) => end === 'ok').reduce((n, { x }) => n + x, 0)
        expect(finding(certain - 1, false)).toBe('lost')
        expect(
          finding(
            all.reduce((n, { x }) => n + x, 1),
            false,
          ),
        ).toBe('doubled')
      }),
    )
  })

  it('wants a read behind the last update', () => {
    const early = history([{ x: 1, end: 'ok', ran: true }], 1).slice(0, 2)
    expect(findingOf(() => checkConservation(early, options))).toBe('malformed')
  })
})

describe('checkStale', () => {
  const WITHIN_MS = 20
  const options = { read: 'get', withinMs: WITHIN_MS, evidence: ['inc'] }
  /** A counter that goes up at its times, and readers that each see what it was some time ago, and never go back. */
  const run = fc.record({
    ups: fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 20 }),
    reads: fc.array(
      fc.record({
        reader: fc.nat(2),
        after: fc.integer({ min: 1, max: 10 }),
        age: fc.nat(WITHIN_MS),
      }),
      { minLength: 1, maxLength: 30 },
    ),
  })
  type Run = typeof run extends fc.Arbitrary<infer R> ? R : never
  const historyOfRun = ({ ups, reads }: Run): HistoryEvent[] => {
    const times = ups.map((_, i) => ups.slice(0, i + 1).reduce((a, b) => a + b, 0))
    const ms = (time: number) => time * 1e6
    let op = 0
    const both = (process: number, f: string, at: number, value: unknown): HistoryEvent[] => {
      const common = { process, f, actor: 'n/1', time: ms(at), op: ++op }
      return [
        { ...common, type: 'invoke', value: null },
        { ...common, type: 'ok', value },
      ]
    }
    const events = times.flatMap((at, i) => both(9, 'inc', at, i + 1))
    const newest = [0, 0, 0]
    let now = 0
    for (const { reader, after, age } of reads) {
      now += after
      const was = times.filter((at) => at <= now - age).length
      newest[reader] = Math.max(newest[reader]!, was)
      events.push(...both(reader, 'get', now + 0.5, newest[reader]))
    }
    return events.sort((a, b) => a.time - b.time || (a.op ?? 0) - (b.op ?? 0))
  }

  it('passes readers that keep the bound and never go back', () => {
    fc.assert(fc.property(run, (r) => checkStale(historyOfRun(r), options)))
  })

  it('finds a value that was over its bound, and one that went back', () => {
    const seen = { 'too-old': 0, backwards: 0, passes: 0 }
    fc.assert(
      fc.property(run, fc.nat(29), (r, at) => {
        const history = historyOfRun(r)
        const reads = history.filter((e) => e.type === 'ok' && e.f === 'get')
        const read = reads[at % reads.length]!
        const corrupted = history.map((e) => (e === read ? { ...e, value: 0 } : e))
        const finding = findingOf(() => checkStale(corrupted, options))
        const isLate = (e: HistoryEvent) => e.time < read.time - WITHIN_MS * 1e6
        const until = history
          .slice(0, history.indexOf(read))
          .filter((e) => e.type === 'ok' && e.value !== 0)
        const tooOld = until.some(isLate)
        const back = until.some((e) => e.process === read.process)
        expect(finding).toBe(tooOld ? 'too-old' : back ? 'backwards' : 'passes')
        seen[finding as keyof typeof seen]++
      }),
      { numRuns: 500 },
    )
    expect(Math.min(...Object.values(seen))).toBeGreaterThan(0)
  })
})
