import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { CaptureRecord, memoryFile, openCapture, PcapWriter } from '../../loadgen/index.ts'
import {
  PCAP_MODIFIED,
  PCAP_NS,
  PCAP_US,
  PcapNgFixture,
  pcapBytes,
} from '../unit/loadgen-fixtures.ts'

interface Seen {
  bytes: Uint8Array
  wireLength: number
  timeUs: number
  linkType: number
}

function read(bytes: Uint8Array): Seen[] {
  const reader = openCapture(memoryFile(bytes))
  const record = new CaptureRecord()
  const seen: Seen[] = []
  while (reader.next(record)) {
    const { wireLength, timeUs, linkType } = record
    const packet = record.bytes.slice(record.start, record.end)
    seen.push({ bytes: Uint8Array.from(packet), wireLength, timeUs, linkType })
  }
  expect(Object.values(reader.problems).every((n) => n === 0)).toBe(true)
  return seen
}

const data = fc.uint8Array({ maxLength: 70 })
const word = fc.nat(0xffffffff)
const seconds = fc.nat(0xffffffff)

const pcapForm = fc.record({
  littleEndian: fc.boolean(),
  magic: fc.constantFrom(PCAP_US, PCAP_NS, PCAP_MODIFIED),
  linkType: fc.nat(0xffff),
})
const pcapPackets = fc.array(
  fc.record({ bytes: data, wireLength: word, seconds, fraction: fc.nat(999_999) }),
)
const anyPcap = fc.tuple(pcapForm, pcapPackets)

/** What a pcapng is made of; `source` is taken modulo the section's interfaces. */
const block = fc.oneof(
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('section'), little: fc.boolean() }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('interface'),
      linkType: fc.nat(0xffff),
      resolution: fc.constantFrom(undefined, 0, 3, 6, 7, 9, 0x8a, 0x94),
      offset: fc.option(fc.nat(2 ** 31), { nil: undefined }),
    }),
  },
  {
    weight: 10,
    arbitrary: fc.record({
      kind: fc.constantFrom('enhanced', 'old', 'simple'),
      bytes: data,
      extra: fc.nat(9_000),
      source: fc.nat(1_000),
      units: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('other'), bytes: data }) },
)
type Block = typeof block extends fc.Arbitrary<infer B> ? B : never

/** Builds the file, and says with big integers what its packets are. */
class Model {
  readonly fixture = new PcapNgFixture().section()
  readonly packets: Seen[] = []
  private interfaces: { linkType: number; resolution: number; offset: number }[] = []
  private lastUs = 0

  add(block: Block): void {
    if ('little' in block) {
      this.fixture.section(block.little)
      this.interfaces = []
    } else if ('linkType' in block) {
      const { linkType, resolution, offset } = block
      this.fixture.interface({
        linkType,
        ...(resolution === undefined ? {} : { resolution }),
        ...(offset === undefined ? {} : { offsetSeconds: BigInt(offset) }),
      })
      this.interfaces.push({ linkType, resolution: resolution ?? 6, offset: offset ?? 0 })
    } else if ('units' in block) this.packet(block)
    else
      this.fixture.block(
        0x4444,
        Buffer.concat([block.bytes, Buffer.alloc(-block.bytes.length & 3)]),
      )
  }

  private packet(block: Extract<Block, { units: bigint }>): void {
    if (this.interfaces.length === 0) return
    const simple = block.kind === 'simple'
    const id = simple ? 0 : block.source % this.interfaces.length
    const source = this.interfaces[id]!
    const wireLength = block.bytes.length + (simple ? 0 : block.extra)
    if (simple) this.fixture.simple(block.bytes)
    else if (block.kind === 'old') this.fixture.old(id, block.units, block.bytes, wireLength)
    else this.fixture.enhanced(id, block.units, block.bytes, wireLength)
    if (!simple) this.lastUs = exactUs(block.units, source.resolution) + source.offset * 1e6
    const { linkType } = source
    this.packets.push({ bytes: block.bytes, wireLength, timeUs: this.lastUs, linkType })
  }
}

/** In µs, rounded once at the end: to 2^-20 µs first, far below what a double of that size shows. */
function exactUs(units: bigint, resolution: number): number {
  const perSecond = resolution & 0x80 ? 2n ** BigInt(resolution & 0x7f) : 10n ** BigInt(resolution)
  return Number((units * 1_000_000n * 2n ** 20n) / perSecond) / 2 ** 20
}

function modelOf(blocks: readonly Block[]): Model {
  const model = new Model()
  for (const block of blocks) model.add(block)
  return model
}
const anyPcapNg = fc.array(block, { maxLength: 40 }).map(modelOf)

