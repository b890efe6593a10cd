import fc from 'fast-check'
import { expect, it } from 'vitest'
import { Kind, kindInfo, type LinkLimits, type Links } from '../../bus/index.ts'
import { Network, random } from './bus-network.ts'

/** Small enough that every bound is met within a few messages. */
const limits: Partial<LinkLimits> = {
  frameBytes: 512,
  windowFrames: 8,
  windowBytes: 4096,
  creditBytes: 2048,
  messageBytesMax: 32 * 1024,
  slabBytes: 4096,
}
const LARGEST = 20_000
const kinds = [Kind.STATE, Kind.CALL, Kind.REPLY, Kind.PACKETS]

const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('send' as const),
      from: fc.integer({ min: 1, max: 3 }),
      to: fc.integer({ min: 1, max: 3 }),
      kind: fc.constantFrom(...kinds),
      bytes: fc.oneof(
        { weight: 6, arbitrary: fc.integer({ min: 0, max: 60 }) },
        { weight: 2, arbitrary: fc.integer({ min: 0, max: 2000 }) },
        { weight: 1, arbitrary: fc.integer({ min: 0, max: LARGEST }) },
      ),
      times: fc.integer({ min: 1, max: 20 }),
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('pass' as const), ms: fc.nat(300) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('kick' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('epoch' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('spoil' as const) }) },
)
const weather = fc.record({
  seed: fc.integer(),
  loss: fc.double({ min: 0, max: 0.5, noNaN: true }),
  doubling: fc.double({ min: 0, max: 0.4, noNaN: true }),
  delayMsMax: fc.integer({ min: 0, max: 400 }),
})
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never

interface Sent {
  readonly kind: number
  readonly bytes: number
  readonly epoch: number
}

/** Members that send what a step says, hold back what needs credit, and check what comes. */
class Trial {
  readonly network: Network
  private readonly dice: () => number
  private epoch = 1
  private readonly sent = new Map<string, Sent[]>()
  private readonly came = new Map<string, number>()
  private readonly heldBack = new Map<string, { kind: number; bytes: number }[]>()
  /** Metered bytes that a receiver has and has not dealt with. */
  private readonly holds = new Map<string, number>()

  constructor(weatherNow: Network['weather']) {
    this.network = new Network(weatherNow)
    this.dice = random(weatherNow.seed + 1)
    for (const self of [1, 2, 3]) {
      const links = this.network.join({
        self,
        limits,
        epoch: () => this.epoch,
        onMessage: (from, kind, r, epoch) => {
          this.arrived(from, self, kind, r.raw(r.left), epoch)
        },
      })
      links.onCredit = (to) => this.sendHeldBack(self, to)
    }
    for (const a of [1, 2, 3]) for (const b of [1, 2, 3]) this.links(a).open(b)
  }

  links(no: number): Links {
    return this.network.members[no]!
  }

  run(steps: readonly Step[]): void {
    for (const s of steps) {
      if (s.do === 'send')
        for (let i = 0; i < s.times; i++) this.send(s.from, s.to, s.kind, s.bytes)
      else if (s.do === 'kick') for (const no of [1, 2, 3]) this.links(no).kick()
      else if (s.do === 'epoch') this.epoch++
      else if (s.do === 'spoil') this.spoil()
      this.flush()
      if (s.do === 'pass') this.network.clock.advance(s.ms)
    }
  }

  private flush(): void {
    for (const no of [1, 2, 3]) {
      this.links(no).drainSelf()
      this.links(no).flush()
    }
  }

  /** A message whose writing breaks off leaves no trace. */
  private spoil(): void {
    this.links(1).begin(2, Kind.STATE).u32(666)
  }

  private send(from: number, to: number, kind: number, bytes: number): void {
    const way = `${from}>${to}`
    const waiting = this.heldBack.get(way) ?? []
    this.heldBack.set(way, waiting)
    waiting.push({ kind, bytes })
    this.sendHeldBack(from, to)
  }

