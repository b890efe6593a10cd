import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Verdict } from '../../nf-apps/index.ts'
import { nat } from '../../nf-apps/nat/index.ts'
import {
  build,
  Ip,
  type Packet,
  Subnet,
  TCP_ACK,
  TCP_FIN,
  TCP_PSH,
  TCP_RST,
  TCP_SYN,
} from '../../nf-apps/packet/index.ts'
import { nat as natKit } from '../kit/index.ts'

const { answerOf, Bench, checkNat, packetOf, ping, srcOf, tcp, udp, wrongChecksum } = natKit

const inside = new Subnet(Ip.parse('10.0.0.0'), 8)
const pool = new Subnet(Ip.parse('192.0.2.0'), 30)
const rules: natKit.Expected = {
  isInside: (word) => inside.contains(Ip.v4(word)),
  isPublic: (word) => pool.contains(Ip.v4(word)),
  quietUs: 59e6,
  keptUs: 59e6,
}

interface Step {
  readonly kind: number
  readonly host: number
  readonly port: number
  readonly remote: number
  readonly flags: number
  readonly answered: boolean
  readonly seconds: number
}
const step: fc.Arbitrary<Step> = fc.record({
  kind: fc.nat(3),
  host: fc.nat(5),
  port: fc.nat(9),
  remote: fc.nat(3),
  flags: fc.constantFrom(
    TCP_SYN,
    TCP_SYN,
    TCP_ACK,
    TCP_ACK | TCP_PSH,
    TCP_FIN | TCP_ACK,
    TCP_RST,
    TCP_SYN | TCP_ACK,
  ),
  answered: fc.boolean(),
  seconds: fc.constantFrom(0, 0, 0, 1, 20, 40, 100, 400),
})

function frameOf({ kind, host, port, remote, flags }: Step): Uint8Array {
  const address = `10.0.0.${host + 1}`
  const to = remote === 3 ? '192.0.2.1' : `198.51.100.${remote + 1}`
  if (kind === 0) return ping(address, to, 2000 + port)
  const ends = [`${address}:${2000 + port}`, `${to}:${remote === 3 ? 2000 + host : 80}`] as const
  return kind === 1 ? udp(...ends) : tcp(...ends, flags, flags & TCP_SYN ? '' : 'data')
}

/** Packets from inside, each with the answers to what left; some answers come to strangers' ports. */
async function play(bench: natKit.Bench, steps: readonly Step[]): Promise<void> {
  for (const s of steps) {
    bench.pass(s.seconds)
    for (const p of await bench.send(frameOf(s))) {
      const answer = s.answered && !rules.isInside(p.dst.d) ? answerOf(p) : undefined
      if (answer) await bench.send(answer)
    }
  }
}

/** The actors of a NAT whose calls take their time, there and back, in an order that the scheduler draws. */
function delayed(state: natKit.Bench['solo']['state'], wait: () => Promise<unknown>) {
  const slow = <T extends object>(stub: T): T =>
    new Proxy(stub, {
      get: (target, name) => {
        const method: unknown = Reflect.get(target, name)
        if (typeof method !== 'function') return method
        return async (...args: unknown[]) => {
          await wait()
          const result = structuredClone(Reflect.apply(method, target, args))
          await wait()
          return result
        }
      },
    })
  const { hosts, pools } = state
  return {
    ...state,
    hosts: { ...hosts, at: (key: Parameters<typeof hosts.at>[0]) => slow(hosts.at(key)) },
    pools: { ...pools, at: (key: Parameters<typeof pools.at>[0]) => slow(pools.at(key)) },
  }
}

