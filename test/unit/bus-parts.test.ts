import { describe, expect, it } from 'vitest'
import { type ByteReader, Kind, Links } from '../../bus/index.ts'
import { VirtualClock } from '../property/bus-network.ts'

/** A member that writes to another, and the values of each message that comes there. */
function oneWay() {
  const state = { epoch: 1 }
  const came: { kind: number; epoch: number; bytes: number; values: number[] }[] = []
  const frames: Uint8Array[] = []
  const clock = new VirtualClock()
  const epoch = () => state.epoch
  const transmit = (_to: number, frame: Uint8Array) => void frames.push(frame)
  const a = new Links({ self: 1, clock, transmit, epoch, onMessage: () => {} })
  const onMessage = (_from: number, kind: number, r: ByteReader, at: number) => {
    const bytes = r.left
    const values: number[] = []
    while (r.left >= 4) values.push(r.u32())
    came.push({ kind, epoch: at, bytes, values })
  }
  const b = new Links({ self: 2, clock, transmit: () => {}, epoch, onMessage })
  a.open(2)
  b.open(1)
  const arrive = () => {
    a.flush()
    for (const frame of frames.splice(0)) b.receive(frame)
    return came
  }
  const part = (kind: number, value: number) => {
    a.beginPart(2, kind).u32(value)
    a.end()
  }
  /** Behind others, as much as is told of at once: how many of them the message took. */
  const follow = (values: readonly number[]) => {
    const parts = a.openParts(2)
    let taken = 0
    for (; parts?.goOn(2) === true && taken < values.length; taken++) {
      parts.w.pos = parts.end
      parts.w.u32(values[taken]!)
      parts.end = parts.w.pos
    }
    return taken
  }
  return { a, state, part, follow, arrive }
}

it('puts parts of one kind into one message; another kind, frame or epoch begins the next', () => {
  const { a, state, part, arrive } = oneWay()
  part(Kind.CALL, 0)
  part(Kind.CALL, 1)
  part(Kind.REPLY, 2)
  part(Kind.CALL, 3)
  a.begin(2, Kind.CALL).u32(4) // a message of its own
  a.end()
  part(Kind.CALL, 5)
  a.flush()
  part(Kind.CALL, 6)
  state.epoch = 2
  part(Kind.CALL, 7)
  const came = arrive()
  expect(came.map((m) => m.values)).toEqual([[0, 1], [2], [3], [4], [5], [6], [7]])
  expect(came.map((m) => m.epoch)).toEqual([1, 1, 1, 1, 1, 1, 2])
  expect(a.stats.messagesOut[Kind.CALL]).toBe(6)
  expect(1024 * 1024 - a.creditLeft(2)).toBe(4 * 7)
})

it('takes back a part whose writer gave up, and no other', () => {
  const { a, part, arrive } = oneWay()
  part(Kind.CALL, 1)
  part(Kind.CALL, 2)
  a.beginPart(2, Kind.CALL).u32(99)
  part(Kind.CALL, 3)
  a.beginPart(2, Kind.CALL).u32(99)
  a.flush()
  expect(arrive().flatMap((m) => m.values)).toEqual([1, 2, 3])
  expect(a.stats.abandoned).toBe(2)
})

it('bounds what is put into one message, but not a part', () => {
  const { a, part, arrive } = oneWay()
  for (let i = 0; i < 1000; i++) part(Kind.REPLY, i)
  const small = arrive().splice(0)
  expect(small.flatMap((m) => m.values)).toEqual(Array.from({ length: 1000 }, (_, i) => i))
  expect(small.length).toBeLessThan(10)
  part(Kind.REPLY, 1)
  const w = a.beginPart(2, Kind.REPLY)
  w.raw(new Uint8Array(100_000))
  a.end()
  part(Kind.REPLY, 2)
  const [large, after] = arrive()
  expect(large!.bytes).toBe(100_004)
  expect(large!.values[0]).toBe(1)
  expect(after!.values).toEqual([2])
})

it('begins a part behind another only where there is one of its kind', () => {
  const { a, state, part, arrive } = oneWay()
  expect(a.beginFurther(2, Kind.CALL)).toBe(undefined)
  part(Kind.CALL, 1)
  a.beginFurther(2, Kind.CALL)!.u32(2)
  a.end()
  part(Kind.REPLY, 3)
  expect(a.beginFurther(2, Kind.CALL)).toBe(undefined)
  part(Kind.CALL, 4)
  state.epoch = 2
  expect(a.beginFurther(2, Kind.CALL)).toBe(undefined)
  expect(arrive().map((m) => m.values)).toEqual([[1, 2], [3], [4]])
})

describe('parts that go on in a message without being begun', () => {
  it('are as if each had been', () => {
    const { a, part, follow, arrive } = oneWay()
    part(Kind.CALL, 1)
    expect(follow([2, 3])).toBe(2)
    part(Kind.CALL, 4)
    expect(follow([5])).toBe(1)
    part(Kind.REPLY, 6)
    expect(arrive().map((m) => m.values)).toEqual([[1, 2, 3, 4, 5], [6]])
    expect(a.stats.abandoned).toBe(0)
  })

  it('need a message that is open for them, and end with what it takes', () => {
    const { a, state, part, follow, arrive } = oneWay()
    expect(a.openParts(2)).toBe(undefined)
    a.begin(2, Kind.CALL).u32(0)
    a.end()
    expect(a.openParts(2)).toBe(undefined)
    part(Kind.CALL, 1)
    const many = Array.from({ length: 1000 }, (_, i) => i)
    expect(follow(many)).toBeLessThan(many.length)
    part(Kind.CALL, 2)
    const parts = a.openParts(2)!
    expect(parts.goOn(3)).toBe(false)
    a.settle()
    state.epoch = 2
    expect(parts.goOn(2)).toBe(false)
    expect(arrive().map((m) => m.values.length)).toEqual([1, 192, 1])
  })

  it('cost credit, and nothing of one that did not come to its end is sent', () => {
    const { a, part, follow, arrive } = oneWay()
    const before = a.creditLeft(2)
    part(Kind.CALL, 1)
    follow([2, 3])
    a.openParts(2)!.w.u32(99)
    expect(a.creditLeft(2)).toBe(before - 12)
    expect(arrive().map((m) => m.values)).toEqual([[1, 2, 3]])
  })

  it("are nobody's once their receiver is gone", () => {
    const { a, part, follow } = oneWay()
    part(Kind.CALL, 1)
    follow([2])
    const parts = a.openParts(2)!
    a.forget(2)
    expect(parts.goOn(2)).toBe(false)
    expect(a.openParts(2)).toBe(undefined)
  })
})
