import { spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { connect as connectPlainly } from 'nats'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  findNatsServer,
  Kind,
  Links,
  MemoryHub,
  NatsBus,
  type NatsServer,
  RehomeError,
  startNatsServer,
  systemClock,
} from '../../bus/index.ts'
import { Wire } from '../kit/soak/index.ts'

const program = findNatsServer()
if (!program) console.log('no nats-server on this machine: nothing is tested against a real one')

async function until(what: string, holds: () => boolean): Promise<void> {
  const end = performance.now() + 30_000
  while (!holds()) {
    if (performance.now() > end) throw new Error(`waited 30 s in vain: ${what}`)
    await delay(5)
  }
}

/** A member that sends numbered messages of three sorts to the others and checks what comes. */
class Member {
  readonly links: Links
  readonly came = new Map<number, number>()
  readonly faults: string[] = []
  private readonly bus: NatsBus
  private flushing = false

  private constructor(bus: NatsBus, self: number) {
    this.bus = bus
    this.links = new Links({
      self,
      clock: systemClock(),
      transmit: (to, frame) => bus.publish(to, frame),
      epoch: () => 1,
      onMessage: (from, kind, r) => {
        const bytes = r.left
        const expected = this.came.get(from) ?? 0
        const got = r.u32()
        if (got !== expected) this.faults.push(`${from}>${self}: ${got} instead of ${expected}`)
        this.came.set(from, got + 1)
        if (kind === Kind.CALL) this.links.consumed(from, bytes)
      },
    })
  }
  static async join(url: string, cluster: string, self: number, all: number): Promise<Member> {
    const bus = await NatsBus.connect({ servers: url, cluster, name: `member ${self}` })
    const member = new Member(bus, self)
    const { links } = member
    for (let no = 1; no <= all; no++) links.open(no)
    bus.onReconnect(() => links.kick())
    await bus.listen(self, (frame) => {
      links.receive(frame)
      member.flushSoon()
    })
    return member
  }
  private flushSoon(): void {
    if (this.flushing) return
    this.flushing = true
    setImmediate(() => {
      this.flushing = false
      this.links.flush()
    })
  }
  /** Sends until `count` have gone to each: many a burst, with a large one now and then. */
  async send(others: number[], count: number, running: () => boolean): Promise<number> {
    let sent = 0
    while (sent < count || running()) {
      for (let i = 0; i < 50; i++) {
        const kind = sent % 3 === 0 ? Kind.CALL : Kind.REPLY
        if (others.some((to) => this.links.creditLeft(to) <= 0)) break
        for (const to of others) {
          const w = this.links.begin(to, kind)
          w.u32(sent)
          w.raw(payload.subarray(0, sent % 997 === 0 ? 100_000 : 26))
          this.links.end()
        }
        sent++
      }
      this.links.flush()
      await delay(1)
    }
    return sent
  }
  idle(others: number[]): boolean {
    return others.every((to) => this.links.idle(to))
  }
  async leave(): Promise<void> {
    this.links.stop()
    await this.bus.close()
  }
}
const payload = new Uint8Array(100_000)

/** Traffic between three members, each on its own connection, while `trouble` goes on. */
async function underTraffic(
  url: string,
  cluster: string,
  trouble: () => Promise<void>,
): Promise<{ resent: number; sent: number }> {
  const numbers = [1, 2, 3]
  const members = await Promise.all(numbers.map((no) => Member.join(url, cluster, no, 3)))
  let over = false
  const others = (i: number) => numbers.filter((no) => no !== numbers[i])
  const sending = members.map((m, i) => m.send(others(i), 500, () => !over))
  await delay(50)
  await trouble()
  over = true
  const sent = await Promise.all(sending)
  await until('all is acknowledged', () => members.every((m, i) => m.idle(others(i))))
  for (const [i, member] of members.entries()) {
    expect(member.faults).toEqual([])
    for (const from of others(i)) expect(member.came.get(from)).toBe(sent[from - 1])
    const { malformed, refused, overdrawn } = member.links.stats
    expect({ malformed, refused, overdrawn }).toEqual({ malformed: 0, refused: 0, overdrawn: 0 })
  }
  const resent = members.reduce((sum, m) => sum + m.links.stats.resent, 0)
  await Promise.all(members.map((m) => m.leave()))
  return { resent, sent: Math.min(...sent) }
}

