/** A cluster that runs, seen and changed from other processes: status, scale, instances by hand; and how runs end. */
import { readdirSync, readFileSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { findNatsServer, type NatsServer, startNatsServer } from '../../bus/index.ts'
import {
  canSeeProcesses,
  descendants,
  lives,
  newFile,
  Running,
  rehome,
  run,
  sample,
  until,
} from './rehome.ts'

describe('rehome nfs', () => {
  it('lists each NF with its options and state objects', async () => {
    const { code, stdout, stderr } = await rehome('nfs')
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    for (const nf of ['prads', 'host-counter', 'byte-quota', 'tcp-tracker', 'echo', 'sink']) {
      expect(stdout).toMatch(new RegExp(`^${nf}: .+$`, 'm'))
    }
    expect(stdout).toMatch(/^ {4}--signatures DIR {2}/m)
    expect(stdout).toContain(
      '    flows: single-writer, by symmetric-flow (key 40 bytes), state 12 bytes (packets, bytes)\n',
    )
    expect(stdout).toContain(
      '        methods: incAndGet (plain), inc (untether, merged), get (stale, 100 ms)\n',
    )
    expect(stdout).toMatch(/^ {4}connections: .*, state 14 bytes \(.*\); expires$/m)
  })
})

const counter = ['run', 'host-counter', '--pcap', sample, '--bus', 'nats']

describe.runIf(findNatsServer())('a cluster that runs', () => {
  let server: NatsServer
  beforeAll(async () => {
    server = await startNatsServer({ storeDir: newFile('store') })
  })
  afterAll(() => server.stop())

  it('is asked, joined by hand and scaled, and ends as on one instance', async () => {
    const at = ['--nats', server.url, '--cluster', 'shown']
    const out = newFile()
    // Some 41 s of traffic: a machine with other work needs as long for what is done to the cluster meanwhile.
    const running = new Running([...counter, ...at, '--scale', '2', '--rate', '700', '--out', out])
    await running.shows(/%: /)
    interface Row {
      readonly id: string
      readonly packets: number
      readonly slots: number
    }
    const rows = async () =>
      JSON.parse((await rehome('status', ...at, '--json')).stdout) as readonly Row[]
    const comes = async (what: string, holds: (rows: readonly Row[]) => boolean) => {
      const end = performance.now() + 15_000
      let seen = await rows()
      while (!holds(seen) && performance.now() < end) seen = await rows()
      expect(holds(seen), `${what}: ${JSON.stringify(seen)}`).toBe(true)
    }
    const table = await rehome('status', ...at)
    expect(table.stdout).toMatch(/^id +no +epoch.*packets/)
    expect(table.stdout.trimEnd().split('\n')).toHaveLength(3)
    const waiting = await rehome('status', '--suspended', ...at)
    expect(waiting.stdout).toMatch(/^no packet is suspended|^flow +index/)

    const hand = new Running(['instance', ...at, '--id', 'hand'])
    await hand.shows(/hand has joined shown as member \d+; Ctrl-C leaves/)
    await comes('hand has its slots', (all) => all.some((r) => r.id === 'hand' && r.slots > 5_000))
    hand.child.kill('SIGINT')
    expect(await hand.ended).toMatchObject({ code: 0, stderr: '' })
    const wish = await rehome('scale', '3', ...at)
    expect(wish.stdout).toBe('shown is to have 3 instances\n')
    await comes('i3 has its slots', (all) => all.some((r) => r.id === 'i3' && r.slots > 5_000))

    const { code, stdout, stderr } = await running.ended
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toMatch(/; 0 dropped, 2 malformed, 0 errors$/m)
    expect(stdout).toMatch(/^hand +[1-9]/m)
    const one = await run('host-counter', '--pcap', sample, '--bus', 'memory')
    expect(readFileSync(out, 'utf8') === one.out).toBe(true)

    const after = await rehome('status', ...at)
    expect(after.stderr).toBe("rehome: there is no cluster 'shown' on that NATS server\n")
    expect(after.code).toBe(2)
  })

  it('has its name for itself, until it ends; whom it leaves behind ends too', async () => {
    const at = ['--nats', server.url, '--cluster', 'named']
    const args = [...counter, ...at, '--scale', '1', '--rate', '1000']
    const running = new Running(args)
    await running.shows(/%: /)
    const second = await rehome(...args)
    expect(second.stderr).toMatch(/^rehome: there is a cluster 'named' [^\n]+ already\n$/)
    expect(second.code).toBe(2)
    const hand = new Running(['instance', ...at])
    await hand.shows(/has joined/)
    running.child.kill('SIGTERM')
    expect(await running.ended).toMatchObject({ code: 130, stderr: '' })
    expect(await hand.ended).toMatchObject({ code: 0, stderr: '' })
    const again = new Running([...counter, ...at, '--scale', '2'])
    expect(await again.ended).toMatchObject({ code: 0, stderr: '' })
  })
})

describe.runIf(findNatsServer() && canSeeProcesses)('a run that is stopped', () => {
  /** Under way, with all the processes that it has started, and a folder for its temporary files. */
  async function started() {
    const temp = newFile('temp')
    await mkdir(temp)
    const out = newFile()
    const args = [...counter, '--scale', '2', '--rate', '2000', '--out', out]
    const running = new Running(args, { NATS_URL: undefined, TMPDIR: temp })
    await running.shows(/[1-9]\d* %: i\d/)
    const all = descendants(running.child.pid!)
    // Two instances, and nats-server with what watches it.
    expect(all.length).toBeGreaterThanOrEqual(3)
    return { running, out, temp, all }
  }

  it.each(['SIGINT', 'SIGTERM'] as const)(
    '%s: drains, writes what there is, leaves nothing',
    async (signal) => {
      const { running, out, temp, all } = await started()
      running.child.kill(signal)
      const { code, stdout, stderr } = await running.ended
      expect({ code, stderr }).toEqual({ code: 130, stderr: '' })
      const packets = Number(
        /^([\d,]+) packets in .*; 0 dropped/m.exec(stdout)?.[1]?.replace(',', ''),
      )
      expect(packets).toBeGreaterThan(0)
      expect(packets).toBeLessThan(28_401)
      expect(readFileSync(out, 'utf8')).toMatch(new RegExp(`^packets ${packets}$`, 'm'))
      await until('its processes have ended', () => !all.some(lives))
      expect(readdirSync(temp)).toEqual([])
    },
  )

  it('a second signal forces, though an instance hangs', async () => {
    const { running, all } = await started()
    const instance = all.find((pid) =>
      /--id\0i1\0/.test(readFileSync(`/proc/${pid}/cmdline`, 'latin1')),
    )!
    process.kill(instance, 'SIGSTOP')
    running.child.kill('SIGINT')
    await running.shows(/draining/)
    await delay(700)
    expect(running.child.exitCode).toBe(null)
    running.child.kill('SIGINT')
    expect(await running.ended).toMatchObject({ code: 130 })
    await until('its processes have ended', () => !all.some(lives))
  })

  it('instances that die, all of them, end it with one line', async () => {
    const { running, temp, all } = await started()
    const isInstance = (pid: number) =>
      /--id\0i\d+\0/.test(readFileSync(`/proc/${pid}/cmdline`, 'latin1'))
    for (const instance of all.filter(isInstance)) process.kill(instance, 'SIGKILL')
    const { code, stderr } = await running.ended
    expect(stderr).toMatch(/^rehome: instance i\d ended \(SIGKILL\)\n$/)
    expect(code).toBe(1)
    await until('its processes have ended', () => !all.some(lives))
    expect(readdirSync(temp)).toEqual([])
  })
})
