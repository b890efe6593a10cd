import type { StateModel } from '../../../actors/index.ts'
import { Random } from '../../../loadgen/index.ts'
import { type ClusterOptions, type Faults, SimCluster, type SimNode } from './cluster.ts'
import { type Logged, Oracle, Violation } from './oracle.ts'
import { WITHIN_MS, walking, walkNF } from './walk-nf.ts'
import { walkPacket } from './walk-packet.ts'

export interface WalkSettings {
  readonly seed: number
  readonly slotBits: number
  readonly startInstances: number
  readonly joins: number
  readonly leaves: number
  readonly ops: number
  /** How long operations go on (virtual ms): views follow each other within some round trips. */
  readonly spanMs: number
  readonly keys: number
  readonly flows: number
  readonly pauses: number
  readonly sources: number
  readonly faults: Faults
  readonly spread: boolean
  /** How many operations on actors are stale reads beyond the usual. */
  readonly reading: number
  readonly frameBytes: number
  readonly creditBytes: number
  readonly model: StateModel
}

/** A mix that is drawn from the seed: few slots and many views, so that races meet. */
export function settingsFor(seed: number): WalkSettings {
  const r = new Random(seed ^ 0x5eed)
  const lossy = r.unit() < 0.7
  return {
    seed,
    slotBits: 1 + Math.floor(r.unit() * 4),
    startInstances: 1 + Math.floor(r.unit() * 4),
    joins: 1 + Math.floor(r.unit() * 5),
    leaves: Math.floor(r.unit() * 5),
    ops: 200 + Math.floor(r.unit() * 200),
    spanMs: r.unit() < 0.8 ? 150 : 600,
    keys: 2 + Math.floor(r.unit() * 4),
    flows: 2 + Math.floor(r.unit() * 5),
    pauses: Math.floor(r.unit() * 3),
    sources: r.unit() < 0.7 ? 1 : 2,
    faults: {
      drop: lossy ? r.unit() * 0.1 : 0,
      double: lossy ? r.unit() * 0.1 : 0,
      late: r.unit() * 0.2,
    },
    spread: r.unit() < 0.5,
    reading: r.unit() < 0.3 ? 0.6 : 0,
    frameBytes: 256 << Math.floor(r.unit() * 4),
    creditBytes: r.unit() < 0.5 ? 1 << 20 : 256 << Math.floor(r.unit() * 4),
    model: modelOf(r.unit()),
  }
}

/** Nearly all walks are of the shared space; some of the models that it is compared with, whose results are the same. */
function modelOf(u: number): StateModel {
  if (u < 0.05) return 'remote-only'
  return u < 0.1 ? 'stop-and-sync' : 'shared'
}

interface Multis {
  at(key: number): {
    append(actor: string, by: number, id: number): number | Promise<number>
    post(x: { actor: string; by: number; id: number }): void
    read(): Logged | Promise<Logged>
  }
  lookup(key: number): MaybeLogged
  remove(key: number): boolean | Promise<boolean>
}

export interface WalkReport {
  readonly settings: WalkSettings
  readonly events: number
  readonly virtualMs: number
  readonly messages: Readonly<Record<string, number>>
  readonly faults: Readonly<Record<string, number>>
  readonly transitions: Readonly<Record<string, number>>
}

/** One line of a history that an external checker can read; `time` is virtual ns, `info` says it may have run. */
export interface HistoryEvent {
  readonly process: number
  readonly type: 'invoke' | 'ok' | 'fail' | 'info'
  readonly f: string
  readonly actor: string
  readonly value: unknown
  readonly time: number
}

/** One random walk: a cluster of the product's own members under one clock and one seed. */
export class Walk {
  readonly settings: WalkSettings
  readonly oracle: Oracle
  readonly cluster: SimCluster
  /** Told of each operation: its begin, and its end. */
  onHistory: ((event: HistoryEvent) => void) | undefined
  private readonly random: Random
  private ids = 0
  private planned = 0
  private readonly seqs: number[] = []

  constructor(settings: WalkSettings, onMember?: ClusterOptions['onMember']) {
    this.settings = settings
    const seen = onMember === undefined ? {} : { onMember }
    this.cluster = new SimCluster({ ...settings, nf: () => walkNF, ...seen })
    this.random = this.cluster.random
    this.oracle = new Oracle(() => this.cluster.clock.now())
  }

