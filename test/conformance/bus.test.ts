import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import {
  type Bus,
  findNatsServer,
  Kind,
  Links,
  MemoryHub,
  NatsBus,
  type NatsServer,
  startNatsServer,
  systemClock,
} from '../../bus/index.ts'

/** What both buses must let a test do. */
interface Ground {
  connect(): Promise<Bus>
  /** The bus goes away for a while, with what is under way, and comes back. */
  interrupt(ms: number): Promise<void>
  end(): Promise<void>
}

async function memoryGround(): Promise<Ground> {
  const hub = new MemoryHub({ clock: systemClock() })
  return {
    connect: async () => hub.connect(),
    interrupt: async (ms) => {
      hub.cut()
      await delay(ms)
      hub.mend()
    },
    end: async () => {},
  }
}

async function natsGround(): Promise<Ground> {
  const storeDir = mkdtempSync(join(tmpdir(), 'rehome-bus-'))
  const server: NatsServer = await startNatsServer({ storeDir })
  let clusters = 0
  const cluster = () => `conformance ${clusters}`
  return {
    connect: () => NatsBus.connect({ servers: server.url, cluster: cluster(), name: 'test' }),
    interrupt: async (ms) => {
      server.kill('SIGKILL')
      await delay(ms)
      await server.restart()
    },
    end: async () => {
      clusters++
      await server.stop()
      rmSync(storeDir, { recursive: true })
    },
  }
}

const nats = findNatsServer()
if (!nats) console.log('no nats-server on this machine: only the memory bus is tested')
const grounds = nats
  ? ([
      ['memory', memoryGround],
      ['nats', natsGround],
    ] as const)
  : ([['memory', memoryGround]] as const)

const bytes = (text: string) => new TextEncoder().encode(text)
const text = (b: Uint8Array | undefined) => (b ? new TextDecoder().decode(b) : undefined)

/** Waits until it holds; the test's own time limit ends it otherwise. */
async function until(holds: () => boolean): Promise<void> {
  const end = performance.now() + 20_000
  while (!holds()) {
    if (performance.now() > end) throw new Error('waited 20 s in vain')
    await delay(2)
  }
}

