import { type Bus, MemoryHub } from '../../../bus/index.ts'
import { type Entered, enter } from '../../../cli/enter.ts'
import { Instance } from '../../../cli/instance.ts'
import { Source } from '../../../cli/source.ts'
import { Random } from '../../../loadgen/index.ts'
import type { NF, StateMap } from '../../../nf-apps/nf.ts'
import { build, Packet, steeringHash } from '../../../nf-apps/packet/index.ts'
import { SimClock } from './clock.ts'
import { runMicrotasks } from './microtasks.ts'
import { type Logged, Oracle, Violation } from './oracle.ts'
import { WITHIN_MS, walkNF } from './walk-nf.ts'

export interface WalkSettings {
  readonly seed: number
  readonly slotBits: number
  readonly startInstances: number
  readonly joins: number
  readonly leaves: number
  readonly ops: number
  readonly keys: number
  readonly flows: number
  /** Chances, per frame. */
  readonly drop: number
  readonly double: number
  readonly late: number
  readonly spread: boolean
}

/** A mix that is drawn from the seed: few slots and many views, so that races meet. */
export function settingsFor(seed: number): WalkSettings {
  const r = new Random(seed ^ 0x5eed)
  const lossy = r.unit() < 0.7
  return {
    seed,
    slotBits: 1 + Math.floor(r.unit() * 4),
    startInstances: 1 + Math.floor(r.unit() * 3),
    joins: 1 + Math.floor(r.unit() * 4),
    leaves: Math.floor(r.unit() * 4),
    ops: 200 + Math.floor(r.unit() * 200),
    keys: 2 + Math.floor(r.unit() * 4),
    flows: 2 + Math.floor(r.unit() * 5),
    drop: lossy ? r.unit() * 0.1 : 0,
    double: lossy ? r.unit() * 0.1 : 0,
    late: r.unit() * 0.2,
    spread: r.unit() < 0.5,
  }
}

interface Multis {
  at(key: number): {
    append(actor: string, id: number): number | Promise<number>
    post(x: { actor: string; by: number; id: number }): void
    read(): Logged | Promise<Logged>
  }
  lookup(key: number): MaybeLogged
  remove(key: number): boolean | Promise<boolean>
}

interface Node {
  readonly id: string
  readonly bus: Bus
  entered: Entered<Instance> | undefined
  leaving: boolean
  gone: boolean
}

export interface WalkReport {
  readonly settings: WalkSettings
  readonly events: number
  readonly virtualMs: number
  readonly turns: number
  readonly reads: number
  readonly views: number
  readonly messages: Record<string, number>
}

const EVENTS_MAX = 400_000
/** How long a walk may take to converge once its faults have stopped (virtual ms). */
const CONVERGE_MS = 60_000

/** One random walk: a cluster of the product's own members under one clock and one seed. */
export class Walk {
  readonly settings: WalkSettings
  readonly clock = new SimClock()
  readonly oracle: Oracle
  readonly trace: string[] = []
  private readonly random: Random
  private readonly hub: MemoryHub
  private readonly nf: NF<StateMap, unknown>
  private readonly nodes: Node[] = []
  private source!: Entered<Source>
  private faults = true
  private ids = 0
  private events = 0
  private readonly seqs: number[] = []
  private readonly outbox: { flow: number; bytes: Uint8Array; hash: number }[] = []
  private failure: unknown
  private finished = false

  constructor(settings: WalkSettings) {
    this.settings = settings
    this.random = new Random(settings.seed)
    this.oracle = new Oracle(() => this.clock.now())
    const frame = () => this.frameDelays()
    const register = () => (this.faults ? { before: this.delay(), after: this.delay() } : {})
    this.hub = new MemoryHub({ clock: this.clock, faults: { frame, register } })
    const pause = (ms: number) => new Promise<void>((go) => this.clock.after(ms, go))
    const ref = { oracle: this.oracle, pause }
    this.nf = walkNF(() => ref)
  }

  private delay(): number {
    const { late } = this.settings
    return this.random.unit() < late ? this.random.unit() * 30 : this.random.unit() * 0.5
  }

  private frameDelays(): number[] {
    if (!this.faults) return [0.05]
    const { drop, double } = this.settings
    const r = this.random.unit()
    if (r < drop) return []
    return r < drop + double ? [this.delay(), this.delay()] : [this.delay()]
  }

