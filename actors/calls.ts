import { ByteReader, ByteWriter, type MemberNo, RehomeError } from '../bus/index.ts'
import { HELD } from '../placement/index.ts'
import { Answers, CallWriter, putAnswer, readId, SAME, THROWN, textOf } from './call-wire.ts'
import { type Core, Kind } from './core.ts'
import type { Homes } from './homes.ts'
import { ENTRY } from './layout.ts'
import type { RuntimeMethod, RuntimeType } from './runtime-type.ts'
import type { Row } from './table.ts'
import { argsBytes, readArgs, readValue, writeArgs } from './values.ts'

/** Names on the wire of what every multi-writer type has besides its methods. */
const REMOVE = 0xff
const CREATE = 0xfe

/** Calls under way that there is room for at first; a power of two. */
const PENDING_FIRST = 64

/** A plain call as its caller holds it. */
export class Call {
  declare readonly type: RuntimeType
  declare resolve: (value: unknown) => void
  declare reject: (error: unknown) => void
  declare to: MemberNo
  /** The tick that first found it waiting (ms; 0: none yet): a look at the clock costs as much as half a call. */
  declare since: number
  /** The caller has its answer (an error, too late); what may still come is dropped. */
  declare over: boolean
  /** Told when the answer is there: updates wait behind this call. */
  declare answered: (() => void) | undefined

  // Fields that are only declared: others are set by a function of their own, one more call.
  constructor(type: RuntimeType) {
    this.type = type
    this.resolve = nobody
    this.reject = nobody
    this.to = 0
    this.since = 0
    this.over = false
    this.answered = undefined
  }

  /** Its promise, to be made once. */
  promise(): Promise<unknown> {
    promising = this
    return new Promise(takeEnds)
  }
}

function nobody(): void {}

/** Whose promise is being made: one closure for all calls instead of one each. */
let promising: Call
function takeEnds(resolve: (value: unknown) => void, reject: (error: unknown) => void): void {
  promising.resolve = resolve
  promising.reject = reject
}

/** A call that has to wait before it is sent, with what is sent then. */
export interface Unsent {
  readonly call: Call
  readonly hash: number
  /** A copy: its type's buffer is for the next call by then. */
  readonly words: Uint32Array
  readonly method: number
  readonly args: readonly unknown[]
}

/**
 * Plain calls to multi-writer actors: run at the slot owner, which is their home, exactly once. One that
 * meets somebody else is rejected, never forwarded, and sent again by its caller (rule 11).
 */
export class Calls {
  /** A call that is not of an actor that lies still here: type, hash, key words, caller, number, method, arguments. */
  judge: (r: ByteReader) => void = () => {}
  /** What was deferred must be judged again: its actor has ended meanwhile. */
  judgeAgain: (kind: number, payload: Uint8Array) => void = () => {}
  /** Puts a call of the actor in `type.words` behind the caller's own updates of it, if there are any. */
  goesBehind: (call: Call, hash: number, method: number, args: readonly unknown[]) => boolean =
    () => false

  private readonly core: Core
  private readonly homes: Homes
  private readonly writer: CallWriter
  private readonly answers: Answers
  /** By number; at most half full, so that a free one is found at once. */
  private pending: (Call | undefined)[] = new Array(PENDING_FIRST).fill(undefined)
  private underway = 0
  private lastId = 0
  /** Calls that found no credit, in order. */
  private stalled: Unsent[] = []

  constructor(core: Core, homes: Homes) {
    this.core = core
    this.homes = homes
    this.writer = new CallWriter(core)
    this.answers = new Answers(core)
  }

  // ---- the caller's side ----

  /** The result at once if the actor is here, else a promise of it. */
  call(type: RuntimeType, key: unknown, method: RuntimeMethod, args: readonly unknown[]): unknown {
    const hash = this.core.address(type, key) | 0
    const row = this.homes.rowHere(type, hash)
    if (row >= 0) return this.run(type, row, method, args)
    return this.send(type, hash, method.index, args)
  }
  create(type: RuntimeType, key: unknown): Promise<unknown> {
    return this.send(type, this.core.address(type, key), CREATE, [])
  }
  remove(type: RuntimeType, key: unknown): Promise<unknown> {
    return this.send(type, this.core.address(type, key), REMOVE, [])
  }

  private send(
    type: RuntimeType,
    hash: number,
    method: number,
    args: readonly unknown[],
  ): Promise<unknown> {
    const call = new Call(type)
    const promise = call.promise()
    const { words } = type
    if (this.goesBehind(call, hash, method, args)) return promise
    if (!this.transmit(call, hash, words, method, args)) {
      this.stalled.push({ call, hash, words: words.slice(), method, args })
    }
    return promise
  }

  /** Sends a call that has waited, or keeps it until there is credit. */
  post(unsent: Unsent): void {
    const { call, hash, words, method, args } = unsent
    if (!this.transmit(call, hash, words, method, args)) this.stalled.push(unsent)
  }

