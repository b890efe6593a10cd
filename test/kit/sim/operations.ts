import { RehomeError } from '../../../bus/index.ts'
import type { HistoryEvent } from '../history/history.ts'
import type { SimCluster, SimNode } from './cluster.ts'
import { type Logged, type Oracle, Violation } from './oracle.ts'
import type { Entry } from './script.ts'
import { before, WITHIN_MS } from './walk-nf.ts'
import { CALLS_FIRST, walkPacket } from './walk-packet.ts'

interface Multis {
  at(key: number): {
    append(actor: string, by: number, id: number): number | Promise<number>
    post(x: { actor: string; by: number; id: number }): void
    read(): Logged | Promise<Logged>
  }
  lookup(key: number): MaybeLogged
  remove(key: number): boolean | Promise<boolean>
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

/** One operation of a walk: who does what to which actor. */
interface Doing {
  readonly id: number
  readonly process: number
  readonly f: string
  readonly actor: string
}

/** The operations of a walk, as its oracle and its history see them. */
export class Operations {
  /** Told of each operation: its begin, and its end. */
  onHistory: ((event: HistoryEvent) => void) | undefined
  private readonly cluster: SimCluster
  private readonly oracle: Oracle
  private ids = 0
  private losses = 0
  private readonly seqs: number[] = []
  /** What ends where it runs, not where it was called: packets and posts. */
  private readonly running = new Map<number, Doing>()
  private readonly open = new Map<number, Doing>()

  /** How many have begun. */
  get count(): number {
    return this.ids
  }

  constructor(cluster: SimCluster, oracle: Oracle) {
    this.cluster = cluster
    this.oracle = oracle
  }

  run(node: SimNode, e: Entry): void {
    if (e.do.startsWith('singles.')) this.single(node, e)
    else this.multi(node, e)
  }

  // ---- begin and end ----

  /** Its argument is its own number, which is what it logs, if no other is named. */
  private begin(process: number, f: string, actor: string, argument?: number | null): Doing {
    const doing = { id: ++this.ids, process, f, actor }
    this.oracle.begin(doing.id, `${f} ${actor}`)
    this.open.set(doing.id, doing)
    this.tell(doing, 'invoke', argument === undefined ? doing.id : argument)
    return doing
  }

  private tell({ id, process, f, actor }: Doing, type: HistoryEvent['type'], value: unknown): void {
    if (!this.onHistory) return
    const time = Math.round(this.cluster.clock.now() * 1e6)
    this.onHistory({ process, type, f, actor, value, time, op: id })
  }

  private ended(doing: Doing, value: unknown): void {
    if (!this.open.delete(doing.id)) return
    this.oracle.end(doing.id)
    this.tell(doing, 'ok', value ?? null)
  }

  /** Its caller is dead, or was told that nobody knows: it may have run, or may yet. */
  private giveUp(doing: Doing): void {
    if (!this.open.delete(doing.id)) return
    this.oracle.giveUp(doing.id)
    this.tell(doing, 'info', null)
  }

  callerDied(process: number): void {
    for (const doing of this.open.values()) if (doing.process === process) this.giveUp(doing)
  }

  /** A crash may have ended that actor: somebody's operation of which nobody hears whether it came about. */
  mayBeLost(actor: string): void {
    const doing = { id: -++this.losses, process: 0, f: 'lost', actor }
    this.tell(doing, 'invoke', null)
    this.tell(doing, 'info', null)
  }

  /**
   * After a crash: what is still open is no more than what the survivors have counted as lost, and nothing goes on.
   */
  isWrittenOff(): boolean {
    const { cluster } = this
    if (cluster.seen.crashes === 0) return false
    const left = [...this.open.values()]
    const packets = left.filter((doing) => doing.f === 'packet').length
    const bodies = cluster.nodes.flatMap((n) => (n.crashed ? [] : (n.entered?.body ?? [])))
    const posts = left.filter((doing) => doing.f === 'post').length
    // Whoever waits for an answer gets one.
    if (packets + posts < left.length) return false
    const lost = bodies.reduce((n, b) => n + b.member.space.stats.untetherLost, 0)
    // Also of those that have crashed since: their verdicts had gone out.
    const errors = cluster.nodes.reduce(
      (n, { entered }) => n + (entered?.body.intake.stats.errors ?? 0),
      0,
    )
    if (posts > lost || packets > cluster.packetsLost + errors) return false
    return bodies.every((b) => b.member.space.quiet)
  }

  /** An operation has run where its actor is, and is through by that. */
  readonly hasRun = (id: number, value: unknown): void => {
    const doing = this.running.get(id)
    if (!doing) throw new Violation('exactly once', `operation ${id} ran twice`)
    this.running.delete(id)
    this.ended(doing, value)
  }

  /** A call that a packet's handler makes: its packet ends only behind it. */
  readonly calls = (id: number, actor: string): ((value: unknown) => void) => {
    const doing = { id, process: 0, f: 'append', actor }
    this.tell(doing, 'invoke', id)
    return (value) => this.tell(doing, 'ok', value)
  }

