/** What a walk did to one actor, as one instance would have done it. */
interface Ledger {
  exists: boolean
  life: number
  log: number[]
  /** Every state it has had: `from` is the virtual time it began. In doubt it is beside the one before it. */
  versions: { from: number; life: number; length: number; inDoubt?: true }[]
  /** Removals under way, and lives that were seen to have ended before their removal was answered. */
  removing: number
  endsSeen: number
  /** When a removal was last under way or answered. */
  removedAt: number
  /** A crash may have taken it: its next turn shows whether. */
  mayBeLost: boolean
  lostAt: number
  /** Removals that nobody awaits any more: whether they came about is not known. */
  abandoned: number
  /** Made afresh, perhaps after a loss, while removals were under way: their answers may be of the life before. */
  bornInDoubt: boolean
}

/** What was added to one actor untethered. */
interface Sum {
  /** By caller: whose updates may be lost is known at the end. */
  readonly by: Map<number, number>
  /** A crash may have taken it. */
  mayBeLost: boolean
}

/** An invariant that does not hold, by its name, and what was seen. */
export class Violation extends Error {
  readonly invariant: string
  constructor(invariant: string, what: string) {
    super(`${invariant}: ${what}`)
    this.invariant = invariant
  }
}

/** How the operation that ends an actor is named. */
const REMOVE = 'remove '

/** The state that the walk's actors have: its own log, so that any lost, doubled or outdated state shows. */
export interface Logged {
  life: number
  log: number[]
}

/**
 * The checkers of a walk. They see each turn as it runs, inside the actor's own method, and what each caller was answered;
 * they know nothing of homes, slots or messages.
 */
export class Oracle {
  turns = 0
  reads = 0
  crashes = 0
  private lives = 0
  /** Operations that nobody awaits any more. */
  private readonly dead = new Set<number>()
  /** Turns that were suspended on an instance that crashed. */
  private readonly deadTurns = new Set<number>()
  private readonly ledgers = new Map<string, Ledger>()
  private readonly done = new Set<number>()
  private readonly lastByCaller = new Map<string, number>()
  private readonly lastRead = new Map<string, number>()
  private readonly open = new Map<number, string>()
  private readonly sums = new Map<string, Sum>()
  private readonly now: () => number

  constructor(now: () => number) {
    this.now = now
  }

  private ledger(actor: string): Ledger {
    let l = this.ledgers.get(actor)
    if (!l) {
      const first = { from: Number.NEGATIVE_INFINITY, life: 0, length: 0 }
      const none = {
        removing: 0,
        endsSeen: 0,
        removedAt: Number.NEGATIVE_INFINITY,
        mayBeLost: false,
        lostAt: 0,
        abandoned: 0,
        bornInDoubt: false,
      }
      l = { exists: false, life: 0, log: [], versions: [first], ...none }
      this.ledgers.set(actor, l)
    }
    return l
  }

  private note(l: Ledger): void {
    l.versions.push({ from: this.now(), life: l.life, length: l.log.length })
  }

  /** An operation begins; it must end. */
  begin(id: number, what: string): void {
    this.open.set(id, what)
  }
  end(id: number): void {
    if (this.dead.has(id)) return
    if (!this.open.delete(id)) throw new Violation('exactly once', `operation ${id} ended twice`)
  }
  /** Its caller is dead, or was told that nobody knows: it may have run, or may yet. */
  giveUp(id: number): void {
    const what = this.open.get(id)
    if (what === undefined) return
    this.open.delete(id)
    this.dead.add(id)
    if (what.startsWith(REMOVE)) this.ledger(what.slice(REMOVE.length)).abandoned++
  }

  /** A crash: those actors may be gone with it; a turn that was suspended there never goes on. */
  crash(mayBeLost: (actor: string) => boolean): void {
    this.crashes++
    for (const [actor, sum] of this.sums) if (mayBeLost(actor)) sum.mayBeLost = true
    for (const [actor, l] of this.ledgers) {
      if (!mayBeLost(actor)) continue
      this.doom(actor)
      const last = l.log.at(-1)
      if (last !== undefined) this.deadTurns.add(last)
    }
  }
  /** The actor may be gone from now on. */
  doom(actor: string): void {
    const sum = this.sums.get(actor)
    if (sum) sum.mayBeLost = true
    const l = this.ledger(actor)
    l.mayBeLost = true
    l.lostAt = this.now()
  }

  get openCount(): number {
    return this.open.size
  }
  openOnes(): string {
    return [...this.open].map(([id, what]) => `${what} #${id}`).join(', ')
  }

  /** A turn runs: its actor must be what all turns before have made of it, and it must run once. */
  turn(actor: string, state: Logged, id: number): void {
    this.turns++
    const l = this.ledger(actor)
    if (state.life === 0) this.birth(actor, l, state)
    else if (!l.exists && !l.mayBeLost)
      throw new Violation('one home', `a turn on ${actor}, which has ended`)
    if (state.life !== l.life || !sameLog(state.log, l.log)) {
      const is = `life ${state.life} [${state.log}]`
      throw new Violation('same state', `${actor} is ${is}, not life ${l.life} [${l.log}]`)
    }
    l.mayBeLost = l.abandoned > 0
    if (this.done.has(id)) throw new Violation('exactly once', `${id} ran twice on ${actor}`)
    this.done.add(id)
    state.log.push(id)
    l.log.push(id)
    this.note(l)
  }

  /** A suspended turn goes on: nothing has run on its actor meanwhile, here or elsewhere. */
  stillTurn(actor: string, state: Logged, id: number): void {
    if (this.deadTurns.has(id)) return
    const { log } = this.ledger(actor)
    // What was given away has no log any more.
    if (log.at(-1) !== id || state.log?.at(-1) !== id) {
      throw new Violation('one home', `${actor} had other turns while ${id} was suspended`)
    }
  }