  /** Runs the walk to its end; throws at the first violation. */
  run(): WalkReport {
    const { startInstances, joins, leaves, ops } = this.settings
    for (let i = 0; i < startInstances; i++) this.join()
    this.until(() => this.nodes.every((n) => n.entered), 'the first instances join')
    this.enterSource()
    this.until(() => this.source !== undefined, 'the source joins')
    this.plan(ops, () => this.operate())
    this.plan(joins, () => this.join())
    this.plan(leaves, () => this.leave())
    this.until(() => this.planned === 0, 'all is begun')
    this.faults = false
    this.until(() => this.isQuiet(), 'it converges')
    this.check()
    return this.report()
  }

  private planned = 0
  private plan(count: number, what: () => void): void {
    for (let i = 0; i < count; i++) {
      this.planned++
      this.clock.after(this.random.unit() * SPAN_MS, () => {
        this.planned--
        what()
      })
    }
  }

  private until(done: () => boolean, what: string): void {
    const end = this.clock.now() + CONVERGE_MS
    while (!done()) {
      if (!this.clock.step()) throw new Violation('converges', `nothing happens: ${what}`)
      runMicrotasks()
      if (this.failure) throw this.failure
      if (++this.events > EVENTS_MAX || this.clock.now() > end) {
        throw new Violation('converges', `not: ${what}; open: ${this.stuck()}`)
      }
    }
  }

  private stuck(): string {
    const members = this.nodes.map((n) => {
      const { body } = n.entered ?? {}
      if (!body || n.gone) return `${n.id}: ${n.gone ? 'gone' : 'joining'}`
      const waits = [...body.member.space.waiting()].map((w) => `${w.type}/${w.key} ${w.waitsFor}`)
      const view = body.member.view
      const state = view?.memberOf(n.entered!.no)?.state
      const { quiet, empty } = body.member.space
      return `${n.id}=${n.entered!.no} ${state} epoch ${view?.epoch} quiet ${quiet} empty ${empty} intake ${body.intake.idle} waits [${waits}]`
    })
    return `${this.oracle.openOnes()}; outstanding ${this.source?.body.steerer.outstanding}; ${members.join('; ')}`
  }

  private fail(error: unknown): void {
    this.failure ??= error
  }

  // ---- members ----

  private common(id: string, bus: Bus) {
    const { slotBits } = this.settings
    return {
      bus,
      clock: this.clock,
      id,
      schema: 'walk',
      slotBits,
      onError: (_what: string, error: unknown) => this.fail(error),
    }
  }
  private get space() {
    const { slotBits, spread } = this.settings
    const placement = spread ? ('spread' as const) : ('aligned' as const)
    return {
      types: this.nf.state,
      slotBits,
      placement,
      limits: { pageBits: 4, flushMs: 2, staleValuesMax: 64 },
    }
  }

  private join(): void {
    const node: Node = {
      id: `i${this.nodes.length}`,
      bus: this.hub.connect(),
      entered: undefined,
      leaving: false,
      gone: false,
    }
    this.nodes.push(node)
    const wallMs = () => this.clock.now()
    enter({
      ...this.common(node.id, node.bus),
      role: 'instance',
      make: (ports) => new Instance(node.id, this.nf, undefined, { ...ports, wallMs }, this.space),
    }).then(
      (entered) => {
        node.entered = entered
        entered.left.then(() => {
          node.gone = true
          entered.stop()
        })
      },
      (error) => this.fail(error),
    )
  }

  private enterSource(): void {
    const options = {
      wallMs: () => this.clock.now(),
      flipsPerStep: 1 + Math.floor(this.random.unit() * 4),
      flipEveryMs: this.random.unit() * 5,
      batchPacketsMax: 1 + Math.floor(this.random.unit() * 4),
    }
    enter({
      ...this.common('source', this.hub.connect()),
      role: 'steerer',
      make: (ports) => new Source(this.nf, ports, this.space, options),
    }).then(
      (entered) => {
        this.source = entered
        entered.body.onRoom = () => this.offer()
      },
      (error) => this.fail(error),
    )
  }

  private get active(): Node[] {
    return this.nodes.filter((n) => n.entered && !n.leaving && !n.gone)
  }

  private leave(): void {
    const { active } = this
    if (active.length < 2) return
    const node = this.pick(active)
    node.leaving = true
    node.entered!.leave().catch((error) => this.fail(error))
  }

