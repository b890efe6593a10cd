import { type ClusterOptions, SimCluster, type SimNode } from './cluster.ts'
import { noFaults } from './network.ts'
import { Operations } from './operations.ts'
import { type Logged, Oracle, Violation } from './oracle.ts'
import { type Entry, type Script, scriptFor } from './script.ts'
import type { WalkSettings } from './settings.ts'
import { walking, walkNF } from './walk-nf.ts'
import { Whereabouts } from './whereabouts.ts'

/** What a walk has been through: how many of each message, fault and transition there were. */
export interface WalkReport {
  readonly settings: WalkSettings
  readonly events: number
  readonly virtualMs: number
  readonly messages: Readonly<Record<string, number>>
  readonly faults: Readonly<Record<string, number>>
  readonly transitions: Readonly<Record<string, number>>
}

/** One walk: a cluster of the product's own members under one clock and one seed, and what its script has it do. */
export class Walk {
  readonly oracle: Oracle
  readonly cluster: SimCluster
  readonly operations: Operations
  /** Told of each entry as it is played, and of whom it is about. */
  onEntry: ((entry: Entry, node: SimNode | undefined) => void) | undefined
  private readonly script: Script
  private readonly whereabouts = new Whereabouts()
  private began = 0
  private played = 0

  constructor(
    settings: WalkSettings,
    onMember?: ClusterOptions['onMember'],
    script = scriptFor(settings),
  ) {
    this.script = script
    const seen: ClusterOptions['onMember'] = (body, id) => {
      onMember?.(body, id)
      if (settings.crashes > 0) this.whereabouts.watch(body)
    }
    this.cluster = new SimCluster({ ...settings, nf: () => walkNF, onMember: seen })
    this.oracle = new Oracle(() => this.cluster.clock.now())
    this.operations = new Operations(this.cluster, this.oracle)
    this.whereabouts.onDoomed = (actor) => {
      this.oracle.doom(actor)
      this.operations.mayBeLost(actor)
    }
  }

  /** Runs the walk to its end; throws at the first violation. */
  run(): WalkReport {
    const { clock } = this.cluster
    const pause = (ms: number) =>
      new Promise<void>((go) => {
        clock.after(ms, go)
      })
    const { oracle, operations } = this
    walking({ oracle, pause, hasRun: operations.hasRun, calls: operations.calls })
    try {
      return this.walk()
    } finally {
      walking(undefined)
    }
  }

  private walk(): WalkReport {
    const { cluster } = this
    const { settings, sources, entries } = this.script
    if (settings.model === 'remote-only') cluster.joinStore()
    for (let i = 0; i < settings.startInstances; i++) cluster.join()
    cluster.until(() => cluster.nodes.every((n) => n.entered), 'the first instances join')
    for (const { batch, flips, every } of sources) cluster.enterSource(batch, flips, every)
    this.began = cluster.clock.now()
    cluster.network.faults = noFaults
    this.next()
    cluster.until(() => this.played === entries.length, 'all is begun')
    cluster.heal()
    cluster.until(() => this.isThrough(), 'what was begun ends')
    this.check()
    return this.report()
  }

  private next(): void {
    const entry = this.script.entries[this.played]
    if (!entry) return
    this.cluster.clock.after(this.began + entry.at - this.cluster.clock.now(), () => {
      this.played++
      this.play(entry)
      this.next()
    })
  }

  private play(entry: Entry): void {
    const { cluster } = this
    const node = this.nodeOf(entry.on)
    this.onEntry?.(entry, node)
    if (entry.do === 'join') cluster.join(this.returning())
    else if (entry.do === 'faults') this.faults(entry)
    else if (entry.do === 'packets') this.operations.packets(entry)
    else if (!node) return
    else if (entry.do === 'leave') cluster.leave(node)
    else if (entry.do === 'pause') cluster.pause(node, entry.x)
    else if (entry.do === 'crash') this.crash(entry.on)
    else this.operations.run(node, entry)
  }

  /** The name of one that is gone, for every other join if there is any: maybe the others have not heard of its end yet. */
  private returning(): string | undefined {
    const { nodes } = this.cluster
    const isThere = (id: string) => nodes.some((n) => n.id === id && !n.gone)
    const gone = nodes.filter((n) => n.gone && !isThere(n.id))
    return nodes.length % 2 === 0 ? gone.at(-1)?.id : undefined
  }

  private nodeOf(on: number): SimNode | undefined {
    const { cluster } = this
    const named = cluster.nodes[on]
    if (named && cluster.isActive(named)) return named
    const { active } = cluster
    return active[on % active.length]
  }

