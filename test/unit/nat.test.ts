import { describe, expect, it } from 'vitest'
import { nat } from '../../nf-apps/nat/index.ts'
import {
  build,
  Packet,
  TCP_ACK,
  TCP_FIN,
  TCP_RST,
  TCP_SYN,
  updateChecksum,
} from '../../nf-apps/packet/index.ts'
import { nat as natKit } from '../kit/index.ts'

const { Bench, dstOf, exchange, packetOf, ping, srcOf, tcp, udp, wrongChecksum } = natKit

const A = '10.0.0.1'
const B = '10.0.0.2'
const REMOTE = '198.51.100.1'
const OTHER = '198.51.100.2'
const PUBLIC = '192.0.2.1'
const SYN_ACK = TCP_SYN | TCP_ACK

/** An open connection from `inside` to the remote end; answers its public end. */
async function connect(bench: natKit.Bench, inside: string, remote: string): Promise<string> {
  const out = await bench.one(tcp(inside, remote, TCP_SYN))
  const end = srcOf(out) ?? ''
  expect(await bench.one(tcp(remote, end, SYN_ACK))).toBeDefined()
  expect(await bench.one(tcp(inside, remote, TCP_ACK))).toBeDefined()
  return end
}

describe('mapping', () => {
  it('translates out and back', async () => {
    const bench = new Bench()
    expect(srcOf(await bench.one(udp(`${A}:5000`, `${REMOTE}:53`)))).toBe(`${PUBLIC}:5000`)
    const back = await bench.one(udp(`${REMOTE}:53`, `${PUBLIC}:5000`))
    expect([srcOf(back), dstOf(back)]).toEqual([`${REMOTE}:53`, `${A}:5000`])
    const [reply] = await exchange(bench, tcp(`${A}:5000`, `${REMOTE}:80`, TCP_SYN))
    expect([dstOf(reply), reply?.flags]).toEqual([`${A}:5000`, SYN_ACK])
    expect(await bench.count('translated')).toBe(4)
  })

  it('maps an inside end alike to all remote ends', async () => {
    const bench = new Bench()
    for (const make of [udp, (s: string, d: string) => tcp(s, d, TCP_SYN)]) {
      const ends = new Set<string | undefined>()
      for (const remote of [`${REMOTE}:1`, `${REMOTE}:2`, `${OTHER}:1`]) {
        ends.add(srcOf(await bench.one(make(`${A}:5000`, remote))))
      }
      expect(ends.size).toBe(1)
    }
  })

  it('pairs a host with one public address', async () => {
    const bench = new Bench({ pool: '192.0.2.0/28' })
    const seen = new Set<string>()
    for (let host = 1; host < 20; host++) {
      const addresses = new Set<string>()
      for (let port = 2000; port < 2200; port += 20) {
        const src = `10.0.0.${host}:${port}`
        addresses.add(`${(await bench.one(udp(src, `${REMOTE}:1`)))?.src}`)
        addresses.add(`${(await bench.one(tcp(src, `${REMOTE}:1`, TCP_SYN)))?.src}`)
      }
      expect(addresses.size).toBe(1)
      for (const address of addresses) seen.add(address)
    }
    expect(seen.size).toBeGreaterThan(4)
  })

  it('preserves ports where they are free, and never shares them', async () => {
    const bench = new Bench()
    expect((await bench.one(udp(`${A}:5000`, `${REMOTE}:1`)))?.srcPort).toBe(5000)
    const second = await bench.one(udp(`${B}:5000`, `${REMOTE}:1`))
    expect(second?.srcPort).not.toBe(5000)
    const kept = await bench.one(tcp(`${B}:6000`, `${REMOTE}:1`, TCP_SYN))
    expect(kept?.srcPort).toBe(6000)
  })

  it('keeps ports on their side of 1024', async () => {
    const bench = new Bench({ ports: '512-65535' })
    await bench.one(udp(`${A}:600`, `${REMOTE}:1`))
    const low = (await bench.one(udp(`${B}:600`, `${REMOTE}:1`)))?.srcPort ?? 0
    expect(low).toBeLessThan(1024)
    expect(low).toBeGreaterThanOrEqual(512)
    await bench.one(udp(`${A}:2000`, `${REMOTE}:1`))
    expect((await bench.one(udp(`${B}:2000`, `${REMOTE}:1`)))?.srcPort).toBeGreaterThanOrEqual(1024)
  })

  it('keeps the parity of UDP ports', async () => {
    const bench = new Bench()
    for (const port of [4000, 4001, 4100, 4101, 4200, 4201]) {
      await bench.one(udp(`${A}:${port}`, `${REMOTE}:1`))
      const second = await bench.one(udp(`${B}:${port}`, `${REMOTE}:1`))
      expect((second?.srcPort ?? 0) % 2).toBe(port % 2)
    }
  })

  it('lives for its timeout and not for ever', async () => {
    const bench = new Bench()
    await bench.one(udp(`${A}:5000`, `${REMOTE}:53`))
    bench.pass(299)
    expect(await bench.one(udp(`${REMOTE}:53`, `${PUBLIC}:5000`))).toBeDefined()
    bench.pass(331)
    expect(await bench.one(udp(`${REMOTE}:53`, `${PUBLIC}:5000`))).toBeUndefined()
    await bench.one(udp(`${B}:5000`, `${REMOTE}:53`))
    expect(await bench.count('dropped unmapped')).toBe(1)
  })

  it('is refreshed by packets from inside and by those let in', async () => {
    const bench = new Bench()
    for (let i = 0; i < 10; i++) {
      await bench.one(udp(`${A}:5000`, `${REMOTE}:53`))
      bench.pass(290)
    }
    for (let i = 0; i < 10; i++) {
      expect(await bench.one(udp(`${REMOTE}:53`, `${PUBLIC}:5000`))).toBeDefined()
      bench.pass(290)
    }
  })

  it('stays as it is whoever comes later', async () => {
    const bench = new Bench()
    await bench.one(udp(`${A}:5000`, `${REMOTE}:53`))
    for (let host = 2; host < 100; host++) {
      await bench.one(udp(`10.0.0.${host}:5000`, `${REMOTE}:53`))
      expect(srcOf(await bench.one(udp(`${A}:5000`, `${OTHER}:${host}`)))).toBe(`${PUBLIC}:5000`)
    }
  })

  it('passes what inside hosts send each other as it is', async () => {
    const bench = new Bench()
    const bytes = udp(`${A}:1`, `${B}:2`)
    expect((await bench.one(bytes))?.bytes).toEqual(bytes)
  })

  it('refuses a public address that is an inside one, and other wrong options', () => {
    expect(() => nat.setup({ pool: '10.0.0.9' })).toThrow('--pool takes addresses outside of')
    expect(() => nat.setup({ pool: '2001:db8::1' })).toThrow('--pool takes IPv4')
    expect(() => nat.setup({ ports: '70-60' })).toThrow('--ports takes a range')
    expect(() => nat.setup({ filtering: 'none' })).toThrow('--filtering takes')
    expect(() => nat.setup({ 'udp-timeout': '0' })).toThrow('--udp-timeout takes')
  })
})

