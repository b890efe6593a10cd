import type { ByteReader, ByteWriter, MemberNo } from '../bus/index.ts'
import { RehomeError } from '../bus/index.ts'
import type { Unsent } from './calls.ts'
import type { Definition, Expiry, Methods, Writers } from './define.ts'
import type { Fields } from './fields.ts'
import type { KeyType } from './keys.ts'
import { AFFAIR, type Cursor, layoutOf } from './layout.ts'
import { ActorTable, type Row } from './table.ts'
import { Waiters } from './waiters.ts'

export type AnyState = Record<string, unknown>

/** A method with its place in the type's order, which is its name on the wire. */
export interface RuntimeMethod {
  readonly index: number
  readonly name: string
  readonly access: 'plain' | 'untether' | 'stale'
  readonly run: (state: AnyState, ...args: unknown[]) => unknown
  readonly merge: ((a: unknown, b: unknown) => unknown) | undefined
  readonly withinMs: number
}

/**
 * The packet time (µs) by which a turn judges whether its actor's time is over: that of the packet that it is for, whatever the
 * instance has handled since.
 */
export interface PacketTime {
  readonly us: number
}

/** An order from the slot owner: send what is here to `to`, as move `number`. */
export interface Transfer {
  readonly to: MemberNo
  readonly number: number
  readonly request: number
}

/** An order that came before the activation it is about (rule 5). */
export interface Held extends Transfer {
  readonly from: number
}

/** One untethered update, or several of one method merged. */
export interface Update {
  readonly method: RuntimeMethod
  x: unknown
  /** How many the caller made. */
  count: number
}

/** A caller's updates for one actor that is elsewhere, in order, and the calls behind them. */
export interface Outbox {
  /** Whose it is. */
  type: RuntimeType
  row: Row
  /** Plain calls stand among the updates that they must not overtake. */
  readonly entries: (Update | Unsent)[]
  /** Messages under way: one batch, or calls that went before later updates (rule 12). */
  underway: number
  /** What the answer to the batch under way will name. */
  id: number
  /** Updates of the batch under way, 0 if there is none, and who is to answer. */
  unanswered: number
  to: MemberNo
  dirty: boolean
  /** As many updates as may wait for one actor. */
  full: boolean
}

/** What goes on with one actor here, beyond lying still. Most actors have none. */
export interface Affair {
  /** -1: settled, and kept to be used again. */
  row: Row
  /** Turns of the activation here, behind one that is suspended. */
  readonly queue: Waiters
  /** Turns for which the actor must come first. */
  readonly waiting: Waiters
  /**
   * Calls and batches accepted as its slot owner that wait for its state, and reads. They get the record, or
   * -1 if the actor is not here any more.
   */
  deferred: ((row: Row) => void)[]
  /** Number of the ACQUIRE that is out, and when it was sent, also by the crashes known; 0: none. */
  acquire: number
  askedAt: number
  askedCrash: number
  /** A turn is suspended; the activation stays until it ends (rule 21). */
  busy: boolean
  /** Granted, or come without a state: no turn or call has made the actor yet. */
  unmade: boolean
  transfer: Transfer | undefined
  held: Held[] | undefined
  outbox: Outbox | undefined
  /** Moves to this instance that nothing here asked for (as slot owner: in the drain, from a leaver). */
  due: number
  /** The activation that was offered by RELEASE. */
  released: number
  /** Of a store: who has the state for a turn; 0: nobody. */
  lentTo: MemberNo
}

/** Some 300 bytes each. */
const AFFAIRS_KEPT_MAX = 16_384

/** One actor type of the running NF: its table, methods and bytes. */
export class RuntimeType {
  readonly id: number
  readonly name: string
  readonly definition: Definition
  readonly writers: Writers
  readonly key: KeyType<unknown>
  /** A field of one class: the keys' own are of as many shapes as there are kinds of keys. */
  readonly keyWords: number
  readonly table: ActorTable
  readonly methods: readonly RuntimeMethod[]
  readonly hasStale: boolean
  readonly expiry: Expiry<AnyState> | undefined
  /** The key that is being looked up: written by `key.write`, read by the table. */
  readonly words: Uint32Array
  /** Aimed at the actor whose turn it is. Replaced when a turn keeps it beyond its return. */
  cursor: Cursor & AnyState
  readonly schema: string
  /** The open outbox of the last update that went into one, and its actor's key: the next is often of the same. */
  recent: Outbox | undefined
  recentKey: unknown
  /** One record outside the table, for reading states that only pass through. */
  private readonly passing: ActorTable
  /** By number; 0 is nobody's. Never empty: to the engine an empty list is another kind of list. */
  private readonly affairs: (Affair | undefined)[] = [undefined]
  /** Settled ones that are kept: a burst of moves would make garbage of one at each end of each move. */
  private settledAffairs = 0
  private readonly freeAffairs: number[] = []

