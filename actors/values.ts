import { Decoder, Encoder } from '@msgpack/msgpack'
import { type ByteReader, type ByteWriter, RehomeError } from '../bus/index.ts'

/**
 * Arguments and results on the wire: a tag and the value. Numbers, short texts and the like, which most calls
 * carry, are written as they are; everything else is MessagePack.
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

/** UTF-16 units of a text that is written as text; a longer one costs nothing more as MessagePack. */
const TEXT_UNITS_MAX = 1024

const packer = new Encoder()
const unpacker = new Decoder()

export function writeValue(w: ByteWriter, value: unknown): void {
  if (typeof value === 'number') return writeNumber(w, value)
  if (typeof value === 'string' && value.length <= TEXT_UNITS_MAX) {
    w.u8(TEXT)
    w.text(value)
  } else if (value === undefined) w.u8(UNDEFINED)
  else if (value === null) w.u8(NULL)
  else if (typeof value === 'boolean') w.u8(value ? TRUE : FALSE)
  else {
    w.u8(PACKED)
    pack(w, value)
  }
}

function writeNumber(w: ByteWriter, value: number): void {
  if ((value | 0) === value && !Object.is(value, -0)) {
    if (value === (value << 24) >> 24) {
      w.u8(BYTE)
      w.u8(value & 0xff)
      return
    }
    w.u8(INT)
    w.i32(value)
  } else {
    w.u8(DOUBLE)
    w.f64(value)
  }
}

export function readValue(r: ByteReader): unknown {
  const tag = r.u8()
  switch (tag) {
    case UNDEFINED:
      return undefined
    case NULL:
      return null
    case FALSE:
      return false
    case TRUE:
      return true
    case BYTE:
      return (r.u8() << 24) >> 24
    case INT:
      return r.i32()
    case DOUBLE:
      return r.f64()
    case TEXT:
      return r.text()
    case PACKED:
      return unpack(r)
    default:
      throw new RehomeError('bad-frame', 'unknown value on the wire', { tag })
  }
}

/** MessagePack with its length. The encoder is reused: making one costs more than most values. */
export function pack(w: ByteWriter, value: unknown): void {
  w.block(packer.encodeSharedRef(value))
}
export function unpack(r: ByteReader): unknown {
  const bytes = r.block()
  try {
    return unpacker.decode(bytes)
  } catch (cause) {
    throw new RehomeError('bad-frame', 'not MessagePack', { cause: String(cause) })
  }
}

/** A method's arguments: their number, then each. */
export function writeArgs(w: ByteWriter, args: readonly unknown[]): void {
  w.u8(args.length)
  for (const arg of args) writeValue(w, arg)
}
export function readArgs(r: ByteReader): unknown[] {
  const args: unknown[] = []
  for (let n = r.u8(); n > 0; n--) args.push(readValue(r))
  return args
}