describe('filtering', () => {
  const from = [`${REMOTE}:53`, `${REMOTE}:54`, `${OTHER}:53`]
  const cases = { any: 3, address: 2, 'address-and-port': 1 }
  for (const [filtering, let_in] of Object.entries(cases)) {
    it(`lets in by ${filtering}`, async () => {
      const bench = new Bench({ filtering })
      await bench.one(udp(`${A}:5000`, `${REMOTE}:53`))
      await bench.one(tcp(`${A}:5000`, `${REMOTE}:53`, TCP_SYN))
      const udps = []
      const tcps = []
      for (const remote of from) {
        udps.push(await bench.one(udp(remote, `${PUBLIC}:5000`)))
        tcps.push(await bench.one(tcp(remote, `${PUBLIC}:5000`, TCP_SYN)))
      }
      expect(udps.filter(Boolean)).toHaveLength(let_in)
      expect(tcps.filter(Boolean)).toHaveLength(let_in)
      expect(await bench.count('dropped filtered')).toBe(6 - 2 * let_in)
    })
  }
})

describe('hairpin', () => {
  it('lets inside hosts meet by their public ends', async () => {
    const bench = new Bench({ filtering: 'any' })
    await bench.one(udp(`${B}:6000`, `${REMOTE}:53`))
    const there = await bench.one(udp(`${A}:5000`, `${PUBLIC}:6000`))
    expect([srcOf(there), dstOf(there)]).toEqual([`${PUBLIC}:5000`, `${B}:6000`])
    const back = await bench.one(udp(`${B}:6000`, `${PUBLIC}:5000`))
    expect([srcOf(back), dstOf(back)]).toEqual([`${PUBLIC}:6000`, `${A}:5000`])
    for (const p of [there, back]) expect(p && wrongChecksum(p)).toBeUndefined()
  })

  it('opens TCP connections between inside hosts', async () => {
    const bench = new Bench({ filtering: 'any' })
    await bench.one(tcp(`${B}:6000`, `${REMOTE}:80`, TCP_SYN))
    expect(dstOf(await bench.one(tcp(`${A}:5000`, `${PUBLIC}:6000`, TCP_SYN)))).toBe(`${B}:6000`)
    expect(dstOf(await bench.one(tcp(`${B}:6000`, `${PUBLIC}:5000`, SYN_ACK)))).toBe(`${A}:5000`)
    expect(dstOf(await bench.one(tcp(`${A}:5000`, `${PUBLIC}:6000`, TCP_ACK)))).toBe(`${B}:6000`)
  })
})

