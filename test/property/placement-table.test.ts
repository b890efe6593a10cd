import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { MemberNo } from '../../bus/index.ts'
import {
  decodeView,
  encodeView,
  firstView,
  type JoinInfo,
  movesDue,
  type Role,
  rebalanced,
  type Settled,
  type View,
  withLeaving,
  withMember,
  without,
  withoutCrashed,
} from '../../placement/index.ts'

const info = (id: string, role: Role = 'instance'): JoinInfo => ({
  id,
  role,
  protocol: 1,
  schema: 's',
})
const everybody = (view: View) => new Map(view.members.map((m) => [m.no, view.epoch]))
const movedBetween = (a: View, b: View) => a.owner.reduce((n, no, s) => n + +(no !== b.owner[s]), 0)

function ensure(holds: boolean, what: string): asserts holds {
  if (!holds) throw new Error(what)
}

/** Dumb and slow: tries every balanced table, and says how many slots the nearest one moves. */
function leastMoves(view: View): number {
  const active = view.activeInstances().map((m) => m.no)
  const slots = view.owner.length
  const low = Math.floor(slots / active.length)
  const high = Math.ceil(slots / active.length)
  let best = slots
  const tryFrom = (slot: number, counts: Map<MemberNo, number>, moves: number): void => {
    if (moves >= best) return
    if (slot === slots) {
      if (active.every((no) => (counts.get(no) ?? 0) >= low)) best = moves
      return
    }
    for (const no of active) {
      const count = (counts.get(no) ?? 0) + 1
      if (count > high) continue
      tryFrom(slot + 1, new Map(counts).set(no, count), moves + +(no !== view.owner[slot]))
    }
  }
  tryFrom(0, new Map(), 0)
  return best
}

/** Less dumb, for full tables: tries who gets the odd slots, and counts what each has over. */
function leastMovesByCounts(view: View): number {
  const active = view.activeInstances().map((m) => view.slotsOf(m.no).length)
  const low = Math.floor(view.owner.length / active.length)
  const odd = view.owner.length % active.length
  const foreign = view.owner.length - active.reduce((a, b) => a + b, 0)
  let best = view.owner.length
  for (let chosen = 0; chosen < 1 << active.length; chosen++) {
    const high = active.map((_, i) => (chosen >> i) & 1)
    if (high.reduce((a, b) => a + b, 0) !== odd) continue
    const over = active.map((count, i) => Math.max(0, count - low - high[i]!))
    best = Math.min(best, foreign + over.reduce((a, b) => a + b, 0))
  }
  return best
}

interface Person {
  view: View
  alive: boolean
  readonly tokens: Set<number>
}

/**
 * A cluster whose members take views, PULL tokens and report, each at its own pace, as the runtime will: what
 * a view promises is checked against where the tokens are.
 */
class Cluster {
  view: View
  readonly people = new Map<MemberNo, Person>()
  settled = new Map<MemberNo, number>()
  /** What a proposer may still have for `settled`. */
  private outdated = new Map<MemberNo, number>()
  private readonly slotBits: number

  constructor(slotBits: number) {
    this.slotBits = slotBits
    this.view = firstView(info('m1'), slotBits)
    this.people.set(1, { view: this.view, alive: true, tokens: new Set() })
  }

  /** The alive members, rising; `n` picks one. */
  pick(n: number): MemberNo | undefined {
    const alive = [...this.people].filter(([, p]) => p.alive).map(([no]) => no)
    return alive[n % alive.length]
  }
  private known(stale: boolean): Map<MemberNo, number> {
    if (!stale) this.outdated = new Map(this.settled)
    return this.outdated
  }

