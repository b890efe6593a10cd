import { type ChildProcess, fork } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { FromChild, ToChild } from '../../../cli/index.ts'
import { now } from './soak-nf.ts'
import { Wire } from './wire.ts'

export type NodeState = 'spare' | 'joining' | 'in' | 'leaving' | 'dead'

/** How long a process may take to start, join or leave on a machine that is loaded and harmed (ms). */
const READY_MS = 30_000

/** An instance in a process of its own, with a wire of its own to the server. */
export class SoakNode {
  state: NodeState = 'spare'
  stopped = false
  readonly id: string
  readonly child: ChildProcess
  readonly wire: Wire
  /** What it has said on standard error. */
  said = ''
  private readonly waiting: ((message: FromChild) => void)[] = []

  private constructor(id: string, child: ChildProcess, wire: Wire) {
    this.id = id
    this.child = child
    this.wire = wire
    child.stderr?.on('data', (bytes) => {
      this.said = (this.said + bytes).slice(-4096)
    })
    child.on('message', (message: FromChild) => {
      for (const hear of this.waiting.splice(0)) hear(message)
    })
  }

  static async start(
    id: string,
    to: { port: number; cluster: string },
    onDead: (node: SoakNode) => void,
  ): Promise<SoakNode> {
    const wire = new Wire(to.port)
    const url = await wire.open()
    const main = fileURLToPath(new URL('../../../cli/main.js', import.meta.url))
    const args = ['instance', '--nats', url, '--cluster', to.cluster, '--id', id, '--spare']
    const child = fork(main, args, { stdio: ['ignore', 'ignore', 'pipe', 'ipc'] })
    const node = new SoakNode(id, child, wire)
    const kill = () => void child.kill('SIGKILL')
    process.once('exit', kill)
    // All that it has said is there by then.
    child.once('close', () => {
      process.off('exit', kill)
      node.state = 'dead'
      wire.close()
      onDead(node)
      for (const hear of node.waiting.splice(0)) hear({ is: 'failed', why: 'dead', exitCode: 1 })
    })
    await node.hears('ready')
    return node
  }

  get pid(): number {
    return this.child.pid ?? 0
  }

  private hears(what: FromChild['is']): Promise<void> {
    return new Promise((resolve, reject) => {
      const late = () => reject(new Error(`${this.id} was not ${what} in ${READY_MS} ms`))
      const timer = setTimeout(late, READY_MS)
      this.waiting.push((message) => {
        clearTimeout(timer)
        if (message.is === what) resolve()
        else reject(new Error(`${this.id}: ${message.is === 'failed' ? message.why : message.is}`))
      })
    })
  }

  async join(): Promise<void> {
    await this.change('joining', 'in', { do: 'join' })
  }
  async leave(): Promise<void> {
    await this.change('leaving', 'spare', { do: 'leave' })
  }
  private async change(during: NodeState, after: NodeState, message: ToChild): Promise<void> {
    this.state = during
    const done = this.hears(message.do === 'join' ? 'joined' : 'left')
    this.child.send(message)
    await done
    if (this.state === during) this.state = after
  }

  pause(): void {
    this.stopped = true
    this.child.kill('SIGSTOP')
  }
  resume(): void {
    this.stopped = false
    this.child.kill('SIGCONT')
  }
  /** Answers when: what it wrote down is of before. */
  kill(): number {
    this.child.kill('SIGKILL')
    this.state = 'dead'
    return now()
  }

  /** Resident memory (MB); 0 where the system does not tell. */
  get rssMb(): number {
    const file = `/proc/${this.pid}/status`
    if (this.state === 'dead' || !existsSync(file)) return 0
    const kb = /^VmRSS:\s+(\d+)/m.exec(readFileSync(file, 'latin1'))?.[1]
    return Math.round(Number(kb ?? 0) / 1024)
  }

  async end(): Promise<void> {
    if (this.state === 'dead') return
    const ended = new Promise<void>((resolve) => this.child.once('exit', () => resolve()))
    this.child.kill('SIGCONT')
    this.child.disconnect() // an instance whose run is gone ends
    const timer = setTimeout(() => this.child.kill('SIGKILL'), 5_000)
    await ended
    clearTimeout(timer)
  }
}
