import { setTimeout as delay } from 'node:timers/promises'
import type { NatsServer } from '../../../bus/index.ts'
import { SoakNode } from './fleet.ts'
import { type FaultKind, type FaultPlan, INSTANCES_MAX, noFaults } from './plan.ts'
import { now } from './soak-nf.ts'
import type { Wire } from './wire.ts'

/** A cluster of processes on a server, and everything that a plan lets happen to them. */
export class Harm {
  nodes: SoakNode[] = []
  readonly seen = noFaults()
  /** Processes that were killed or stopped for too long since `mourn` was last called, and when. */
  private killed = new Map<number, number>()
  /** Those that were stopped, and taken out: from when on nobody hears them. */
  private fenced: { pid: number; id: string; stopped: number }[] = []
  /** When the others knew that an instance had been taken out (ns), if they do. */
  takenOut: (id: string) => number | undefined = () => undefined
  /** What must not have happened: an instance that ended, or that could not join or leave. */
  readonly surprises: string[] = []
  joins = 0
  leaves = 0
  /** Instances that were taken for dead though no fault of the plan was so long. */
  evicted = 0
  private readonly server: NatsServer
  private readonly sourceWire: Wire
  private readonly to: { port: number; cluster: string }
  private readonly underWay = new Set<Promise<void>>()
  private serverBusy: Promise<void> = Promise.resolve()
  private made = 0
  private starting = 0
  private refused = 0
  private closing = false

  constructor(server: NatsServer, sourceWire: Wire, to: { port: number; cluster: string }) {
    this.server = server
    this.sourceWire = sourceWire
    this.to = to
  }

  get active(): SoakNode[] {
    return this.nodes.filter((n) => n.state === 'in' || n.state === 'joining')
  }

  async scaleTo(n: number, whom = 0): Promise<void> {
    const { active } = this
    const work: Promise<void>[] = []
    for (let i = active.length + this.starting; i < n; i++) work.push(this.joinOne())
    const leaving = active.filter((node) => node.state === 'in')
    for (let i = Math.min(active.length - n, leaving.length - 1); i > 0; i--) {
      const [node] = leaving.splice(Math.floor(whom * leaving.length), 1)
      work.push(this.expected(`${node!.id} leaves`, node!.leave()))
      this.leaves++
    }
    await Promise.all(work)
  }

  private async joinOne(): Promise<void> {
    let node = this.nodes.find((one) => one.state === 'spare' && !one.stopped)
    if (node) node.state = 'joining'
    else {
      this.starting++
      node = await this.start().finally(() => this.starting--)
      if (!node) return
      node.state = 'joining'
      this.nodes.push(node)
    }
    this.joins++
    await this.expected(`${node.id} joins`, node.join())
  }

  /** Undefined if there was no server to be had just then: who starts an instance is told so, and may do it again. */
  private async start(): Promise<SoakNode | undefined> {
    const before = this.refused
    try {
      return await SoakNode.start(`i${++this.made}`, this.to, (one) => this.dead(one))
    } catch (error) {
      if (this.refused > before) return undefined
      throw error
    }
  }

