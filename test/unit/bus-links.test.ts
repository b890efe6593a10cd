import { expect, it } from 'vitest'
import {
  type ByteReader,
  Kind,
  type LinkLimits,
  Links,
  PROTOCOL_VERSION,
  RehomeError,
} from '../../bus/index.ts'
import { VirtualClock } from '../property/bus-network.ts'

interface Came {
  from: number
  kind: number
  value: number
  bytes: number
  epoch: number
}

/** Two members whose frames lie in a queue until the test hands them over. */
function pair(limits: Partial<LinkLimits> = {}, limitsOfB = limits) {
  const clock = new VirtualClock()
  const state = { epoch: 1, onMessage: (_r: ByteReader, _kind: number): void => {} }
  const frames: { to: number; frame: Uint8Array }[] = []
  const came: Came[] = []
  const refused: string[] = []
  const member = (self: number): Links =>
    new Links({
      self,
      clock,
      limits: self === 1 ? limits : limitsOfB,
      transmit: (to, frame) => frames.push({ to, frame }),
      epoch: () => state.epoch,
      onMessage: (from, kind, r, epoch) => {
        const bytes = r.left
        came.push({ from, kind, value: bytes >= 4 ? r.u32() : -1, bytes, epoch })
        state.onMessage(r, kind)
      },
      onRefused: (reason) => refused.push(reason),
    })
  const [a, b] = [member(1), member(2)]
  a.open(2)
  b.open(1)
  /** Hands over what lies there, and what that brings about, until nothing does. */
  const settle = (): void => {
    for (let i = 0; i < 1000; i++) {
      const { length } = frames
      for (const { to, frame } of frames.splice(0)) (to === 1 ? a : b).receive(frame)
      a.flush()
      b.flush()
      clock.advance(20)
      if (length === 0 && frames.length === 0) return
    }
  }
  return { a, b, clock, frames, came, refused, settle, state }
}

function send(links: Links, to: number, kind: number, value: number, bytes = 4): void {
  const w = links.begin(to, kind)
  w.u32(value)
  w.raw(new Uint8Array(bytes - 4))
  links.end()
}

it('puts the messages of a burst into one frame, and nothing goes before the flush', () => {
  const { a, came, frames, settle } = pair()
  for (let i = 0; i < 100; i++) send(a, 2, Kind.CALL, i)
  expect(frames).toHaveLength(0)
  a.flush()
  expect(frames).toHaveLength(1)
  settle()
  expect(came.map((m) => m.value)).toEqual(Array.from({ length: 100 }, (_, i) => i))
  expect(came[0]).toEqual({ from: 1, kind: Kind.CALL, value: 0, bytes: 4, epoch: 1 })
})

it('writes the frame as it is described', () => {
  const { a, frames } = pair()
  send(a, 2, Kind.CALL, 0x01020304, 6)
  a.flush()
  const frame = Buffer.from(frames[0]!.frame)
  expect(frame.subarray(0, 4)).toEqual(Buffer.from([0x52, 0x48, PROTOCOL_VERSION, 1]))
  const u32 = [4, 8, 12, 16, 20].map((at) => frame.readUInt32LE(at))
  expect(u32).toEqual([1, 2, 1, 58, 0])
  expect([24, 32, 40].map((at) => frame.readDoubleLE(at))).toEqual([1, 0, 1024 * 1024])
  expect(frame.subarray(48)).toEqual(Buffer.from([Kind.CALL, 6, 0, 0, 4, 3, 2, 1, 0, 0]))
})

it('closes a frame by itself when it is full', () => {
  const { a, frames, came, settle } = pair()
  for (let i = 0; i < 5000; i++) send(a, 2, Kind.REPLY, i, 30)
  expect(frames.length).toBeGreaterThan(3)
  for (const { frame } of frames) expect(frame.length).toBeLessThan(33 * 1024)
  a.flush()
  settle()
  expect(came).toHaveLength(5000)
})