  private pick<T>(from: readonly T[]): T {
    return from[Math.floor(this.random.unit() * from.length)]!
  }

  // ---- operations ----

  private operate(): void {
    const { active } = this
    if (active.length === 0) return
    const node = this.pick(active)
    const key = Math.floor(this.random.unit() * this.settings.keys)
    const r = this.random.unit()
    if (r < 0.4) this.sendPackets()
    else if (r < 0.65) this.single(node, key)
    else this.multi(node, key)
  }

  private handles(node: Node): { singles: Singles; multis: Multis; sums: Sums } {
    return node.entered!.body.member.space.handles as unknown as {
      singles: Singles
      multis: Multis
      sums: Sums
    }
  }

  private track<T>(what: string, value: T | Promise<T>, then: (value: T) => void): void {
    const id = ++this.ids
    this.oracle.begin(id, what)
    const ended = (v: T) => {
      this.oracle.end(id)
      then(v)
    }
    if (value instanceof Promise) {
      value.then(ended).catch((error) => this.fail(error))
    } else ended(value)
  }

  private single(node: Node, key: number): void {
    const { singles } = this.handles(node)
    const actor = `singles/${key}`
    const kind = this.random.unit()
    const id = ++this.ids
    const started = this.clock.now()
    if (kind < 0.55) {
      const pause = kind < 0.15 ? this.random.unit() * 10 : undefined
      const turn = (s: Logged) => {
        this.oracle.turn(actor, s, id)
        return pause === undefined
          ? undefined
          : new Promise<void>((go) => this.clock.after(pause, go))
      }
      this.track(`with ${actor}`, singles.with(key, turn), () => {})
    } else if (kind < 0.65) {
      const turn = (s: Logged | undefined) => {
        if (s) this.oracle.turn(actor, s, id)
      }
      this.track(`ifPresent ${actor}`, singles.ifPresent(key, turn), () => {})
    } else if (kind < 0.8) {
      this.oracle.removing(actor)
      const remove = singles.remove(key)
      this.track(`remove ${actor}`, remove, (was) => this.oracle.removed(actor, was))
    } else if (kind < 0.9) {
      const lookup = singles.lookup(key)
      this.track(`lookup ${actor}`, lookup, (s) => this.oracle.read(actor, s, started))
    } else {
      const reader = `${node.id}`
      this.track(`stale ${actor}`, singles.at(key).size(), (s) =>
        this.oracle.read(actor, s, started - WITHIN_MS, reader),
      )
    }
  }

  private multi(node: Node, key: number): void {
    const { multis, sums } = this.handles(node)
    const actor = `multis/${key}`
    const kind = this.random.unit()
    const id = ++this.ids
    const started = this.clock.now()
    if (kind < 0.25) {
      this.track(`append ${actor}`, multis.at(key).append(actor, id), () => {
        if (!this.oracle.wasDone(id)) throw new Violation('exactly once', `${id} did not run`)
      })
    } else if (kind < 0.55) {
      this.oracle.begin(id, `post ${actor}`)
      this.posted.push(id)
      multis.at(key).post({ actor, by: node.entered!.no, id })
    } else if (kind < 0.7) {
      const x = 1 + Math.floor(this.random.unit() * 9)
      this.oracle.added(`sums/${key}`, x)
      sums.at(key).add(x)
    } else if (kind < 0.78) {
      this.oracle.removing(actor)
      this.track(`remove ${actor}`, multis.remove(key), (was) => this.oracle.removed(actor, was))
    } else if (kind < 0.88) {
      const lookup = multis.lookup(key)
      this.track(`lookup ${actor}`, lookup, (s) => this.oracle.read(actor, s, started))
    } else {
      const reader = `${node.id}`
      this.track(`stale ${actor}`, multis.at(key).read(), (s) =>
        this.oracle.read(actor, s, started - WITHIN_MS, reader),
      )
    }
  }
  private readonly posted: number[] = []