  private track<T>(doing: Doing, value: T | Promise<T>, then?: (value: T) => void): void {
    const ended = (v: T) => {
      if (!this.open.has(doing.id)) return // given up
      this.ended(doing, v)
      then?.(v)
    }
    if (value instanceof Promise) {
      value.then(ended).catch((error) => {
        if (this.isLost(error)) this.giveUp(doing)
        else this.cluster.fail(error)
      })
    } else ended(value)
  }

  /** Whether it ran is not known: the instance that was to run it has crashed. */
  private isLost(error: unknown): boolean {
    const { crashes } = this.cluster.seen
    return crashes > 0 && error instanceof RehomeError && error.outcome === 'indefinite'
  }

  // ---- the operations ----

  private single(node: SimNode, { do: act, key, x }: Entry): void {
    const singles = node.entered!.body.member.space.handles.singles as Singles
    const { oracle } = this
    const actor = `singles/${key}`
    const process = node.entered!.no
    const started = this.cluster.clock.now()
    if (act === 'singles.with') {
      const doing = this.begin(process, 'with', actor)
      this.track(doing, singles.with(key, this.turn(doing, x)))
    } else if (act === 'singles.ifPresent') {
      const doing = this.begin(process, 'ifPresent', actor)
      const turn = (s: Logged | undefined) => {
        if (s) oracle.turn(actor, s, doing.id)
        return s && before(s)
      }
      this.track(doing, singles.ifPresent(key, turn))
    } else if (act === 'singles.remove') {
      oracle.removing(actor)
      const doing = this.begin(process, 'remove', actor, null)
      this.track(doing, singles.remove(key), (was) => oracle.removed(actor, was))
    } else if (act === 'singles.lookup') {
      const doing = this.begin(process, 'lookup', actor, null)
      this.track(doing, singles.lookup(key), (s) => oracle.read(actor, s, started))
    } else {
      const doing = this.begin(process, 'stale', actor, null)
      this.track(doing, singles.at(key).size(), (s) =>
        oracle.read(actor, s, started - WITHIN_MS, `${node.id}=${process}`),
      )
    }
  }

  /** A turn that logs itself; it is suspended for so long if it is to be. */
  private turn({ id, actor, process }: Doing, suspendedMs: number): (s: Logged) => unknown {
    return (s) => {
      this.oracle.turn(actor, s, id)
      this.oracle.inOrder(actor, process, id)
      const result = before(s)
      if (suspendedMs === 0) return result
      return new Promise<void>((go) => {
        this.cluster.clock.after(suspendedMs, go)
      }).then(() => {
        this.oracle.stillTurn(actor, s, id)
        return result
      })
    }
  }

  private multi(node: SimNode, { do: act, key, x }: Entry): void {
    const { handles } = node.entered!.body.member.space
    const multis = handles.multis as Multis
    const { oracle } = this
    const actor = `multis/${key}`
    const process = node.entered!.no
    const started = this.cluster.clock.now()
    if (act === 'multis.append') {
      const doing = this.begin(process, 'append', actor)
      this.track(doing, multis.at(key).append(actor, process, doing.id), () => {
        if (!oracle.wasDone(doing.id)) {
          throw new Violation('exactly once', `${doing.id} did not run`)
        }
      })
    } else if (act === 'multis.post') {
      const doing = this.begin(process, 'post', actor)
      this.running.set(doing.id, doing)
      multis.at(key).post({ actor, by: process, id: doing.id })
    } else if (act === 'sums.add') {
      oracle.added(`sums/${key}`, process, x)
      const doing = this.begin(process, 'add', `sums/${key}`, x)
      ;(handles.sums as Sums).at(key).add(x)
      this.ended(doing, null)
    } else if (act === 'multis.remove') {
      oracle.removing(actor)
      const doing = this.begin(process, 'remove', actor, null)
      this.track(doing, multis.remove(key), (was) => oracle.removed(actor, was))
    } else if (act === 'multis.lookup') {
      const doing = this.begin(process, 'lookup', actor, null)
      this.track(doing, multis.lookup(key), (s) => oracle.read(actor, s, started))
    } else {
      const doing = this.begin(process, 'stale', actor, null)
      this.track(doing, multis.at(key).read(), (s) =>
        oracle.read(actor, s, started - WITHIN_MS, `${node.id}=${process}`),
      )
    }
  }

  /** Packets of one flow, one behind the other. A call that its handler makes before has the next number. */
  packets({ key: flow, ways }: Entry): void {
    for (const way of ways) {
      const seq = (this.seqs[flow] ?? 0) + 1
      this.seqs[flow] = seq
      const doing = this.begin(0, 'packet', `flows/${flow}`)
      const { id } = doing
      if (way === CALLS_FIRST) this.ids++
      this.running.set(id, doing)
      const { bytes, hash } = walkPacket({ flow, seq, id, way })
      this.cluster.send(bytes, undefined, flow, hash)
    }
  }

  /** What is found at the end: what it all came to. */
  found(actor: string, value: unknown): void {
    const doing = { id: ++this.ids, process: 0, f: 'collect', actor }
    this.tell(doing, 'invoke', null)
    this.tell(doing, 'ok', value)
  }
}
