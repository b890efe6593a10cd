import { LRUCache } from 'lru-cache'
import { type ByteReader, Kind, type MemberNo, RehomeError } from '../bus/index.ts'
import type { Core } from './core.ts'
import type { Homes } from './homes.ts'
import { ACTIVATION, ENTRY, HASH, HOME } from './layout.ts'
import type { AnyState, RuntimeMethod, RuntimeType } from './runtime-type.ts'
import type { Row } from './table.ts'
import { readArgs, readValue, writeArgs, writeValue } from './values.ts'

/** What a READ asks for: a method's index, or one of these. */
const LOOKUP = 0xff
export const COLLECT = 0xfe

/** What a VALUE holds. */
export const ABSENT = 0
const RESULT = 1
const THROWN = 2
export const STATE = 3

interface Cached {
  readonly words: Uint32Array
  readonly value: unknown
  /** When its READ was sent, on this instance's clock: its age counts from here (rule 22). */
  readonly sentAt: number
  /** Its READ's place among this instance's reads and departures: times may be equal. */
  readonly order: number
}
interface Asker {
  readonly resolve: (value: unknown) => void
  readonly reject: (error: unknown) => void
  readonly since: number
}
/** A READ under way, or waiting for credit; shared by all who may take its answer. */
interface Asked {
  /** What is asked for: the cache's key, and the actor's words, since hashes may be equal. */
  readonly what: string

  readonly type: RuntimeType
  readonly hash: number
  readonly words: Uint32Array
  readonly method: RuntimeMethod | undefined
  readonly args: readonly unknown[]
  readonly cacheKey: number | string
  /** While it waits for credit: never yet, so that whoever comes meanwhile may take its answer. */
  sentAt: number
  order: number
  askers: Asker[]
  /** Those who came too late to take the answer that is under way: the next one is theirs. */
  late: Asker[]
}

/**
 * Reads: `stale` ones from a cache, `lookup` from wherever the home is. Neither creates or moves an actor.
 *
 * A value's age counts from when its READ was sent, so it is never older than it says. A reader never sees
 * values go back: one READ an actor and method is under way at a time, one that waits for credit included (whoever cannot
 * take its answer, because it was sent too long ago, shares the next one), and what was asked for before the actor was last
 * here is not used.
 *
 * READ goes to the slot owner, which passes it on to the home (READ-HOME); the home answers the reader straight. A
 * READ-HOME that misses goes back to the slot owner, never along former homes (rule 8).
 */
export class Reads {
  /** A read that must find its way anew. */
  judgeAgain: (kind: number, payload: Uint8Array) => void = () => {}

  private readonly core: Core
  private readonly homes: Homes
  private readonly cache: LRUCache<number | string, Cached>
  /** When an actor was last to be read here without a message: what was asked for before that may be older. */
  private readonly departures: LRUCache<number, number>
  /** Each once, from when it is asked for until it has its answer. */
  private readonly underway = new Map<string, Asked>()
  /** Those that have been sent, by the number of their request. */
  private readonly sent = new Map<number, Asked>()
  private stalled: Asked[] = []
  private order = 0

  constructor(core: Core, homes: Homes) {
    this.core = core
    this.homes = homes
    // Without stale methods there is nothing to keep; the library makes room for all at once.
    const max = core.types.some((type) => type.hasStale) ? core.limits.staleValuesMax : 1
    this.cache = new LRUCache({ max })
    this.departures = new LRUCache({ max })
    homes.onGone = (type, row) => {
      if (type.hasStale) this.departed(type, type.table.aside(row, HASH))
    }
  }

  // ---- the reader's side ----