describe.each(grounds)('the %s bus', (_name, makeGround) => {
  let ground: Ground
  const buses: Bus[] = []
  /** Numbers and names that no other test of this file uses. */
  let unique = 0
  const connect = async () => {
    const bus = await ground.connect()
    buses.push(bus)
    return bus
  }
  beforeAll(async () => {
    ground = await makeGround()
  })
  afterEach(async () => {
    await Promise.all(buses.splice(0).map((bus) => bus.close()))
    unique += 10
  })
  afterAll(() => ground.end())

  it('brings frames to the member that they are for, in order and unchanged', async () => {
    const [a, b] = [await connect(), await connect()]
    const atB: string[] = []
    const atA: string[] = []
    await b.listen(unique + 2, (frame) => atB.push(text(frame)!))
    await a.listen(unique + 1, (frame) => atA.push(text(frame)!))
    for (let i = 0; i < 100; i++) a.publish(unique + 2, bytes(`frame ${i}`))
    a.publish(unique + 3, bytes('to nobody'))
    b.publish(unique + 1, bytes('back'))
    a.flush()
    b.flush()
    await until(() => atB.length === 100 && atA.length === 1)
    expect(atB).toEqual(Array.from({ length: 100 }, (_, i) => `frame ${i}`))
    expect(atA).toEqual(['back'])
  })

  it('carries frames of any bytes up to 64 KiB and more', async () => {
    const [a, b] = [await connect(), await connect()]
    const came: Uint8Array[] = []
    await b.listen(unique + 2, (frame) => came.push(frame.slice()))
    const frames = [0, 1, 255, 32_768, 65_600, 200_000].map((n) =>
      Uint8Array.from({ length: n }, (_, i) => (i * 31 + n) & 0xff),
    )
    for (const frame of frames) a.publish(unique + 2, frame)
    await until(() => came.length === frames.length)
    for (const [i, frame] of frames.entries())
      expect(Buffer.compare(came[i]!, frame), `frame ${i}`).toBe(0)
  })

  it('does not deliver within the call that publishes', async () => {
    const a = await connect()
    let came = false
    await a.listen(unique + 1, () => {
      came = true
    })
    a.publish(unique + 1, bytes('to myself'))
    expect(came).toBe(false)
    await until(() => came)
  })

  it('has one listener a member, whose number is free again when it stops', async () => {
    const a = await connect()
    const came: string[] = []
    const first = await a.listen(unique + 1, () => came.push('first'))
    await expect(a.listen(unique + 1, () => {})).rejects.toMatchObject({ code: 'bad-argument' })
    first.stop()
    await a.listen(unique + 1, () => came.push('second'))
    a.publish(unique + 1, bytes('x'))
    await until(() => came.length > 0)
    expect(came).toEqual(['second'])
  })

  it('writes to the register only if nothing has changed', async () => {
    const { register } = await connect()
    const name = `view.of "cluster" ${unique}: ä/€*>`
    expect(await register.get(name)).toBeUndefined()
    expect(await register.put(name, bytes('one'), 99)).toBeUndefined()
    const first = await register.put(name, bytes('one'), 0)
    expect(first).toBeGreaterThan(0)
    expect(await register.put(name, bytes('two'), 0)).toBeUndefined()
    const second = await register.put(name, bytes('two'), first!)
    expect(second).toBeGreaterThan(first!)
    expect(await register.put(name, bytes('three'), first!)).toBeUndefined()
    const entry = await register.get(name)
    expect([text(entry?.value), entry?.revision]).toEqual(['two', second])
  })

  it('takes a removed name for absent', async () => {
    const { register } = await connect()
    const name = `gone ${unique}`
    const first = await register.put(name, bytes('one'), 0)
    await register.remove(name)
    expect(await register.get(name)).toBeUndefined()
    expect(await register.put(name, bytes('two'), first!)).toBeUndefined()
    expect(await register.put(name, bytes('two'), 0)).toBeGreaterThan(first!)
    expect(text((await register.get(name))?.value)).toBe('two')
  })

  it('lets one of many writers win', async () => {
    const all = [await connect(), await connect(), await connect()]
    const name = `race ${unique}`
    const increment = async (bus: Bus): Promise<void> => {
      for (;;) {
        const entry = await bus.register.get(name)
        const next = bytes(String(Number(text(entry?.value) ?? 0) + 1))
        if ((await bus.register.put(name, next, entry?.revision ?? 0)) !== undefined) return
      }
    }
    await Promise.all(all.flatMap((bus) => Array.from({ length: 5 }, () => increment(bus))))
    expect(text((await all[0]!.register.get(name))?.value)).toBe('15')
  })

  it('sets in the order of the calls', async () => {
    const { register } = await connect()
    const name = `report ${unique}`
    await Promise.all(Array.from({ length: 20 }, (_, i) => register.set(name, bytes(`${i}`))))
    expect(text((await register.get(name))?.value)).toBe('19')
  })

  it('tells watchers what is there, then each change, removals too', async () => {
    const [a, b] = [await connect(), await connect()]
    const under = `watched/${unique}/`
    await a.register.set(`${under}x`, bytes('1'))
    await a.register.set(`${under}gone`, bytes('1'))
    await a.register.remove(`${under}gone`)
    await a.register.set(`elsewhere/${unique}`, bytes('1'))
    const told: string[] = []
    const watch = await b.register.watch(under, (name, entry) => {
      told.push(`${name.slice(under.length)}=${text(entry?.value) ?? 'removed'}`)
    })
    expect(told).toEqual(['x=1'])
    await a.register.set(`${under}y`, bytes('2'))
    await a.register.set(`${under}x`, bytes('3'))
    await a.register.remove(`${under}y`)
    await until(() => told.length === 4)
    watch.stop()
    await a.register.set(`${under}x`, bytes('4'))
    await delay(20)
    expect(told).toEqual(['x=1', 'y=2', 'x=3', 'y=removed'])
  })

  it('comes back after an interruption: register kept, watchers told once, listeners heard', async () => {
    const [a, b] = [await connect(), await connect()]
    const name = `kept ${unique}`
    const told: string[] = []
    let reconnects = 0
    a.onReconnect(() => reconnects++)
    const came: string[] = []
    await b.listen(unique + 2, (frame) => came.push(text(frame)!))
    await b.register.watch(name, (_, entry) => told.push(text(entry?.value) ?? 'removed'))
    const first = await a.register.put(name, bytes('before'), 0)
    const interrupted = ground.interrupt(300)
    await delay(50)
    a.publish(unique + 2, bytes('lost or late'))
    const during = a.register.put(name, bytes('during'), first!)
    await interrupted
    expect(await during).toBeGreaterThan(first!)
    await until(() => reconnects > 0 && told.length === 2)
    const again = setInterval(() => a.publish(unique + 2, bytes('after')), 10)
    await until(() => came.includes('after'))
    clearInterval(again)
    expect(told).toEqual(['before', 'during'])
  })

  it('carries links through interruptions: every message once, in order', async () => {
    const members = [unique + 1, unique + 2] as const
    const clock = systemClock()
    const came = new Map<number, number[]>()
    const links = new Map<number, Links>()
    for (const self of members) {
      const bus = await connect()
      const mine = new Links({
        self,
        clock,
        transmit: (to, frame) => bus.publish(to, frame),
        epoch: () => 1,
        onMessage: (_from, _kind, r) => came.get(self)!.push(r.u32()),
      })
      came.set(self, [])
      links.set(self, mine)
      for (const no of members) mine.open(no)
      bus.onReconnect(() => mine.kick())
      await bus.listen(self, (frame) => mine.receive(frame))
    }
    const count = 3000
    const send = async (from: number, to: number): Promise<void> => {
      const mine = links.get(from)!
      for (let i = 0; i < count; i++) {
        mine.begin(to, Kind.STATE).u32(i)
        mine.end()
        if (i % 10 === 9) {
          mine.flush()
          await delay(1)
        }
      }
    }
    const [one, two] = members
    await Promise.all([send(one, two), send(two, one), delay(50).then(() => ground.interrupt(200))])
    await until(() => members.every((no) => came.get(no)!.length >= count))
    await until(() => links.get(one)!.idle(two) && links.get(two)!.idle(one))
    const all = Array.from({ length: count }, (_, i) => i)
    for (const no of members) expect(came.get(no)).toEqual(all)
    for (const mine of links.values()) mine.stop()
  })

  it('ends within a bound, and refuses to listen afterwards', async () => {
    const a = await connect()
    await a.listen(unique + 1, () => {})
    const before = performance.now()
    await a.close()
    await a.close()
    expect(performance.now() - before).toBeLessThan(5000)
    a.publish(unique + 1, bytes('x'))
    await expect(a.listen(unique + 2, () => {})).rejects.toMatchObject({ code: 'closed' })
  })
})
