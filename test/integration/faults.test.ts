/** What goes wrong under a run changes nothing of its result. */
import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import {
  type Bus,
  findNatsServer,
  MemoryHub,
  type NatsServer,
  startNatsServer,
  systemClock,
} from '../../bus/index.ts'
import {
  type Entered,
  feed,
  type Instance,
  joinInstance,
  joinSource,
  type Source,
} from '../../cli/index.ts'
import { countPackets, openCapture } from '../../loadgen/index.ts'
import { prads } from '../../nf-apps/index.ts'
import { steeringHash } from '../../nf-apps/packet/index.ts'
import { SLOT_BITS } from '../../placement/index.ts'
import { Wire } from '../kit/soak/index.ts'
import { newFile, Running, run, sample, until } from './rehome.ts'

const one = run('prads', '--pcap', sample, '--bus', 'memory', '--scale', '1')

/** It ran to its end with figures that add up, and its result is that of one instance. */
async function expectAsOnOne(running: Running, out: string): Promise<void> {
  const { code, stdout, stderr } = await running.ended
  expect(stderr).toBe('')
  expect(code).toBe(0)
  expect(stdout).toMatch(/^28,401 packets in .*; 0 dropped, 2 malformed, 0 errors$/m)
  expect(stdout).toMatch(/^updates ([\d,]+) made, \1 applied/m)
  expect(stdout).toMatch(/ [1-9][\d,]* actors rehomed/)
  expect(readFileSync(out, 'utf8') === (await one).out).toBe(true)
}

describe.runIf(findNatsServer())('a run whose NATS server fails', () => {
  /** Some 5 s of packets; the scale changes under them three times. */
  const args = ['prads', '--pcap', sample, '--scale', '1,2,3,1', '--rate', '6000', '--bus', 'nats']

  async function withServer(work: (server: NatsServer) => Promise<void>): Promise<void> {
    const server = await startNatsServer({ storeDir: newFile('store') })
    try {
      await work(server)
    } finally {
      await server.stop()
    }
  }
  /** Starts a run, and waits until a fifth of its packets has gone. */
  async function startRun(url: string): Promise<{ running: Running; out: string }> {
    const out = newFile()
    const running = new Running(['run', ...args, '--nats', url, '--out', out])
    await running.shows(/^[2-9]\d %: /m)
    return { running, out }
  }

  it('stopped for 2 s in the middle, and started again', async () => {
    await withServer(async (server) => {
      const { running, out } = await startRun(server.url)
      await server.stop()
      await delay(2_000)
      expect(running.child.exitCode).toBe(null)
      await server.restart()
      await expectAsOnOne(running, out)
    })
  })

  it('connections that are cut again and again', async () => {
    await withServer(async (server) => {
      const wire = new Wire(Number(new URL(server.url).port))
      const { running, out } = await startRun(await wire.open())
      while (wire.cuts < 5 && running.child.exitCode === null) {
        wire.cut()
        await delay(400)
      }
      await expectAsOnOne(running, out)
      expect(wire.cuts).toBe(5)
      wire.close()
    })
  })
})

/** What this bus hears of the register comes late: each change and each answer, from when `held` says so. */
function late(bus: Bus, ms: number, held: () => boolean): Bus {
  const { register } = bus
  const slow: Bus['register'] = {
    get: async (name) => {
      if (held()) await delay(ms)
      return register.get(name)
    },
    put: (name, value, expected) => register.put(name, value, expected),
    set: (name, value) => register.set(name, value),
    remove: (name) => register.remove(name),
    watch: (prefix, onChange) =>
      register.watch(prefix, (name, entry) => {
        if (held()) setTimeout(() => onChange(name, entry), ms)
        else onChange(name, entry)
      }),
  }
  return {
    register: slow,
    listen: (no, onFrame) => bus.listen(no, onFrame),
    publish: (to, frame) => bus.publish(to, frame),
    flush: () => bus.flush(),
    onReconnect: (listener) => bus.onReconnect(listener),
    close: () => bus.close(),
  }
}

/** Feeds the sample for some 3 s; `scaleTo` is called in its middle. Resolves when all packets have their verdicts. */
async function feedSample(source: Source, scaleTo: () => void): Promise<void> {
  const reader = openCapture(sample)
  await feed(source, {
    hashOf: steeringHash,
    reader,
    total: countPackets(sample),
    scale: [3, 4],
    partMs: 0,
    rate: 9_000,
    scaleTo,
    stopped: () => false,
    wait: (ms) => new Promise((go) => (ms > 0 ? setTimeout(go, ms) : setImmediate(go))),
    now: () => performance.now(),
  })
  reader.close()
  await until('all packets have their verdicts', () => source.steerer.outstanding === 0)
}

describe('an instance that learns of each view 500 ms late', () => {
  const LATE_MS = 500

  it('changes no result, and holds nobody up who does not need it', async () => {
    const clock = systemClock()
    const hub = new MemoryHub({ clock })
    const settings = {
      nf: 'prads',
      options: {},
      placement: 'spread',
      model: 'shared',
      slotBits: SLOT_BITS,
    } as const
    const faults: string[] = []
    const onError = (what: string, error: unknown) => void faults.push(`${what}: ${error}`)
    const common = { clock, nf: prads, settings, onError }
    const env = prads.setup({})
    let held = false
    const instances: Entered<Instance>[] = []
    const join = async (id: string) => {
      const bus = id === 'i1' ? late(hub.connect(), LATE_MS, () => held) : hub.connect()
      instances.push(await joinInstance({ ...common, id, bus }, env))
    }
    for (const id of ['i1', 'i2', 'i3']) await join(id)
    const source = await joinSource(
      { ...common, id: 'source', bus: hub.connect() },
      { flipsPerStep: 128, flipEveryMs: 5 },
    )

    const packets = () => instances.map((i) => i.body.report().packets)
    let before: number[] = []
    let after: number[] = []
    let seen = 0
    const scaleTo = () => {
      held = true
      void join('i4')
      before = packets()
      setTimeout(() => {
        after = packets()
        seen = instances[0]!.body.report().epoch
      }, LATE_MS - 50)
    }
    const { body } = source
    await feedSample(body, scaleTo)
    await body.finish()
    const reports = await body.reports()
    const latency = (await body.latency()).summary()
    const lines = await body.result(env)
    for (const { stop } of [...instances, source]) stop()

    const during = before.map((n, i) => after[i]! - n)
    const meanwhile = reports.reduce((n, r) => n + r.packetsDuringHandoff, 0)
    console.log(
      `in ${LATE_MS - 50} ms of the old view i1, i2, i3 handled ${during} packets, ` +
        `i4 ${after[3]}; ${meanwhile} during handoffs; latency p50 ${latency.p50} µs, p99 ${latency.p99} µs`,
    )
    expect(faults).toEqual([])
    expect(`${lines.join('\n')}\n` === (await one).out).toBe(true)
    // It had indeed not heard of the view in which the others were by then.
    expect(seen).toBeLessThan(reports.find((r) => r.id === 'i4')!.epoch)
    expect(meanwhile).toBeGreaterThan(0)
    for (const n of during) expect(n).toBeGreaterThan(20)
    expect(reports.find((r) => r.id === 'i4')!.packets).toBeGreaterThan(0)
    // Only what has to wait for i1's actors waits as long as its view is late.
    expect(latency.p50).toBeLessThan((LATE_MS * 1000) / 2)
  })
})