it('gives each message the epoch that it was written in', () => {
  const { a, came, settle, state } = pair()
  send(a, 2, Kind.ACQUIRE, 1)
  state.epoch = 2
  send(a, 2, Kind.ACQUIRE, 2)
  a.flush()
  settle()
  expect(came.map((m) => m.epoch)).toEqual([1, 2])
})

it('cuts large messages and puts them together again, in their place', () => {
  const { a, came, settle, frames } = pair()
  const sizes = [4, 32_768, 32_769, 10, 3_000_000, 4, 262_144, 40_000]
  for (const [i, size] of sizes.entries()) send(a, 2, Kind.STATE, i, size)
  a.flush()
  for (const { frame } of frames) expect(frame.length).toBeLessThan(66 * 1024)
  settle()
  expect(came.map((m) => [m.value, m.bytes])).toEqual([...sizes.entries()])
  expect(a.idle(2)).toBe(true)
})

it('refuses a message over the limit at its sender, and goes on', () => {
  const { a, came, settle } = pair({ messageBytesMax: 100_000 })
  send(a, 2, Kind.STATE, 1)
  expect(() => send(a, 2, Kind.STATE, 2, 100_001)).toThrow(
    expect.objectContaining({ code: 'too-big', outcome: 'definite' }),
  )
  send(a, 2, Kind.STATE, 3, 100_000)
  a.flush()
  settle()
  expect(came.map((m) => m.value)).toEqual([1, 3])
})

it('takes back a message whose writing broke off, also one that grew out of its frame', () => {
  const { a, came, settle } = pair()
  send(a, 2, Kind.STATE, 1)
  a.begin(2, Kind.STATE).u32(2)
  send(a, 2, Kind.STATE, 3)
  a.begin(2, Kind.STATE).raw(new Uint8Array(500_000))
  a.flush()
  a.begin(2, Kind.STATE)
  a.flush()
  settle()
  expect(came.map((m) => m.value)).toEqual([1, 3])
  expect(a.stats.abandoned).toBe(3)
})

it('delivers what a member sends to itself after the delivery at hand, not within it', () => {
  const { a, b, came, settle, state } = pair()
  const order: string[] = []
  state.onMessage = (_r, kind) => {
    order.push(`in ${kind === Kind.CALL ? 'call' : 'own'}`)
    if (kind === Kind.CALL) send(b, 2, Kind.GRANT, 9)
    b.drainSelf()
    order.push('out')
  }
  send(a, 2, Kind.CALL, 1)
  send(a, 2, Kind.CALL, 2)
  a.flush()
  settle()
  expect(order).toEqual(['in call', 'out', 'in call', 'out', 'in own', 'out', 'in own', 'out'])
  expect(came.map((m) => m.from)).toEqual([1, 1, 2, 2])
  send(b, 2, Kind.STATE, 7, 200_000)
  b.drainSelf()
  expect(came.at(-1)).toMatchObject({ from: 2, value: 7, bytes: 200_000 })
  expect(b.idle(2)).toBe(true)
})

it('meters what needs credit and tells when there is more', () => {
  const { a, b, settle, came } = pair({ creditBytes: 1000 })
  const told: number[] = []
  a.onCredit = (from) => told.push(from)
  const sendAll = (): number => {
    let sent = 0
    while (a.creditLeft(2) > 0) {
      send(a, 2, Kind.CALL, sent++, 100)
    }
    a.flush()
    return sent
  }
  expect(sendAll()).toBe(10)
  send(a, 2, Kind.STATE, 99, 5000)
  settle()
  expect(came).toHaveLength(11)
  expect(told).toEqual([])
  b.consumed(1, 200)
  settle()
  expect(a.creditLeft(2)).toBeLessThan(250)
  b.consumed(1, 300)
  settle()
  expect(told).toEqual([2])
  expect(a.creditLeft(2)).toBe(500)
  expect(b.stats.overdrawn).toBe(0)
  expect(() => b.consumed(1, 501)).toThrow('no more is consumed than has come')
})