  join(role: Role, stale: boolean): void {
    const settled = this.known(stale)
    const no = this.view.nextNo
    this.follow(withMember(this.view, info(`m${no}`, role), settled), settled)
    this.people.set(no, { view: this.view, alive: true, tokens: new Set() })
  }
  leave(no: MemberNo, stale: boolean): void {
    const settled = this.known(stale)
    this.follow(withLeaving(this.view, no, settled), settled)
  }
  rebalance(stale: boolean): boolean {
    const settled = this.known(stale)
    const next = rebalanced(this.view, settled)
    this.follow(next, settled)
    return next !== undefined
  }
  crash(no: MemberNo): void {
    this.people.get(no)!.alive = false
    this.people.get(no)!.tokens.clear()
  }
  /** Somebody has noticed a crash, or a leaver has said BYE. */
  takeOut(no: MemberNo, stale: boolean): boolean {
    const person = this.people.get(no)!
    const member = this.view.memberOf(no)
    if (!member) return false
    const idle = this.view.slotsOf(no).length === 0 && person.tokens.size === 0
    const last = this.view.activeInstances().length === 0
    if (person.alive && !(member.state === 'leaving' && (idle || last))) return false
    const settled = this.known(stale)
    const crashed = (v: View, n: MemberNo, s: Settled) => withoutCrashed(v, n, 1, s)
    const next = person.alive ? without : crashed
    this.follow(next(this.view, no, settled), settled)
    this.crash(no)
    return true
  }

  adopt(no: MemberNo): void {
    const person = this.people.get(no)!
    if (person.view === this.view) return
    person.view = this.view
    for (const slot of person.tokens)
      if (this.view.owner[slot] !== no && this.view.holder[slot] !== no) person.tokens.delete(slot)
  }
  /** Gets one token that it lacks, the `n`-th. */
  pull(no: MemberNo, n: number): void {
    const { view, tokens } = this.people.get(no)!
    const lacking = view.slotsOf(no).filter((s) => !tokens.has(s))
    const slot = lacking[n % lacking.length]
    if (slot !== undefined) this.pullSlot(no, slot)
  }
  pullAll(no: MemberNo): void {
    const { view, tokens } = this.people.get(no)!
    for (const slot of view.slotsOf(no)) if (!tokens.has(slot)) this.pullSlot(no, slot)
  }
  private pullSlot(no: MemberNo, slot: number): void {
    const { view, tokens } = this.people.get(no)!
    const from = view.holder[slot]!
    if (from === no) return this.makeAfresh(no, slot)
    const holder = this.people.get(from)!
    if (!holder.alive) return
    if (holder.view.epoch < view.epoch) this.adopt(from)
    ensure(holder.tokens.delete(slot), `PULL of slot ${slot} from ${from}, which has no token`)
    tokens.add(slot)
  }
  /** A lost token is made again once everybody alive has the view and so has dropped what it had of the slot. */
  private makeAfresh(no: MemberNo, slot: number): void {
    for (const other of this.view.members)
      if (this.people.get(other.no)!.alive) this.adopt(other.no)
    const { view, tokens } = this.people.get(no)!
    if (view.owner[slot] !== no) return
    for (const [who, p] of this.people)
      ensure(!p.tokens.has(slot), `slot ${slot} is made afresh at ${no}, but is at ${who}`)
    tokens.add(slot)
  }
  report(no: MemberNo): void {
    const { view, tokens } = this.people.get(no)!
    if (view.slotsOf(no).every((s) => tokens.has(s))) this.settled.set(no, view.epoch)
  }

  private follow(next: View | undefined, settled: Map<MemberNo, number>): void {
    if (!next) return
    const last = this.view
    ensure(next.epoch === last.epoch + 1, 'epochs go up by one')
    for (let s = 0; s < next.owner.length; s++) this.checkSlot(s, last, next, settled)
    const bytes = encodeView(next)
    ensure(Buffer.compare(encodeView(decodeView(bytes)), bytes) === 0, 'the codec changes a view')
    this.view = next
  }
  private checkSlot(s: number, last: View, next: View, settled: Map<MemberNo, number>): void {
    const [was, is, holder] = [last.owner[s]!, next.owner[s]!, next.holder[s]!]
    if (was === is) {
      ensure(next.since[s] === last.since[s], `slot ${s} stays, but "since" changes`)
      ensure(holder === is || holder === last.holder[s], `slot ${s} gets a holder from nowhere`)
      const before = last.holder[s]!
      if (holder !== before && next.memberOf(before)) {
        const person = this.people.get(is)!
        ensure(!person.alive || person.tokens.has(s), `slot ${s} is not settled with ${is} yet`)
      }
    } else if (next.memberOf(was)) {
      const epoch = settled.get(was) ?? -1
      ensure(epoch >= last.since[s]!, `slot ${s} moves away from ${was}, which has not reported it`)
      ensure(holder === was && next.since[s] === next.epoch, `slot ${s} has moved unmarked`)
      const person = this.people.get(was)!
      ensure(!person.alive || person.tokens.has(s), `holder ${was} has no token of ${s}`)
    } else ensure(holder === is && next.since[s] === next.epoch, `lost slot ${s} is unmarked`)
    ensure(is === 0 || next.memberOf(is)?.role === 'instance', `slot ${s} has no proper owner`)
    const taken = was !== is && is !== 0
    const heir = next.activeInstances().length === 0 && !next.memberOf(was)
    ensure(!taken || heir || next.memberOf(is)?.state === 'active', `slot ${s} goes to a leaver`)
    const instances = next.members.some((m) => m.role === 'instance')
    ensure(is !== 0 || !instances, `slot ${s} has no owner beside instances`)
  }