  /** False: there is no credit, or others wait for it already. */
  private transmit(
    call: Call,
    hash: number,
    words: Uint32Array,
    method: number,
    args: readonly unknown[],
  ): boolean {
    const { core } = this
    const to = core.owner(hash)
    call.to = to
    if (this.stalled.length > 0) return false
    const id = this.freeId()
    const { type } = call
    if (!this.writer.follow(to, id, type, hash, words, method, args)) {
      const w = this.writer.begin(to, id, type, hash, words, method)
      if (w === undefined) return false
      writeArgs(w, args)
      this.writer.end(to)
    }
    this.lastId = id
    this.pending[id] = call
    this.underway++
    if (to !== core.self) core.stats.plainOut++
    return true
  }

  /** Numbers follow one another: the wire has a short way to say so. */
  private freeId(): number {
    const { pending } = this
    const id = (this.lastId + 1) & (pending.length - 1)
    return pending[id] === undefined && this.underway * 2 < pending.length ? id : this.nextFreeId()
  }

  private nextFreeId(): number {
    if (this.underway * 2 >= this.pending.length) this.makeRoom()
    const { pending } = this
    const mask = pending.length - 1
    let id = this.lastId
    do id = (id + 1) & mask
    while (pending[id] !== undefined)
    return id
  }

  private makeRoom(): void {
    const { pending } = this
    this.pending = [...pending, ...new Array<undefined>(pending.length).fill(undefined)]
  }

  /** Credit is back. */
  resume(): void {
    const stalled = this.stalled
    this.stalled = []
    for (const unsent of stalled) this.post(unsent)
  }
  get stalledCount(): number {
    return this.stalled.length
  }

  /** One or more answers. */
  onReply(r: ByteReader): void {
    let id = 0
    while (r.pos < r.end) {
      const flags = r.u8()
      id = readId(r, flags, id)
      const value = readValue(r)
      const call = this.pending[id]
      if (!call) throw new RehomeError('bad-frame', 'a reply to no call', { id })
      this.end(id)
      if (!call.over) settle(call, flags, value)
      if (call.answered !== undefined) call.answered()
    }
  }

  private end(id: number): void {
    this.pending[id] = undefined
    this.underway--
  }

  /** REJECT: nothing ran; the view that the rejecting frame spoke of is ours by now, so the next try mends it. */
  onReject(r: ByteReader): void {
    const { core } = this
    const type = core.type(r)
    const hash = r.u32()
    type.readWords(r)
    r.u32()
    const id = r.u32()
    const call = this.pending[id]
    if (!call) throw new RehomeError('bad-frame', 'a rejection of no call')
    core.stats.rejected++
    this.end(id)
    const words = type.words.slice()
    this.post({ call, hash, words, method: r.u8(), args: readArgs(r) })
  }

  // ---- the slot owner's side ----

  /** One or more calls; those of actors that lie still here, as most do, run one behind the other. */
  onCalls(from: MemberNo, r: ByteReader): void {
    let failure: unknown
    let type: RuntimeType | undefined
    let hash = 0
    let row: Row = -1
    let id = 0
    try {
      while (r.pos < r.end) {
        const head = r.u16()
        const flags = head & 0xff
        const method = head >>> 8
        id = readId(r, flags, id)
        if ((flags & SAME) === 0) {
          type = this.core.type(r)
          hash = r.u32()
          type.readWords(r)
          row = this.stillRow(type, hash)
        } else if (row >= 0) type!.table.aim(type!.cursor, row)
        if (type === undefined) throw new RehomeError('bad-frame', 'a call of no actor')
        if (row >= 0 && method < type.methods.length) {
          if (this.answers.isFull) this.answers.send(from)
          this.runStill(type, type.methods[method]!, id, r)
          continue
        }
        const args = r.raw(argsBytes(r))
        this.answers.send(from)
        try {
          this.judgeOne(type, hash, row, from, id, method, args)
        } catch (error) {
          failure ??= error // what one of them throws is no matter of the others
        }
        row = this.stillRow(type, hash)
      }
    } finally {
      this.answers.send(from)
    }
    if (failure !== undefined) throw failure
  }

  /** Aims at the actor in `type.words` if it may be called here and now without more ado; -1: not. */
  private stillRow(type: RuntimeType, hash: number): Row {
    const { slots } = this.core
    if (slots.state[this.core.slot(hash)] !== HELD) return -1
    return type.table.aimAtStill(type.cursor, hash, type.words)
  }

  private runStill(type: RuntimeType, method: RuntimeMethod, id: number, r: ByteReader): void {
    const args = readArgs(r)
    let result: unknown
    let flags = 0
    try {
      result = this.runAimed(type, method, args)
    } catch (error) {
      flags = THROWN
      result = textOf(error)
    }
    this.answers.add(id, flags, result)
  }