  /** A stale read: at once if the actor is here or a young enough value is. */
  stale(type: RuntimeType, key: unknown, method: RuntimeMethod, args: readonly unknown[]): unknown {
    const { core } = this
    core.stats.stale++
    const hash = core.address(type, key)
    if (core.readsOf !== 0) return this.ask(type, hash, method, args, this.once(), 0)
    const state = this.stateHere(type, hash)
    if (state) return method.run(state, ...args)
    const cacheKey = this.cacheKey(type, hash, method, args)
    const cached = this.cache.get(cacheKey)
    const oldest = core.clock.now() - method.withinMs
    if (
      cached &&
      core.model !== 'remote-only' &&
      cached.sentAt >= oldest &&
      this.isGood(type, hash, cached)
    ) {
      core.stats.staleHits++
      return cached.value
    }
    return this.ask(type, hash, method, args, cacheKey, oldest)
  }

  /** A copy of the state, undefined if there is no such actor. */
  lookup(type: RuntimeType, key: unknown): unknown {
    const hash = this.core.address(type, key)
    const row = type.table.find(hash, type.words)
    if (this.core.readsOf === 0) {
      if (row >= 0 && this.isReadable(type, row)) return type.snapshot(row)
      if (this.homes.isAbsent(type, hash, row)) return undefined
    }
    return this.ask(type, hash, undefined, [], this.once(), 0)
  }

  /** The cache key of what is asked for once and shared with nobody. */
  private once(): string {
    return `once ${this.core.nextRequest()}`
  }

  /** The state to read from here: the activation's, or a fresh one if there is none anywhere. */
  private stateHere(type: RuntimeType, hash: number): AnyState | undefined {
    const row = type.table.find(hash, type.words)
    if (row >= 0 && this.isReadable(type, row)) {
      type.table.aim(type.cursor, row)
      return type.cursor
    }
    if (!this.homes.isAbsent(type, hash, row)) return undefined
    this.departed(type, hash)
    return type.fresh()
  }

  private departed(type: RuntimeType, hash: number): void {
    this.departures.set(type.id * 2 ** 32 + hash, ++this.order)
  }

  /** Whether no newer value of the actor can have been seen here since this one was asked for. */
  private isGood(
    type: RuntimeType,
    hash: number,
    c: { order: number; words: Uint32Array },
  ): boolean {
    if (!sameWords(c.words, type.words)) return false
    // Here, though not to be read now (a turn is suspended): readers here have seen what was before it.
    const row = type.table.find(hash, type.words)
    if (row >= 0 && type.table.get(row, ACTIVATION) !== 0) return false
    const departed = this.departures.get(type.id * 2 ** 32 + hash)
    return departed === undefined || departed < c.order
  }

  /** An activation between two turns. */
  private isReadable(type: RuntimeType, row: Row): boolean {
    if (type.table.get(row, ACTIVATION) === 0) return false
    const affair = type.affairOf(row)
    return !affair || (!affair.busy && !affair.unmade)
  }

  private cacheKey(
    type: RuntimeType,
    hash: number,
    method: RuntimeMethod,
    args: readonly unknown[],
  ): number | string {
    // 8 bits of type, 8 of method and 32 of hash are exact in a double; the words tell collisions apart.
    const plain = (type.id * 256 + method.index) * 2 ** 32 + hash
    return args.length === 0 ? plain : `${plain} ${JSON.stringify(args)}`
  }

  private ask(
    type: RuntimeType,
    hash: number,
    method: RuntimeMethod | undefined,
    args: readonly unknown[],
    cacheKey: number | string,
    oldest: number,
  ): Promise<unknown> {
    const words = type.words.slice()
    const what = `${cacheKey} ${words.join()}`
    return new Promise((resolve, reject) => {
      const asker = { resolve, reject, since: this.core.clock.now() }
      const under = this.underway.get(what)
      if (under) {
        if (under.sentAt >= oldest) under.askers.push(asker)
        else under.late.push(asker)
        return
      }
      const whom = { type, hash, words, method, args }
      const asked: Asked = {
        what,
        ...whom,
        cacheKey,
        sentAt: 0,
        order: 0,
        askers: [asker],
        late: [],
      }
      this.underway.set(what, asked)
      this.send(asked)
    })
  }