  /** Runs the walk to its end; throws at the first violation. */
  run(): WalkReport {
    const pause = (ms: number) =>
      new Promise<void>((go) => {
        this.cluster.clock.after(ms, go)
      })
    walking({ oracle: this.oracle, pause })
    try {
      return this.walk()
    } finally {
      walking(undefined)
    }
  }

  private walk(): WalkReport {
    const { cluster, random } = this
    const { startInstances, joins, leaves, pauses, ops } = this.settings
    if (this.settings.model === 'remote-only') cluster.joinStore()
    for (let i = 0; i < startInstances; i++) cluster.join()
    cluster.until(() => cluster.nodes.every((n) => n.entered), 'the first instances join')
    const upTo = (n: number) => 1 + Math.floor(random.unit() * n)
    for (let i = 0; i < this.settings.sources; i++) {
      cluster.enterSource(upTo(4), upTo(4), random.unit() * 5)
    }
    this.plan(ops, () => this.operate())
    this.plan(joins, () => cluster.join())
    this.plan(leaves, () => cluster.leave())
    this.plan(pauses, () => this.pause())
    cluster.until(() => this.planned === 0, 'all is begun')
    cluster.heal()
    cluster.until(() => this.isThrough(), 'what was begun ends')
    this.check()
    return this.report()
  }

  private plan(count: number, what: () => void): void {
    for (let i = 0; i < count; i++) {
      this.planned++
      this.cluster.clock.after(this.random.unit() * this.settings.spanMs, () => {
        this.planned--
        what()
      })
    }
  }

  private pause(): void {
    const node = this.cluster.pick(this.cluster.active)
    if (node) this.cluster.pause(node, 10 + this.random.unit() * 200)
  }

  // ---- operations ----

  private operate(): void {
    const node = this.cluster.pick(this.cluster.active)
    if (!node) return
    const key = Math.floor(this.random.unit() * this.settings.keys)
    const r = this.random.unit()
    if (r < 0.4) this.sendPackets()
    else if (r < 0.65) this.single(node, key)
    else this.multi(node, key)
  }

  private handles(node: SimNode): { singles: Singles; multis: Multis; sums: Sums } {
    const { singles, multis, sums } = node.entered!.body.member.space.handles
    return { singles: singles as Singles, multis: multis as Multis, sums: sums as Sums }
  }

  private begin(id: number, process: number, f: string, actor: string): void {
    this.oracle.begin(id, `${f} ${actor}`)
    this.onHistory?.({ process, type: 'invoke', f, actor, value: id, time: this.nowNs() })
  }

  private track<T>(
    node: SimNode,
    what: readonly [f: string, actor: string, id: number],
    value: T | Promise<T>,
    then: (value: T) => void,
  ): void {
    const process = node.entered!.no
    const [f, actor, id] = what
    this.begin(id, process, f, actor)
    const ended = (v: T) => {
      this.oracle.end(id)
      this.onHistory?.({ process, type: 'ok', f, actor, value: v ?? null, time: this.nowNs() })
      then(v)
    }
    if (value instanceof Promise) {
      value.then(ended).catch((error) => this.cluster.fail(error))
    } else ended(value)
  }

  private nowNs(): number {
    return Math.round(this.cluster.clock.now() * 1e6)
  }

  /** Which operation: the last of each list is the stale read. */
  private kind(): number {
    return this.random.unit() < this.settings.reading ? 1 : this.random.unit()
  }