describe('TCP', () => {
  it('keeps an open connection for over two hours', async () => {
    const bench = new Bench()
    const end = await connect(bench, `${A}:5000`, `${REMOTE}:80`)
    bench.pass(7439)
    expect(await bench.one(tcp(`${REMOTE}:80`, end, TCP_ACK))).toBeDefined()
    bench.pass(7480)
    expect(await bench.one(tcp(`${REMOTE}:80`, end, TCP_ACK))).toBeUndefined()
  })

  it('keeps a half open connection for four minutes', async () => {
    const bench = new Bench()
    await bench.one(tcp(`${A}:5000`, `${REMOTE}:80`, TCP_SYN))
    bench.pass(239)
    expect(await bench.one(tcp(`${REMOTE}:80`, `${PUBLIC}:5000`, SYN_ACK))).toBeDefined()
    bench.pass(280)
    expect(await bench.one(tcp(`${REMOTE}:80`, `${PUBLIC}:5000`, SYN_ACK))).toBeUndefined()
  })

  it('opens from both sides at once', async () => {
    const bench = new Bench()
    await bench.one(tcp(`${A}:5000`, `${REMOTE}:80`, TCP_SYN))
    expect(await bench.one(tcp(`${REMOTE}:80`, `${PUBLIC}:5000`, TCP_SYN))).toBeDefined()
    expect(await bench.one(tcp(`${A}:5000`, `${REMOTE}:80`, SYN_ACK))).toBeDefined()
    expect(await bench.one(tcp(`${REMOTE}:80`, `${PUBLIC}:5000`, SYN_ACK))).toBeDefined()
  })

  it('drops a SYN from outside without an answer', async () => {
    const bench = new Bench()
    expect(await bench.send(tcp(`${REMOTE}:80`, `${PUBLIC}:5000`, TCP_SYN))).toEqual([])
    await bench.one(tcp(`${A}:5000`, `${REMOTE}:80`, TCP_SYN))
    expect(await bench.one(tcp(`${REMOTE}:80`, `${PUBLIC}:5000`, SYN_ACK))).toBeDefined()
  })

  it('frees the port of a closed connection', async () => {
    for (const [out, back] of [
      [TCP_FIN | TCP_ACK, TCP_FIN | TCP_ACK],
      [TCP_RST, TCP_ACK],
    ] as const) {
      const bench = new Bench()
      const end = await connect(bench, `${A}:5000`, `${REMOTE}:80`)
      await bench.one(tcp(`${A}:5000`, `${REMOTE}:80`, out))
      expect(await bench.one(tcp(`${REMOTE}:80`, end, back))).toBeDefined()
      await bench.one(tcp(`${A}:5000`, `${REMOTE}:80`, TCP_ACK))
      bench.pass(271)
      expect(await bench.one(tcp(`${REMOTE}:80`, end, TCP_ACK))).toBeUndefined()
    }
  })

  it('opens anew between the ends of a closed connection', async () => {
    const bench = new Bench()
    const end = await connect(bench, `${A}:5000`, `${REMOTE}:80`)
    await bench.one(tcp(`${A}:5000`, `${REMOTE}:80`, TCP_RST))
    bench.pass(1)
    expect(await connect(bench, `${A}:5000`, `${REMOTE}:80`)).toBe(end)
    bench.pass(3600)
    expect(await bench.one(tcp(`${REMOTE}:80`, end, TCP_ACK))).toBeDefined()
  })

  it('picks up a connection in its midst, but not by its end', async () => {
    const bench = new Bench()
    expect(await bench.one(tcp(`${A}:5000`, `${REMOTE}:80`, TCP_ACK, 'x'))).toBeDefined()
    expect(await bench.one(tcp(`${A}:5001`, `${REMOTE}:80`, TCP_RST))).toBeUndefined()
    expect(await bench.count('dropped refused')).toBe(1)
  })
})

