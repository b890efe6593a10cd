import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type MemberNo, PROTOCOL_VERSION, RehomeError } from '../../bus/index.ts'
import {
  decodeView,
  encodeView,
  type JoinInfo,
  Membership,
  movesDue,
  type Role,
  type View,
} from '../../placement/index.ts'
import { FakeClock, FakeRegister, type RegisterFaults } from './placement-fake-register.ts'

const MINUTE = 60_000
const info = (id: string, more: Partial<JoinInfo> = {}): JoinInfo => ({
  id,
  role: 'instance',
  protocol: 1,
  schema: 's',
  ...more,
})

function randomFrom(seed: number): () => number {
  let state = seed | 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

/** What a member is to do, and when. */
interface Plan {
  readonly role: Role
  readonly joinsMs: number
  readonly ends: 'stays' | 'leaves' | 'crashes'
  readonly endsMs: number
}

/** Members over one register, with the tokens that the runtime would carry between them. */
class World {
  readonly clock = new FakeClock()
  readonly random: () => number
  readonly register: FakeRegister
  readonly people: Person[] = []
  /** Slot → who has its token. */
  readonly tokens = new Map<number, Person>()
  /** Epoch → the view's bytes: one for all. */
  readonly views = new Map<number, Uint8Array>()
  readonly failures: unknown[] = []
  readonly slotBits: number
  private decoded: { revision: number; view: View } | undefined

  constructor(seed: number, slotBits: number, faults: RegisterFaults) {
    this.random = randomFrom(seed)
    this.register = new FakeRegister(this.clock, this.random, faults)
    this.slotBits = slotBits
  }

  add(plan: Plan): void {
    const person = new Person(this, this.people.length, plan)
    this.people.push(person)
    this.clock.after(plan.joinsMs, () => this.note(person.join()))
  }
  /** Whose member is stopped in the middle of it, has not failed. */
  note(work: Promise<void>, onStopped = () => {}): void {
    work.catch((e) => {
      if (e instanceof RehomeError && e.code === 'closed') onStopped()
      else this.failures.push(e)
    })
  }
  newest(): View | undefined {
    const entry = this.register.newest('view')
    if (entry && entry.revision !== this.decoded?.revision)
      this.decoded = { revision: entry.revision, view: decodeView(entry.value) }
    return this.decoded?.view
  }
  /** Everybody has done what its plan says, has the newest view, and nothing is left to move. */
  atRest(): boolean {
    if (this.failures.length > 0) return true
    if (!this.people.every((p) => p.done)) return false
    const view = this.newest()
    if (!view || movesDue(view) > 0) return false
    const here = this.people.filter((p) => p.alive)
    return (
      view.members.length === here.length &&
      here.every((p) => p.membership.view?.epoch === view.epoch && p.hasItsTokens())
    )
  }
}

class Person {
  readonly membership: Membership
  alive = true
  done = false
  lastEpoch = 0
  private readonly world: World
  private readonly plan: Plan
  private readonly id: string
  private bye = false
  private taking = false

  constructor(world: World, index: number, plan: Plan) {
    this.world = world
    this.plan = plan
    this.id = `m${index}`
    this.membership = new Membership({
      register: world.register,
      clock: world.clock,
      onView: (view) => this.onView(view),
      onError: (e) => {
        if (e.code !== 'bus-unavailable') world.failures.push(e)
      },
    })
  }

  async join(): Promise<void> {
    await this.membership.join(info(this.id, { role: this.plan.role }), this.world.slotBits)
    this.takeSoon()
    if (this.plan.ends === 'stays') this.done = true
    else this.world.clock.after(this.plan.endsMs, () => this.world.note(this.end()))
  }

  private async end(): Promise<void> {
    if (this.plan.ends === 'crashes') return this.crash()
    await this.membership.leave()
    this.sayBye()
  }

  /** Some time later an instance that is alive notices. */
  private crash(): void {
    const { world, membership } = this
    this.stop()
    const notice = () => {
      const finder = world.people.find((p) => p.alive && p.membership.no > 0)
      if (!finder) return this.later(notice)
      const removed = finder.membership.evict(membership.no, 0, () => true)
      const done = () => {
        this.done = true
      }
      world.note(removed.then(done), () => this.later(notice))
    }
    world.clock.after(500 * world.random(), notice)
  }
  private stop(): void {
    this.alive = false
    this.membership.stop()
    for (const [slot, at] of this.world.tokens) if (at === this) this.world.tokens.delete(slot)
  }

  private onView(view: View): void {
    const { world } = this
    if (view.epoch <= this.lastEpoch) world.failures.push(new Error(`epoch ${view.epoch} again`))
    this.lastEpoch = view.epoch
    const bytes = world.views.get(view.epoch) ?? encodeView(view)
    world.views.set(view.epoch, bytes)
    if (Buffer.compare(bytes, encodeView(view)) !== 0)
      world.failures.push(new Error(`two views of epoch ${view.epoch}`))
    this.takeSoon()
    this.sayBye()
  }

  hasItsTokens(): boolean {
    const slots = this.membership.view?.slotsOf(this.membership.no) ?? []
    return slots.every((s) => this.world.tokens.get(s) === this)
  }

  private takeSoon(): void {
    if (this.taking) return
    this.taking = true
    this.later(() => {
      this.taking = false
      this.takeTokens()
    })
  }
  /** The PULLs after a view, all at once. */
  private takeTokens(): void {
    const { view, no } = this.membership
    if (!view || no === 0 || !this.alive) return
    for (const slot of view.slotsOf(no)) this.takeToken(view, slot, no)
    if (this.hasItsTokens()) this.world.note(this.membership.reportSettled(view.epoch))
    for (const other of this.world.people) if (other !== this) other.sayBye()
  }
  private takeToken(view: View, slot: number, no: MemberNo): void {
    const { tokens, people } = this.world
    const at = tokens.get(slot)
    if (at === this) return
    const from = view.holder[slot]!
    // A token that a crash has taken is made afresh when all have the view that says so.
    const asked = people.filter((p) => p.alive && (from === no || p.membership.no === from))
    if (from !== no && asked.length === 0) return
    if (!asked.map((p) => p.isAt(view.epoch)).every(Boolean)) return this.takeSoon()
    if (from !== no && at !== asked[0])
      this.world.failures.push(new Error(`${no} PULLs slot ${slot} from ${from}: it is not there`))
    tokens.set(slot, this)
  }
  /** Whoever is asked something by a newer view takes that one first (PROTOCOL.md, rule 19). */
  private isAt(epoch: number): boolean {
    const { membership } = this
    if (membership.no === 0 || (membership.view?.epoch ?? 0) >= epoch) return true
    this.world.note(membership.refresh(epoch).then(() => {}))
    return false
  }

  /** Once it has nothing left, or there is nobody to give it to. */
  private sayBye(): void {
    const { view, no } = this.membership
    if (!this.alive || this.bye || view?.memberOf(no)?.state !== 'leaving') return
    const empty = view.slotsOf(no).length === 0 && ![...this.world.tokens.values()].includes(this)
    if (!empty && view.activeInstances().length > 0) return
    this.bye = true
    this.world.note(
      this.membership.remove(no).then((gone) => {
        this.bye = gone
        if (!gone) return this.sayBye()
        this.stop()
        this.done = true
      }),
    )
  }
  private later(run: () => void): void {
    this.world.clock.after(this.world.random() * 40, run)
  }
}

const plan = fc.record({
  role: fc.constantFrom(
    'instance' as const,
    'instance' as const,
    'instance' as const,
    'steerer' as const,
  ),
  joinsMs: fc.nat(300),
  ends: fc.constantFrom('stays' as const, 'stays' as const, 'leaves' as const, 'crashes' as const),
  endsMs: fc.nat(600),
})

async function live(seed: number, plans: readonly Plan[], faults: RegisterFaults): Promise<World> {
  const world = new World(seed, 5, faults)
  // One that stays, so that there is somebody to notice crashes.
  world.add({ role: 'instance', joinsMs: 20, ends: 'stays', endsMs: 0 })
  for (const one of plans) world.add(one)
  const rests = await world.clock.run(() => world.atRest(), 2 * MINUTE)
  for (const failure of world.failures) throw failure
  if (!rests) throw new Error('the members do not come to rest')
  return world
}

describe('members over a register', () => {
  it('join, leave and crash in any order, and come to rest balanced', async () => {
    let epochs = 0
    await fc.assert(
      fc.asyncProperty(
        fc.integer(),
        fc.array(plan, { maxLength: 8 }),
        fc.constantFrom(0, 0, 0.05),
        async (seed, plans, failing) => {
          const world = await live(seed, plans, { delayMs: 15, staleMs: 60, failing })
          const view = world.newest()!
          const counts = view.activeInstances().map((m) => view.slotsOf(m.no).length)
          expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1)
          expect(counts.reduce((a, b) => a + b, 0)).toBe(32)
          const numbers = world.people.map((p) => p.membership.no)
          expect(new Set(numbers).size).toBe(numbers.length)
          await world.clock.run(() => false, MINUTE)
          expect(world.newest()!.epoch).toBe(view.epoch)
          epochs += view.epoch
          for (const p of world.people) p.membership.stop()
        },
      ),
      { numRuns: 150 },
    )
    expect(epochs).toBeGreaterThan(500)
  })

  it('all join at the same moment', async () => {
    const plans = Array.from({ length: 24 }, () => ({
      role: 'instance' as const,
      joinsMs: 20,
      ends: 'stays' as const,
      endsMs: 0,
    }))
    const world = await live(7, plans, { delayMs: 10, staleMs: 30, failing: 0 })
    const numbers = world.people.map((p) => p.membership.no).sort((a, b) => a - b)
    expect(numbers).toEqual(Array.from({ length: 25 }, (_, i) => i + 1))
    // 25 joins, and the follow-ups: not one for every report.
    expect(world.newest()!.epoch).toBeLessThan(75)
  })
})

