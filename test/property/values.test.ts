import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { readValue, writeValue } from '../../actors/index.ts'
import { ByteReader, ByteWriter, RehomeError } from '../../bus/index.ts'

const written = (value: unknown) => {
  const w = new ByteWriter(16)
  writeValue(w, value)
  return w.take()
}
const there = (value: unknown) => readValue(new ByteReader(written(value)))

const name = fc.constantFrom('index', 'seconds', 'what', 'from', 'to', 'value')
const leaf = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc.string({ maxLength: 2000 }),
  fc.double({ noNaN: true }).map((x) => x || 0), // MessagePack has no -0
  fc.integer(),
  fc.boolean(),
  fc.constantFrom(null, Number.NaN, ''),
)
/** As handlers make them: of few forms, and tables with keys of all kinds. */
const data = fc.letrec((inside) => ({
  any: fc.oneof(
    { depthSize: 'small' },
    leaf,
    fc.array(inside('any'), { maxLength: 6 }),
    fc.dictionary(name, inside('any'), { noNullPrototype: true }),
    fc.dictionary(fc.string({ maxLength: 8 }), inside('any'), { noNullPrototype: true }),
  ),
})).any

describe('values on the wire', () => {
  it('arrive as they were', () => {
    fc.assert(
      fc.property(data, (value) => {
        fc.pre(!JSON.stringify(value).includes('__proto__'))
        expect(there(value)).toEqual(value)
      }),
    )
  })

  it('keep what is undefined, the order of names, and bytes', () => {
    const told = there({ b: undefined, a: new Uint8Array([1, 2]) })
    expect(told).toStrictEqual({ b: undefined, a: new Uint8Array([1, 2]) })
    expect(Object.keys(told as object)).toEqual(['b', 'a'])
  })

  it('go on being read when there are more forms than are kept', () => {
    for (let n = 0; n < 600; n++) {
      const value = { [`name${n}`]: n, also: [{ [`inner${n}`]: `${n}` }] }
      expect(there(value)).toEqual(value)
    }
  })

  it('make no prototype, however they name it', () => {
    const forged = written({ o__proto_: { x: 1 } })
    forged.set(Buffer.from('__proto__'), Buffer.from(forged).indexOf('o__proto_'))
    expect(() => readValue(new ByteReader(forged))).toThrow(RehomeError)
    const parsed = written(JSON.parse('{"__proto__": {"x": 1}}'))
    expect(() => readValue(new ByteReader(parsed))).toThrow(RehomeError)
  })

  it('are read whole or refused, whatever the bytes', () => {
    const flip = fc.tuple(data, fc.nat(), fc.integer({ min: 1, max: 255 }), fc.nat())
    fc.assert(
      fc.property(flip, ([value, at, by, cut]) => {
        const bytes = written(value)
        bytes[at % bytes.length]! ^= by
        const end = bytes.length - (cut % 3)
        try {
          readValue(new ByteReader(bytes.subarray(0, end)))
        } catch (error) {
          expect(error).toBeInstanceOf(RehomeError)
        }
      }),
    )
  })

  it('refuse arrays inside each other without end', () => {
    const deep = new Uint8Array(500_000).fill(9)
    for (let i = 0; i < deep.length; i += 5) deep.set([9, 255, 0, 0, 0], i)
    expect(() => readValue(new ByteReader(deep))).toThrow(RehomeError)
  })
})
