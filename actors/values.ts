import { Decoder, Encoder } from '@msgpack/msgpack'
import { type ByteReader, type ByteWriter, RehomeError } from '../bus/index.ts'
import { readShaped, shapeOf } from './shapes.ts'

/**
 * Plain data on the wire, arguments, results and fields alike: a tag and the value. Numbers, texts, arrays and objects of
 * few forms, which is what handlers pass, are written as they are; everything else is MessagePack: bytes, long texts,
 * tables with keys of all kinds, objects of a class.
 */
const UNDEFINED = 0
const NULL = 1
const FALSE = 2
const TRUE = 3
const INT = 4
const DOUBLE = 5
const TEXT = 6
const PACKED = 7
/** Whole numbers of one byte: most of those that calls carry. */
const BYTE = 8
const ARRAY = 9
/** The header of its form (shapes.ts), then its values. */
const OBJECT = 10

/** UTF-16 units of a text that is written as text; a longer one costs nothing more as MessagePack. */
const TEXT_UNITS_MAX = 1024
/** Arrays and objects inside each other; deeper ones are MessagePack, which has a limit of its own. */
const DEPTH_MAX = 32

const NO_ARGS: readonly unknown[] = []

const packer = new Encoder()
const unpacker = new Decoder()

export function writeValue(w: ByteWriter, value: unknown): void {
  put(w, value, 0)
}

/** Numbers by themselves, here and in `get`: so what is most is short, and taken in by the engine where it is used. */
function put(w: ByteWriter, value: unknown, depth: number): void {
  if (typeof value === 'number') writeNumber(w, value)
  else putOther(w, value, depth)
}

function putOther(w: ByteWriter, value: unknown, depth: number): void {
  if (typeof value === 'string' && value.length <= TEXT_UNITS_MAX) {
    w.u8(TEXT)
    w.text(value)
  } else if (value === undefined) w.u8(UNDEFINED)
  else if (value === null) w.u8(NULL)
  else if (typeof value === 'boolean') w.u8(value ? TRUE : FALSE)
  else if (typeof value !== 'object' || !putInside(w, value, depth + 1)) {
    w.u8(PACKED)
    w.block(packer.encodeSharedRef(value)) // making an encoder costs more than most values
  }
}

/** What has others inside; false: it is none of what is written so. */
function putInside(w: ByteWriter, value: object, depth: number): boolean {
  if (depth > DEPTH_MAX) return false
  if (Array.isArray(value)) {
    w.u8(ARRAY)
    w.u32(value.length)
    for (let i = 0; i < value.length; i++) put(w, value[i], depth)
    return true
  }
  if (Object.getPrototypeOf(value) !== Object.prototype) return false
  const shape = shapeOf(Object.keys(value))
  if (!shape) return false
  w.u8(OBJECT)
  w.raw(shape.header)
  shape.write(w, value, put, depth)
  return true
}

function writeNumber(w: ByteWriter, value: number): void {
  const whole = value | 0
  if (whole !== value || Object.is(value, -0)) return writeDouble(w, value)
  w.ensure(5)
  const { bytes, pos } = w
  if (whole === (whole << 24) >> 24) {
    bytes[pos] = BYTE
    bytes[pos + 1] = whole
    w.pos = pos + 2
    return
  }
  bytes[pos] = INT
  w.view.setInt32(pos + 1, whole, true)
  w.pos = pos + 5
}

function writeDouble(w: ByteWriter, value: number): void {
  w.u8(DOUBLE)
  w.f64(value)
}

export function readValue(r: ByteReader): unknown {
  return get(r, 0)
}

function get(r: ByteReader, depth: number): unknown {
  const tag = r.u8()
  if (tag === BYTE) return (r.u8() << 24) >> 24
  if (tag === INT) return r.i32()
  return getOther(r, tag, depth)
}

function getOther(r: ByteReader, tag: number, depth: number): unknown {
  switch (tag) {
    case UNDEFINED:
      return undefined
    case NULL:
      return null
    case FALSE:
      return false
    case TRUE:
      return true
    case DOUBLE:
      return r.f64()
    case TEXT:
      return r.text()
    case PACKED:
      return unpack(r)
    case ARRAY:
      return readArray(r, deeper(depth))
    case OBJECT:
      return readShaped(r, get, deeper(depth))
    default:
      throw new RehomeError('bad-frame', 'unknown value on the wire', { tag })
  }
}

function deeper(depth: number): number {
  if (depth === DEPTH_MAX) throw new RehomeError('bad-frame', 'values too deep inside each other')
  return depth + 1
}

function readArray(r: ByteReader, depth: number): unknown[] {
  const count = r.u32()
  // Each has a byte at least: a forged length makes no large array.
  if (count > r.left) throw new RehomeError('bad-frame', 'a message ends too early')
  const values: unknown[] = []
  for (let i = 0; i < count; i++) values.push(get(r, depth))
  return values
}

function unpack(r: ByteReader): unknown {
  const bytes = r.block()
  try {
    return unpacker.decode(bytes)
  } catch (cause) {
    throw new RehomeError('bad-frame', 'not MessagePack', { cause: String(cause) })
  }
}

/** A method's arguments: their number, then each. */
export function writeArgs(w: ByteWriter, args: readonly unknown[]): void {
  const { length } = args
  w.u8(length)
  for (let i = 0; i < length; i++) put(w, args[i], 0)
}
export function readArgs(r: ByteReader): readonly unknown[] {
  const count = r.u8()
  // Most calls have one at most; a list that grows takes room for many.
  if (count === 1) return [readValue(r)]
  return count === 0 ? NO_ARGS : Array.from({ length: count }, () => readValue(r))
}

/** Arguments whose bytes are few whatever they are, and of which none is refused. */
const SHORT_ARGS_MAX = 4
export function areShort(args: readonly unknown[]): args is readonly number[] {
  const { length } = args
  if (length > SHORT_ARGS_MAX) return false
  for (let i = 0; i < length; i++) if (typeof args[i] !== 'number') return false
  return true
}
/** As `writeArgs`, of such. */
export function writeShort(w: ByteWriter, args: readonly number[]): void {
  const { length } = args
  w.u8(length) // behind a long key there may be no room
  for (let i = 0; i < length; i++) writeNumber(w, args[i]!)
}

/** How many bytes the arguments take that stand here. */
export function argsBytes(r: ByteReader): number {
  const start = r.pos
  readArgs(r)
  const bytes = r.pos - start
  r.pos = start
  return bytes
}