  constructor(
    id: number,
    name: string,
    definition: Definition,
    options: { slotBits: number; pageBits: number },
  ) {
    this.id = id
    this.name = name
    this.definition = definition
    const { type, key } = definition
    this.writers = type.writers
    this.key = key
    this.keyWords = key.words
    this.words = new Uint32Array(Math.max(1, key.words))
    const layout = layoutOf(type.fields as Fields, key.words)
    this.table = new ActorTable(layout, options)
    this.passing = new ActorTable(layout, { slotBits: 1, pageBits: 0 })
    this.passing.insert(0, this.words)
    this.cursor = this.newCursor()
    this.methods = methodsOf(type.methods)
    this.hasStale = this.methods.some((m) => m.access === 'stale')
    this.expiry = type.expiry
    const methods = this.methods.map((m) => `${m.access} ${m.name}`).join(',')
    this.schema = `${name} ${this.writers} ${key.name}/${key.words} {${layout.schema}} ${methods}`
  }

  newCursor(): Cursor & AnyState {
    return this.table.layout.newCursor() as Cursor & AnyState
  }

  /** A copy of the state of an activation here. */
  snapshot(row: Row): AnyState {
    this.table.aim(this.cursor, row)
    return structuredClone(this.cursor.copy())
  }
  /** Reads a state as `ActorTable.encode` wrote it. */
  readSnapshot(r: ByteReader): AnyState {
    this.passing.decode(0, r)
    const cursor = this.newCursor()
    this.passing.aim(cursor, 0)
    return cursor.copy()
  }
  /** The state of an actor that nobody has touched, for reads of absent ones. */
  fresh(): Cursor & AnyState {
    this.passing.reset(0)
    const cursor = this.newCursor()
    this.passing.aim(cursor, 0)
    return cursor
  }

  affairOf(row: Row): Affair | undefined {
    const at = this.table.get(row, AFFAIR)
    return at === 0 ? undefined : this.affairs[at]
  }

  needAffair(row: Row): Affair {
    const found = this.affairOf(row)
    if (found) return found
    const at = this.freeAffairs.pop() ?? this.affairs.length
    this.table.set(row, AFFAIR, at)
    const settled = this.affairs[at]
    if (settled) {
      this.settledAffairs--
      settled.row = row
      return settled
    }
    const affair: Affair = {
      row,
      queue: new Waiters(),
      waiting: new Waiters(),
      deferred: [],
      acquire: 0,
      askedCrash: 0,
      askedAt: 0,
      busy: false,
      unmade: false,
      transfer: undefined,
      held: undefined,
      outbox: undefined,
      due: 0,
      released: 0,
      lentTo: 0,
    }
    this.affairs[at] = affair
    return affair
  }

  /** Drops the affair if nothing goes on any more. */
  settleAffair(row: Row): void {
    const at = this.table.get(row, AFFAIR)
    if (at === 0) return
    const a = this.affairs[at]!
    const open =
      a.acquire ||
      a.busy ||
      a.transfer ||
      a.held ||
      a.outbox ||
      a.due ||
      a.released ||
      a.unmade ||
      !a.queue.isEmpty ||
      !a.waiting.isEmpty ||
      a.deferred.length
    if (open) return
    a.row = -1 // all else in it is as it was when it was made
    if (this.settledAffairs < AFFAIRS_KEPT_MAX) this.settledAffairs++
    else this.affairs[at] = undefined
    this.freeAffairs.push(at)
    this.table.set(row, AFFAIR, 0)
  }

  /** Every affair that is open, with its record: few at any time, and no part of the packet path. */
  *openAffairs(): Iterable<[Row, Affair]> {
    for (const affair of this.affairs) {
      if (affair && affair.row >= 0) yield [affair.row, affair]
    }
  }
  get affairCount(): number {
    return this.affairs.length - 1 - this.freeAffairs.length
  }

  method(index: number): RuntimeMethod {
    const method = this.methods[index]
    if (!method) throw new RehomeError('bad-frame', `${this.name} has no method ${index}`)
    return method
  }

  writeKey(w: ByteWriter, hash: number, words: Uint32Array): void {
    const count = this.keyWords
    w.ensure(5 + 4 * count)
    const { view } = w
    let at = w.pos
    view.setUint8(at, this.id)
    view.setUint32(at + 1, hash, true)
    at += 5
    for (let i = 0; i < count; i++, at += 4) view.setUint32(at, words[i]!, true)
    w.pos = at
  }
  /** Reads the words behind the hash into `words`. */
  readWords(r: ByteReader): void {
    const count = this.keyWords
    let at = r.skip(4 * count)
    for (let i = 0; i < count; i++, at += 4) this.words[i] = r.view.getUint32(at, true)
  }
  /** The key's text, for logs and errors. */
  keyText(words: Uint32Array): string {
    return this.key.text(this.key.read(words, 0))
  }
}

/** By definition: instances in one process share them. */
const knownMethods = new WeakMap<Methods<AnyState>, readonly RuntimeMethod[]>()

function methodsOf(methods: Methods<AnyState>): readonly RuntimeMethod[] {
  const known = knownMethods.get(methods) ?? runtimeMethods(methods)
  knownMethods.set(methods, known)
  return known
}

function runtimeMethods(methods: Methods<AnyState>): RuntimeMethod[] {
  return Object.entries(methods).map(([name, m], index) => {
    if (typeof m === 'function') {
      return { index, name, access: 'plain', run: m, merge: undefined, withinMs: 0 }
    }
    const merge = m.access === 'untether' ? m.merge : undefined
    const withinMs = m.access === 'stale' ? m.withinMs : 0
    return { index, name, access: m.access, run: m.run, merge, withinMs }
  })
}