describe.runIf(program)('on a real nats-server', () => {
  const storeDir = mkdtempSync(join(tmpdir(), 'rehome-nats-'))
  let server: NatsServer
  beforeAll(async () => {
    server = await startNatsServer({ storeDir })
  })
  afterAll(async () => {
    await server.stop()
    rmSync(storeDir, { recursive: true })
  })

  it('loses and doubles nothing while the server is killed and started again', async () => {
    const { resent } = await underTraffic(server.url, 'killed', async () => {
      for (let i = 0; i < 3; i++) {
        server.kill('SIGKILL')
        await delay(100)
        await server.restart()
        await delay(300)
      }
    })
    expect(resent).toBeGreaterThan(0)
  })

  it('loses and doubles nothing while the server stops for two seconds', async () => {
    const { sent } = await underTraffic(server.url, 'stopped', async () => {
      await server.stop()
      await delay(2000)
      await server.restart()
      await delay(200)
    })
    expect(sent).toBeGreaterThanOrEqual(500)
  })

  it('loses and doubles nothing while connections are cut', async () => {
    const wire = new Wire(Number(new URL(server.url).port))
    const url = await wire.open()
    const { resent } = await underTraffic(url, 'cut', async () => {
      for (let i = 0; i < 8; i++) {
        await delay(120)
        wire.cut()
      }
    })
    wire.close()
    expect(wire.cuts).toBeGreaterThanOrEqual(8)
    expect(resent).toBeGreaterThan(0)
  })

  it('goes on after the server hung for a while', async () => {
    await underTraffic(server.url, 'hung', async () => {
      server.kill('SIGSTOP')
      await delay(600)
      server.kill('SIGCONT')
      await delay(100)
    })
  })

  it('counts each compare-and-set once while the server is killed and started again', async () => {
    const buses = await Promise.all(
      [1, 2, 3].map(() => NatsBus.connect({ servers: server.url, cluster: 'sums', name: 'sum' })),
    )
    let over = false
    let won = 0
    const told: number[] = []
    await buses[0]!.register.watch('sum', (_, entry) => {
      told.push(new DataView(entry!.value.buffer, entry!.value.byteOffset).getUint32(0))
    })
    const add = async ({ register }: NatsBus): Promise<void> => {
      while (!over) {
        const entry = await register.get('sum')
        const next = Buffer.alloc(4)
        next.writeUInt32BE((entry ? Buffer.from(entry.value).readUInt32BE() : 0) + 1)
        if ((await register.put('sum', next, entry?.revision ?? 0)) !== undefined) won++
      }
    }
    const adding = buses.map(add)
    for (let i = 0; i < 3; i++) {
      await delay(100)
      server.kill('SIGKILL')
      await server.restart()
    }
    await until('each has won some time', () => won > 10)
    over = true
    await Promise.all(adding)
    const sum = Buffer.from((await buses[1]!.register.get('sum'))!.value).readUInt32BE()
    expect(sum).toBe(won)
    expect(sum).toBeGreaterThan(10)
    await until('the watcher has seen the last', () => told.at(-1) === sum)
    for (let i = 1; i < told.length; i++) expect(told[i]!).toBeGreaterThan(told[i - 1]!)
    await Promise.all(buses.map((bus) => bus.close()))
  })

  it('answers a repeated write with what the first one did', async () => {
    // What `put` stands on when it tries again: the server looks at the id before it compares.
    const bus = await NatsBus.connect({ servers: server.url, cluster: 'again', name: 'again' })
    const nc = await connectPlainly({ servers: server.url })
    const js = nc.jetstream()
    const first = await bus.register.put('x', Buffer.from('1'), 0)
    const options = { msgID: 'the same', expect: { lastSubjectSequence: first! } }
    const one = await js.publish('$KV.rehome_again.x', Buffer.from('2'), { ...options })
    const two = await js.publish('$KV.rehome_again.x', Buffer.from('2'), { ...options })
    expect([two.seq, two.duplicate]).toEqual([one.seq, true])
    await nc.close()
    await bus.close()
  })

  it('keeps clusters of different names apart', async () => {
    const names = ['a', 'a.b', 'a b', 'a_b', 'A', '>', '*']
    const buses = await Promise.all(
      names.map((cluster) => NatsBus.connect({ servers: server.url, cluster, name: 'apart' })),
    )
    const came: string[] = []
    for (const [i, bus] of buses.entries()) await bus.listen(1, () => came.push(names[i]!))
    for (const [i, bus] of buses.entries()) {
      expect(await bus.register.get('view')).toBeUndefined()
      await bus.register.set('view', Buffer.from(names[i]!))
    }
    buses[1]!.publish(1, new Uint8Array(10))
    await until('the frame', () => came.length > 0)
    await delay(20)
    expect(came).toEqual(['a.b'])
    await Promise.all(buses.map((bus) => bus.close()))
  })

  it('carries frames of a loop by the connection that others use, which stays open behind it', async () => {
    const bus = await NatsBus.connect({ servers: server.url, cluster: 'loops', name: 'x' })
    const { register } = new MemoryHub({ clock: systemClock() }).connect()
    const came: string[] = []
    const loops = [bus.loop(register), bus.loop(register)] as const
    await loops[0].listen(1, (frame) => void came.push(`first ${frame[0]}`))
    await loops[1].listen(1, (frame) => void came.push(`second ${frame[0]}`))
    await bus.listen(1, (frame) => void came.push(`bus ${frame[0]}`))
    loops[0].publish(1, new Uint8Array([1]))
    loops[1].publish(1, new Uint8Array([2]))
    await until('both have come', () => came.length === 2)
    for (const loop of loops) await loop.close()
    bus.publish(1, new Uint8Array([3]))
    await until('the bus goes on', () => came.length === 3)
    expect(came).toEqual(['first 1', 'second 2', 'bus 3'])
    await bus.close()
  })

  it('lives on when a listener throws, and tells of it', async () => {
    const errors: unknown[] = []
    const bus = await NatsBus.connect({
      servers: server.url,
      cluster: 'throws',
      name: 'throws',
      onError: (e) => errors.push(e),
    })
    let came = 0
    await bus.listen(1, () => {
      came++
      throw new Error('a bug')
    })
    await bus.register.watch('x', () => {
      throw new Error('another bug')
    })
    bus.publish(1, new Uint8Array(1))
    bus.publish(1, new Uint8Array(1))
    await bus.register.set('x', new Uint8Array(1))
    await until('both', () => came === 2 && errors.length === 3)
    await bus.register.set('x', new Uint8Array(1))
    await until('one more', () => errors.length === 4)
    await bus.close()
  })

  it('closes within a bound while the server is away', async () => {
    const bus = await NatsBus.connect({ servers: server.url, cluster: 'away', name: 'away' })
    await bus.listen(1, () => {})
    await server.stop()
    const put = bus.register.put('x', new Uint8Array(1), 0)
    const before = performance.now()
    await Promise.all([bus.close(), expect(put).rejects.toMatchObject({ code: 'closed' })])
    expect(performance.now() - before).toBeLessThan(5000)
    await server.restart()
  })

  it('says what it tried when nobody answers', async () => {
    const { url } = server
    await server.stop()
    const failed = NatsBus.connect({ servers: url, cluster: 'none', name: 'none' })
    await expect(failed).rejects.toThrow(RehomeError)
    await expect(failed).rejects.toMatchObject({ code: 'bus-unavailable' })
    await expect(failed).rejects.toThrow(`no NATS server answers at ${url}`)
    await server.restart()
  })

  it('says so when the server has no JetStream', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'rehome-plain-'))
    const args = ['-a', '127.0.0.1', '-p', '-1', '--ports_file_dir', folder]
    const plain = spawn(program!, args, { stdio: 'ignore' })
    try {
      await until('its port', () => readdirSync(folder).length > 0)
      await delay(20)
      const ports = readFileSync(join(folder, readdirSync(folder)[0]!), 'utf8')
      const url = /nats:[^"]*/.exec(ports)![0]
      const failed = NatsBus.connect({ servers: url, cluster: 'plain', name: 'plain' })
      await expect(failed).rejects.toMatchObject({ code: 'bus-unavailable' })
      await expect(failed).rejects.toThrow(/has no JetStream .*"nats-server -js"/)
    } finally {
      plain.kill()
      rmSync(folder, { recursive: true })
    }
  })
})
