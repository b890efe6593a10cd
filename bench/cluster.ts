import { type ChildProcess, fork } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { NatsBus, wallMs } from '../bus/index.ts'
import type { Entered, Latencies, Source } from '../cli/index.ts'
import type { NF } from '../nf-apps/index.ts'
import { joinSource, type Setup } from './members.ts'
import type { MemberTask } from './models-process.ts'
import { arrivalAt, type Packets } from './packets.ts'
import type { Ticker } from './ticker.ts'

/** Packets offered between two looks at what has come in. */
const BURST = 128
/** How often a full receiver is looked at again (ms). */
const ROOM_MS = 2
/** The kernel counts processor time in these (ms). */
const TICK_MS = 10

/** A cluster over NATS whose instances are processes, and whose source of packets is this one. It stays for many rounds. */
export class ProcessCluster {
  readonly source: Source
  private readonly children: Map<string, ChildProcess>
  private readonly end: () => Promise<void>
  private readonly due: { ms: number }

  private constructor(
    children: Map<string, ChildProcess>,
    entered: Entered<Source>,
    bus: NatsBus,
    due: { ms: number },
  ) {
    this.children = children
    this.source = entered.body
    this.due = due
    this.end = async () => {
      entered.stop()
      await bus.close()
    }
  }

  static async start(
    servers: string,
    cluster: string,
    nf: NF,
    setup: Setup,
    instances: number,
  ): Promise<ProcessCluster> {
    const children = new Map<string, ChildProcess>()
    const join = async (id: string, role: 'instance' | 'store') => {
      children.set(id, await member({ servers, cluster, id, role, nf: nf.name, setup }))
    }
    if (setup.model === 'remote-only') await join('store', 'store')
    for (let i = 1; i <= instances; i++) await join(`i${i}`, 'instance')
    const bus = await NatsBus.connect({ servers, cluster, name: 'source' })
    const due = { ms: 0 }
    const entered = await joinSource(bus, nf, () => due.ms, setup)
    const made = new ProcessCluster(children, entered, bus, due)
    await made.settled()
    return made
  }

  private async settled(): Promise<void> {
    const isThere = async () => {
      const reports = await this.source.reports()
      return reports.every((r) => r.slotsDue === 0 && (r.slots > 0 || r.role === 'store'))
    }
    while (!(await isThere())) await new Promise((resolve) => setTimeout(resolve, 10))
  }

  /** As fast as they go, until each has its verdict. */
  async flood(p: Packets, from: number, count: number): Promise<number> {
    for (let i = from; i < from + count; i++) {
      this.due.ms = wallMs()
      while (!this.source.steerer.offer(arrivalAt(p, i), p.hash[i]!)) await this.room()
      if (i % BURST === 0) {
        this.flush()
        await new Promise((resolve) => setImmediate(resolve))
      }
    }
    await this.through()
    return count
  }

  /**
   * At a steady rate, in the bursts that ticks make of it: what has come since the last tick is due at this one, whether or not what was
   * before is through.
   */
  async paced(
    p: Packets,
    from: number,
    count: number,
    perSecond: number,
    ticker: Ticker,
  ): Promise<Latencies> {
    const earlier = await this.source.latencies()
    const start = wallMs()
    const dueMs = new Float64Array(count)
    for (let due = 0, offered = 0; offered < count; ) {
      const atMs = await new Promise<number>((resolve) => ticker.next(resolve))
      while (due < count && start + (due * 1000) / perSecond <= atMs) dueMs[due++] = atMs
      for (; offered < due; offered++) {
        this.due.ms = dueMs[offered]!
        const i = from + offered
        if (!this.source.steerer.offer(arrivalAt(p, i), p.hash[i]!)) break
      }
      this.flush()
    }
    await this.through()
    const now = await this.source.latencies()
    return {
      sinceDue: now.sinceDue.since(earlier.sinceDue),
      atInstance: now.atInstance.since(earlier.atInstance),
    }
  }

  private flush(): void {
    this.source.steerer.flush()
    this.source.member.wake()
  }

  private room(): Promise<void> {
    this.flush()
    return new Promise((resolve) => {
      const go = () => {
        clearTimeout(timer)
        this.source.onRoom = () => {}
        resolve()
      }
      const timer = setTimeout(go, ROOM_MS)
      this.source.onRoom = go
    })
  }

  private async through(): Promise<void> {
    while (this.source.steerer.outstanding > 0) await this.room()
  }

  /** Processor time so far (ms) of the source and of each other process; nothing of these where the kernel does not tell. */
  cpuMs(): Record<string, number> {
    const { user, system } = process.cpuUsage()
    const all: Record<string, number> = { source: (user + system) / 1000 }
    for (const [id, { pid }] of this.children) all[id] = cpuOf(pid)
    return all
  }

  async close(): Promise<void> {
    await this.end()
    await Promise.all([...this.children.values()].map(ended))
  }
}

function member(task: MemberTask): Promise<ChildProcess> {
  const file = fileURLToPath(new URL('./models-process.js', import.meta.url))
  const child = fork(file, [JSON.stringify(task)])
  return new Promise((resolve, reject) => {
    child.once('message', () => resolve(child))
    child.once('exit', () => reject(new Error(`${task.id} has ended`)))
  })
}

function ended(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    child.once('exit', () => resolve())
    child.disconnect()
  })
}

function cpuOf(pid: number | undefined): number {
  const file = `/proc/${pid}/stat`
  if (!existsSync(file)) return Number.NaN
  const text = readFileSync(file, 'utf8')
  // Behind the name, which may have spaces: the 12th and 13th are user and system time.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS
}