it('counts it if somebody sends without credit', () => {
  const { a, b, settle } = pair({ creditBytes: 1000 })
  for (let i = 0; i < 12; i++) send(a, 2, Kind.CALL, i, 100)
  a.flush()
  settle()
  expect(b.stats.overdrawn).toBe(2)
})

it('asks for a grant that was lost', () => {
  const { a, b, frames, settle, clock } = pair({ creditBytes: 1000 })
  const told: number[] = []
  a.onCredit = (from) => told.push(from)
  send(a, 2, Kind.CALL, 1, 1000)
  expect(a.creditLeft(2)).toBe(0)
  a.flush()
  settle()
  b.consumed(1, 1000)
  clock.advance(1)
  expect(frames).toHaveLength(1)
  frames.length = 0
  clock.advance(5000)
  settle()
  expect(told).toEqual([2])
})

it('goes on when a message is malformed, and lets errors of handlers be seen', () => {
  const { a, b, came, frames, settle, state, refused } = pair()
  state.onMessage = (r) => {
    if (came.length === 1) r.u32()
  }
  for (let i = 0; i < 3; i++) send(a, 2, Kind.CALL, i)
  a.flush()
  settle()
  expect(came.map((m) => m.value)).toEqual([0, 1, 2])
  expect(b.stats.malformed).toBe(1)
  expect(refused).toEqual(['malformed: message'])
  state.onMessage = () => {
    throw new RehomeError('handler', 'a bug')
  }
  for (let i = 3; i < 6; i++) send(a, 2, Kind.CALL, i)
  a.flush()
  expect(() => b.receive(frames[0]!.frame)).toThrow('a bug')
  expect(came.map((m) => m.value)).toEqual([0, 1, 2, 3, 4, 5])
})

it('refuses frames of other protocols, for others, from the dead, and counts them', () => {
  const { a, b, frames, refused, came } = pair()
  send(a, 2, Kind.CALL, 1)
  a.flush()
  const { frame } = frames[0]!
  const changed = (at: number, byte: number): Uint8Array => {
    const copy = Uint8Array.from(frame)
    copy[at] = byte
    return copy
  }
  b.receive(changed(2, PROTOCOL_VERSION + 1))
  b.receive(changed(8, 3))
  b.receive(changed(0, 0))
  b.receive(frame.subarray(0, frame.length - 1))
  b.receive(frame.subarray(0, 20))
  b.receive(changed(32, 1))
  b.receive(changed(49, 200))
  expect(refused).toEqual([
    'version',
    'not for us',
    'malformed: magic',
    'malformed: length',
    'malformed: short',
    'malformed: number',
    'malformed: body',
  ])
  expect([b.stats.refused, b.stats.malformed]).toEqual([2, 5])
  b.forget(1)
  b.receive(frame)
  expect(refused.at(-1)).toBe('not a member')
  expect(came).toHaveLength(0)
})

it('says what a forgotten member leaves: never sent, and sent without an answer', () => {
  const { a, frames, clock } = pair({ windowFrames: 1 })
  for (let i = 0; i < 5; i++) send(a, 2, Kind.CALL, i)
  a.flush()
  for (let i = 0; i < 3; i++) send(a, 2, Kind.CALL, i)
  a.flush()
  send(a, 2, Kind.STATE, 0, 100_000)
  send(a, 2, Kind.CALL, 0)
  expect(frames).toHaveLength(1)
  expect(a.backlog(2)).toBeGreaterThan(100_000)
  expect(a.forget(2)).toEqual({ unsent: 5, unanswered: 5 })
  expect(a.idle(2)).toBe(true)
  expect(a.peers()).toEqual([])
  expect(clock.pending).toBe(0)
  send(a, 2, Kind.CALL, 0, 50_000)
  a.flush()
  expect(frames).toHaveLength(1)
  expect(a.stats.toNobody).toBe(1)
})