  private sendPackets(): void {
    const flow = Math.floor(this.random.unit() * this.settings.flows)
    for (let n = 1 + Math.floor(this.random.unit() * 3); n > 0; n--) {
      const seq = (this.seqs[flow] ?? 0) + 1
      this.seqs[flow] = seq
      this.ids += 2
      const id = this.ids - 1
      this.oracle.begin(id, `packet ${seq} of flow ${flow}`)
      const way = Math.floor(this.random.unit() * 4)
      const payload = new Uint8Array(16)
      const view = new DataView(payload.buffer)
      view.setUint32(0, flow)
      view.setUint32(4, seq)
      view.setUint32(8, id)
      view.setUint32(12, way)
      const udp = build.udp({ srcPort: 1000 + flow * 17, dstPort: 53 }, payload)
      const ends = { src: '10.0.0.1', dst: `10.0.0.${flow + 2}` }
      const bytes = build.ethernet({}, build.ipv4(ends, udp))
      const packet = new Packet().load(bytes, 0, bytes.length, 1, bytes.length, 0, 0, 0, 0)
      this.outbox.push({ flow, bytes, hash: steeringHash(packet) })
    }
    this.offer()
  }

  private offer(): void {
    const { steerer, member } = this.source.body
    while (this.outbox.length > 0) {
      const { bytes, hash } = this.outbox[0]!
      const timeUs = this.clock.now() * 1000
      const { length } = bytes
      const arrival = { bytes, start: 0, end: length, wireLength: length, timeUs, linkType: 1 }
      if (!steerer.offer(arrival, hash)) break
      this.outbox.shift()
    }
    steerer.flush()
    member.wake()
  }

  // ---- the end ----

  private finishing = false
  private found: Map<string, Logged> | undefined
  private foundSums = new Map<string, number>()

  private isQuiet(): boolean {
    if (!this.settle()) return false
    if (!this.finishing) {
      this.finishing = true
      this.finish().catch((error) => this.fail(error))
    }
    return this.finished
  }

  /** Everything that was begun has ended, except what is told by the ledgers. */
  private settle(): boolean {
    if (this.outbox.length > 0) {
      this.offer()
      return false
    }
    if (this.source.body.steerer.outstanding > 0) return false
    for (const id of this.posted.splice(0)) {
      if (this.oracle.wasDone(id)) this.oracle.end(id)
      else this.posted.push(id)
    }
    if (this.oracle.openCount > 0) return false
    return this.nodes.every((n) => (n.leaving ? n.gone : n.entered !== undefined))
  }

  private async finish(): Promise<void> {
    await this.source.body.finish()
    const handles = this.source.body.member.space.handles as unknown as Record<
      string,
      { all(): Promise<{ key: unknown; state: Logged & { n: number } }[]> }
    >
    const found = new Map<string, Logged>()
    for (const name of ['singles', 'multis', 'flows']) {
      for (const { key, state } of await handles[name]!.all()) {
        if (found.has(`${name}/${key}`)) {
          throw new Violation('one home', `${name}/${key} was collected twice`)
        }
        found.set(`${name}/${key}`, state)
      }
    }
    for (const { key, state } of await handles.sums!.all()) {
      this.foundSums.set(`sums/${key}`, state.n)
    }
    this.found = found
    this.finished = true
  }

  private check(): void {
    this.oracle.final(this.found!)
    for (const [actor, n] of this.oracle.sumsExpected()) {
      if (this.foundSums.get(actor) !== n) {
        throw new Violation('nothing lost', `${actor} is ${this.foundSums.get(actor)}, not ${n}`)
      }
    }
    for (const node of this.active) {
      const { member } = node.entered!.body
      if (!member.space.quiet) throw new Violation('converges', `${node.id} is not quiet`)
      if (member.space.inHandoff) throw new Violation('converges', `${node.id} misses slots`)
    }
  }

  private report(): WalkReport {
    const messages: Record<string, number> = {}
    let views = 0
    for (const node of this.nodes) {
      const member = node.entered?.body.member
      if (!member) continue
      views = Math.max(views, member.view?.epoch ?? 0)
    }
    return {
      settings: this.settings,
      events: this.events,
      virtualMs: this.clock.now(),
      turns: this.oracle.turns,
      reads: this.oracle.reads,
      views,
      messages,
    }
  }
}

/** How long operations go on (virtual ms): views follow each other within some round trips. */
const SPAN_MS = 150

type MaybeLogged = Logged | undefined | Promise<Logged | undefined>
interface Sums {
  at(key: number): { add(x: number): void }
}
interface Singles {
  with(key: number, turn: (s: Logged) => unknown): unknown
  ifPresent(key: number, turn: (s: Logged | undefined) => unknown): unknown
  remove(key: number): boolean | Promise<boolean>
  lookup(key: number): MaybeLogged
  at(key: number): { size(): Logged | Promise<Logged> }
}
