import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Space, singleWriter, u32 } from '../../actors/index.ts'
import { ByteReader, ByteWriter, PROTOCOL_VERSION, systemClock } from '../../bus/index.ts'
import type { Handles } from '../../nf-apps/index.ts'
import { hash32 } from '../../nf-apps/packet/index.ts'
import { firstView, SLOT_BITS } from '../../placement/index.ts'

const SELF = 1
const Counter = singleWriter('counter', { n: u32 })
const types = { counters: Counter.keyedBy(hash32) }

/** One instance with all slots; what it sends is for itself. */
function alone(): { handles: Handles<typeof types>; pump(): void } {
  const w = new ByteWriter()
  const own: { kind: number; payload: Uint8Array }[] = []
  let sent = 0
  const begin = (_to: number, kind: number) => {
    sent = kind
    return w
  }
  const out = {
    begin,
    beginPart: begin,
    beginFurther: () => undefined,
    openParts: () => undefined,
    end: () => void own.push({ kind: sent, payload: w.take() }),
    creditLeft: () => 2 ** 30,
    consumed: () => {},
  }
  const space = new Space({ self: SELF, types, out, clock: systemClock(), slotBits: SLOT_BITS })
  const member = { id: 'a', role: 'instance' as const, protocol: PROTOCOL_VERSION, schema: '' }
  const view = firstView(member)
  space.onView(view)
  const pump = () => {
    for (const { kind, payload } of own.splice(0)) {
      space.onMessage(SELF, kind, new ByteReader(payload), view.epoch)
    }
    space.step()
  }
  return { handles: space.handles as Handles<typeof types>, pump }
}

/** Keys are their own hashes, so that they can crowd: in one slot, behind the last of a segment, or nowhere. Slots come rising. */
const hashes = fc
  .record({
    seed: fc.nat(),
    count: fc.integer({ min: 1, max: 12_000 }),
    bits: fc.nat(32),
    rising: fc.boolean(),
  })
  .map(({ seed, count, bits, rising }) => {
    let at = seed | 1
    const keys = Array.from({ length: count }, () => {
      at = (Math.imul(at, 0x5bd1e995) + 0x3c6ef372) | 0
      const h = (at ^ (at >>> 15)) >>> 0
      return bits === 32 ? h : (0xffff_ffff - (h >>> bits)) >>> 0
    })
    return rising ? keys.sort((a, b) => a - b) : keys
  })

describe('an instance with many actors', () => {
  it('finds each, by its key and by its slot, while others come and go', async () => {
    await fc.assert(
      fc.asyncProperty(hashes, fc.integer({ min: 2, max: 7 }), async (keys, every) => {
        const { handles, pump } = alone()
        const expected = new Map<number, number>()
        keys.forEach((key, i) => {
          handles.counters.with(key, (s) => {
            s.n++
          })
          expected.set(key, (expected.get(key) ?? 0) + 1)
          const other = keys[(i * 31) % keys.length]!
          if (i % every !== 0 || !expected.delete(other)) return
          expect(handles.counters.remove(other)).toBe(true)
        })
        let found: readonly { key: number; state: { n: number } }[] | undefined
        void handles.counters.all().then((all) => {
          found = all
        })
        while (found === undefined) {
          pump()
          await new Promise(setImmediate)
        }
        expect(new Map(found.map(({ key, state }) => [key, state.n]))).toEqual(expected)
        expect(found.length).toBe(expected.size)
      }),
      { numRuns: 12 },
    )
  })
})
