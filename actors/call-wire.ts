/**
 * Calls and answers as they stand in a message: one behind the other, each saying only what the one before it does not.
 *
 * | a call | flags u8, method u8, number u32 unless NEXT, type u8, hash u32 and key words unless SAME, arguments |
 * |---|---|
 * | an answer | flags u8, number u32 unless NEXT, value |
 *
 * A burst of calls to one actor is some five bytes each, and its home looks the actor up once.
 */
import { type ByteReader, type ByteWriter, Kind, type MemberNo, Parts } from '../bus/index.ts'
import type { Core } from './core.ts'
import type { RuntimeType } from './runtime-type.ts'
import { areShort, writeShort, writeValue } from './values.ts'

/** The number is the one after that of the part before. */
const NEXT = 1
/** A call of the actor that the part before is about. */
export const SAME = 2
/** An answer whose value is the message of what the method threw. */
export const THROWN = 4

/** Flags, method, number. */
const CALL_HEAD_BYTES = 6
/** Flags, number. */
const ANSWER_HEAD_BYTES = 5

/** What was said of the call before, for the next one in its message. */
export class CallWriter {
  private readonly out: Core['out']
  private parts = new Parts()
  private to: MemberNo = 0
  private id = 0
  private type: RuntimeType | undefined
  private hash = 0
  private readonly words: Uint32Array

  constructor(core: Core) {
    this.out = core.out
    this.words = new Uint32Array(Math.max(1, ...core.types.map((type) => type.words.length)))
  }

  /**
   * Writes a call behind the one before it, where they go into one message and its arguments are short; false: it is to be begun. Nothing is
   * looked at here that is the same for all of a burst.
   */
  follow(
    to: MemberNo,
    id: number,
    type: RuntimeType,
    hash: number,
    words: Uint32Array,
    method: number,
    args: readonly unknown[],
  ): boolean {
    const { parts } = this
    if (!parts.goOn(to) || !areShort(args)) return false
    const { w } = parts
    w.pos = parts.end
    this.putHead(w, this.to === to, id, type, hash, words, method)
    writeShort(w, args)
    this.to = to
    parts.end = w.pos
    return true
  }

  /** Begins a call: its arguments go behind this, then `end`. Undefined: there is no credit for it. */
  begin(
    to: MemberNo,
    id: number,
    type: RuntimeType,
    hash: number,
    words: Uint32Array,
    method: number,
  ): ByteWriter | undefined {
    const { out } = this
    const further = out.beginFurther(to, Kind.CALL)
    if (further === undefined && out.creditLeft(to) <= 0) return undefined
    const w = further ?? out.beginPart(to, Kind.CALL)
    w.ensure(CALL_HEAD_BYTES)
    this.putHead(w, this.to === to && further !== undefined, id, type, hash, words, method)
    this.to = 0 // nothing follows a part that is given up
    return w
  }

  end(to: MemberNo): void {
    this.out.end()
    this.to = to
    this.parts = this.out.openParts(to) ?? this.parts
  }

  private putHead(
    w: ByteWriter,
    follows: boolean,
    id: number,
    type: RuntimeType,
    hash: number,
    words: Uint32Array,
    method: number,
  ): void {
    const isNext = follows && id === this.id + 1
    const isSame = follows && this.isLast(type, hash, words)
    this.id = id
    const { bytes, pos } = w
    bytes[pos] = (isNext ? NEXT : 0) | (isSame ? SAME : 0)
    bytes[pos + 1] = method
    if (isNext) w.pos = pos + 2
    else {
      w.view.setUint32(pos + 2, id, true)
      w.pos = pos + CALL_HEAD_BYTES
    }
    if (!isSame) this.put(w, type, hash, words)
  }

  private isLast(type: RuntimeType, hash: number, words: Uint32Array): boolean {
    if (this.hash !== hash || this.type !== type) return false
    const { words: last } = this
    for (let i = 0; i < type.keyWords; i++) if (words[i] !== last[i]) return false
    return true
  }

  private put(w: ByteWriter, type: RuntimeType, hash: number, words: Uint32Array): void {
    type.writeKey(w, hash, words)
    this.type = type
    this.hash = hash
    for (let i = 0; i < type.keyWords; i++) this.words[i] = words[i]!
  }
}

/** Answers that are sent together. */
const TOGETHER_MAX = 128
/** Where a message has about as much as one of parts takes (bus/links.ts). */
const ANSWERS_BYTES = 512

/** Answers to neighbouring calls: these run first, one after the other, then what they came to is written in one go. */
export class Answers {
  private readonly out: Core['out']
  private count = 0
  private readonly ids: number[] = new Array(TOGETHER_MAX).fill(0)
  private readonly flags: number[] = new Array(TOGETHER_MAX).fill(0)
  private readonly values: unknown[] = new Array(TOGETHER_MAX).fill(undefined)

  constructor(core: Core) {
    this.out = core.out
  }

  get isFull(): boolean {
    return this.count === TOGETHER_MAX
  }

  add(id: number, flags: number, value: unknown): void {
    const at = this.count++
    this.ids[at] = id
    this.flags[at] = flags
    this.values[at] = value
  }

  send(to: MemberNo): void {
    const { count, out } = this
    this.count = 0
    for (let at = 0; at < count; ) {
      const w = out.beginPart(to, Kind.REPLY)
      at = this.write(w, at, count)
      out.end()
    }
  }

  /** Writes as many as go into one part; answers which is next. */
  private write(w: ByteWriter, from: number, count: number): number {
    const { ids, flags, values } = this
    const full = w.pos + ANSWERS_BYTES
    let last = -1
    let at = from
    for (; at < count && w.pos < full; at++) {
      const id = ids[at]!
      putAnswer(w, id, flags[at]! | (id === last + 1 && at > from ? NEXT : 0), values[at])
      values[at] = undefined
      last = id
    }
    return at
  }
}

/** One answer; a value that cannot be written is an error that its caller gets. */
export function putAnswer(w: ByteWriter, id: number, flags: number, value: unknown): void {
  w.ensure(ANSWER_HEAD_BYTES)
  const { pos } = w
  const isNext = (flags & NEXT) !== 0
  const head = isNext ? 1 : ANSWER_HEAD_BYTES
  w.view.setUint8(pos, flags)
  if (!isNext) w.view.setUint32(pos + 1, id, true)
  w.pos = pos + head
  try {
    writeValue(w, value)
  } catch (error) {
    w.view.setUint8(pos, flags | THROWN)
    w.pos = pos + head
    writeValue(w, textOf(error))
  }
}

export function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** The numbers of answers, or calls, as they are read one after the other. */
export function readId(r: ByteReader, flags: number, last: number): number {
  return (flags & NEXT) === 0 ? r.u32() : last + 1
}