  private send(asked: Asked): void {
    const { core } = this
    const to = core.readsOf || core.owner(asked.hash)
    if (core.out.creditLeft(to) <= 0) {
      asked.sentAt = Number.POSITIVE_INFINITY
      this.stalled.push(asked)
      return
    }
    asked.sentAt = core.clock.now()
    asked.order = ++this.order
    const id = core.nextRequest()
    this.sent.set(id, asked)
    const kind = core.readsOf === 0 ? Kind.READ : Kind.READ_HOME
    const w = core.about(to, kind, asked.type, asked.hash, asked.words)
    w.u32(core.self)
    w.u32(id)
    w.u8(asked.method?.index ?? LOOKUP)
    writeArgs(w, asked.args)
    core.out.end()
  }

  /** Credit is back. */
  resume(): void {
    const stalled = this.stalled
    this.stalled = []
    for (const asked of stalled) this.send(asked)
  }

  onValue(r: ByteReader): void {
    const id = r.u32()
    const what = r.u8()
    const asked = this.sent.get(id)
    if (!asked) return // asked again elsewhere when its first home was thought gone
    const told = toldBy(asked, what, r)
    this.sent.delete(id)
    if (asked.method && this.isOutrun(asked)) {
      if (!this.answerHere(asked, asked.method)) this.askAgain(asked)
      return
    }
    this.answer(asked, what, told)
    asked.askers = []
    if (asked.late.length > 0) this.askAgain(asked)
    else this.underway.delete(asked.what)
  }

  /** The next READ of the same is for all who still wait. */
  private askAgain(asked: Asked): void {
    asked.askers.push(...asked.late)
    asked.late = []
    this.send(asked)
  }

  /** The actor has been here meanwhile: readers here may have seen newer values than this one (rule 22). */
  private isOutrun({ type, hash, words, order }: Asked): boolean {
    type.words.set(words)
    return !this.isGood(type, hash, { order, words })
  }

  /**
   * The actor is here: what it is now answers all who wait. What it was when the answer was written does not, not even if
   * it was written here: it may have lain in the queue of our own messages while turns ran and were read.
   */
  private answerHere(asked: Asked, method: RuntimeMethod): boolean {
    const state = this.stateHere(asked.type, asked.hash)
    if (!state) return false
    this.underway.delete(asked.what)
    const askers = [...asked.askers, ...asked.late]
    try {
      const value = method.run(state, ...asked.args)
      for (const asker of askers) asker.resolve(value)
    } catch (error) {
      for (const asker of askers) asker.reject(error)
    }
    return true
  }

  private answer(asked: Asked, what: number, told: unknown): void {
    const { type, method, args, words, sentAt, order, askers } = asked
    try {
      if (what === THROWN) throw new RehomeError('handler', String(told), { type: type.name })
      const value = what === ABSENT ? method?.run(type.fresh(), ...args) : told
      if (method) this.cache.set(asked.cacheKey, { words, value, sentAt, order })
      for (const asker of askers) asker.resolve(value)
    } catch (error) {
      for (const asker of askers) asker.reject(error)
    }
  }

  // ---- the slot owner's and the home's side; the key is in `type.words` ----

  serve(type: RuntimeType, hash: number, r: ByteReader, payload: Uint8Array): void {
    const by = r.u32()
    const id = r.u32()
    const method = r.u8()
    const { table } = type
    const row = table.find(hash, type.words)
    const entry = row < 0 ? 0 : table.aside(row, ENTRY)
    if (entry === 0 || this.homes.isTomb(hash, entry)) return this.sayAbsent(by, id, method)
    if (table.get(row, ACTIVATION) !== 0) {
      return this.read(type, row, by, id, method, r, payload)
    }
    if (table.aside(row, HOME) === this.core.self) return this.defer(type, row, payload)
    const w = this.core.out.begin(table.aside(row, HOME), Kind.READ_HOME)
    w.raw(payload)
    this.core.out.end()
  }