  /** The key is in `type.words`, before and after. */
  private judgeOne(
    type: RuntimeType,
    hash: number,
    row: Row,
    by: MemberNo,
    id: number,
    method: number,
    args: Uint8Array,
  ): void {
    if (row >= 0) type.table.keyOf(row, type.words)
    const w = new ByteWriter(64 + args.length)
    type.writeKey(w, hash, type.words)
    w.u32(by)
    w.u32(id)
    w.u8(method)
    w.raw(args)
    const whole = new ByteReader(w.written())
    try {
      this.judge(whole)
    } finally {
      whole.pos = 5
      type.readWords(whole)
    }
  }

  /** The key is in `type.words`. */
  serve(type: RuntimeType, hash: number, r: ByteReader, start: number): void {
    const by = r.u32()
    const id = r.u32()
    const method = r.u8()
    const args = readArgs(r)
    if (method >= CREATE && !this.exists(type, hash)) {
      if (method === CREATE) this.homes.ownRow(type, hash)
      return this.reply(by, id, 0, method === CREATE)
    }
    const row = this.homes.ownRow(type, hash)
    if (row >= 0) return this.answer(type, row, by, id, method, args)
    const copy = r.bytes.slice(start, r.end)
    this.homes.whenOwn(type, hash, (come) => {
      if (come < 0) this.judgeAgain(Kind.CALL, copy)
      else this.answer(type, come, by, id, method, args)
    })
  }

  private exists(type: RuntimeType, hash: number): boolean {
    const row = type.table.find(hash, type.words)
    return row >= 0 && type.table.aside(row, ENTRY) !== 0
  }

  private answer(
    type: RuntimeType,
    row: Row,
    by: MemberNo,
    id: number,
    method: number,
    args: readonly unknown[],
  ): void {
    if (method === REMOVE && this.homes.isUnmade(type, row)) return this.reply(by, id, 0, false)
    const made = this.homes.nowMade(type, row)
    if (method === CREATE) return this.reply(by, id, 0, made)
    if (method === REMOVE) {
      this.homes.removeActivation(type, row)
      return this.reply(by, id, 0, true)
    }
    type.table.aim(type.cursor, row)
    this.runFor(type, by, id, method, args)
  }

  /** Runs a call over the actor that the cursor is aimed at, and tells the caller. */
  private runFor(
    type: RuntimeType,
    by: MemberNo,
    id: number,
    method: number,
    args: readonly unknown[],
  ): void {
    let result: unknown
    try {
      result = this.runAimed(type, type.method(method), args)
    } catch (error) {
      return this.reply(by, id, THROWN, textOf(error))
    }
    this.reply(by, id, 0, result)
  }

  /** A method over the activation: it is synchronous and calls no actors (rule 20). */
  run(type: RuntimeType, row: Row, method: RuntimeMethod, args: readonly unknown[]): unknown {
    type.table.aim(type.cursor, row)
    return this.runAimed(type, method, args)
  }

  private runAimed(type: RuntimeType, method: RuntimeMethod, args: readonly unknown[]): unknown {
    const { core } = this
    const { cursor } = type
    const outer = core.inTurn
    core.inTurn = true
    try {
      if (args.length === 1) return method.run(cursor, args[0])
      if (args.length === 0) return method.run(cursor)
      return method.run(cursor, ...args)
    } finally {
      core.inTurn = outer
    }
  }

  private reply(to: MemberNo, id: number, flags: number, value: unknown): void {
    putAnswer(this.core.out.beginPart(to, Kind.REPLY), id, flags, value)
    this.core.out.end()
  }

  // ---- time and loss ----

  timeOut(before: number, now: number): void {
    for (const call of this.pending) {
      if (!call || call.over) continue
      if (call.since === 0) call.since = Math.ceil(now)
      else if (call.since <= before) this.giveUp(call, 'timeout', 'no answer in time')
    }
  }

  /** The member that should answer is gone for good: whether the call ran is not known. */
  memberGone(no: MemberNo): void {
    this.pending.forEach((call, id) => {
      if (call?.to !== no) return
      if (!call.over) this.giveUp(call, 'peer-gone', 'the instance that ran the call is gone')
      this.end(id)
      call.answered?.()
    })
  }

  private giveUp(call: Call, code: 'timeout' | 'peer-gone', why: string): void {
    call.over = true
    call.reject(new RehomeError(code, why, { type: call.type.name, to: call.to }, 'indefinite'))
  }

  get idle(): boolean {
    return this.stalled.length === 0 && this.underway === 0
  }
}

function settle(call: Call, flags: number, value: unknown): void {
  if ((flags & THROWN) === 0) call.resolve(value)
  else call.reject(new RehomeError('handler', String(value), { type: call.type.name }))
}
