import { RehomeError } from './errors.ts'

/** Numbers on the wire are little-endian, as on every machine that Node 20 runs on. */
const LE = true
const encoder = new TextEncoder()
const decoder = new TextDecoder()

/** Texts up to this length are written and read here: a call of the coders costs more. */
const SHORT = 32
/** Short texts that were read: names, words, addresses, the same again and again. By hash, the last one of each. */
const KEPT = 1024
const kept: string[] = new Array(KEPT).fill('')

/** Writes bytes one after the other into a buffer that grows. Offsets and sizes are in bytes. */
export class ByteWriter {
  bytes: Uint8Array
  view: DataView
  pos = 0
  /** Where the buffer ends: a field, since asking the buffer costs more than the write. */
  limit: number
  /** What stands before is of no interest when the buffer grows: it is not copied, only counted. */
  keepFrom = 0

  constructor(capacity = 256) {
    this.bytes = Buffer.allocUnsafeSlow(capacity)
    this.view = new DataView(this.bytes.buffer)
    this.limit = capacity
  }

  /** Goes on writing into `bytes`, at `pos`. */
  use(bytes: Uint8Array): void {
    this.bytes = bytes
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    this.limit = bytes.length
  }

  /** Makes room for `n` more bytes; every put below asks for what it needs. */
  ensure(n: number): void {
    if (this.pos + n > this.limit) this.grow(n)
  }

  private grow(n: number): void {
    const next = Buffer.allocUnsafeSlow(Math.max(this.limit * 2, this.pos + n))
    next.set(this.bytes.subarray(this.keepFrom, this.pos), this.keepFrom)
    this.use(next)
  }

  u8(v: number): void {
    this.ensure(1)
    this.bytes[this.pos++] = v
  }
  u16(v: number): void {
    this.ensure(2)
    this.view.setUint16(this.pos, v, LE)
    this.pos += 2
  }
  u32(v: number): void {
    this.ensure(4)
    this.view.setUint32(this.pos, v, LE)
    this.pos += 4
  }
  i32(v: number): void {
    this.ensure(4)
    this.view.setInt32(this.pos, v, LE)
    this.pos += 4
  }
  f64(v: number): void {
    this.ensure(8)
    this.view.setFloat64(this.pos, v, LE)
    this.pos += 8
  }
  /** Bytes as they are, without a length. */
  raw(b: Uint8Array): void {
    this.ensure(b.length)
    this.bytes.set(b, this.pos)
    this.pos += b.length
  }
  /** Length (u32), then the bytes. */
  block(b: Uint8Array): void {
    this.u32(b.length)
    this.raw(b)
  }
  /** Length in UTF-8 bytes (u16), then the text. */
  text(s: string): void {
    this.ensure(2 + s.length * 3)
    if (s.length <= SHORT && this.ascii(s)) return
    const { written } = encoder.encodeInto(s, this.bytes.subarray(this.pos + 2))
    if (written > 0xffff)
      throw new RehomeError('too-big', 'a text on the wire is over 65,535 bytes')
    this.view.setUint16(this.pos, written, LE)
    this.pos += 2 + written
  }

  /** A short text of ASCII alone, with its length; false: it is none. */
  private ascii(s: string): boolean {
    const { bytes, pos } = this
    for (let i = 0; i < s.length; i++) {
      const unit = s.charCodeAt(i)
      if (unit > 127) return false
      bytes[pos + 2 + i] = unit
    }
    bytes[pos] = s.length
    bytes[pos + 1] = 0
    this.pos = pos + 2 + s.length
    return true
  }

  /** What has been written, without a copy: valid until the next write. */
  written(): Uint8Array {
    return this.bytes.subarray(0, this.pos)
  }
  /** A copy of what has been written; the writer starts afresh. */
  take(): Uint8Array {
    const out = new Uint8Array(this.bytes.subarray(0, this.pos))
    this.pos = 0
    return out
  }
}

/**
 * Reads what `ByteWriter` wrote. Reading past `end` throws `bad-frame`, so that a truncated or
 * forged message can never read its neighbour's bytes.
 */
export class ByteReader {
  bytes: Uint8Array
  view: DataView
  pos: number
  end: number

  constructor(bytes: Uint8Array) {
    this.bytes = bytes
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.pos = 0
    this.end = bytes.length
  }

  private need(n: number): number {
    const at = this.pos
    if (n < 0 || at + n > this.end) throw tooEarly()
    this.pos = at + n
    return at
  }
  get left(): number {
    return this.end - this.pos
  }
  u8(): number {
    return this.view.getUint8(this.need(1))
  }
  u16(): number {
    return this.view.getUint16(this.need(2), LE)
  }
  u32(): number {
    return this.view.getUint32(this.need(4), LE)
  }
  i32(): number {
    return this.view.getInt32(this.need(4), LE)
  }
  f64(): number {
    return this.view.getFloat64(this.need(8), LE)
  }
  /** A view of the next `n` bytes, not a copy. */
  raw(n: number): Uint8Array {
    const at = this.need(n)
    return this.bytes.subarray(at, at + n)
  }
  /** Passes over the next `n` bytes; answers where they begin in `bytes`. */
  skip(n: number): number {
    return this.need(n)
  }
  block(): Uint8Array {
    return this.raw(this.u32())
  }
  text(): string {
    const length = this.u16()
    const at = this.need(length)
    const short = length <= SHORT ? shortText(this.bytes, at, length) : undefined
    return short ?? decoder.decode(this.bytes.subarray(at, at + length))
  }
}

/** Not where it is thrown: what reads is the shorter, and so taken in by the engine. */
function tooEarly(): RehomeError {
  return new RehomeError('bad-frame', 'a message ends too early')
}

/** Undefined if it is not ASCII alone. */
function shortText(bytes: Uint8Array, at: number, length: number): string | undefined {
  let hash = length
  for (let i = 0; i < length; i++) {
    const byte = bytes[at + i]!
    if (byte > 127) return undefined
    hash = (Math.imul(hash, 31) + byte) | 0
  }
  const place = (hash ^ (hash >>> 10)) & (KEPT - 1)
  const known = kept[place]!
  if (isThat(known, bytes, at, length)) return known
  const made = String.fromCharCode(...bytes.subarray(at, at + length))
  kept[place] = made
  return made
}

function isThat(text: string, bytes: Uint8Array, at: number, length: number): boolean {
  if (text.length !== length) return false
  for (let i = 0; i < length; i++) if (text.charCodeAt(i) !== bytes[at + i]) return false
  return true
}