  checkOneToken(): void {
    const at = new Map<number, MemberNo>()
    for (const [no, { tokens }] of this.people)
      for (const slot of tokens) {
        ensure(!at.has(slot), `slot ${slot} has tokens at ${at.get(slot)} and ${no}`)
        at.set(slot, no)
      }
  }

  /** No faults any more: everything has to come to rest, soon. */
  settle(): void {
    for (let round = 0; ; round++) {
      ensure(round < 12, 'does not settle')
      const epoch = this.view.epoch
      for (const [no, { alive }] of this.people) if (!alive) this.takeOut(no, false)
      for (const { no } of this.view.members) this.adopt(no)
      for (const { no } of this.view.members) this.pullAll(no)
      for (const { no } of this.view.members) this.report(no)
      while (this.rebalance(false));
      for (const { no } of this.view.members) this.takeOut(no, false)
      if (this.view.epoch === epoch) return
    }
  }
  checkRest(): void {
    const counts = this.view.activeInstances().map((m) => this.view.slotsOf(m.no).length)
    const slots = counts.reduce((a, b) => a + b, 0)
    ensure(movesDue(this.view) === 0, 'moves are due')
    if (counts.length === 0) return
    ensure(slots === 1 << this.slotBits, 'slots without an active owner')
    ensure(Math.max(...counts) - Math.min(...counts) <= 1, `uneven: ${counts}`)
    ensure(!this.view.members.some((m) => m.state === 'leaving'), 'a leaver is still there')
    for (let s = 0; s < slots; s++)
      ensure(this.people.get(this.view.owner[s]!)!.tokens.has(s), `slot ${s} has no token`)
  }
}

const pickOne = fc.nat(1000)
const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant('join' as const), stale: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('steer' as const), stale: fc.boolean() }) },
  {
    weight: 12,
    arbitrary: fc.record({
      do: fc.constantFrom('leave', 'crash', 'takeOut', 'rebalance', 'rebalance'),
      who: pickOne,
      stale: fc.boolean(),
    }),
  },
  {
    weight: 24,
    arbitrary: fc.record({
      do: fc.constantFrom('adopt', 'pull', 'pull', 'pull', 'pullAll', 'report'),
      who: pickOne,
      n: pickOne,
    }),
  },
)
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never

function run(cluster: Cluster, s: Step): void {
  if (s.do === 'join') cluster.join('instance', s.stale)
  if (s.do === 'steer') cluster.join('steerer', s.stale)
  const who = 'who' in s ? s.who : 0
  if (s.do === 'takeOut') {
    const all = [...cluster.people.keys()]
    cluster.takeOut(all[who % all.length]!, 'stale' in s && s.stale)
  }
  const no = cluster.pick(who)
  if (no === undefined) return
  if ('n' in s) {
    if (s.do === 'adopt') cluster.adopt(no)
    if (s.do === 'pull') cluster.pull(no, s.n)
    if (s.do === 'pullAll') cluster.pullAll(no)
    if (s.do === 'report') cluster.report(no)
  } else if ('stale' in s) {
    if (s.do === 'leave') cluster.leave(no, s.stale)
    if (s.do === 'crash') cluster.crash(no)
    if (s.do === 'rebalance') cluster.rebalance(s.stale)
  }
}

function history(slotBits: number, steps: readonly Step[]): Cluster {
  const cluster = new Cluster(slotBits)
  for (const s of steps) {
    run(cluster, s)
    cluster.checkOneToken()
  }
  return cluster
}