  /** Keeps the order on its way, so a metered message holds up all behind it. */
  private sendHeldBack(from: number, to: number): void {
    const waiting = this.heldBack.get(`${from}>${to}`) ?? []
    for (let next = waiting[0]; next; next = waiting[0]) {
      if (kindInfo(next.kind)?.credit && this.links(from).creditLeft(to) <= 0) return
      waiting.shift()
      this.write(from, to, next.kind, next.bytes)
    }
  }

  private write(from: number, to: number, kind: number, bytes: number): void {
    const way = `${from}>${to}`
    const sent = this.sent.get(way) ?? []
    this.sent.set(way, sent)
    const w = this.links(from).begin(to, kind)
    for (let i = 0; i < bytes; i++) w.u8((sent.length + i) & 0xff)
    this.links(from).end()
    sent.push({ kind, bytes, epoch: this.epoch })
  }

  private arrived(
    from: number,
    to: number,
    kind: number,
    payload: Uint8Array,
    epoch: number,
  ): void {
    const way = `${from}>${to}`
    const index = this.came.get(way) ?? 0
    this.came.set(way, index + 1)
    expect({ kind, bytes: payload.length, epoch }).toEqual(this.sent.get(way)?.[index])
    for (let i = 0; i < payload.length; i++)
      if (payload[i] !== ((index + i) & 0xff))
        expect.fail(`byte ${i} of message ${index} on ${way}`)
    if (kindInfo(kind)?.credit) this.hold(from, to, payload.length)
  }

  /** Deals with it some time later, and writes an answer from within the delivery now and then. */
  private hold(from: number, to: number, bytes: number): void {
    const way = `${from}>${to}`
    const held = (this.holds.get(way) ?? 0) + bytes
    this.holds.set(way, held)
    expect(held).toBeLessThan(limits.creditBytes! + LARGEST)
    if (this.dice() < 0.3) this.write(to, from, Kind.DONE, 10)
    this.network.clock.after(this.dice() * 50, () => {
      this.holds.set(way, this.holds.get(way)! - bytes)
      this.links(to).consumed(from, bytes)
      this.flush()
    })
  }

  /** Fair weather until nothing is due any more: every message has come, and no timer is left. */
  settle(): void {
    this.network.weather = { ...this.network.weather, loss: 0, doubling: 0 }
    for (let i = 0; i < 200 && this.network.clock.pending > 0; i++) {
      this.flush()
      this.network.clock.advance(500)
    }
    expect(this.network.clock.pending, 'timers that never end').toBe(0)
    for (const [way, waiting] of this.heldBack) expect(waiting, `held back on ${way}`).toEqual([])
    for (const [way, sent] of this.sent) expect(this.came.get(way) ?? 0, way).toBe(sent.length)
    for (const no of [1, 2, 3]) {
      const { stats } = this.links(no)
      expect(stats).toMatchObject({ malformed: 0, refused: 0, overdrawn: 0, toNobody: 0 })
      for (const to of [1, 2, 3]) expect(this.links(no).idle(to)).toBe(true)
      expect(this.links(no).held()).toBe(0)
    }
  }
}

it('delivers every message once and in order over any weather, and then falls silent', () => {
  fc.assert(
    fc.property(weather, fc.array(step, { minLength: 1, maxLength: 40 }), (w, steps) => {
      const trial = new Trial(w)
      trial.run(steps)
      trial.settle()
    }),
    { numRuns: 300 },
  )
})

it('holds no more early bytes than its window allows', () => {
  fc.assert(
    fc.property(weather, fc.integer({ min: 1, max: 400 }), (w, count) => {
      const trial = new Trial(w)
      trial.network.weather = { ...w, loss: 0.5, delayMsMax: 50 }
      for (let i = 0; i < count; i++) {
        trial.run([{ do: 'send', from: 1, to: 2, kind: Kind.STATE, bytes: 300, times: 2 }])
        trial.network.clock.advance(5)
        expect(trial.links(2).held()).toBeLessThan(4096 + 3 * 512)
      }
      trial.settle()
    }),
    { numRuns: 30 },
  )
})
