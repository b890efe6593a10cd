import type { StateModel } from '../../../actors/index.ts'
import { allKinds, type Bus, MemoryHub, RehomeError } from '../../../bus/index.ts'
import { type Entered, enter, Instance, Source } from '../../../cli/index.ts'
import { Random } from '../../../loadgen/index.ts'
import { type NF, type OptionValues, type StateMap, steeringOf } from '../../../nf-apps/index.ts'
import { LINK_ETHERNET, Packet } from '../../../nf-apps/packet/index.ts'
import { SimClock } from './clock.ts'
import { insideOf, part, replace } from './inside.ts'
import { runMicrotasks } from './microtasks.ts'
import { type Faults, Network, noFaults } from './network.ts'
import { Violation } from './oracle.ts'

/** What a simulated cluster is made of; all but the seed and the NF have defaults. */
export interface ClusterOptions {
  readonly seed: number
  /** Asked once for each instance: one that makes its NF anew each time shows state kept outside actors. */
  readonly nf: () => NF<StateMap, unknown>
  readonly options?: OptionValues
  readonly slotBits?: number
  readonly spread?: boolean
  readonly model?: StateModel
  readonly faults?: Faults
  /** The links' bounds: small ones are met. */
  readonly frameBytes?: number
  readonly creditBytes?: number
  /** Sees each member before anything comes in. */
  readonly onMember?: (body: Instance | Source, id: string) => void
}

/** An instance of a simulated cluster. */
export interface SimNode {
  readonly id: string
  readonly bus: Bus
  entered: Entered<Instance> | undefined
  leaving: boolean
  gone: boolean
  /** Killed: nothing comes from it any more, and nothing runs there. */
  crashed: boolean
}

const EVENTS_MAX = 400_000
/** How long it may take to converge once faults have stopped (virtual ms). */
const CONVERGE_MS = 60_000

/**
 * A cluster of the product's own members, on the memory bus, under one virtual clock and one seed: the same seed runs
 * exactly the same. To be driven from within a macrotask (`inMacrotask`).
 */
export class SimCluster {
  readonly clock = new SimClock()
  readonly random: Random
  readonly nodes: SimNode[] = []
  private store: Instance | undefined
  readonly network: Network
  /** How often each change has come. */
  readonly seen = {
    joins: 0,
    /** Joins under the name of one that has left or crashed, as a process that is started again. */
    returns: 0,
    leaves: 0,
    crashes: 0,
    /** Views that came to a member whose slots of the one before were still on their way. */
    overlaps: 0,
  }
  events = 0
  private readonly o: ClusterOptions
  private readonly hub: MemoryHub
  private readonly feeds: Feed[] = []
  private failure: unknown

  constructor(options: ClusterOptions) {
    this.o = options
    this.random = new Random(options.seed)
    this.network = new Network(options.seed, this.clock, options.faults ?? noFaults)
    this.hub = new MemoryHub({ clock: this.clock, faults: this.network })
  }

  /** For so long nothing comes to that instance, nor from it. */
  pause(node: SimNode, ms: number): void {
    if (node.entered) this.network.pause(node.entered.no, ms)
  }

  heal(): void {
    this.network.heal()
  }

  /** Steps until it is so; throws what went wrong meanwhile, or what it is that does not come about. */
  until(done: () => boolean, what: string, withinMs = CONVERGE_MS): void {
    const end = this.clock.now() + withinMs
    while (!done()) {
      if (!this.clock.step()) throw new Violation('converges', `nothing happens: ${what}`)
      runMicrotasks()
      if (this.failure) throw this.failure
      if (++this.events > EVENTS_MAX || this.clock.now() > end) {
        const at = `${this.events} events, ${Math.round(this.clock.now())} ms`
        throw new Violation('converges', `not: ${what}; ${at}; ${this.stuck()}`)
      }
    }
  }

  /** Lets so much time go by (virtual ms). */
  pass(ms: number): void {
    let over = false
    this.clock.after(ms, () => {
      over = true
    })
    this.until(() => over, 'time passes')
  }

  /** Steps until the promise has settled. */
  settle<T>(promise: Promise<T>, what: string): T {
    let result: { value: T } | undefined
    promise.then(
      (value) => {
        result = { value }
      },
      (error) => this.fail(error),
    )
    this.until(() => result !== undefined, what)
    return result!.value
  }

  fail(error: unknown): void {
    this.failure ??= error ?? new Error('failed')
  }

