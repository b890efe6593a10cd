import assert from 'node:assert/strict'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  CaptureRecord,
  FlowSizes,
  parseSynthetic,
  type SyntheticSettings,
  SyntheticTraffic,
  syntheticDefaults,
} from '../../loadgen/index.ts'
import { Packet, TCP_ACK, TCP_FIN, TCP_SYN } from '../../nf-apps/packet/index.ts'

const settings = fc
  .record({
    flows: fc.integer({ min: 1, max: 300 }),
    packets: fc.integer({ min: 1, max: 3_000 }),
    seed: fc.maxSafeNat(),
    least: fc.constantFrom(1, 2, 3, 10),
    rate: fc.constantFrom(1, 1_000, 10_000_000),
    payload: fc.tuple(fc.nat(1_440), fc.nat(1_440)),
    ipv6: fc.constantFrom(0, 0.5, 1),
  })
  .map(({ payload: [a, b], ...rest }): SyntheticSettings => {
    return { ...rest, payload: [Math.min(a, b), Math.max(a, b)] }
  })

function each(source: SyntheticTraffic, visit: (p: Packet, index: number) => void): number {
  const record = new CaptureRecord()
  const packet = new Packet()
  let index = 0
  while (source.next(record)) {
    const { bytes, start, end, linkType, wireLength, timeUs } = record
    packet.load(bytes, start, end, linkType, wireLength, timeUs, timeUs, index, 0)
    visit(packet, index++)
  }
  return index
}

/** What is known of a flow from the packets seen: the checks below are written for it alone. */
interface Seen {
  packets: number
  ended: boolean
  client: string
  next: Map<string, number>
}

/** Ones' complement sum of a stretch, as a receiver makes it: 0xffff when the checksum is right. */
function sum(bytes: Uint8Array, from: number, to: number, start = 0): number {
  let total = start
  for (let at = from; at < to; at++) total += (at - from) % 2 === 0 ? bytes[at]! << 8 : bytes[at]!
  while (total > 0xffff) total = (total >>> 16) + (total & 0xffff)
  return total
}

function checkSums(p: Packet): void {
  const { bytes, l3Offset: ip, l4Offset: tcp, end } = p
  const v4 = p.src.v4
  if (v4) assert.equal(sum(bytes, ip, ip + 20), 0xffff)
  const addresses = v4 ? sum(bytes, ip + 12, ip + 20) : sum(bytes, ip + 8, ip + 40)
  assert.equal(sum(bytes, tcp, end, addresses + 6 + (end - tcp)), 0xffff)
}

function checkFlow(flows: Map<string, Seen>, p: Packet): void {
  const from = `${p.src} ${p.srcPort}`
  const to = `${p.dst} ${p.dstPort}`
  const key = [from, to].sort().join(' ')
  const flow = flows.get(key) ?? { packets: 0, ended: false, client: from, next: new Map() }
  flows.set(key, flow)
  const [syn, ack, fin] = [TCP_SYN, TCP_ACK, TCP_FIN].map((flag) => (p.flags & flag) !== 0)
  assert.equal(flow.ended, false)
  // The client begins with a SYN, the server's first packet is a SYN-ACK, and no other has one.
  assert.equal(syn, !flow.next.has(from))
  if (flow.packets === 0) assert.equal(ack, false)
  if (fin) assert.equal(from, flow.client)
  assert.equal(p.seq, flow.next.get(from) ?? p.seq)
  // Whoever acknowledges has all that the other side has sent.
  assert.equal(ack, flow.next.has(to))
  assert.equal(p.ack, flow.next.get(to) ?? 0)
  flow.next.set(from, (p.seq + p.payloadLength + (syn ? 1 : 0) + (fin ? 1 : 0)) >>> 0)
  flow.packets++
  flow.ended = fin === true
}

describe('synthetic traffic', () => {
  it('is whole TCP flows, SYN first and FIN last, with right numbers and checksums', () => {
    fc.assert(
      fc.property(settings, (settings) => {
        const flows = new Map<string, Seen>()
        let lastUs = 0
        const packets = each(new SyntheticTraffic(settings), (p) => {
          assert.equal(p.malformed, 0)
          checkSums(p)
          checkFlow(flows, p)
          assert.ok(p.timeUs >= lastUs)
          lastUs = p.timeUs
        })
        assert.equal(packets, settings.packets)
        const least = Math.min(settings.least, settings.packets)
        for (const flow of flows.values()) {
          assert.equal(flow.ended, true)
          assert.ok(flow.packets >= least)
        }
      }),
      { numRuns: 60 },
    )
  })

  it('is the same for the same seed, and after a rewind; another for another seed', () => {
    fc.assert(
      fc.property(settings, (settings) => {
        const source = new SyntheticTraffic(settings)
        const first = bytesOf(source)
        source.rewind()
        expect(bytesOf(source).equals(first)).toBe(true)
        expect(bytesOf(new SyntheticTraffic(settings)).equals(first)).toBe(true)
        const other = new SyntheticTraffic({ ...settings, seed: settings.seed + 1 })
        expect(bytesOf(other).equals(first)).toBe(false)
      }),
      { numRuns: 20 },
    )
  })

  it('has payloads from the least to the most, and the share of IPv6 that was asked for', () => {
    const source = new SyntheticTraffic(parseSynthetic('packets=30000,payload=100-139,ipv6=0.25'))
    const lengths = new Set<number>()
    let v6 = 0
    each(source, (p) => {
      if (p.payloadLength > 0) lengths.add(p.payloadLength)
      if ((p.flags & (TCP_SYN | TCP_ACK)) === TCP_SYN && !p.src.v4) v6++
    })
    expect([...lengths].sort()).toEqual(Array.from({ length: 40 }, (_, i) => 100 + i))
    expect(v6 / (30_000 / 8.58)).toBeCloseTo(0.25, 1)
  })

  it('has data from both sides in about equal parts', () => {
    let [client, server] = [0, 0]
    each(new SyntheticTraffic({ ...syntheticDefaults, packets: 30_000, flows: 50 }), (p) => {
      if (p.payloadLength > 0) p.dstPort < p.srcPort ? client++ : server++
    })
    expect(server / (client + server)).toBeGreaterThan(0.3)
    expect(server / (client + server)).toBeLessThan(0.6)
  })
})