  /** Kills an instance, a leaving one too, if another one stays: what it had is gone, and so are its callers. */
  private crash(on: number): void {
    const { cluster, oracle } = this
    const { alive } = cluster
    const node = alive[on % alive.length]
    if (!node?.entered || cluster.active.every((n) => n === node)) return
    const { no } = node.entered
    cluster.crash(node)
    const mayBeLost = this.whereabouts.crash(no)
    oracle.crash(mayBeLost)
    for (const actor of this.whereabouts.actors) {
      if (mayBeLost(actor)) this.operations.mayBeLost(actor)
    }
    this.operations.callerDied(no)
  }

  private faults(entry: Entry): void {
    const { network, clock } = this.cluster
    this.stretch = entry
    network.faults = entry.faults ?? noFaults
    clock.after(entry.x, () => {
      if (this.stretch === entry) network.faults = noFaults
    })
  }
  private stretch: Entry | undefined

  // ---- the end ----

  private isThrough(): boolean {
    if (!this.cluster.settled) return false
    return this.oracle.openCount === 0 || this.operations.isWrittenOff()
  }

  private check(): void {
    const { cluster } = this
    cluster.settle(cluster.source.finish(), 'every effect is in')
    const { handles } = cluster.source.member.space
    const collect = (name: string) =>
      cluster.settle((handles[name] as Collectable).all(), `${name} are collected`)
    const found = new Map<string, Logged>()
    for (const name of ['singles', 'multis', 'flows']) {
      for (const { key, state } of collect(name)) {
        const actor = `${name}/${key}`
        if (found.has(actor)) throw new Violation('one home', `${actor} was collected twice`)
        found.set(actor, state)
        this.operations.found(actor, { life: state.life, log: state.log })
      }
    }
    this.oracle.final(found)
    const sums = new Map(collect('sums').map(({ key, state }) => [`sums/${key}`, state.n]))
    for (const { actor, least, most } of this.oracle.sumsExpected(this.keepsUpdates)) {
      const is = sums.get(actor)
      this.operations.found(actor, is ?? null)
      if ((is ?? 0) < least || (is ?? 0) > most) {
        throw new Violation('nothing lost', `${actor} is ${is}, not ${least} to ${most}`)
      }
    }
    // The last view may just have come.
    const crashed = new Set(cluster.nodes.flatMap((n) => (n.crashed ? [n.entered!.no] : [])))
    const rest = () => cluster.active.every((n) => isAtRest(n, crashed))
    cluster.until(rest, 'every slot settles, and all is quiet')
  }

  /** Whether that instance is alive, or has left, and has counted none of its updates as lost. */
  private readonly keepsUpdates = (no: number): boolean => {
    const node = this.cluster.nodes.find(({ entered }) => entered?.no === no)
    return node?.crashed === false && node.entered?.body.member.space.stats.untetherLost === 0
  }

  private report(): WalkReport {
    const { cluster } = this
    const bodies = cluster.nodes.flatMap((n) => n.entered?.body ?? [])
    const sum = (of: (body: (typeof bodies)[number]) => number) =>
      bodies.reduce((n, body) => n + of(body), 0)
    return {
      settings: this.script.settings,
      events: cluster.events,
      virtualMs: cluster.clock.now(),
      messages: cluster.messages(),
      faults: { ...cluster.network.seen, ...cluster.seen },
      transitions: {
        calls: this.operations.count,
        turns: this.oracle.turns,
        reads: this.oracle.reads,
        views: bodies.reduce((most, b) => Math.max(most, b.member.view?.epoch ?? 0), 0),
        handoffs: sum((b) => b.member.space.handoffs),
        rehomes: sum((b) => b.member.space.stats.rehomedIn),
        rejected: sum((b) => b.member.space.stats.rejected),
        'stale from cache': sum((b) => b.member.space.stats.staleHits),
        merged: sum((b) => b.member.space.stats.untetherMerged),
        flips: cluster.source.steerer.flips,
        suspended: sum((b) => b.intake.stats.suspendedMax),
        resent: sum((b) => b.member.links.stats.resent),
      },
    }
  }
}

function isAtRest(node: SimNode, crashed: ReadonlySet<number>): boolean {
  const space = node.entered?.body.member.space
  const members = node.entered?.body.member.view?.members ?? []
  if (members.some((m) => crashed.has(m.no))) return false
  return space?.quiet === true && !space.inHandoff
}

interface Collectable {
  all(): Promise<{ key: unknown; state: Logged & { n: number } }[]>
}