describe('ICMP', () => {
  it('translates queries by their identifier', async () => {
    const bench = new Bench()
    const first = await bench.one(ping(A, REMOTE, 77))
    const second = await bench.one(ping(B, REMOTE, 77))
    expect(first?.icmpId).toBe(77)
    expect(second?.icmpId).not.toBe(77)
    const back = await bench.one(ping(REMOTE, PUBLIC, second?.icmpId ?? 0, 0))
    expect([`${back?.dst}`, back?.icmpId]).toEqual([B, 77])
    for (const p of [first, second, back]) expect(p && wrongChecksum(p)).toBeUndefined()
  })

  it('keeps a query for a minute', async () => {
    const bench = new Bench()
    await bench.one(ping(A, REMOTE, 77))
    bench.pass(59)
    expect(await bench.one(ping(REMOTE, PUBLIC, 77, 0))).toBeDefined()
    bench.pass(91)
    expect(await bench.one(ping(REMOTE, PUBLIC, 77, 0))).toBeUndefined()
  })

  it('answers for nobody who is pinged from outside', async () => {
    const bench = new Bench({ filtering: 'any' })
    await bench.one(ping(A, REMOTE, 77))
    expect(await bench.one(ping(REMOTE, PUBLIC, 77, 8))).toBeUndefined()
  })
})