describe('reading gives what was written', () => {
  it('pcap in every form', () => {
    fc.assert(
      fc.property(anyPcap, ([form, packets]) => {
        const tick = form.magic === PCAP_NS ? 1e-3 : 1
        const expected = packets.map(({ bytes, wireLength, seconds, fraction }) => {
          return {
            bytes,
            wireLength,
            timeUs: seconds * 1e6 + fraction * tick,
            linkType: form.linkType,
          }
        })
        expect(read(pcapBytes(form, packets))).toEqual(expected)
      }),
    )
  })

  it('pcapng of any blocks', () => {
    fc.assert(
      fc.property(anyPcapNg, (model) => {
        const seen = read(model.fixture.bytes())
        expect(seen.map((p) => ({ ...p, timeUs: 0 }))).toEqual(
          model.packets.map((p) => ({ ...p, timeUs: 0 })),
        )
        for (const [i, { timeUs }] of seen.entries()) {
          const exact = model.packets[i]!.timeUs
          // Two steps of a double at most: one for the quotient, one for the offset.
          expect(Math.abs(timeUs - exact)).toBeLessThanOrEqual(exact * 2 ** -51 + 2 ** -19)
        }
      }),
    )
  })

  describe('of our own writer', () => {
    let folder: string
    beforeAll(() => {
      folder = mkdtempSync(join(tmpdir(), 'rehome-test-'))
    })
    afterAll(() => rmSync(folder, { recursive: true }))

    it('in µs and ns', () => {
      const packet = fc.record({ bytes: data, wireLength: word, quarterUs: fc.maxSafeNat() })
      const resolution = fc.constantFrom('us' as const, 'ns' as const)
      fc.assert(
        fc.property(
          resolution,
          fc.array(packet),
          fc.nat(0xffff),
          (resolution, packets, linkType) => {
            // Up to the year 2106, in the steps that the resolution has.
            const step = resolution === 'us' ? 1 : 0.25
            const expected = packets.map(({ bytes, wireLength, quarterUs }) => {
              return { bytes, wireLength, timeUs: (quarterUs % 2 ** 52) * step * 0.5, linkType }
            })
            for (const packet of expected) packet.timeUs -= packet.timeUs % step
            const path = join(folder, 'written.pcap')
            const writer = new PcapWriter(path, { linkType, resolution })
            const record = new CaptureRecord()
            for (const packet of expected) {
              Object.assign(record, packet, { start: 0, end: packet.bytes.length })
              writer.write(record)
            }
            writer.close()
            expect(writer.refused).toBe(0)
            expect(read(readFileSync(path))).toEqual(expected)
          },
        ),
      )
    })
  })
})

describe('broken captures', () => {
  const valid = fc.oneof(
    anyPcap.map(([form, packets]) => pcapBytes(form, packets)),
    anyPcapNg.map((model) => model.fixture.bytes()),
  )
  /** Numbers that break lengths and counts, besides any. */
  const evil = fc.oneof(
    fc.constantFrom(0, 1, 4, 8, 12, 0x7fffffff, 0x80000000, 0xffffffff, 262_144, 262_145),
    word,
  )
  const change = fc.record({
    at: fc.nat(),
    how: fc.constantFrom('word', 'byte', 'cut', 'repeat', 'drop'),
    value: evil,
  })
  type Change = typeof change extends fc.Arbitrary<infer C> ? C : never

  function mutate(bytes: Uint8Array, { at, how, value }: Change): Uint8Array {
    const out = Buffer.from(bytes)
    const place = at % Math.max(1, out.length - 3)
    if (out.length < 4) return out
    if (how === 'word') out.writeUInt32LE(value, place & ~3)
    else if (how === 'byte') out[place] = value & 255
    else if (how === 'cut') return out.subarray(0, place)
    else if (how === 'repeat') return Buffer.concat([out.subarray(0, place), out])
    else return Buffer.concat([out.subarray(0, place), out.subarray(place + (value % 64))])
    return out
  }

  it('never throw but for their first bytes, always end, and give only bytes they hold', () => {
    let passed = 0
    let tried = 0
    const record = new CaptureRecord()
    fc.assert(
      fc.property(valid, fc.array(change, { minLength: 1, maxLength: 4 }), (bytes, changes) => {
        const mutated = changes.reduce(mutate, bytes)
        tried++
        let reader: ReturnType<typeof openCapture>
        try {
          reader = openCapture(memoryFile(mutated))
        } catch (error) {
          expect(error).toMatchObject({ name: 'RehomeError', code: 'bad-input' })
          return
        }
        passed++
        let given = 0
        for (let n = 0; reader.next(record); n++) {
          // A record has a header of 12 bytes at least: so many can be in it at most.
          expect(n).toBeLessThan(mutated.length / 12)
          const length = record.end - record.start
          if (!(length >= 0 && length <= 262_144)) expect.fail(`a packet of ${length} bytes`)
          if (!(record.start >= 0 && record.end <= record.bytes.length)) expect.fail('outside')
          if (!Number.isFinite(record.timeUs + record.wireLength)) expect.fail('no number')
          given += length
        }
        expect(given).toBeLessThanOrEqual(mutated.length)
        expect(reader.next(record)).toBe(false)
      }),
      { numRuns: 5_000 },
    )
    // A fuzzer that does not get past the header tests the header only.
    expect(passed / tried).toBeGreaterThan(0.5)
  })
})