  private stuck(): string {
    const members = this.nodes.map((n) => {
      const { body } = n.entered ?? {}
      if (!body || n.gone) return `${n.id}: ${n.gone ? 'gone' : 'joining'}`
      const { member, intake } = body
      const waits = [...member.space.waiting()].map((w) => `${w.type}/${w.key} ${w.waitsFor}`)
      const state = member.view?.memberOf(n.entered!.no)?.state
      const { quiet, empty } = member.space
      const at = `${n.id}=${n.entered!.no} ${state} epoch ${member.view?.epoch}`
      return `${at} quiet ${quiet} empty ${empty} intake ${intake.idle} waits [${waits}]`
    })
    return `outstanding ${this.feeds.map((f) => f.source.steerer.outstanding)}; ${members.join('; ')}`
  }

  // ---- members ----

  private common(id: string, bus: Bus) {
    return {
      bus,
      clock: this.clock,
      id,
      schema: 'sim',
      slotBits: this.slotBits,
      onError: (_what: string, error: unknown) => {
        // A handler is told of a call that a crash has left open.
        const lost = error instanceof RehomeError && error.code === 'peer-gone'
        if (!lost || this.seen.crashes === 0) this.fail(error)
      },
    }
  }
  private get slotBits(): number {
    return this.o.slotBits ?? 4
  }
  private space(nf: NF<StateMap, unknown>) {
    const { frameBytes = 4096, creditBytes = 1 << 20 } = this.o
    return {
      types: nf.state,
      slotBits: this.slotBits,
      placement: this.o.spread ? ('spread' as const) : ('aligned' as const),
      model: this.o.model ?? 'shared',
      limits: { pageBits: 4, flushMs: 2, staleValuesMax: 64, givenBytes: 48 },
      links: { frameBytes, creditBytes, slabBytes: 4 * frameBytes },
    }
  }

  join(id = `i${this.nodes.length}`): SimNode {
    if (this.nodes.some((n) => n.id === id)) this.seen.returns++
    const bus = this.hub.connect()
    const node: SimNode = {
      id,
      bus,
      entered: undefined,
      leaving: false,
      gone: false,
      crashed: false,
    }
    this.nodes.push(node)
    this.seen.joins++
    const nf = this.o.nf()
    const env = nf.setup(this.o.options ?? {})
    const wallMs = () => this.clock.now()
    enter({
      ...this.common(id, bus),
      role: 'instance',
      make: (ports) =>
        this.seenBy(new Instance(id, nf, env, { ...ports, wallMs }, this.space(nf)), id),
    }).then(
      (entered) => this.hasEntered(node, entered),
      (error) => this.fail(error),
    )
    return node
  }

  /** The member that has all actors, where state is remote only; before all others. */
  joinStore(): void {
    const id = 'store'
    const nf = this.o.nf()
    const env = nf.setup(this.o.options ?? {})
    const settings = { ...this.space(nf), isStore: true }
    const wallMs = () => this.clock.now()
    enter({
      ...this.common(id, this.hub.connect()),
      role: 'store',
      make: (ports) => this.seenBy(new Instance(id, nf, env, { ...ports, wallMs }, settings), id),
    }).then(
      ({ body }) => {
        this.store = body
      },
      (error) => this.fail(error),
    )
    this.until(() => this.store !== undefined, 'the store joins')
  }

  private hasEntered(node: SimNode, entered: Entered<Instance>): void {
    node.entered = entered
    void entered.left.then(() => {
      node.gone = true
      entered.stop()
    })
  }

  private seenBy<T extends Instance | Source>(body: T, id: string): T {
    const { member } = body
    const onView = member.onView.bind(member)
    member.onView = (view) => {
      if (member.space.inHandoff) this.seen.overlaps++
      onView(view)
    }
    this.o.onMember?.(body, id)
    return body
  }

  /** Joins a source of packets; the results are read through the first. */
  enterSource(batchPacketsMax = 2, flipsPerStep = 2, flipEveryMs = 2): void {
    const options = { wallMs: () => this.clock.now(), flipsPerStep, flipEveryMs, batchPacketsMax }
    const nf = this.o.nf()
    const hashOf = steeringOf(nf, nf.setup(this.o.options ?? {}))
    const count = this.feeds.length
    const id = count === 0 ? 'source' : `source${count}`
    enter({
      ...this.common(id, this.hub.connect()),
      role: 'steerer',
      make: (ports) => this.seenBy(new Source(nf, ports, this.space(nf), options), id),
    }).then(
      ({ body }) => this.feeds.push(new Feed(body, hashOf)),
      (error) => this.fail(error),
    )
    this.until(() => this.feeds.length > count, 'the source joins')
  }