it('hears members of a view that is still to come, a bounded number of them', () => {
  const { b, frames, came } = pair({ strangersMax: 2 })
  const clock = new VirtualClock()
  for (const self of [10, 11, 12]) {
    const stranger = new Links({
      self,
      clock,
      transmit: (to, frame) => frames.push({ to, frame }),
      epoch: () => 5,
      onMessage: () => {},
    })
    stranger.open(2)
    send(stranger, 2, Kind.ACQUIRE, self)
    stranger.flush()
  }
  for (const { frame } of frames) b.receive(frame)
  expect(came.map((m) => m.value)).toEqual([10, 11])
  b.open(12)
  b.receive(frames[2]!.frame)
  expect(came.map((m) => m.value)).toEqual([10, 11, 12])
  expect(b.peers()).toEqual([1, 10, 11, 12])
})

it('does not change bytes that it has handed to the bus', () => {
  const { a, b, frames, clock } = pair()
  const copies: Uint8Array[] = []
  for (let i = 0; i < 50; i++) {
    send(a, 2, Kind.STATE, i, 3000)
    if (i % 3 === 0) a.flush()
  }
  a.flush()
  for (const { frame } of frames) copies.push(frame.slice())
  const handed = frames.map(({ frame }) => frame)
  b.receive(handed[1]!)
  clock.advance(3000)
  a.kick()
  for (const { frame } of frames) b.receive(frame)
  for (const [i, copy] of copies.entries()) expect(Buffer.compare(handed[i]!, copy)).toBe(0)
  expect(b.stats.messagesIn[Kind.STATE]).toBe(50)
  expect(a.stats.resent).toBeGreaterThan(0)
})

it('sends nothing of its own accord when all is acknowledged', () => {
  const { a, frames, clock, settle } = pair()
  send(a, 2, Kind.STATE, 1)
  a.flush()
  settle()
  clock.advance(10_000)
  expect(frames).toHaveLength(0)
  expect(clock.pending).toBe(0)
})

it('sends again at once to a member that says that it listens from now on', () => {
  const { a, b, clock, frames, came, settle } = pair()
  send(a, 2, Kind.CALL, 7)
  a.flush()
  frames.length = 0 // nobody listened yet
  const before = clock.now()
  b.greet()
  settle()
  expect(came.map(({ value }) => value)).toEqual([7])
  expect(clock.now() - before).toBeLessThan(100) // resending by itself takes 200 ms
  expect(a.stats.resent).toBe(1)
})

it('ends its timers when it is stopped', () => {
  const { a, clock, frames } = pair()
  send(a, 2, Kind.STATE, 1)
  a.flush()
  a.stop()
  clock.advance(10_000)
  expect(frames).toHaveLength(1)
})

it('has no more under way than the window, in frames and in bytes, and the rest waits', () => {
  const { a, frames, came, settle } = pair({ windowFrames: 5, windowBytes: 3000 })
  for (let i = 0; i < 20; i++) {
    send(a, 2, Kind.STATE, i)
    a.flush()
  }
  expect(frames).toHaveLength(5)
  settle()
  for (let i = 20; i < 40; i++) {
    send(a, 2, Kind.STATE, i, 1000)
    a.flush()
  }
  expect(frames).toHaveLength(3)
  settle()
  expect(came.map((m) => m.value)).toEqual(Array.from({ length: 40 }, (_, i) => i))
})

it('keeps early frames within its own window, whatever the sender thinks', () => {
  const { a, b, frames, came, settle } = pair(
    {},
    { windowFrames: 10, windowBytes: 4096, frameBytes: 512 },
  )
  for (let i = 0; i < 30; i++) {
    send(a, 2, Kind.STATE, i, i < 15 ? 10 : 1500)
    a.flush()
  }
  const early = frames.splice(0).map(({ frame }) => frame)
  for (const frame of early.slice(1)) b.receive(frame)
  expect([b.stats.gaps, b.stats.beyondWindow]).toEqual([9, 20])
  for (const frame of early.slice(0, 10)) b.receive(frame)
  for (const frame of early.slice(11, 20)) b.receive(frame)
  expect(b.held()).toBeLessThan(4096 + 1024)
  a.kick()
  settle()
  a.kick()
  settle()
  expect(came.map((m) => m.value)).toEqual(Array.from({ length: 30 }, (_, i) => i))
})

