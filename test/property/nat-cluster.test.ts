import { describe, expect, it } from 'vitest'
import { Random } from '../../loadgen/index.ts'
import type { NF, OptionValues, StateMap } from '../../nf-apps/index.ts'
import { nat } from '../../nf-apps/nat/index.ts'
import {
  Ip,
  type Packet,
  Subnet,
  TCP_ACK,
  TCP_FIN,
  TCP_RST,
  TCP_SYN,
} from '../../nf-apps/packet/index.ts'
import { inMacrotask, nat as natKit, noFaults, SimCluster } from '../kit/index.ts'

const { answerOf, Bench, checkNat, packetOf, ping, tcp, udp } = natKit
type Seen = natKit.Seen

const inside = new Subnet(Ip.parse('10.0.0.0'), 8)
const pool = new Subnet(Ip.parse('192.0.2.0'), 30)
const rules = {
  isInside: (word: number) => inside.contains(Ip.v4(word)),
  isPublic: (word: number) => pool.contains(Ip.v4(word)),
  quietUs: 59e6,
  keptUs: 59e6,
}
const START_US = 1_000_000_000

interface Step {
  readonly bytes: Uint8Array
  readonly seconds: number
}

/** What inside hosts send: few ends and remotes, so that they meet; now and then minutes of nothing. */
function stepsOf(random: Random, count: number, hosts: number): Step[] {
  const below = (n: number) => Math.floor(random.unit() * n)
  const flags = [TCP_SYN, TCP_SYN, TCP_ACK, TCP_ACK, TCP_FIN | TCP_ACK, TCP_RST]
  return Array.from({ length: count }, () => {
    const address = `10.0.${below(2)}.${1 + below(hosts)}`
    const port = 2000 + below(6)
    const to = below(8) === 0 ? `192.0.2.1:${2000 + below(6)}` : `198.51.100.${1 + below(3)}:80`
    const kind = below(4)
    const chosen = flags[below(flags.length)]!
    const bytes =
      kind === 0
        ? ping(address, '198.51.100.1', port)
        : kind === 1
          ? tcp(`${address}:${port}`, to, chosen, chosen === TCP_ACK ? 'data' : '')
          : udp(`${address}:${port}`, to)
    const seconds = below(12) === 0 ? [1, 25, 70, 400][below(4)]! : 0
    return { bytes, seconds }
  })
}

/** A cluster that runs the NAT: what goes in, what comes out, and a peer outside that answers. */
class NatCluster {
  readonly cluster: SimCluster
  readonly ins: Seen[] = []
  readonly outs: Seen[] = []
  us = START_US
  /** By packet: the instance that handled it, and the packet that it answers. */
  readonly handlers = new Map<number, number>()
  readonly causes = new Map<number, number>()
  private answers: { readonly bytes: Uint8Array; readonly cause: number }[] = []
  private made = 0

  constructor(seed: number, options: OptionValues, spread: boolean, lossy: boolean) {
    const faults = lossy ? { drop: 0.02, double: 0.02, late: 0.1 } : noFaults
    const nf = () => this.watched() as NF<StateMap, unknown>
    this.cluster = new SimCluster({ seed, nf, options, spread, faults })
    this.cluster.join()
    this.cluster.until(() => this.cluster.nodes.every((n) => n.entered), 'the first one joins')
    this.cluster.enterSource()
  }

  private watched(): typeof nat {
    const instance = ++this.made
    return {
      ...nat,
      onPacket: (p, state, env, output) => {
        const { index, clockUs } = p
        this.handlers.set(index, instance)
        const sent: Uint8Array[] = []
        const emit = (bytes: Uint8Array) => {
          sent.push(bytes.slice())
          output.emit(bytes)
        }
        const done = <V>(verdict: V): V => {
          for (const bytes of sent) this.left(bytes, index, clockUs)
          return verdict
        }
        const verdict = nat.onPacket(p, state, env, {
          emit,
          event: (line) => output.event(line),
          takesEvents: output.takesEvents,
          steersAlike: (flow) => output.steersAlike(flow),
          lowUs: () => output.lowUs(),
        })
        return verdict instanceof Promise ? verdict.then(done) : done(verdict)
      },
    }
  }