  private single(node: SimNode, key: number): void {
    const { singles } = this.handles(node)
    const actor = `singles/${key}`
    const kind = this.kind()
    const id = ++this.ids
    const started = this.cluster.clock.now()
    if (kind < 0.55) {
      const pause = kind < 0.15 ? this.random.unit() * 10 : undefined
      const turn = (s: Logged) => {
        this.oracle.turn(actor, s, id)
        this.oracle.inOrder(actor, node.entered!.no, id)
        if (pause === undefined) return undefined
        return new Promise<void>((go) => {
          this.cluster.clock.after(pause, go)
        }).then(() => this.oracle.stillTurn(actor, s, id))
      }
      this.track(node, ['with', actor, id], singles.with(key, turn), () => {})
    } else if (kind < 0.65) {
      const turn = (s: Logged | undefined) => {
        if (s) this.oracle.turn(actor, s, id)
      }
      this.track(node, ['ifPresent', actor, id], singles.ifPresent(key, turn), () => {})
    } else if (kind < 0.8) {
      this.oracle.removing(actor)
      const remove = singles.remove(key)
      this.track(node, ['remove', actor, id], remove, (was) => this.oracle.removed(actor, was))
    } else if (kind < 0.9) {
      const lookup = singles.lookup(key)
      this.track(node, ['lookup', actor, id], lookup, (s) => this.oracle.read(actor, s, started))
    } else {
      const reader = `${node.id}`
      this.track(node, ['stale', actor, id], singles.at(key).size(), (s) =>
        this.oracle.read(actor, s, started - WITHIN_MS, reader),
      )
    }
  }

  private multi(node: SimNode, key: number): void {
    const { multis, sums } = this.handles(node)
    const actor = `multis/${key}`
    const kind = this.kind()
    const id = ++this.ids
    const started = this.cluster.clock.now()
    if (kind < 0.25) {
      this.track(
        node,
        ['append', actor, id],
        multis.at(key).append(actor, node.entered!.no, id),
        () => {
          if (!this.oracle.wasDone(id)) throw new Violation('exactly once', `${id} did not run`)
        },
      )
    } else if (kind < 0.55) {
      this.begin(id, node.entered!.no, 'post', actor)
      this.posted.push(id)
      multis.at(key).post({ actor, by: node.entered!.no, id })
    } else if (kind < 0.7) {
      const x = 1 + Math.floor(this.random.unit() * 9)
      this.oracle.added(`sums/${key}`, x)
      sums.at(key).add(x)
    } else if (kind < 0.78) {
      this.oracle.removing(actor)
      this.track(node, ['remove', actor, id], multis.remove(key), (was) =>
        this.oracle.removed(actor, was),
      )
    } else if (kind < 0.88) {
      const lookup = multis.lookup(key)
      this.track(node, ['lookup', actor, id], lookup, (s) => this.oracle.read(actor, s, started))
    } else {
      const reader = `${node.id}`
      this.track(node, ['stale', actor, id], multis.at(key).read(), (s) =>
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
      this.begin(id, 0, `packet ${seq}`, `flows/${flow}`)
      const way = Math.floor(this.random.unit() * 4)
      const { bytes, hash } = walkPacket({ flow, seq, id, way })
      this.cluster.send(bytes, undefined, flow, hash)
    }
  }

  // ---- the end ----

  private isThrough(): boolean {
    if (!this.cluster.settled) return false
    for (const id of this.posted.splice(0)) {
      if (this.oracle.wasDone(id)) this.oracle.end(id)
      else this.posted.push(id)
    }
    return this.oracle.openCount === 0
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
        if (found.has(`${name}/${key}`)) {
          throw new Violation('one home', `${name}/${key} was collected twice`)
        }
        found.set(`${name}/${key}`, state)
      }
    }
    this.oracle.final(found)
    const sums = new Map(collect('sums').map(({ key, state }) => [`sums/${key}`, state.n]))
    for (const [actor, n] of this.oracle.sumsExpected()) {
      const is = sums.get(actor)
      if (is !== n) throw new Violation('nothing lost', `${actor} is ${is}, not ${n}`)
    }
    // The last view may just have come.
    cluster.until(() => cluster.active.every(isAtRest), 'every slot settles, and all is quiet')
  }

  private report(): WalkReport {
    const { cluster } = this
    const bodies = cluster.nodes.flatMap((n) => n.entered?.body ?? [])
    const sum = (of: (body: (typeof bodies)[number]) => number) =>
      bodies.reduce((n, body) => n + of(body), 0)
    return {
      settings: this.settings,
      events: cluster.events,
      virtualMs: cluster.clock.now(),
      messages: cluster.messages(),
      faults: cluster.seen,
      transitions: {
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

function isAtRest(node: SimNode): boolean {
  const space = node.entered?.body.member.space
  return space?.quiet === true && !space.inHandoff
}

interface Collectable {
  all(): Promise<{ key: unknown; state: Logged & { n: number } }[]>
}
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
