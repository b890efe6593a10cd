import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { RehomeError } from '../../bus/index.ts'
import { decodeView, encodeView, type Member, View } from '../../placement/index.ts'

/** Any view that holds together, however unlikely. */
const anyView = fc
  .record({
    epoch: fc.integer({ min: 1, max: 0xffffffff }),
    slotBits: fc.nat(9),
    gap: fc.integer({ min: 1, max: 0xffff }),
    members: fc.array(
      fc.record({
        step: fc.integer({ min: 1, max: 0xffff }),
        id: fc.string({ minLength: 1, maxLength: 20, unit: 'grapheme' }),
        role: fc.constantFrom('instance' as const, 'instance' as const, 'steerer' as const),
        state: fc.constantFrom('active' as const, 'leaving' as const),
        protocol: fc.nat(0xffff),
        schema: fc.constantFrom('', 'abc', 'another schema'),
      }),
      { maxLength: 30 },
    ),
    table: fc.array(fc.tuple(fc.nat(), fc.nat(), fc.double({ min: 0, max: 1, noNaN: true })), {
      minLength: 1,
      maxLength: 40,
    }),
  })
  .map(({ epoch, slotBits, gap, members, table }) => {
    let no = 0
    const list = members.map(({ step, ...rest }): Member => {
      no += step
      return { no, ...rest }
    })
    const owners = list.filter((m) => m.role === 'instance').map((m) => m.no)
    const slots = Array.from({ length: 1 << slotBits }, (_, s) => table[s % table.length]!)
    const pick = (n: number) => owners[n % owners.length] ?? 0
    return new View({
      epoch,
      slotBits,
      members: list,
      nextNo: no + gap,
      crash: { epoch: Math.floor(epoch / 2), below: no, members: gap, actors: epoch },
      owner: Uint32Array.from(slots, ([o]) => pick(o)),
      holder: Uint32Array.from(slots, ([o, h]) => pick(h % 3 ? o : h)),
      since: Uint32Array.from(slots, ([, , part]) => Math.floor(part * epoch)),
    })
  })

/** Decodes, and lets nothing pass but the errors that are for the sender's faults. */
function decodes(bytes: Uint8Array): View | undefined {
  try {
    return decodeView(bytes)
  } catch (e) {
    if (e instanceof RehomeError && (e.code === 'bad-frame' || e.code === 'mismatch')) return
    throw e
  }
}

describe('a view on the wire', () => {
  it('comes back as it was', () => {
    fc.assert(
      fc.property(anyView, (view) => {
        expect(decodeView(encodeView(view))).toEqual(view)
      }),
      { numRuns: 300 },
    )
  })

  it('survives any change, and what passes holds together', () => {
    const edit = fc.record({ at: fc.nat(), to: fc.nat(255), kind: fc.nat(3) })
    fc.assert(
      fc.property(anyView, fc.array(edit, { minLength: 1, maxLength: 4 }), (view, edits) => {
        let bytes = encodeView(view)
        for (const { at, to, kind } of edits) {
          const i = 2 + (at % Math.max(1, bytes.length - 2))
          if (kind === 0) bytes = bytes.slice(0, i)
          else if (kind === 1) bytes = Uint8Array.of(...bytes.slice(0, i), to, ...bytes.slice(i))
          else bytes[i] = to
        }
        const passed = decodes(bytes)
        if (passed) expect(decodeView(encodeView(passed))).toEqual(passed)
      }),
      { numRuns: 3000 },
    )
  })

  it('survives any bytes', () => {
    const bytes = fc.uint8Array({ maxLength: 200 }).map((b) => Uint8Array.of(1, 0, ...b))
    fc.assert(
      fc.property(bytes, (b) => void decodes(b)),
      { numRuns: 3000 },
    )
  })
})