  private async expected(what: string, work: Promise<void>): Promise<void> {
    try {
      await work
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error)
      if (this.killed.size === 0) this.surprises.push(`${what}: ${why}`)
    }
  }

  private dead(node: SoakNode): void {
    this.nodes = this.nodes.filter((one) => one !== node)
    if (NO_SERVER.test(node.said)) {
      this.refused++
      return
    }
    const since = this.killed.get(node.pid)
    if (since !== undefined && SILENT.test(node.said)) {
      this.fenced.push({ pid: node.pid, id: node.id, stopped: since })
    }
    if (this.closing || since !== undefined) return
    if (SILENT.test(node.said)) {
      // Faults that met, or a machine that is loaded: the others had to take it for dead.
      this.evicted++
      this.killed.set(node.pid, now())
      return
    }
    const { exitCode, signalCode } = node.child
    this.surprises.push(`${node.id} has ended (${signalCode ?? exitCode}): ${node.said}`)
  }

  /** Lets it happen; `settled` waits until it is over. */
  apply(fault: FaultPlan): void {
    const work = this.happen(fault).catch((error) => {
      this.surprises.push(`${fault.kind}: ${error instanceof Error ? error.message : error}`)
    })
    this.underWay.add(work)
    void work.then(() => this.underWay.delete(work))
  }

  private async happen({ kind, whom, much }: FaultPlan): Promise<void> {
    const { active } = this
    const node = active[Math.floor(whom * active.length)]
    // One is left to go on.
    if (!node || (kind === 'kill' && active.length < 2)) return
    if (kind === 'long pause' && node.stopped) return
    this.seen[kind]++
    if (kind === 'scale') await this.scaleTo(much, whom)
    else if (kind === 'cut') this.wireOf(node, whom).cut()
    else if (kind === 'cut all') for (const wire of this.wires) wire.cut()
    else if (kind === 'hold') await this.hold(this.wireOf(node, whom), much)
    else if (kind === 'kill') this.killed.set(node.pid, node.kill())
    else if (kind === 'pause') await this.pause(node, much)
    else if (kind === 'long pause') {
      const stopped = this.pause(node, much)
      this.killed.set(node.pid, now() + STOPPED_WITHIN_NS)
      await stopped
    } else await this.harmServer(kind, much)
  }

  private get wires(): Wire[] {
    return [this.sourceWire, ...this.nodes.map((n) => n.wire)]
  }
  /** Now and then it is the source's that is meant. */
  private wireOf(node: SoakNode, whom: number): Wire {
    return whom > 0.9 ? this.sourceWire : node.wire
  }
  private async hold(wire: Wire, ms: number): Promise<void> {
    wire.hold()
    await delay(ms)
    wire.release()
  }
  private async pause(node: SoakNode, ms: number): Promise<void> {
    node.pause()
    await delay(ms)
    node.resume()
  }
  private harmServer(kind: FaultKind, ms: number): Promise<void> {
    const { server } = this
    this.serverBusy = this.serverBusy.then(async () => {
      if (kind === 'server pause') {
        server.kill('SIGSTOP')
        await delay(ms)
        server.kill('SIGCONT')
        return
      }
      if (kind === 'server kill') server.kill('SIGKILL')
      await server.stop()
      await delay(ms)
      await server.restart()
    })
    return this.serverBusy
  }

  /** All that was begun is over, those that were taken for dead have ended, and enough instances are there. */
  async settled(isMember: (id: string) => boolean): Promise<void> {
    while (this.underWay.size > 0) {
      // A leaver that is alone has nobody to give its slots to.
      if (this.active.length + this.starting === 0) await this.scaleTo(1)
      await Promise.race([Promise.all(this.underWay), delay(100)])
    }
    // Who was stopped for long may have been lucky: nobody accuses while the bus is away.
    const isDoomed = (node: SoakNode) =>
      this.killed.has(node.pid) && node.state === 'in' && !isMember(node.id)
    while (this.nodes.some(isDoomed)) await delay(20)
    if (this.active.length === 0) await this.scaleTo(Math.min(2, INSTANCES_MAX))
  }

  /** Who was killed or fenced since it was last asked. */
  mourn(): { killed: ReadonlyMap<number, number>; fenced: ReadonlyMap<number, number> } {
    const { killed } = this
    // One may have woken up before it was taken out: until then the others rightly heard it.
    const until = this.fenced.map(({ pid, id, stopped }) => {
      const out = this.takenOut(id) ?? stopped
      return [pid, Math.max(stopped, out)] as const
    })
    const fenced = new Map(until)
    this.killed = new Map()
    this.fenced = []
    return { killed, fenced }
  }

  async close(): Promise<void> {
    this.closing = true
    await Promise.all(this.nodes.map((node) => node.end()))
  }
}

/** A process that is told to stop may still be on a processor for so long. */
const STOPPED_WITHIN_NS = 5e6
/** What an instance says that finds itself taken out. */
const SILENT = /silent for too long/
const NO_SERVER = /no NATS server answers/
