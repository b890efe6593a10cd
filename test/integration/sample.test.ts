import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { CaptureRecord, openCapture } from '../../loadgen/index.ts'
import { Packet, steeringHash } from '../../nf-apps/packet/index.ts'

const sample = join(import.meta.dirname, '../../samples/office.pcap')

/** Steering hash of each packet of the sample, through our own reader and parser. */
function hashes(): number[] {
  const reader = openCapture(sample)
  const record = new CaptureRecord()
  const packet = new Packet()
  const all: number[] = []
  while (reader.next(record)) {
    const { bytes, start, end, linkType, wireLength, timeUs } = record
    packet.load(bytes, start, end, linkType, wireLength, timeUs, 0, 0, 0)
    all.push(steeringHash(packet))
  }
  reader.close()
  return all
}

describe('the sample capture', () => {
  const all = existsSync(sample) ? hashes() : []
  const flows = new Set(all)

  it('is large enough to show a scale-out', () => {
    expect(all.length).toBeGreaterThanOrEqual(20_000)
    expect(flows.size).toBeGreaterThanOrEqual(500)
  })

  it.each([1, 2, 3])('has at least 100 flows across cut %i of four', (cut) => {
    const at = Math.floor((all.length * cut) / 4)
    const before = new Set(all.slice(0, at))
    const across = new Set(all.slice(at).filter((hash) => before.has(hash)))
    expect(across.size).toBeGreaterThanOrEqual(100)
  })

  it.each([2, 3])('spreads over %i equal shares of the slots within 20 %%', (n) => {
    const packets = new Array<number>(n).fill(0)
    for (const hash of all) packets[Math.floor((hash / 2 ** 32) * n)]!++
    for (const share of packets) expect(Math.abs(share / (all.length / n) - 1)).toBeLessThan(0.2)
  })
})