describe('the figures of the seed', () => {
  for (const [least, mean] of [
    [3, 8.6],
    [1, 3.2],
  ] as const)
    it(`flows of ${least} packets at least have ${mean} on average, ±3 %`, () => {
      expect(Math.abs(new FlowSizes(least).mean / mean - 1)).toBeLessThan(0.03)
      const packets = 200_000
      let flows = 0
      const source = new SyntheticTraffic({ ...syntheticDefaults, packets, least, payload: [0, 0] })
      each(source, (p) => {
        if ((p.flags & (TCP_SYN | TCP_ACK)) === TCP_SYN) flows++
      })
      expect(Math.abs(packets / flows / mean - 1)).toBeLessThan(0.03)
    })

  it('sizes follow the Pareto law up to the cut', () => {
    const sizes = new FlowSizes(3)
    const drawn = Array.from({ length: 100_000 }, (_, i) => sizes.at((i + 0.5) / 100_000))
    const share = (from: number) => drawn.filter((size) => size >= from).length / drawn.length
    for (const size of [5, 10, 30, 60]) {
      const whole = (3 / (size - 0.5)) ** 1.3
      expect(share(size)).toBeCloseTo((whole - 0.01) / 0.99, 3)
    }
    expect(drawn[0]).toBe(3)
    expect(drawn.at(-1)).toBe(104)
  })

  it('as many flows are live at once as were asked for', () => {
    for (const least of [1, 3]) {
      const shape = { flows: 500, least, packets: 250_000, payload: [0, 0] } as const
      const source = new SyntheticTraffic({ ...syntheticDefaults, ...shape })
      let live = 0
      const levels: number[] = []
      each(source, (p, index) => {
        if ((p.flags & (TCP_SYN | TCP_ACK)) === TCP_SYN) live++
        if (p.flags & TCP_FIN) live--
        // From where the long flows have their share, to where flows run out.
        if (index > 100_000 && index < 200_000) levels.push(live)
      })
      const mean = levels.reduce((sum, level) => sum + level, 0) / levels.length
      expect(Math.abs(mean / 500 - 1)).toBeLessThan(0.05)
    }
  })

  it('packets and flows come at exponential intervals', () => {
    const rate = 50_000
    const shape = { flows: 1_000, rate, packets: 350_000, payload: [0, 0] } as const
    const source = new SyntheticTraffic({ ...syntheticDefaults, ...shape })
    const packetGaps: number[] = []
    const flowGaps: number[] = []
    let [lastPacket, lastFlow] = [0, 0]
    each(source, (p, index) => {
      if (index < 100_000 || index > 300_000) return
      if (lastPacket > 0) packetGaps.push(p.timeUs - lastPacket)
      lastPacket = p.timeUs
      if ((p.flags & (TCP_SYN | TCP_ACK)) !== TCP_SYN) return
      if (lastFlow > 0) flowGaps.push(p.timeUs - lastFlow)
      lastFlow = p.timeUs
    })
    for (const [gaps, mean] of [
      [packetGaps, 1e6 / rate],
      [flowGaps, (1e6 / rate) * 8.58],
    ] as const) {
      const average = gaps.reduce((sum, gap) => sum + gap, 0) / gaps.length
      expect(Math.abs(average / mean - 1)).toBeLessThan(0.05)
      // An exponential law's share above x means is e^-x.
      for (const x of [0.2, 1, 2, 3]) {
        const above = gaps.filter((gap) => gap > x * average).length / gaps.length
        expect(Math.abs(above - Math.exp(-x))).toBeLessThan(0.01)
      }
    }
  })
})

function bytesOf(source: SyntheticTraffic): Buffer {
  const record = new CaptureRecord()
  const parts: Uint8Array[] = []
  while (source.next(record)) {
    parts.push(Uint8Array.from(record.bytes.subarray(record.start, record.end)))
    parts.push(new Uint8Array(Float64Array.of(record.timeUs, record.wireLength).buffer))
  }
  return Buffer.concat(parts)
}