describe('nat', () => {
  it('gives no port to two hosts, in whatever order calls come', async () => {
    const end = fc.record({ host: fc.nat(5), port: fc.nat(3) })
    const rounds = fc.array(
      fc.record({
        ends: fc.array(end, { minLength: 2, maxLength: 12 }),
        seconds: fc.constantFrom(1, 1, 45, 100),
      }),
      { minLength: 2, maxLength: 6 },
    )
    await fc.assert(
      fc.asyncProperty(fc.scheduler(), rounds, fc.boolean(), async (s, all, anyPort) => {
        const bench = new Bench({ ports: '2000-2005', 'udp-timeout': '30', 'any-port': anyPort })
        const state = delayed(bench.solo.state, () => s.schedule(Promise.resolve()))
        const outs: natKit.Seen[] = []
        for (const { ends, seconds } of all) {
          bench.pass(seconds)
          const verdicts = ends.map(({ host, port }) => {
            const bytes = udp(`10.0.0.${1 + host}:${2000 + port}`, '198.51.100.1:80')
            const index = bench.ins.length
            bench.ins.push({ index, us: bench.us, bytes })
            const emit = (sent: Uint8Array) =>
              void outs.push({ index, us: bench.us, bytes: sent.slice() })
            const p = packetOf(bytes, bench.us, index)
            return nat.onPacket(p, state, bench.solo.env, {
              emit,
              event() {},
              takesEvents: anyPort,
              steersAlike: (hash) => hash % 3 === 0,
              lowUs: () => bench.us,
            })
          })
          await s.waitFor(Promise.all(verdicts))
        }
        const tight = { ...rules, quietUs: 29e6, keptUs: 29e6 }
        expect(checkNat(bench.ins, outs, tight)).toEqual([])
      }),
      { numRuns: 40 },
    )
  })

  it('chooses by the way back among ports of the right side and parity', async () => {
    const bench = new Bench({ 'any-port': true, ports: '512-65535' })
    const { state, env } = bench.solo
    const emitted: Packet[] = []
    const isAlike = (hash: number) => hash % 5 === 0
    const output = {
      emit: (bytes: Uint8Array) => void emitted.push(packetOf(bytes.slice(), bench.us, 0)),
      event() {},
      takesEvents: false,
      steersAlike: isAlike,
      lowUs: () => bench.us,
    }
    const FLOWS = 300
    let alike = 0
    let high = 0
    for (let i = 0; i < FLOWS; i++) {
      const port = (i % 4 === 0 ? 520 : 2000) + i
      const host = `10.0.0.${1 + (i % 3)}`
      await nat.onPacket(
        packetOf(udp(`${host}:${port}`, `198.51.100.1:${i}`), bench.us, i),
        state,
        env,
        output,
      )
      const chosen = emitted[i]?.srcPort ?? 0
      expect(chosen % 2, String(i)).toBe(port % 2)
      expect(chosen < 1024, String(i)).toBe(port < 1024)
      if (chosen < 1024) continue
      high++
      const back = packetOf(udp(`198.51.100.1:${i}`, srcOf(emitted[i]) ?? ''), bench.us, 0)
      if (isAlike(back.hash)) alike++
    }
    expect(alike).toBeGreaterThanOrEqual(0.99 * high)
  })

  it('tells of sessions that open, close, and open anew', async () => {
    const bench = new Bench({ filtering: 'any' })
    const [inner, remote] = ['10.0.0.1:5000', '198.51.100.1:80']
    const said = `tcp ${inner} as 192.0.2.1:5000 to ${remote}`
    const steps: readonly [boolean, number, string | undefined][] = [
      [true, TCP_SYN, `new ${said}`],
      [false, TCP_SYN | TCP_ACK, undefined],
      [true, TCP_ACK, undefined],
      [true, TCP_FIN | TCP_ACK, undefined],
      [false, TCP_FIN | TCP_ACK, `closed ${said}`],
      [true, TCP_ACK, undefined],
      [true, TCP_SYN, `new ${said}`],
      [false, TCP_RST, `closed ${said}`],
      [true, TCP_RST, undefined],
    ]
    for (const [out, flags, line] of steps) {
      const before = bench.solo.events.length
      await bench.one(out ? tcp(inner, remote, flags) : tcp(remote, '192.0.2.1:5000', flags))
      expect(bench.solo.events.slice(before), String(flags)).toEqual(line ? [line] : [])
    }
    await bench.one(udp('10.0.0.2:7007', '198.51.100.1:53'))
    await bench.one(udp('203.0.113.1:9', '192.0.2.1:7007'))
    await bench.one(udp('203.0.113.1:9', '192.0.2.1:7007'))
    await bench.one(ping('10.0.0.2', '198.51.100.1', 9))
    expect(bench.solo.events.slice(4)).toEqual([
      'new udp 10.0.0.2:7007 as 192.0.2.1:7007 to 198.51.100.1:53',
      'new udp 10.0.0.2:7007 as 192.0.2.1:7007 to 203.0.113.1:9',
      'new icmp 10.0.0.2:9 as 192.0.2.1:9 to 198.51.100.1:9',
    ])
  })

  it('keeps mappings consistent and exclusive, as seen from outside', async () => {
    const options = fc.record({
      filtering: fc.constantFrom('any', 'address', 'address-and-port'),
      ports: fc.constantFrom('1024-65535', '2000-2007', '2000-2003'),
      'any-port': fc.boolean(),
      pool: fc.constantFrom('192.0.2.1', '192.0.2.0/30'),
      'tcp-timeout': fc.constant('300'),
      'tcp-transitory': fc.constant('60'),
    })
    const steps = fc.array(step, { minLength: 20, maxLength: 120 })
    await fc.assert(
      fc.asyncProperty(options, steps, async (chosen, taken) => {
        const bench = new Bench(chosen)
        await play(bench, taken)
        expect(checkNat(bench.ins, bench.outs, rules)).toEqual([])
      }),
      { numRuns: 60 },
    )
  })

  it('has its faults noticed by the checker', async () => {
    const bench = new Bench()
    for (let i = 0; i < 20; i++) {
      const out = await bench.one(udp(`10.0.0.${1 + (i % 5)}:${2000 + i}`, '198.51.100.1:80'))
      await bench.send(answerOf(out!)!)
    }
    const { ins, outs } = bench
    expect(checkNat(ins, outs, rules)).toEqual([])
    const altered = (change: (bytes: Uint8Array) => void): natKit.Seen[] =>
      outs.map((o) => {
        const bytes = o.bytes.slice()
        if (o.index === 20) change(bytes)
        return { ...o, bytes }
      })
    const first = outs.find((o) => o.index === 0)!
    const faults = {
      payload: altered((b) => void b[42]!++),
      ttl: altered((b) => void b[22]!++),
      checksum: altered((b) => void b[40]!++),
      source: altered((b) => void b[29]!++),
      'port of another': altered((b) => void b.set(first.bytes.subarray(34, 36), 34)),
      twice: [...outs, outs[3]!],
      'from nowhere': [...outs, { ...first, index: 99 }],
    }
    for (const [fault, seen] of Object.entries(faults)) {
      expect(checkNat(ins, seen, rules), fault).not.toEqual([])
    }
  })

  it('leaves right checksums right and wrong ones wrong', async () => {
    const fields = fc.record({
      src: fc.tuple(fc.nat(255), fc.nat(255), fc.nat(255)),
      dst: fc.tuple(fc.nat(255), fc.nat(255)),
      ports: fc.tuple(fc.integer({ min: 1, max: 65_535 }), fc.integer({ min: 1, max: 65_535 })),
      payload: fc.uint8Array({ maxLength: 40 }),
      isTcp: fc.boolean(),
      broken: fc.boolean(),
    })
    await fc.assert(
      fc.asyncProperty(fields, async ({ src, dst, ports, payload, isTcp, broken }) => {
        const [srcPort, dstPort] = ports
        const make = isTcp ? build.tcp : build.udp
        const ends = { src: `10.${src.join('.')}`, dst: `198.51.${dst.join('.')}` }
        const bytes = build.ethernet({}, build.ipv4(ends, make({ srcPort, dstPort }, payload)))
        const at = 14 + 20 + (isTcp ? 16 : 6)
        const value = (bytes[at]! << 8) | bytes[at + 1]!
        // Neither of the zeros, of which UDP's stands for none.
        const wrong = value === 0x1234 ? 0x4321 : 0x1234
        if (broken) bytes.set([wrong >>> 8, wrong & 255], at)
        const bench = new Bench()
        const out = await bench.one(bytes)
        expect(wrongChecksum(out!)).toBe(broken ? 'transport checksum' : undefined)
      }),
      { numRuns: 300 },
    )
  })

  it('takes any bytes', async () => {
    const seeds = [
      udp('10.0.0.1:2000', '198.51.100.1:80', 'payload'),
      tcp('198.51.100.1:80', '192.0.2.1:2000', TCP_ACK, 'payload'),
      ping('10.0.0.1', '198.51.100.1', 7),
      errorAbout(udp('192.0.2.1:2000', '198.51.100.1:80', 'payload')),
    ]
    const change = fc.tuple(fc.nat(79), fc.nat(255))
    const mutated = fc
      .tuple(fc.constantFrom(...seeds), fc.array(change, { maxLength: 6 }), fc.nat(80))
      .map(([seed, changes, cut]) => {
        const bytes = seed.slice(0, Math.max(1, seed.length - (cut > 60 ? cut - 60 : 0)))
        for (const [at, value] of changes) if (at >= 12 && at < bytes.length) bytes[at] = value
        return bytes
      })
    const frames = fc.array(mutated, { minLength: 1, maxLength: 60 })
    await fc.assert(
      fc.asyncProperty(frames, async (all) => {
        const bench = new Bench()
        await bench.send(seeds[0]!)
        for (const bytes of all) {
          const p = packetOf(bytes, bench.us, 0)
          const verdict: Verdict | Promise<Verdict> = bench.solo.packet(p)
          expect([0, 1]).toContain(await verdict)
        }
      }),
      { numRuns: 200 },
    )
  })
})

function errorAbout(bytes: Uint8Array): Uint8Array {
  const ends = { src: '198.51.100.1', dst: '192.0.2.1' }
  const error = build.icmp({ type: 3, code: 3 }, bytes.subarray(14))
  return build.ethernet({}, build.ipv4(ends, error))
}