describe('ICMP errors', () => {
  /** An error about a frame, from `src` to whoever sent it. */
  function error(src: string, p: Packet, shown = 28, type = 3, code = 3): Uint8Array {
    const quoted = p.bytes.slice(p.l3Offset, p.l3Offset + shown)
    return build.ethernet({}, build.ipv4({ src, dst: p.src }, build.icmp({ type, code }, quoted)))
  }
  const quotedOf = (p: Packet) => {
    const inner = new Packet()
    return inner.load(p.bytes, p.payloadOffset, p.payloadEnd, 101, 65_535, 0, 0, 0, 0)
  }

  it('reach the sender, with the packet that it knows', async () => {
    for (const make of [udp, (s: string, d: string) => tcp(s, d, TCP_SYN)]) {
      for (const shown of [24, 28, 40, 41]) {
        const bench = new Bench()
        await bench.one(make(`${B}:5000`, `${REMOTE}:80`))
        const out = await bench.one(make(`${A}:5000`, `${REMOTE}:80`))
        const back = await bench.one(error('203.0.113.9', out!, Math.min(shown, out!.totalLength)))
        expect(`${back?.src} ${back?.dst}`).toBe(`203.0.113.9 ${A}`)
        const inner = quotedOf(back!)
        expect(`${inner.src}:${inner.srcPort}`).toBe(`${A}:5000`)
        expect(wrongChecksum(back!)).toBeUndefined()
      }
    }
  })

  it('about a query reach the sender, with its identifier', async () => {
    const bench = new Bench()
    await bench.one(ping(B, REMOTE, 77))
    const out = await bench.one(ping(A, REMOTE, 77))
    const back = await bench.one(error('203.0.113.9', out!, 31, 11, 0))
    expect(`${back?.dst}`).toBe(A)
    expect(quotedOf(back!).icmpId).toBe(77)
    expect(wrongChecksum(back!)).toBeUndefined()
  })

  it('from inside go out from the public address', async () => {
    for (const router of [A, '10.9.9.9']) {
      const bench = new Bench()
      await bench.one(udp(`${B}:5000`, `${REMOTE}:80`))
      const end = srcOf(await bench.one(udp(`${A}:5000`, `${REMOTE}:80`)))
      const reply = await bench.one(udp(`${REMOTE}:80`, end!))
      const out = await bench.one(error(router, reply!))
      expect(`${out?.src} ${out?.dst}`).toBe(`${PUBLIC} ${REMOTE}`)
      expect(`${quotedOf(out!).dst}:${quotedOf(out!).dstPort}`).toBe(end)
      expect(wrongChecksum(out!)).toBeUndefined()
    }
  })

  it('pass between inside hosts that meet by their public ends', async () => {
    const bench = new Bench({ filtering: 'any' })
    await bench.one(udp(`${B}:6000`, `${REMOTE}:53`))
    const there = await bench.one(udp(`${A}:5000`, `${PUBLIC}:6000`))
    const back = await bench.one(error(B, there!))
    expect(`${back?.src} ${back?.dst}`).toBe(`${PUBLIC} ${A}`)
    const inner = quotedOf(back!)
    expect([srcOf(inner), dstOf(inner)]).toEqual([`${A}:5000`, `${PUBLIC}:6000`])
    expect(wrongChecksum(back!)).toBeUndefined()
  })

  it('end no mapping and refresh none', async () => {
    const bench = new Bench()
    const out = await bench.one(udp(`${A}:5000`, `${REMOTE}:80`))
    expect(await bench.one(error(REMOTE, out!))).toBeDefined()
    bench.pass(299)
    expect(await bench.one(error(REMOTE, out!))).toBeDefined()
    expect(await bench.one(udp(`${REMOTE}:80`, `${PUBLIC}:5000`))).toBeDefined()
    bench.pass(329)
    expect(await bench.one(error(REMOTE, out!))).toBeDefined()
    bench.pass(2)
    expect(await bench.one(error(REMOTE, out!))).toBeUndefined()
  })

  it('about no mapping, or with wrong checksums, are dropped', async () => {
    const bench = new Bench()
    const out = await bench.one(udp(`${A}:5000`, `${REMOTE}:80`))
    const stranger = packetOf(udp(`${PUBLIC}:5001`, `${REMOTE}:80`), 0, 0)
    expect(await bench.one(error(REMOTE, stranger))).toBeUndefined()
    const bad = error(REMOTE, out!)
    bad[36]! ^= 1
    expect(await bench.one(bad)).toBeUndefined()
    const inner = error(REMOTE, out!)
    const at = 14 + 20 + 8 + 10 // the quoted header's checksum, with the outer one right
    const sum = 14 + 20 + 2
    inner[at]! ^= 1
    const was = (inner[sum]! << 8) | inner[sum + 1]!
    const from = ((inner[at]! ^ 1) << 8) | inner[at + 1]!
    const now = updateChecksum(was, from, (inner[at]! << 8) | inner[at + 1]!)
    inner[sum] = now >>> 8
    inner[sum + 1] = now
    expect(await bench.one(inner)).toBeUndefined()
    expect(await bench.count('dropped malformed')).toBe(2)
  })
})