describe('any history of views', () => {
  it('keeps tokens and tables together, and comes to rest balanced: 8 slots', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120, size: 'max' }), (steps) => {
        const cluster = history(3, steps)
        cluster.settle()
        cluster.checkOneToken()
        cluster.checkRest()
      }),
      { numRuns: 1500 },
    )
  })

  it('the same with 16,384 slots', () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 5, maxLength: 25, size: 'max' }), (steps) => {
        const cluster = history(14, steps)
        cluster.settle()
        cluster.checkRest()
      }),
      { numRuns: 10 },
    )
  })

  it('is computed alike on every machine', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60, size: 'max' }), (steps) => {
        const one = history(4, steps)
        const other = decodeView(encodeView(one.view))
        const [a, b] = [one.view, other].map((v) => withMember(v, info('x'), one.settled))
        expect(encodeView(b!)).toEqual(encodeView(a!))
      }),
      { numRuns: 200 },
    )
  })
})

/** A view with any owners, some of them pinned. */
const anyView = (slotBits: number, membersMax: number) =>
  fc
    .record({
      states: fc.array(fc.constantFrom('active', 'active', 'active', 'leaving'), {
        minLength: 1,
        maxLength: membersMax,
      }),
      seed: fc.array(fc.nat(997), { minLength: 7, maxLength: 29 }),
      pinned: fc.nat(2 ** 5 - 1),
    })
    .filter(({ states }) => states.includes('active'))
    .map(({ states, seed, pinned }) => {
      let view = firstView(info('m1'), slotBits)
      for (let i = 2; i <= states.length; i++) view = withMember(view, info(`m${i}`), new Map())
      states.forEach((state, i) => {
        if (state === 'leaving') view = withLeaving(view, i + 1, new Map())!
      })
      const owner = view.owner.map((_, s) => 1 + (seed[s % seed.length]! % states.length))
      const mixed = decodeView(encodeView({ ...view, owner, holder: owner }))
      const settled = new Map(
        mixed.members.filter((m) => !((pinned >> (m.no % 5)) & 1)).map((m) => [m.no, mixed.epoch]),
      )
      return { view: mixed, settled }
    })

describe('the next table', () => {
  it('moves as few slots as the best of all tables', () => {
    fc.assert(
      fc.property(anyView(3, 4), ({ view }) => {
        const next = rebalanced(view, everybody(view)) ?? view
        expect(movedBetween(view, next)).toBe(leastMoves(view))
        expect(movesDue(view)).toBe(leastMoves(view))
        expect(leastMovesByCounts(view)).toBe(leastMoves(view))
        expect(rebalanced(next, everybody(next))).toBeUndefined()
      }),
      { numRuns: 300 },
    )
  })

  it('moves as few when the table is full', () => {
    fc.assert(
      fc.property(anyView(14, 9), ({ view }) => {
        const next = rebalanced(view, everybody(view)) ?? view
        expect(movedBetween(view, next)).toBe(leastMovesByCounts(view))
      }),
      { numRuns: 20 },
    )
  })

  it('moves no more for being computed while slots are pinned', () => {
    fc.assert(
      fc.property(anyView(5, 6), ({ view, settled }) => {
        const early = rebalanced(view, settled) ?? view
        for (let s = 0; s < view.owner.length; s++)
          if (!settled.has(view.owner[s]!)) expect(early.owner[s]).toBe(view.owner[s])
        const late = rebalanced(early, everybody(early)) ?? early
        const moves = movedBetween(view, early) + movedBetween(early, late)
        expect(moves).toBe(leastMovesByCounts(view))
        expect(movesDue(late)).toBe(0)
      }),
      { numRuns: 500 },
    )
  })

  it('from n to n + 1 instances moves the newcomer’s share and nothing else', () => {
    let view = firstView(info('m1'))
    for (let n = 1; n <= 40; n++) {
      const next = withMember(view, info(`m${n + 1}`), everybody(view))
      expect(movedBetween(view, next)).toBe(Math.floor(16_384 / (n + 1)))
      expect(next.slotsOf(n + 1).length).toBe(Math.floor(16_384 / (n + 1)))
      view = next
    }
  })
})