  /** An answer enters when its cause has its verdict. */
  private left(bytes: Uint8Array, index: number, us: number): void {
    this.outs.push({ index, us, bytes })
    const p = packetOf(bytes, us, index)
    const answer = rules.isInside(p.dst.d) ? undefined : answerOf(p)
    if (answer) this.answers.push({ bytes: answer, cause: index })
  }

  send(bytes: Uint8Array): void {
    this.ins.push({ index: this.ins.length, us: this.us, bytes })
    this.cluster.send(bytes, this.us)
  }

  answer(): void {
    const { answers } = this
    this.answers = []
    for (const { bytes, cause } of answers) {
      this.causes.set(this.ins.length, cause)
      this.send(bytes)
    }
  }

  settle(): void {
    do {
      this.answer()
      this.cluster.until(() => this.cluster.settled, 'all have their verdicts')
    } while (this.answers.length > 0)
  }

  /** Lets so many events happen. */
  go(events: number): void {
    let left = events
    this.cluster.until(() => left-- <= 0 || this.cluster.settled, 'time passes')
  }

  /** Brings it to so many instances, and waits until all is as it is to stay. */
  scaleTo(count: number): void {
    const { cluster } = this
    while (cluster.active.length < count) {
      cluster.join()
      const now = cluster.active.length
      cluster.until(() => cluster.active.length > now, 'one joins')
    }
    while (cluster.active.length > count) cluster.leave()
    cluster.until(() => cluster.settled && this.isSettled(count), 'it settles')
  }

  /** The last view is here: all have it, its slots are spread evenly, and their packets go by it. */
  private isSettled(count: number): boolean {
    const { source, active } = this.cluster
    const { view } = source.member
    if (!view || !source.steerer.settled) return false
    const slots = new Map<number, number>()
    for (const owner of view.owner) slots.set(owner, (slots.get(owner) ?? 0) + 1)
    const even = Math.max(...slots.values()) - Math.min(...slots.values()) <= 1
    const known = active.every((n) => n.entered?.body.member.view?.epoch === view.epoch)
    return slots.size === count && even && known
  }

  scale(random: Random): void {
    const { cluster } = this
    if (random.unit() < 0.5 && cluster.active.length < 4) cluster.join()
    else cluster.leave()
  }
}

/** Enough for each of six instances to have some. */
const HOSTS = 40

/** New flows of all kinds from many hosts, no two with the same ends, and their answers. */
function openFlows(run: NatCluster, count: number, from: number): void {
  for (let i = from; i < from + count; i++) {
    const host = `10.0.0.${1 + (i % HOSTS)}`
    const [inner, outer] = [`${host}:${2000 + i}`, `198.51.100.${1 + (i % 50)}:80`]
    const kind = i % 3
    if (kind === 0) run.send(udp(inner, outer))
    else if (kind === 1) run.send(tcp(inner, outer, TCP_SYN))
    else run.send(ping(host, `198.51.100.${1 + (i % 50)}`, 2000 + i))
  }
  run.settle()
}

const seeds = (n: number) => Array.from({ length: n }, (_, i) => i + 1)

/** What became of each packet, in words that leave the ports out. */
function fates(outs: readonly Seen[], count: number): string[] {
  const by = new Map(outs.map((o) => [o.index, o]))
  return Array.from({ length: count }, (_, index) => {
    const out = by.get(index)
    const p: Packet | undefined = out && packetOf(out.bytes, out.us, index)
    return p ? `${p.src} > ${p.dst}` : 'dropped'
  })
}