it('does not put together what is over its limit', () => {
  const { a, b, came, settle } = pair({}, { messageBytesMax: 50_000 })
  send(a, 2, Kind.STATE, 1, 200_000)
  send(a, 2, Kind.STATE, 2)
  a.flush()
  settle()
  expect(came.map((m) => m.bytes).every((bytes) => bytes <= 50_000)).toBe(true)
  expect(b.held()).toBe(0)
  expect(b.stats.malformed).toBeGreaterThan(0)
})

it('is not opened further than the window by a forged grant', () => {
  const { a, b, frames } = pair({ creditBytes: 1000 })
  send(b, 1, Kind.STATE, 1)
  b.flush()
  const forged = Buffer.from(frames[0]!.frame)
  forged.writeDoubleLE(1e15, 40)
  send(a, 2, Kind.CALL, 1, 300)
  a.receive(forged)
  expect(a.creditLeft(2)).toBe(1000)
})

it('takes frames that come while it delivers after those at hand', () => {
  const order: string[] = []
  const members: Links[] = []
  for (const self of [1, 2])
    members[self] = new Links({
      self,
      clock: new VirtualClock(),
      // A bus that delivers at once, from within the call.
      transmit: (to, frame) => members[to]?.receive(frame),
      epoch: () => 1,
      onMessage: (from, _kind, r) => {
        const value = r.u32()
        order.push(`${self} has ${value}`)
        if (value < 6) send(members[self]!, from, Kind.STATE, value + 2)
        members[self]!.flush()
        order.push(`${self} is done`)
      },
    })
  members[1]!.open(2)
  members[2]!.open(1)
  send(members[1]!, 2, Kind.STATE, 1)
  send(members[1]!, 2, Kind.STATE, 2)
  members[1]!.flush()
  const at2 = order.filter((line) => line.startsWith('2')).join()
  expect(at2).not.toMatch(/2 has \d,2 has/)
  expect(order.filter((line) => line.includes('has'))).toHaveLength(7)
})

it('is quick again after a long silence of the peer', () => {
  const { a, frames, clock, settle, came } = pair()
  send(a, 2, Kind.STATE, 1)
  a.flush()
  clock.advance(20_000)
  settle()
  expect(came).toHaveLength(1)
  send(a, 2, Kind.STATE, 2)
  a.flush()
  frames.length = 0
  clock.advance(250)
  expect(frames).toHaveLength(1)
})

it('acknowledges and grants with few frames of their own', () => {
  const { a, b, settle, state } = pair({ creditBytes: 100_000 })
  state.onMessage = () => b.consumed(1, 100)
  for (let i = 0; i < 2000; i++) {
    send(a, 2, Kind.CALL, i, 100)
    if (i % 10 === 9) {
      a.flush()
      settle()
    }
  }
  expect(b.stats.messagesIn[Kind.CALL]).toBe(2000)
  expect(b.stats.bareOut).toBeLessThanOrEqual(210)
  expect(a.stats.bareOut).toBe(0)
})

it('lets what may wait go with what may not, in their order, or soon by itself', () => {
  const { a, came, clock, frames, settle } = pair()
  send(a, 2, Kind.MARK, 1)
  a.flush()
  clock.advance(2)
  expect(frames).toHaveLength(0)
  send(a, 2, Kind.PACKETS, 2)
  a.flush()
  expect(frames).toHaveLength(1)
  send(a, 2, Kind.DRAINED, 3)
  a.flush()
  clock.advance(10)
  expect(frames).toHaveLength(2)
  settle()
  expect(came.map((m) => m.value)).toEqual([1, 2, 3])
})
