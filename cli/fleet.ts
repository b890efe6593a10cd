import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { type Clock, type MemoryHub, RehomeError } from '../bus/index.ts'
import type { NF } from '../nf-apps/index.ts'
import type { Entered } from './enter.ts'
import type { Instance } from './instance.ts'
import { joinInstance, type OnError } from './join.ts'
import type { ClusterSettings } from './settings.ts'

/** The instances that a run has to its disposal. */
export interface Fleet {
  /** Makes everything ready for that many, so that a join takes no longer than it must. */
  prepare(most: number): Promise<void>
  /** Brings the cluster to `n` instances: resolves when they have joined, or have left with nothing due. */
  scaleTo(n: number): Promise<void>
  /** Ends all instances at once, joined or not. */
  close(): Promise<void>
}

/** The name of the member that has all actors, under `remote-only`. */
const STORE = 'store'

/** Instances in this process, over the memory bus. */
export class MemoryFleet implements Fleet {
  private readonly joined: Entered<Instance>[] = []
  private readonly all = new Set<Entered<Instance>>()
  private made = 0
  private readonly o: {
    hub: MemoryHub
    clock: Clock
    nf: NF
    env: unknown
    settings: ClusterSettings
    onError: OnError
  }

  constructor(options: MemoryFleet['o']) {
    this.o = options
  }

  async prepare(): Promise<void> {
    if (this.o.settings.model !== 'remote-only') return
    const { hub, env, ...common } = this.o
    const store = await joinInstance({ ...common, id: STORE, bus: hub.connect() }, env, 'store')
    this.all.add(store)
  }

  async scaleTo(n: number): Promise<void> {
    while (this.joined.length < n) {
      const { hub, env, ...common } = this.o
      const id = `i${++this.made}`
      const entered = await joinInstance({ ...common, id, bus: hub.connect() }, env)
      this.joined.push(entered)
      this.all.add(entered)
    }
    const leaving = this.joined.splice(n)
    await Promise.all(
      leaving.map(async (one) => {
        await one.leave()
        await one.left
        one.stop()
        this.all.delete(one)
      }),
    )
  }

  async close(): Promise<void> {
    for (const one of this.all) one.stop()
  }
}

/** What a child process is told, and what it answers: JSON over its channel. */
export type ToChild = { do: 'join' } | { do: 'leave' }
export type FromChild =
  | { is: 'ready' | 'joined' | 'left' }
  | { is: 'failed'; why: string; exitCode: number }

/** How long a child may take to start (ms): a loaded machine, the NF's files. */
const READY_MS = 30_000
/** How long a child has to end by itself once it is told to (ms). */
const END_MS = 5_000

interface Child {
  readonly child: ChildProcess
  joined: boolean
}

/** Each instance a process of its own, over NATS. */
export class ProcessFleet implements Fleet {
  private children: Child[] = []
  private made = 0
  private readonly o: {
    url: string
    cluster: string
    hasStore: boolean
    /** An instance has died; `last`: and there is none left to go on. */
    onExit: (why: string, last: boolean) => void
  }
  private closing = false
  private store: ChildProcess | undefined

  constructor(options: ProcessFleet['o']) {
    this.o = options
  }

  async prepare(most: number): Promise<void> {
    const starting: Promise<void>[] = []
    if (this.o.hasStore && !this.store) starting.push(this.startStore())
    while (this.children.length < most) {
      const child = this.fork(`i${++this.made}`)
      this.children.push({ child, joined: false })
      starting.push(told(child, 'ready', READY_MS))
    }
    await Promise.all(starting)
  }

  private async startStore(): Promise<void> {
    const child = this.fork(STORE, '--store')
    this.store = child
    await told(child, 'ready', READY_MS)
    const message: ToChild = { do: 'join' }
    child.send(message)
    await told(child, 'joined')
  }

  private fork(id: string, ...more: string[]): ChildProcess {
    const main = fileURLToPath(new URL('./main.js', import.meta.url))
    const { url, cluster } = this.o
    const args = ['instance', '--nats', url, '--cluster', cluster, '--id', id, '--spare', ...more]
    // A terminal's Ctrl-C is for the run: it ends its instances in order.
    const child = fork(main, args, {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      detached: true,
    })
    // However this process ends, also one that hangs and would not notice.
    const kill = () => void child.kill('SIGKILL')
    process.once('exit', kill)
    child.on('exit', (code, signal) => {
      process.off('exit', kill)
      if (!this.closing) this.onExit(child, `instance ${id} ended (${signal ?? code})`)
    })
    return child
  }

  private onExit(child: ChildProcess, why: string): void {
    this.children = this.children.filter((one) => one.child !== child)
    this.o.onExit(why, child === this.store || !this.children.some((one) => one.joined))
  }

  async scaleTo(n: number): Promise<void> {
    await this.prepare(n)
    const change = async (one: Child, join: boolean) => {
      one.joined = join
      const message: ToChild = { do: join ? 'join' : 'leave' }
      one.child.send(message)
      await told(one.child, join ? 'joined' : 'left')
    }
    // One after the other: each join is a view of its own anyway, and the first one founds the cluster.
    for (const one of this.children.slice(0, n)) if (!one.joined) await change(one, true)
    const leaving = this.children.slice(n).filter((one) => one.joined)
    await Promise.all(leaving.map((one) => change(one, false)))
  }

  async close(): Promise<void> {
    this.closing = true
    const all = this.children.map(({ child }) => child)
    await Promise.all([...all, ...(this.store ? [this.store] : [])].map(end))
  }
}

function told(child: ChildProcess, what: FromChild['is'], withinMs?: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = withinMs && setTimeout(() => done(late(what)), withinMs)
    const onMessage = (message: FromChild) => {
      if (message.is === what) done()
      else if (message.is === 'failed') done(new RehomeError('bad-argument', message.why))
    }
    const onExit = () => done(new RehomeError('peer-gone', 'an instance process has ended'))
    const done = (error?: Error) => {
      if (timer) clearTimeout(timer)
      child.off('message', onMessage)
      child.off('exit', onExit)
      if (error) reject(error)
      else resolve()
    }
    child.on('message', onMessage)
    child.on('exit', onExit)
  })
}

function late(what: string): RehomeError {
  return new RehomeError('timeout', `an instance process was not ${what} in time`)
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  child.disconnect() // an instance whose run is gone ends
  const timer = setTimeout(() => child.kill('SIGKILL'), END_MS)
  await ended
  clearTimeout(timer)
}