  /** READ-HOME: answered here, kept until the actor has come, or (false) to be judged as a READ again. */
  onReadHome(type: RuntimeType, hash: number, r: ByteReader, payload: Uint8Array): boolean {
    const row = type.table.find(hash, type.words)
    if (row < 0) return false
    if (type.table.get(row, ACTIVATION) !== 0) {
      this.read(type, row, r.u32(), r.u32(), r.u8(), r, payload)
      return true
    }
    const affair = type.affairOf(row)
    if (!affair || (affair.acquire === 0 && affair.due === 0)) return false
    this.defer(type, row, payload)
    return true
  }

  private defer(type: RuntimeType, row: Row, payload: Uint8Array): void {
    const copy = new Uint8Array(payload)
    // Whatever the actor has become by then, the read finds its way from the start.
    type.needAffair(row).deferred.push(() => this.judgeAgain(Kind.READ_HOME, copy))
  }

  private read(
    type: RuntimeType,
    row: Row,
    by: MemberNo,
    id: number,
    method: number,
    r: ByteReader,
    payload: Uint8Array,
  ): void {
    if (!this.isReadable(type, row)) return this.defer(type, row, payload)
    if (method === COLLECT) return sayFound(this.core, type, row, by, id)
    if (method === LOOKUP) {
      const w = this.core.out.begin(by, Kind.VALUE)
      w.u32(id)
      w.u8(STATE)
      type.table.encode(row, w)
      this.core.out.end()
    } else this.sayResult(type, row, by, id, type.method(method), readArgs(r))
  }

  private sayResult(
    type: RuntimeType,
    row: Row,
    by: MemberNo,
    id: number,
    method: RuntimeMethod,
    args: readonly unknown[],
  ): void {
    type.table.aim(type.cursor, row)
    let what = RESULT
    let value: unknown
    try {
      value = method.run(type.cursor, ...args)
    } catch (error) {
      what = THROWN
      value = error instanceof Error ? error.message : String(error)
    }
    const w = this.core.out.begin(by, Kind.VALUE)
    w.u32(id)
    w.u8(what)
    writeValue(w, value)
    this.core.out.end()
  }

  private sayAbsent(by: MemberNo, id: number, method: number): void {
    const w = this.core.out.begin(by, method === COLLECT ? Kind.FOUND : Kind.VALUE)
    w.u32(id)
    w.u8(ABSENT)
    this.core.out.end()
  }

  // ---- time and loss ----

  timeOut(before: number): void {
    for (const asked of this.underway.values()) {
      const tooLong = (asker: Asker) => {
        if (asker.since > before) return false
        asker.reject(new RehomeError('timeout', 'no answer in time', { type: asked.type.name }))
        return true
      }
      asked.askers = asked.askers.filter((asker) => !tooLong(asker))
      asked.late = asked.late.filter((asker) => !tooLong(asker))
    }
  }

  /**
   * A member is gone. Which reads it had, asked by us or passed on to it by their slot owner, is not known; nothing
   * was changed by a read, so all are simply asked again.
   */
  memberGone(): void {
    const sent = [...this.sent.values()]
    this.sent.clear()
    for (const asked of sent) this.askAgain(asked)
  }

  get idle(): boolean {
    return this.underway.size === 0
  }
}

/** FOUND: one actor of a collection, with its key. */
export function sayFound(core: Core, type: RuntimeType, row: Row, by: MemberNo, id: number): void {
  const w = core.out.begin(by, Kind.FOUND)
  w.u32(id)
  w.u8(STATE)
  type.table.keyOf(row, type.words)
  for (let i = 0; i < type.keyWords; i++) w.u32(type.words[i]!)
  type.table.encode(row, w)
  core.out.end()
}

/** What a VALUE carries. */
function toldBy({ type }: Asked, what: number, r: ByteReader): unknown {
  if (what === STATE) return type.readSnapshot(r)
  return what === ABSENT ? undefined : readValue(r)
}

function sameWords(a: Uint32Array, b: Uint32Array): boolean {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false
  return true
}