describe('a NAT that scales', () => {
  it('never lets a public port stand for two, whatever happens to it', async () => {
    for (const seed of seeds(6)) {
      const found = await inMacrotask(() => {
        const random = new Random(seed)
        const ports = seed % 3 === 0 ? '2000-2019' : '1024-65535'
        const options = { ports, pool: '192.0.2.1', filtering: 'any', 'any-port': seed % 2 === 0 }
        const run = new NatCluster(seed, options, seed % 4 > 1, true)
        for (const { bytes, seconds } of stepsOf(random, 150, 4)) {
          if (seconds > 0) {
            run.settle()
            run.us += seconds * 1e6
          }
          run.send(bytes)
          run.answer()
          if (random.unit() < 0.3) run.go(Math.floor(random.unit() * 30))
          if (random.unit() < 0.05) run.scale(random)
        }
        run.cluster.heal()
        run.settle()
        expect(run.cluster.seen.joins).toBeGreaterThan(1)
        return checkNat(run.ins, run.outs, rules)
      })
      expect(found, `seed ${seed}`).toEqual([])
    }
  })

  it('keeps an inside end its public end, whatever overtakes its packets', async () => {
    for (const seed of seeds(12)) {
      const found = await inMacrotask(() => {
        const random = new Random(seed)
        const below = (n: number) => Math.floor(random.unit() * n)
        const options = { 'udp-timeout': '30', ports: '2000-2499' }
        const run = new NatCluster(seed, options, seed % 2 === 0, true)
        // Hours of packet time while a few round trips are under way: packets of a host's flows pass each other.
        for (let i = 0; i < 400; i++) {
          run.us += below(4) === 0 ? below(60) * 1e6 : below(3) * 1e6
          // Hosts want the same ports, so that an end that is lost is not had again.
          const src = `10.0.0.${1 + below(4)}:${2000 + below(seed % 3 === 0 ? 40 : 2)}`
          run.send(udp(src, `198.51.100.${1 + below(30)}:80`))
          if (random.unit() < 0.3) run.go(below(30))
          if (random.unit() < 0.02) run.scale(random)
        }
        run.cluster.heal()
        run.cluster.until(() => run.cluster.settled, 'all have their verdicts')
        expect(run.outs.length).toBe(run.ins.length)
        return checkNat(run.ins, run.outs, { ...rules, quietUs: 29e6, keptUs: 29e6 })
      })
      expect(found, `seed ${seed}`).toEqual([])
    }
  })

  it('chooses ports whose way back is steered to the instance of the way out', async () => {
    const FLOWS = 180
    for (const instances of [2, 3, 4, 5]) {
      for (const spread of [false, true]) {
        const what = `${instances} instances, ${spread ? 'spread' : 'aligned'}`
        await inMacrotask(() => {
          const run = new NatCluster(instances, { 'any-port': true }, spread, false)
          // Out, and in again: those who were there before the change have ports that they chose by the old view.
          for (const [round, count] of [instances, 6, instances].entries()) {
            run.scaleTo(count)
            run.causes.clear()
            openFlows(run, FLOWS, FLOWS * round)
            const { handlers } = run
            const back = [...run.causes]
            const same = back.filter(([i, cause]) => handlers.get(i) === handlers.get(cause)).length
            const busy = new Set(handlers.values()).size
            expect(back.length, what).toBe(FLOWS)
            expect(busy, what).toBeGreaterThanOrEqual(count)
            expect(same / back.length, what).toBeGreaterThanOrEqual(0.99)
          }
          expect(checkNat(run.ins, run.outs, rules), what).toEqual([])
        })
      }
    }
  })

  it('asks nothing elsewhere for what inside hosts send, once they have ports', async () => {
    for (const instances of [2, 3, 5]) {
      await inMacrotask(() => {
        const run = new NatCluster(instances, { 'any-port': true }, false, false)
        run.scaleTo(instances)
        const connect = (i: number) => {
          const [inner, outer] = [`10.0.0.${1 + (i % HOSTS)}:${2000 + i}`, '198.51.100.1:80']
          for (const flags of [TCP_SYN, TCP_ACK, TCP_FIN | TCP_ACK]) {
            run.send(tcp(inner, outer, flags))
            run.settle()
          }
        }
        for (let i = 0; i < HOSTS; i++) connect(i)
        const before = run.cluster.messages().CALL
        for (let i = HOSTS; i < 5 * HOSTS; i++) connect(i)
        // Out and back: an answer reaches the instance of the way out, and its host is there.
        expect(run.outs.length).toBeGreaterThanOrEqual(5 * HOSTS * 5)
        expect(run.cluster.messages().CALL, `${instances} instances`).toBe(before)
        expect(checkNat(run.ins, run.outs, rules)).toEqual([])
      })
    }
  })

  it('passes and drops what it does on one instance', async () => {
    for (const seed of seeds(5)) {
      const options = { 'tcp-timeout': '300', 'tcp-transitory': '60' }
      const steps = stepsOf(new Random(seed), 120, 20)
      const bench = new Bench(options)
      for (const { bytes, seconds } of steps) {
        bench.pass(seconds)
        const out = await bench.send(bytes)
        for (const p of out) {
          const answer = rules.isInside(p.dst.d) ? undefined : answerOf(p)
          if (answer) await bench.send(answer)
        }
      }
      const run = await inMacrotask(() => {
        const cluster = new NatCluster(seed, options, seed % 2 === 0, false)
        const random = new Random(seed + 1000)
        for (const { bytes, seconds } of steps) {
          cluster.us += seconds * 1e6
          cluster.send(bytes)
          cluster.settle()
          if (random.unit() < 0.1) cluster.scale(random)
        }
        cluster.settle()
        return cluster
      })
      expect(run.ins.length, `seed ${seed}`).toBe(bench.ins.length)
      expect(fates(run.outs, run.ins.length), `seed ${seed}`).toEqual(
        fates(bench.outs, bench.ins.length),
      )
      expect(checkNat(run.ins, run.outs, rules), `seed ${seed}`).toEqual([])
    }
  })

  it('has all its ports in use before a new flow is dropped, and old ones go on', async () => {
    const PORTS = 24
    for (const seed of seeds(3)) {
      const options = { ports: '2000-2023', 'any-port': seed % 2 === 0, 'udp-timeout': '300' }
      const { passed, again, later } = await inMacrotask(() => {
        const run = new NatCluster(seed, options, seed % 4 > 1, true)
        const random = new Random(seed)
        const flows = Array.from({ length: 32 }, (_, i) => {
          return udp(`10.0.0.${1 + (i % 7)}:${1990 + i}`, '198.51.100.1:80')
        })
        // All at once, while instances come and go: calls for ports meet each other on their way.
        const sendAll = () => {
          const first = run.ins.length
          for (const bytes of flows) {
            run.send(bytes)
            if (random.unit() < 0.2) run.go(Math.floor(random.unit() * 20))
            if (random.unit() < 0.04) run.scale(random)
          }
          run.cluster.until(() => run.cluster.settled, 'all have their verdicts')
          return new Set(run.outs.filter((o) => o.index >= first).map((o) => o.index - first))
        }
        const passed = sendAll()
        const again = sendAll()
        run.us += 700e6
        flows.reverse()
        const later = sendAll()
        expect(checkNat(run.ins, run.outs, { ...rules, quietUs: 299e6, keptUs: 299e6 })).toEqual([])
        return { passed, again, later }
      })
      expect(passed.size, `seed ${seed}`).toBe(PORTS)
      expect(again, `seed ${seed}: the same flows go on`).toEqual(passed)
      expect(later.size, `seed ${seed}: ports are free again`).toBe(PORTS)
    }
  })
})
