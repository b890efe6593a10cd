import { type ByteReader, Kind, type MemberNo, RehomeError } from '../bus/index.ts'
import type { Core } from './core.ts'
import type { Homes } from './homes.ts'
import { ENTRY } from './layout.ts'
import type { RuntimeMethod, RuntimeType } from './runtime-type.ts'
import type { Row } from './table.ts'
import { readArgs, readValue, writeArgs, writeValue } from './values.ts'

/** Names on the wire of what every multi-writer type has besides its methods. */
const REMOVE = 0xff
const CREATE = 0xfe

const OK = 0
const THROWN = 1

/** A plain call as its caller holds it. */
export interface Call {
  readonly type: RuntimeType
  readonly resolve: (value: unknown) => void
  readonly reject: (error: unknown) => void
  to: MemberNo
  /** The tick that first found it waiting (ms; 0: none yet): a look at the clock costs as much as half a call. */
  since: number
  /** The caller has its answer (an error, too late); what may still come is dropped. */
  over: boolean
  /** Told when the answer is there: updates wait behind this call. */
  answered: (() => void) | undefined
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
  /** What was deferred must be judged again: its actor has ended meanwhile. */
  judgeAgain: (kind: number, payload: Uint8Array) => void = () => {}
  /** Puts a call of the actor in `type.words` behind the caller's own updates of it, if there are any. */
  goesBehind: (call: Call, hash: number, method: number, args: readonly unknown[]) => boolean =
    () => false

  private readonly core: Core
  private readonly homes: Homes
  private readonly pending: (Call | undefined)[] = []
  private readonly freeIds: number[] = []
  /** Calls that found no credit, in order. */
  private stalled: Unsent[] = []

  constructor(core: Core, homes: Homes) {
    this.core = core
    this.homes = homes
  }

  // ---- the caller's side ----

  /** The result at once if the actor is here, else a promise of it. */
  call(type: RuntimeType, key: unknown, method: RuntimeMethod, args: readonly unknown[]): unknown {
    const hash = this.core.address(type, key)
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
    const promise = new Promise<unknown>(keepEnds)
    const { resolve, reject } = kept
    const call = { type, resolve, reject, to: 0, since: 0, over: false, answered: undefined }
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
    if (this.stalled.length > 0 || core.out.creditLeft(to) <= 0) return false
    const id = this.freeIds.pop() ?? this.pending.length
    this.pending[id] = call
    if (to !== core.self) core.stats.plainOut++
    const w = core.out.beginPart(to, Kind.CALL)
    const start = w.pos
    w.u32(0)
    call.type.writeKey(w, hash, words)
    w.ensure(9)
    const { view, pos } = w
    view.setUint32(pos, core.self, true)
    view.setUint32(pos + 4, id, true)
    view.setUint8(pos + 8, method)
    w.pos += 9
    writeArgs(w, args)
    w.view.setUint32(start, w.pos - start - 4, true)
    core.out.end()
    return true
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
    while (r.left > 0) {
      const at = r.skip(5)
      const id = r.view.getUint32(at, true)
      const status = r.view.getUint8(at + 4)
      const value = readValue(r)
      const call = this.pending[id]
      if (!call) throw new RehomeError('bad-frame', 'a reply to no call', { id })
      this.pending[id] = undefined
      this.freeIds.push(id)
      if (!call.over) settle(call, status, value)
      if (call.answered !== undefined) call.answered()
    }
  }

  /** REJECT: nothing ran; the view that the rejecting frame spoke of is ours by now, so the next try mends it. */
  onReject(payload: ByteReader): void {
    const { core } = this
    const start = payload.pos
    const type = core.type(payload)
    const hash = payload.u32()
    type.readWords(payload)
    payload.u32()
    const call = this.pending[payload.u32()]
    if (!call) throw new RehomeError('bad-frame', 'a rejection of no call')
    core.stats.rejected++
    call.to = core.owner(hash)
    const w = core.out.beginPart(call.to, Kind.CALL)
    w.block(payload.bytes.subarray(start, payload.end))
    core.out.end()
  }

  // ---- the slot owner's side; the key is in `type.words` ----

  serve(type: RuntimeType, hash: number, r: ByteReader, start: number): void {
    const at = r.skip(9)
    const by = r.view.getUint32(at, true)
    const id = r.view.getUint32(at + 4, true)
    const method = r.view.getUint8(at + 8)
    const args = readArgs(r)
    if (method < CREATE && type.table.aimAtStill(type.cursor, hash, type.words) >= 0) {
      return this.runFor(type, by, id, method, args) // most calls' way
    }
    if (method >= CREATE && !this.exists(type, hash)) {
      if (method === CREATE) this.homes.ownRow(type, hash)
      return this.reply(by, id, OK, method === CREATE)
    }
    const row = this.homes.ownRow(type, hash)
    if (row >= 0) return this.answer(type, row, by, id, method, args)
    const copy = new Uint8Array(r.bytes.subarray(start, r.end)) // the frame's bytes are gone by then
    this.homes.whenOwn(type, hash, (come) => {
      if (come < 0) this.judgeAgain(Kind.CALL, copy)
      else this.answer(type, come, by, id, method, args)
    })
  }

  private exists(type: RuntimeType, hash: number): boolean {
    const row = type.table.find(hash, type.words)
    return row >= 0 && type.table.get(row, ENTRY) !== 0
  }

  private answer(
    type: RuntimeType,
    row: Row,
    by: MemberNo,
    id: number,
    method: number,
    args: readonly unknown[],
  ): void {
    if (method === REMOVE && this.homes.isUnmade(type, row)) return this.reply(by, id, OK, false)
    const made = this.homes.nowMade(type, row)
    if (method === CREATE) return this.reply(by, id, OK, made)
    if (method === REMOVE) {
      this.homes.removeActivation(type, row)
      return this.reply(by, id, OK, true)
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
      return this.reply(by, id, THROWN, error instanceof Error ? error.message : String(error))
    }
    this.reply(by, id, OK, result)
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

  private reply(to: MemberNo, id: number, status: number, value: unknown): void {
    const w = this.core.out.beginPart(to, Kind.REPLY)
    w.ensure(5)
    w.view.setUint32(w.pos, id, true)
    w.view.setUint8(w.pos + 4, status)
    w.pos += 5
    writeValue(w, value)
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
      this.pending[id] = undefined
      this.freeIds.push(id)
      call.answered?.()
    })
  }

  private giveUp(call: Call, code: 'timeout' | 'peer-gone', why: string): void {
    call.over = true
    call.reject(new RehomeError(code, why, { type: call.type.name, to: call.to }, 'indefinite'))
  }

  get idle(): boolean {
    return this.stalled.length === 0 && this.pending.length === this.freeIds.length
  }
}

function settle(call: Call, status: number, value: unknown): void {
  if (status === OK) call.resolve(value)
  else call.reject(new RehomeError('handler', String(value), { type: call.type.name }))
}

/** The two ends of the promise made last: one closure for all calls instead of one each. */
const kept = { resolve: (_value: unknown): void => {}, reject: (_error: unknown): void => {} }
function keepEnds(resolve: (value: unknown) => void, reject: (error: unknown) => void): void {
  kept.resolve = resolve
  kept.reject = reject
}