  private birth(actor: string, l: Ledger, state: Logged): void {
    if (l.exists) {
      if (l.removing === 0 && !l.mayBeLost) {
        throw new Violation('one home', `a fresh ${actor} beside one with [${l.log}]`)
      }
      if (l.mayBeLost) {
        const from = Math.max(l.lostAt, l.versions.at(-1)?.from ?? 0)
        l.versions.push({ from, life: 0, length: 0, inDoubt: true })
        l.bornInDoubt = l.removing > 0
      } else l.endsSeen++
    }
    l.exists = true
    l.life = ++this.lives
    l.log = []
    state.life = l.life
  }

  /** Of one caller, updates to one actor run in the order of their making. */
  inOrder(actor: string, caller: number, id: number): void {
    const key = `${actor} ${caller}`
    if ((this.lastByCaller.get(key) ?? 0) > id) {
      throw new Violation('in order', `update ${id} of ${caller} on ${actor} came late`)
    }
    this.lastByCaller.set(key, id)
  }

  /** A plain call runs behind the caller's own updates that were made before it. */
  behindUpdates(actor: string, caller: number, id: number): void {
    const key = `${actor} ${caller}`
    this.lastByCaller.set(key, Math.max(this.lastByCaller.get(key) ?? 0, id))
  }

  removing(actor: string): void {
    const l = this.ledger(actor)
    l.removing++
    l.removedAt = Number.POSITIVE_INFINITY
  }
  removed(actor: string, existed: boolean): void {
    const l = this.ledger(actor)
    l.removing--
    if (l.removing === 0) l.removedAt = this.now()
    const inDoubt = l.abandoned > 0 || l.bornInDoubt
    if (l.removing === 0) l.bornInDoubt = false
    if (!existed) return
    if (inDoubt) {
      // The end that it tells of may be one that was seen, or that a crash brought about.
      l.endsSeen = 0
      l.mayBeLost = true
      l.lostAt = this.now()
    } else if (l.endsSeen > 0) l.endsSeen--
    else {
      l.exists = false
      l.log = []
      l.life = 0
      this.note(l)
    }
  }

  /**
   * A reader was answered with this state: it must be one that the actor had since `oldest`; and a
   * reader (if it is named) never sees older ones than before.
   */
  read(actor: string, seen: Logged | undefined, oldest: number, reader?: string): void {
    this.reads++
    const l = this.ledger(actor)
    const life = seen?.life ?? 0
    const length = seen?.log.length ?? 0
    const key = `${reader} ${actor}`
    const least = reader === undefined ? 0 : (this.lastRead.get(key) ?? 0)
    if (life === 0 && l.mayBeLost) return
    // An end shows in the ledger only when its removal is answered.
    if (life === 0 && l.removedAt >= oldest) return
    let until = Number.POSITIVE_INFINITY
    for (let v = l.versions.length - 1; v >= 0; v--) {
      const version = l.versions[v]!
      if (until < oldest) break
      if (!version.inDoubt) until = version.from
      if (version.life !== life || version.length !== length) continue
      if (v < least) throw new Violation('bounded', `${reader} saw ${actor} go back`)
      if (reader !== undefined) this.lastRead.set(key, v)
      return
    }
    const was = l.versions.slice(-4).map((v) => `${v.life}/${v.length}@${v.from.toFixed(2)}`)
    throw new Violation('bounded', `${actor} read as ${life}/${length}, was ${was} (${oldest})`)
  }

  /** Conservation: what is added untethered must all arrive. */
  added(actor: string, caller: number, x: number): void {
    const sum = this.sums.get(actor) ?? { by: new Map<number, number>(), mayBeLost: false }
    this.sums.set(actor, sum)
    sum.by.set(caller, (sum.by.get(caller) ?? 0) + x)
  }
  /**
   * What each sum must come to: all of it, less what a crash may have taken, with the actor or with one of its callers.
   * `isSure`: the caller is alive, and has counted none of its updates as lost.
   */
  *sumsExpected(
    isSure: (caller: number) => boolean,
  ): Iterable<{ actor: string; least: number; most: number }> {
    for (const [actor, { by, mayBeLost }] of this.sums) {
      let [least, most] = [0, 0]
      for (const [caller, x] of by) {
        most += x
        if (!mayBeLost && isSure(caller)) least += x
      }
      yield { actor, least, most }
    }
  }

  wasDone(id: number): boolean {
    return this.done.has(id)
  }

  /** At the end: the actors that there are, each as its ledger says. */
  final(found: ReadonlyMap<string, Logged>): void {
    for (const [actor, l] of this.ledgers) {
      const state = found.get(actor)
      if (!l.exists) {
        if (state && state.life !== 0 && !l.mayBeLost)
          throw new Violation('converges', `${actor} has ended`)
        continue
      }
      // A removal that was given up may have come about.
      if ((l.mayBeLost || l.removing > 0) && (state?.life ?? 0) === 0) continue
      if (!state) throw new Violation('nothing lost', `${actor} [${l.log}] is gone`)
      if (state.life !== l.life || !sameLog(state.log, l.log)) {
        throw new Violation('same state', `${actor} ends as [${state.log}], not [${l.log}]`)
      }
    }
  }
}

function sameLog(a: readonly number[], b: readonly number[]): boolean {
  if (a.length !== b.length) return false
  for (let i = a.length - 1; i >= 0; i--) if (a[i] !== b[i]) return false
  return true
}
