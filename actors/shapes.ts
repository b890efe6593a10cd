import type { ByteReader, ByteWriter } from '../bus/index.ts'
import { RehomeError } from '../bus/index.ts'

export type Put = (w: ByteWriter, value: unknown, depth: number) => void
export type Get = (r: ByteReader, depth: number) => unknown

/**
 * The form of an object: the names of its properties, in order. Handlers make objects of few forms, so each has
 * code of its own that writes and reads the values one behind the other. The names go with every object, so that a message says
 * all of itself wherever it is read; but they are compared as bytes, and made into texts once.
 */
export interface Shape {
  readonly names: readonly string[]
  /** Hash, length and names as they stand on the wire. */
  readonly header: Uint8Array
  readonly write: (w: ByteWriter, o: object, put: Put, depth: number) => void
  readonly read: (r: ByteReader, get: Get, depth: number) => object
}

/** Forms that a process has code for: those of its NF. What is beyond is written as MessagePack, and read name by name. */
const SHAPES_MAX = 256
const NAMES_MAX = 64
/** As programs name properties, not what stands in the keys of a table: those would be a form for each table. */
const NAME = /^[A-Za-z_$][\w$]{0,62}$/
const HEAD_BYTES = 6

/** By first name: few have one in common. */
const byName = new Map<string, Shape[]>()
const byHash = new Map<number, Shape>()

/** The form of objects with these names; undefined if they are none that is kept. */
export function shapeOf(names: readonly string[]): Shape | undefined {
  const first = names[0]
  if (first === undefined) return undefined
  const known = byName.get(first)
  if (known) {
    for (let i = 0; i < known.length; i++) if (isOf(known[i]!, names)) return known[i]
  }
  return mayBe(names) ? keep(names) : undefined
}

function isOf(shape: Shape, names: readonly string[]): boolean {
  if (shape.names.length !== names.length) return false
  for (let i = 0; i < names.length; i++) if (shape.names[i] !== names[i]) return false
  return true
}

function mayBe(names: readonly string[]): boolean {
  if (byHash.size >= SHAPES_MAX || names.length > NAMES_MAX) return false
  return names.every((name) => NAME.test(name) && name !== '__proto__')
}

function keep(names: readonly string[]): Shape | undefined {
  const header = headerOf(names)
  const hash = new DataView(header.buffer).getUint32(0, true)
  if (byHash.has(hash)) return undefined // another form has its hash: this one goes as MessagePack
  const texts = names.map((name) => JSON.stringify(name))
  const puts = texts.map((name) => `put(w, o[${name}], depth)`)
  const gets = texts.map((name) => `${name}: get(r, depth)`)
  const shape: Shape = {
    names: [...names],
    header,
    write: new Function('w', 'o', 'put', 'depth', puts.join('\n')) as Shape['write'],
    read: new Function('r', 'get', 'depth', `return { ${gets.join(', ')} }`) as Shape['read'],
  }
  const [first = ''] = names
  byName.set(first, [...(byName.get(first) ?? []), shape])
  byHash.set(hash, shape)
  return shape
}

function headerOf(names: readonly string[]): Uint8Array {
  const bytes = names.flatMap((name) => [name.length, ...Buffer.from(name, 'latin1')])
  const header = new Uint8Array(HEAD_BYTES + bytes.length)
  header.set(bytes, HEAD_BYTES)
  const view = new DataView(header.buffer)
  view.setUint32(0, hashOf(bytes), true)
  view.setUint16(4, bytes.length, true)
  return header
}

/** FNV-1a. */
function hashOf(bytes: readonly number[]): number {
  let hash = 0x811c9dc5
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193)
  return hash >>> 0
}

/** Reads an object whose header begins here. */
export function readShaped(r: ByteReader, get: Get, depth: number): object {
  const hash = r.u32()
  const length = r.u16()
  const at = r.skip(length)
  const known = byHash.get(hash)
  if (known && stands(known.header, r.bytes, at, length)) return known.read(r, get, depth)
  const names = namesAt(r.bytes, at, at + length)
  const shape = shapeOf(names)
  if (shape) return shape.read(r, get, depth)
  return Object.fromEntries(names.map((name) => [name, get(r, depth)]))
}

function stands(header: Uint8Array, bytes: Uint8Array, at: number, length: number): boolean {
  if (header.length !== HEAD_BYTES + length) return false
  for (let i = 0; i < length; i++) if (header[HEAD_BYTES + i] !== bytes[at + i]) return false
  return true
}

function namesAt(bytes: Uint8Array, from: number, to: number): string[] {
  const names: string[] = []
  for (let at = from; at < to; ) {
    const next = at + 1 + bytes[at]!
    const name = String.fromCharCode(...bytes.subarray(at + 1, next))
    if (next > to || !NAME.test(name) || name === '__proto__' || names.length === NAMES_MAX) {
      throw new RehomeError('bad-frame', 'no names of an object on the wire')
    }
    names.push(name)
    at = next
  }
  return names
}