describe('a membership', () => {
  const quick: RegisterFaults = { delayMs: 2, staleMs: 0, failing: 0 }
  function one(register: FakeRegister, clock: FakeClock) {
    const views: View[] = []
    const errors: RehomeError[] = []
    const membership = new Membership({
      register,
      clock,
      onView: (view) => views.push(view),
      onError: (e) => errors.push(e),
    })
    return { membership, views, errors }
  }
  function setUp(faults: RegisterFaults = quick) {
    const clock = new FakeClock()
    const register = new FakeRegister(clock, randomFrom(1), { ...faults })
    return { clock, register, ...one(register, clock) }
  }
  async function outcome<T>(
    clock: FakeClock,
    work: Promise<T>,
    ms = 2 * MINUTE,
  ): Promise<T | string> {
    let end: { value: T | string } | undefined
    work.then(
      (value) => {
        end = { value }
      },
      (e) => {
        end = { value: e instanceof RehomeError ? `${e.code}: ${e.message}` : `not ours: ${e}` }
      },
    )
    await clock.run(() => end !== undefined, ms)
    return end ? end.value : 'never ended'
  }

  it('refuses another protocol and another schema, in words', async () => {
    const { clock, register, membership } = setUp()
    expect(await outcome(clock, membership.join(info('a')))).toBe(1)
    const other = one(register, clock).membership
    expect(await outcome(clock, other.join(info('b', { schema: 'x' })))).toMatch(/^mismatch: /)
    expect(await outcome(clock, other.join(info('b', { protocol: 9 })))).toMatch(/^mismatch: /)
    expect(await outcome(clock, other.join(info('b')))).toBe(2)
  })

  it('says when the bus is away, after a bounded time', async () => {
    const { clock, membership } = setUp({ ...quick, failing: 1 })
    expect(await outcome(clock, membership.join(info('a')))).toMatch(/^bus-unavailable: /)
    expect(clock.now()).toBeLessThan(MINUTE)
  })

  it('does not join twice when the answer to its first try is lost', async () => {
    const { clock, register, membership } = setUp()
    const put = register.put.bind(register)
    let puts = 0
    register.put = async (...args) => {
      const revision = await put(...args)
      if (++puts === 1) throw new RehomeError('bus-unavailable', 'answer lost', {}, 'indefinite')
      return revision
    }
    expect(await outcome(clock, membership.join(info('a')))).toBe(1)
    expect(puts).toBe(1)
    expect(membership.view!.members.length).toBe(1)
  })

  it('gives up against a register that always has another writer', async () => {
    const { clock, register, membership } = setUp()
    register.put = async () => undefined
    expect(await outcome(clock, membership.join(info('a')))).toMatch(/^conflict: join: gave up/)
  })

  it('asks again while the register answers with an older view', async () => {
    const { clock, register, membership, views } = setUp()
    await outcome(clock, membership.join(info('a')))
    // No watch tells of the next view here.
    register.watch = async () => ({ stop() {} })
    const late = one(register, clock)
    const stale = register.newest('view')
    await outcome(clock, late.membership.open())
    const get = register.get.bind(register)
    let asked = 0
    register.get = async (name) => (++asked < 4 ? stale : get(name))
    const fetched = late.membership.refresh(3)
    await outcome(clock, membership.join(info('second life')))
    await outcome(clock, membership.leave())
    expect(await outcome(clock, fetched)).toBe(late.membership.view)
    expect(late.views.map((v) => v.epoch)).toEqual([1, 3])
    expect(views.map((v) => v.epoch)).toEqual([1, 2, 3])
    expect(await outcome(clock, late.membership.refresh(9))).toMatch(/^timeout: view of epoch 9/)
    expect(await outcome(clock, late.membership.refresh(2))).toBe(late.membership.view)
  })

  it('reports each settled epoch once, and only news', async () => {
    const { clock, register, membership } = setUp()
    const set = register.set.bind(register)
    const written: string[] = []
    register.set = (name, value) => {
      written.push(`${name} ${value[0]}`)
      return set(name, value)
    }
    await outcome(clock, membership.join(info('a')))
    await outcome(clock, Promise.all([1, 1, 1].map((e) => membership.reportSettled(e))))
    await outcome(clock, membership.reportSettled(1))
    expect(written).toEqual(['settled.1 1'])
    const second = one(register, clock).membership
    await outcome(clock, second.join(info('b')))
    await outcome(clock, second.reportSettled(2))
    // The first one has got nothing since.
    await outcome(clock, membership.reportSettled(2))
    expect(written).toEqual(['settled.1 1', 'settled.2 2'])
    await outcome(clock, membership.remove(2))
    expect(register.newest('settled.2')).toBeUndefined()
  })

  it('moves slots when their owner reports them, however late', async () => {
    const { clock, register, membership } = setUp()
    await outcome(clock, membership.join(info('a')))
    await outcome(clock, one(register, clock).membership.join(info('b')))
    await clock.run(() => false, MINUTE)
    expect(membership.view!.slotsOf(2).length).toBe(0)
    await outcome(clock, membership.reportSettled(1))
    await clock.run(() => membership.view!.epoch === 3, 100)
    expect(membership.view!.slotsOf(2).length).toBe(8192)
  })

  it('keeps the last instance when another one joins as it goes', async () => {
    const { clock, register, membership } = setUp()
    await outcome(clock, membership.join(info('a')))
    await outcome(clock, membership.reportSettled(1))
    await outcome(clock, membership.leave())
    const second = one(register, clock).membership
    const joined = second.join(info('b'))
    await clock.run(() => register.newest('view')!.revision > 3, MINUTE)
    expect(await outcome(clock, membership.remove(1))).toBe(false)
    expect(await outcome(clock, joined)).toBe(2)
    expect(second.view!.slotsOf(2).length).toBe(16_384)
    expect(second.view!.holder[0]).toBe(1)
    expect(await outcome(clock, membership.remove(1))).toBe(true)
    await outcome(clock, second.refresh(4))
    expect(second.view!.epoch).toBe(4)
    expect(second.view!.members.map((m) => m.no)).toEqual([2])
  })

  it('goes on past bytes in the register that are no view', async () => {
    const { clock, register, membership, errors } = setUp()
    await outcome(clock, membership.join(info('a')))
    await outcome(clock, register.set('view', Uint8Array.of(PROTOCOL_VERSION, 0, 9)))
    await outcome(clock, register.set('settled.7', Uint8Array.of(1)))
    await clock.run(() => errors.length === 2, MINUTE)
    expect(errors.map((e) => e.code)).toEqual(['bad-frame', 'bad-frame'])
    expect(await outcome(clock, membership.leave())).toMatch(/^bad-frame: /)
  })

  it('ends what is under way when it is stopped', async () => {
    const { clock, membership } = setUp({ ...quick, failing: 1 })
    const joining = outcome(clock, membership.join(info('a')), 100)
    expect(await joining).toBe('never ended')
    const leaving = outcome(clock, membership.leave())
    membership.stop()
    expect(await leaving).toMatch(/^closed: /)
    expect(await outcome(clock, membership.reportSettled(1))).toBeUndefined()
  })
})
