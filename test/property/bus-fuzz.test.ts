import fc from 'fast-check'
import { expect, it } from 'vitest'
import { Kind, type LinkLimits, Links, PROTOCOL_VERSION } from '../../bus/index.ts'
import { random, VirtualClock } from './bus-network.ts'

const limits: Partial<LinkLimits> = {
  frameBytes: 1024,
  windowBytes: 16_384,
  messageBytesMax: 65_536,
}
/** Whatever a member of three may hold of early frames and pieces, whoever sends what. */
const HELD_MAX = 67 * (16_384 + 2 * 1024 + 2 * 65_536)

/** Real frames of a conversation: small messages, pieces, bare acknowledgements. */
function conversation(seed: number): Uint8Array[] {
  const dice = random(seed)
  const clock = new VirtualClock()
  const frames: Uint8Array[] = []
  const members: Links[] = []
  for (const self of [1, 2])
    members[self] = new Links({
      self,
      clock,
      limits,
      transmit: (to, frame) => {
        if (to === 1) frames.push(frame)
        clock.soon(() => members[to]?.receive(frame))
      },
      epoch: () => 1,
      onMessage: () => {},
    })
  members[1]!.open(2)
  members[2]!.open(1)
  for (let i = 0; i < 30; i++) {
    for (const self of [1, 2]) {
      const w = members[self]!.begin(3 - self, 1 + Math.floor(dice() * 30))
      const bytes = dice() < 0.2 ? 3000 : 40
      for (let k = 0; k < dice() * bytes; k++) w.u8(k)
      members[self]!.end()
      if (dice() < 0.5) members[self]!.flush()
    }
    clock.advance(dice() * 30)
  }
  return frames
}

const interesting = [0, 1, 2, 3, 4, 31, 32, 127, 128, 129, 254, 255]

/** Some bytes changed, mostly where the numbers are, sometimes cut or lengthened. */
function mutate(frame: Uint8Array, other: Uint8Array, dice: () => number): Uint8Array {
  const pick = (n: number) => Math.floor(dice() * n)
  let bytes = Uint8Array.from(frame)
  const how = dice()
  if (how < 0.05) bytes = bytes.slice(0, pick(bytes.length + 1))
  else if (how < 0.1) bytes = Uint8Array.from([...bytes, ...other.subarray(0, pick(100))])
  else if (how < 0.2)
    bytes.set(other.subarray(48, 48 + pick(64)).subarray(0, bytes.length - 48), 48)
  for (let i = pick(4); i > 0; i--) {
    const at = dice() < 0.7 ? 3 + pick(bytes.length - 3) : 20 + pick(32)
    bytes[at] = dice() < 0.5 ? interesting[pick(interesting.length)]! : pick(256)
  }
  return bytes
}

/** What any reader of frames would look at first. */
function looksLikeAFrame(frame: Uint8Array): boolean {
  if (frame.length < 48) return false
  const view = new DataView(frame.buffer, frame.byteOffset, frame.length)
  const isOurs = view.getUint16(0, true) === 0x4852 && frame[2] === PROTOCOL_VERSION
  return isOurs && view.getUint32(16, true) === frame.length
}

it('survives any bytes: nothing is thrown, what is held is bounded, what is dropped is counted', () => {
  let tried = 0
  let passed = 0
  fc.assert(
    fc.property(fc.integer(), (seed) => {
      const dice = random(seed)
      const clock = new VirtualClock()
      const victim: Links = new Links({
        self: 1,
        clock,
        limits,
        transmit: () => {},
        epoch: () => 1,
        onMessage: (from, kind, r) => {
          // A codec that believes what it reads, and a runtime that answers.
          if (kind === Kind.CALL) r.block()
          if (dice() < 0.1) {
            victim.begin(from, Kind.REPLY).u32(1)
            victim.end()
          }
        },
      })
      victim.open(2)
      victim.open(3)
      const frames = conversation(seed)
      for (let round = 0; round < 10; round++) {
        for (const [i, frame] of frames.entries()) {
          const other = frames[Math.floor(dice() * frames.length)]!
          const mutant = mutate(frame, other, dice)
          tried++
          if (looksLikeAFrame(mutant)) passed++
          victim.receive(mutant)
          if (dice() < 0.3) victim.receive(frame)
          if (i % 8 === 0) {
            victim.flush()
            clock.advance(15)
          }
        }
        expect(victim.held()).toBeLessThan(HELD_MAX)
      }
      const { framesIn, malformed, refused } = victim.stats
      expect(framesIn + malformed + refused).toBeGreaterThan(0)
      expect(victim.peers().length).toBeLessThanOrEqual(2 + 64)
    }),
    { numRuns: 60 },
  )
  expect(passed / tried, 'mutants that pass the first check').toBeGreaterThan(0.5)
})

it('survives bytes that are no frames at all', () => {
  const victim = new Links({
    self: 1,
    clock: new VirtualClock(),
    transmit: () => expect.fail('nothing to answer'),
    epoch: () => 1,
    onMessage: () => expect.fail('nothing to deliver'),
  })
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      victim.receive(bytes)
    }),
  )
  expect(victim.stats.malformed).toBeGreaterThan(0)
})
