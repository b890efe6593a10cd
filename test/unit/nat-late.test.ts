import { describe, expect, it } from 'vitest'
import { nat as natKit } from '../kit/index.ts'

const { Bench, dstOf, srcOf, udp } = natKit

const A = '10.0.0.1'
const B = '10.0.0.2'
const REMOTE = '198.51.100.1'
const OTHER = '198.51.100.2'
const PUBLIC = '192.0.2.1'

// A UDP mapping is over 330 s after its first packet: it lives for 300 s beyond a lease of 30.

describe('a packet that others have overtaken', () => {
  it('finds its mapping, which ends when no such packet is under way', async () => {
    const bench = new Bench()
    await bench.one(udp(`${B}:5000`, `${REMOTE}:53`))
    const end = srcOf(await bench.one(udp(`${A}:5000`, `${REMOTE}:53`))) ?? ''
    expect(end).not.toBe(`${PUBLIC}:5000`)
    bench.solo.lowUs = bench.us
    bench.pass(340)
    expect(srcOf(await bench.one(udp(`${A}:5000`, `${OTHER}:53`)))).toBe(end)
    // What comes late finds all as it was at its time.
    bench.pass(-41)
    expect(dstOf(await bench.one(udp(`${REMOTE}:53`, end)))).toBe(`${A}:5000`)
    expect(srcOf(await bench.one(udp(`${A}:5000`, `${REMOTE}:53`)))).toBe(end)
    bench.pass(500)
    bench.solo.lowUs = bench.us
    expect(await bench.one(udp(`${REMOTE}:53`, end))).toBeUndefined()
    await bench.one(udp(`${B}:5000`, `${REMOTE}:53`))
    expect(srcOf(await bench.one(udp(`${A}:5000`, `${OTHER}:53`)))).not.toBe(end)
  })

  it('finds its port, though others have asked for ports', async () => {
    const ofOneHost = (i: number) => `${A}:${3000 + i}`
    const ofManyHosts = (i: number) => `10.0.1.${1 + i}:3000`
    for (const inside of [ofOneHost, ofManyHosts]) {
      const bench = new Bench({ ports: '2000-2099' })
      const openAll = async (from: number, to: number) => {
        const ends: (string | undefined)[] = []
        for (let i = from; i < to; i++) {
          ends.push(srcOf(await bench.one(udp(inside(i), `${REMOTE}:80`))))
        }
        expect(ends).not.toContain(undefined)
        return ends
      }
      const ends = await openAll(0, 42)
      bench.solo.lowUs = bench.us
      bench.pass(340)
      await openAll(42, 92)
      bench.pass(-41)
      expect(await openAll(0, 42)).toEqual(ends)
    }
  })

  it('gives way to a new flow when there are no more ports', async () => {
    // The pool asks nobody for a second once all had nothing: by then the host itself has.
    for (const [host, seconds] of [
      [A, 0.9],
      [B, 2],
    ] as const) {
      const bench = new Bench({ ports: '2000-2009' })
      for (let i = 0; i < 10; i++) await bench.one(udp(`${A}:${3000 + i}`, `${REMOTE}:80`))
      bench.solo.lowUs = bench.us
      bench.pass(329.5)
      expect(await bench.one(udp(`${A}:4000`, `${REMOTE}:80`))).toBeUndefined()
      bench.pass(seconds)
      expect(await bench.one(udp(`${host}:4000`, `${REMOTE}:80`))).toBeDefined()
    }
  })
})