describe('fragments', () => {
  const part = () => build.udp({ srcPort: 5000, dstPort: 80 }, 'y'.repeat(3000))
  const pieces = (id: number) =>
    build
      .ipv4Fragments({ src: A, dst: REMOTE, id }, part(), 1024)
      .map((piece) => build.ethernet({}, piece))

  it('go where their first one goes, in any order', async () => {
    const [first, second, third] = pieces(7) as [Uint8Array, Uint8Array, Uint8Array]
    for (const order of [
      [first, second, third],
      [third, second, first],
      [second, first, third],
    ]) {
      const bench = new Bench()
      const out: Packet[] = []
      for (const piece of order) out.push(...(await bench.send(piece)))
      expect(out.map((p) => p.fragmentOffset).sort((a, b) => a - b)).toEqual([0, 1024, 2048])
      for (const p of out) expect(`${p.src} ${wrongChecksum(p)}`).toBe(`${PUBLIC} undefined`)
      expect(srcOf(out.find((p) => p.fragmentOffset === 0))).toBe(`${PUBLIC}:5000`)
    }
  })

  it('of a dropped first one are dropped', async () => {
    const bench = new Bench()
    const frames = build
      .ipv4Fragments({ src: REMOTE, dst: PUBLIC, id: 9 }, part(), 1024)
      .map((piece) => build.ethernet({}, piece))
    for (const frame of frames) expect(await bench.send(frame)).toEqual([])
    expect(await bench.count('dropped fragment')).toBe(2)
  })

  it('that wait are bounded', async () => {
    const bench = new Bench()
    for (let id = 0; id < 5000; id++) await bench.send(pieces(id)[1]!)
    for (const { state } of bench.solo.state.fragments.local()) {
      const held = state.datagrams.reduce((sum, d) => sum + d.heldBytes, 0)
      expect(state.datagrams.length).toBeLessThanOrEqual(64)
      expect(held).toBeLessThanOrEqual(0x10000)
    }
  })
})

describe('ports', () => {
  it('are all in use before a new flow is dropped, and old ones go on', async () => {
    const bench = new Bench({ ports: '2000-2999' })
    for (let host = 0; host < 250; host++) {
      for (let i = 0; i < 4; i++) {
        const src = `10.0.${host}.1:${4000 + i}`
        expect(await bench.one(udp(src, `${REMOTE}:80`)), `${host} ${i}`).toBeDefined()
      }
    }
    expect(await bench.one(udp('10.1.0.1:4000', `${REMOTE}:80`))).toBeUndefined()
    expect(await bench.one(udp('10.0.0.1:4000', `${REMOTE}:80`))).toBeDefined()
    expect(await bench.one(tcp('10.1.0.1:4000', `${REMOTE}:80`, TCP_SYN))).toBeDefined()
    expect(await bench.count('dropped exhausted')).toBe(1)
    bench.pass(400)
    expect(await bench.one(udp('10.1.0.1:4000', `${REMOTE}:80`))).toBeDefined()
  })

  it('that a host keeps for itself go to others when there are no more', async () => {
    const bench = new Bench({ ports: '2000-2063' })
    for (let i = 0; i < 64; i++) {
      const host = `10.0.0.${1 + (i % 3)}`
      expect(await bench.one(udp(`${host}:${3000 + i}`, `${REMOTE}:80`)), String(i)).toBeDefined()
    }
    expect(await bench.one(udp(`${A}:9`, `${REMOTE}:80`))).toBeUndefined()
  })

  it('of another address serve when those of the paired one are used up', async () => {
    const bench = new Bench({ pool: '192.0.2.1,192.0.2.2', ports: '2000-2009' })
    const seen = new Set<string | undefined>()
    for (let i = 0; i < 20; i++) {
      seen.add(srcOf(await bench.one(udp(`${A}:${3000 + i}`, `${REMOTE}:80`))))
    }
    expect([seen.size, seen.has(undefined)]).toEqual([20, false])
    expect(await bench.one(udp(`${A}:4000`, `${REMOTE}:80`))).toBeUndefined()
  })
})

describe('the rest', () => {
  it('drops other protocols, strangers and broken packets, each counted', async () => {
    const bench = new Bench()
    const gre = build.ethernet({}, build.ipv4({ src: A, dst: REMOTE }, build.transport(47, 'x')))
    await bench.send(gre)
    await bench.send(udp(`${REMOTE}:1`, `${OTHER}:1`))
    await bench.send(udp(`${A}:1`, `${REMOTE}:1`).subarray(0, 30))
    const counts = await bench.result()
    for (const cause of ['protocol', 'elsewhere', 'malformed']) {
      expect(counts).toContain(`dropped ${cause} 1`)
    }
    expect(bench.outs).toEqual([])
  })

  it('leaves a UDP packet without a checksum without one', async () => {
    const bench = new Bench()
    const bytes = udp(`${A}:5000`, `${REMOTE}:53`)
    bytes[40] = 0
    bytes[41] = 0
    const out = await bench.one(bytes)
    expect([out?.bytes[40], out?.bytes[41]]).toEqual([0, 0])
    expect(srcOf(out)).toBe(`${PUBLIC}:5000`)
  })
})