  get source(): Source {
    return this.feeds[0]!.source
  }

  isActive(n: SimNode): boolean {
    return n.entered !== undefined && !n.leaving && !n.gone
  }
  get active(): SimNode[] {
    return this.nodes.filter((n) => this.isActive(n))
  }

  /** Asks an instance to leave, unless it is the last one. */
  leave(node = this.pick(this.active)): void {
    if (this.active.length < 2 || !node?.entered) return
    node.leaving = true
    this.seen.leaves++
    node.entered.leave().catch((error) => {
      if (!node.crashed) this.fail(error)
    })
  }

  /** Kills an instance: its links, timers and turns stop at once, and nobody is told. */
  crash(node: SimNode): void {
    if (!node.entered) return
    node.gone = true
    node.crashed = true
    this.seen.crashes++
    silence(node.entered.body)
    node.entered.stop()
    void node.bus.close()
  }
  /** Instances that are there, leaving ones too. */
  get alive(): SimNode[] {
    return this.nodes.filter((n) => n.entered && !n.gone)
  }

  pick<T>(from: readonly T[]): T | undefined {
    return from[Math.floor(this.random.unit() * from.length)]
  }

  // ---- packets ----

  /** Hands a packet to one of the sources: always the same for a flow whose order is to hold. */
  send(bytes: Uint8Array, timeUs = this.clock.now() * 1000, source = 0, hash?: number): void {
    this.feeds[source % this.feeds.length]!.send(bytes, timeUs, hash)
  }

  /** Every packet has its verdict, and every member is where it wants to be. */
  get settled(): boolean {
    if (!this.feeds.every((feed) => feed.isThrough)) return false
    return this.nodes.every((n) => (n.leaving ? n.gone : n.entered !== undefined))
  }

  /** Packets whose instance crashed with them. */
  get packetsLost(): number {
    return this.feeds.reduce((n, feed) => n + feed.source.steerer.lost, 0)
  }

  /** Messages by kind, of all members from the start. */
  messages(): Record<string, number> {
    const counts: Record<string, number> = {}
    const instances = [this.store, ...this.nodes.map((n) => n.entered?.body)]
    const bodies = [...this.feeds.map((f) => f.source), ...instances]
    for (const { code, name } of allKinds) {
      counts[name] = 0
      for (const b of bodies) counts[name] += b?.member.links.stats.messagesOut[code] ?? 0
    }
    return counts
  }
}

export function packetOf(bytes: Uint8Array): Packet {
  const { length } = bytes
  return new Packet().load(bytes, 0, length, LINK_ETHERNET, length, 0, 0, 0, 0)
}

/** A source with the packets that it has no room for yet. */
class Feed {
  readonly source: Source
  private readonly hashOf: (packet: Packet) => number
  private readonly outbox: { bytes: Uint8Array; hash: number; timeUs: number }[] = []

  constructor(source: Source, hashOf: (packet: Packet) => number) {
    this.source = source
    this.hashOf = hashOf
    source.onRoom = () => this.offer()
  }

  send(bytes: Uint8Array, timeUs: number, given: number | undefined): void {
    const hash = given ?? this.hashOf(packetOf(bytes))
    this.outbox.push({ bytes, hash, timeUs })
    this.offer()
  }

  private offer(): void {
    const { steerer, member } = this.source
    for (let next = this.outbox[0]; next; next = this.outbox[0]) {
      const { bytes, hash, timeUs } = next
      const { length } = bytes
      const arrival = { bytes, start: 0, end: length, wireLength: length, timeUs, linkType: 1 }
      if (!steerer.offer(arrival, hash)) break
      this.outbox.shift()
    }
    steerer.flush()
    member.wake()
  }

  get isThrough(): boolean {
    return this.outbox.length === 0 && this.source.steerer.outstanding === 0
  }
}

/** A cluster with so many instances, and a source; to be called from within a macrotask (`inMacrotask`). */
export function simCluster(o: ClusterOptions, instances = 1): SimCluster {
  const cluster = new SimCluster(o)
  for (let i = 0; i < instances; i++) cluster.join()
  cluster.until(() => cluster.active.length === instances, 'the first instances join')
  cluster.enterSource()
  return cluster
}

/** What its handlers are in the middle of must not run on, as in a process that is no more. */
function silence(body: Instance): void {
  const { homes, calls, updates } = insideOf(body)
  const never = () => () => new Promise<never>(() => {})
  replace(part(homes, 'turns'), 'turn', never)
  replace(homes, 'run', never)
  replace(calls, 'call', never)
  replace(updates, 'update', never)
}
