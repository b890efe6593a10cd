import type { ByteReader, ByteWriter } from '../bus/index.ts'
import {
  ACTIVATION,
  AFFAIR,
  type Cursor,
  ENTRY,
  HASH,
  HEADER_WORDS,
  HOME,
  type Layout,
  newPage,
  type Page,
} from './layout.ts'
import { pack, unpack } from './values.ts'

/** In a free record's ENTRY, so that who still knows its row does not take it for one that says nothing. */
const FREED = 0xffff_ffff

/** Hashes that are foreseen at a time, at most. */
const FORESEEN_MAX = 64

/** A record's number in its table. Records never move, so it stays good while the record is in use. */
export type Row = number

/**
 * What an instance knows about the actors of one type: a record for each that has its home here, whose
 * directory entry is here, or with which something goes on.
 *
 * The index is cut into segments by the hash's top bits. A segment grows on its own, so no insertion ever
 * rehashes more than a 1/1024 of a large table, and a slot's actors lie in one segment.
 */
export class ActorTable {
  readonly layout: Layout
  /** Records in use, and among them those that are activations. */
  size = 0
  activations = 0

  private readonly pages: Page[] = []
  private readonly pageBits: number
  private readonly pageMask: number
  private readonly strideWords: number
  private readonly keyWords: number
  private readonly isKey: Layout['isKey']
  private readonly plainCount: number
  private free: Row = -1
  private unused: Row = 0

  /** Pairs of hash and row + 1 (0: empty), open addressing by the hash's low bits. */
  private readonly segments: Int32Array[]
  private readonly counts: Uint32Array
  private readonly foreseen = new Int32Array(FORESEEN_MAX)
  /** Of no meaning. */
  seen = 0
  private readonly segmentShift: number

  constructor(layout: Layout, options: { slotBits: number; pageBits: number }) {
    this.layout = layout
    this.pageBits = options.pageBits
    this.pageMask = (1 << options.pageBits) - 1
    this.strideWords = layout.stride * 2
    this.keyWords = layout.keyWords
    this.isKey = layout.isKey
    this.plainCount = layout.plain.length
    const segmentBits = Math.min(options.slotBits, 10)
    // A shift by 32 is a shift by 0 in JavaScript, so there are always two segments at least.
    this.segmentShift = 32 - Math.max(1, segmentBits)
    const count = 1 << Math.max(1, segmentBits)
    this.counts = new Uint32Array(count)
    const empty = new Int32Array(2 * 4)
    this.segments = new Array<Int32Array>(count).fill(empty)
    this.emptySegment = empty
  }
  /** Shared by segments that nothing was ever put into. */
  private readonly emptySegment: Int32Array

  find(hash: number, key: Uint32Array): Row {
    const segment = this.segments[hash >>> this.segmentShift]!
    const mask = (segment.length >> 1) - 1
    const wanted = hash | 0
    for (let i = hash & mask; ; i = (i + 1) & mask) {
      const row = segment[2 * i + 1]! - 1
      if (row < 0) return -1
      if (segment[2 * i]! !== wanted) continue
      const words = this.pages[row >>> this.pageBits]!.u32
      if (this.isKey(words, (row & this.pageMask) * this.strideWords, key)) return row
    }
  }

  /** The record lies still: it has its home here, and nothing goes on with it. */
  isStill(row: Row): boolean {
    const words = this.pages[row >>> this.pageBits]!.u32
    const at = (row & this.pageMask) * this.strideWords
    return words[at + AFFAIR]! === 0 && words[at + ACTIVATION]! !== 0
  }

  /** Aims at the key's record if it lies still (most packets' way); -1 if it does not, or there is none. */
  aimAtStill(cursor: Cursor, hash: number, key: Uint32Array): Row {
    const segment = this.segments[hash >>> this.segmentShift]!
    const mask = (segment.length >> 1) - 1
    const wanted = hash | 0
    for (let i = hash & mask; ; i = (i + 1) & mask) {
      const row = segment[2 * i + 1]! - 1
      if (row < 0) return -1
      if (segment[2 * i]! !== wanted) continue
      const page = this.pages[row >>> this.pageBits]!
      const words = page.u32
      const record = row & this.pageMask
      const at = record * this.strideWords
      if (!this.isKey(words, at, key)) continue
      if (words[at + AFFAIR]! !== 0 || words[at + ACTIVATION]! === 0) return -1
      cursor.aim(page, record)
      return row
    }
  }

  /**
   * Looks where the keys of these hashes are likely to be, all of them before any is used: what each waits for from
   * memory, it waits for together with the others. Changes nothing.
   */
  foresee(hashes: Uint32Array, hashCount: number): void {
    const count = Math.min(hashCount, FORESEEN_MAX)
    const { foreseen, segments, pages, segmentShift, pageBits, pageMask, strideWords } = this
    for (let i = 0; i < count; i++) {
      const hash = hashes[i]!
      const segment = segments[hash >>> segmentShift]!
      foreseen[i] = segment[2 * (hash & ((segment.length >> 1) - 1)) + 1]!
    }
    let seen = 0
    for (let i = 0; i < count; i++) {
      const row = foreseen[i]! - 1
      if (row < 0) continue
      const { u32 } = pages[row >>> pageBits]!
      const at = (row & pageMask) * strideWords
      seen |= u32[at]! | u32[at + strideWords - 1]!
    }
    this.seen = seen // or the loads would be none
  }

  /** A record for a key that has none. Its state is fresh only after `reset`. */
  insert(hash: number, key: Uint32Array): Row {
    const row = this.newRow()
    const words = this.pages[row >>> this.pageBits]!.u32
    const at = (row & this.pageMask) * this.strideWords
    words[at + HASH] = hash
    words[at + ACTIVATION] = 0
    words[at + ENTRY] = 0
    words[at + HOME] = 0
    words[at + AFFAIR] = 0
    for (let i = 0; i < this.keyWords; i++) words[at + HEADER_WORDS + i] = key[i]!
    this.link(hash, row)
    this.size++
    return row
  }

  private newRow(): Row {
    const row = this.free
    if (row >= 0) {
      this.free = this.get(row, HASH) - 1
      return row
    }
    if (this.unused >>> this.pageBits === this.pages.length) {
      this.pages.push(newPage(1 << this.pageBits, this.layout))
    }
    return this.unused++
  }

  private link(hash: number, row: Row): void {
    const s = hash >>> this.segmentShift
    let segment = this.segments[s]!
    if (segment === this.emptySegment || this.counts[s]! * 4 >= segment.length) {
      segment = this.growSegment(s)
    }
    put(segment, hash, row)
    this.counts[s]!++
  }

  private growSegment(s: number): Int32Array {
    const old = this.segments[s]!
    const size = old === this.emptySegment ? 8 : old.length * 2
    const segment = new Int32Array(size)
    for (let i = 0; i < old.length; i += 2) {
      if (old[i + 1]! !== 0) put(segment, old[i]!, old[i + 1]! - 1)
    }
    this.segments[s] = segment
    return segment
  }

  /** Frees a record: nothing here refers to the actor any more. */
  delete(row: Row): void {
    const hash = this.get(row, HASH)
    const segment = this.segments[hash >>> this.segmentShift]!
    const mask = (segment.length >> 1) - 1
    let i = hash & mask
    while (segment[2 * i + 1]! !== row + 1) i = (i + 1) & mask
    unlink(segment, mask, i)
    this.counts[hash >>> this.segmentShift]!--
    this.size--
    const page = this.pages[row >>> this.pageBits]!
    const at = (row & this.pageMask) * this.plainCount
    for (let j = 0; j < this.plainCount; j++) page.plain[at + j] = undefined
    this.set(row, ACTIVATION, 0)
    this.set(row, ENTRY, FREED)
    this.set(row, HASH, this.free + 1)
    this.free = row
  }

  get(row: Row, word: number): number {
    return this.pages[row >>> this.pageBits]!.u32[(row & this.pageMask) * this.strideWords + word]!
  }
  set(row: Row, word: number, value: number): void {
    this.pages[row >>> this.pageBits]!.u32[(row & this.pageMask) * this.strideWords + word] = value
  }

  keyOf(row: Row, out: Uint32Array): void {
    const words = this.pages[row >>> this.pageBits]!.u32
    const at = (row & this.pageMask) * this.strideWords + HEADER_WORDS
    for (let i = 0; i < this.keyWords; i++) out[i] = words[at + i]!
  }

  aim(cursor: Cursor, row: Row): void {
    cursor.aim(this.pages[row >>> this.pageBits]!, row & this.pageMask)
  }

  /** Makes the record's state that of a fresh actor. */
  reset(row: Row): void {
    const page = this.pages[row >>> this.pageBits]!
    const start = (row & this.pageMask) * this.layout.stride
    for (let i = start + this.layout.numbersAt / 8; i < start + this.layout.stride; i++) {
      page.f64[i] = 0
    }
    const at = (row & this.pageMask) * this.plainCount
    for (let j = 0; j < this.plainCount; j++) page.plain[at + j] = this.layout.plain[j]!.initial()
  }

  /** The state as it travels: the record's numbers as they lie, then the plain values as MessagePack. */
  encode(row: Row, w: ByteWriter): void {
    const page = this.pages[row >>> this.pageBits]!
    const start = (row & this.pageMask) * this.layout.stride * 8
    const { numbersAt, numbersEnd } = this.layout
    w.ensure(numbersEnd - numbersAt)
    for (let i = start + numbersAt; i < start + numbersEnd; i++) w.bytes[w.pos++] = page.u8[i]!
    if (this.plainCount === 0) return
    const at = (row & this.pageMask) * this.plainCount
    pack(w, page.plain.slice(at, at + this.plainCount))
  }

  decode(row: Row, r: ByteReader): void {
    const page = this.pages[row >>> this.pageBits]!
    const start = (row & this.pageMask) * this.layout.stride * 8
    const { numbersAt, numbersEnd } = this.layout
    const bytes = r.raw(numbersEnd - numbersAt)
    for (let i = 0; i < bytes.length; i++) page.u8[start + numbersAt + i] = bytes[i]!
    if (this.plainCount === 0) return
    const values = unpack(r)
    const at = (row & this.pageMask) * this.plainCount
    for (let j = 0; j < this.plainCount; j++) {
      page.plain[at + j] = Array.isArray(values) ? values[j] : undefined
    }
  }

  /** Rows in use of one slot. The segment may hold other slots too. */
  rowsOfSlot(slot: number, slotBits: number): Row[] {
    const shift = 32 - slotBits
    const rows: Row[] = []
    const segment = this.segments[(slot << shift) >>> this.segmentShift]!
    for (let i = 0; i < segment.length; i += 2) {
      if (segment[i + 1]! !== 0 && segment[i]! >>> shift === slot) rows.push(segment[i + 1]! - 1)
    }
    return rows
  }

  isFree(row: Row): boolean {
    return this.get(row, ENTRY) === FREED
  }

  /** Row numbers run from 0 to this; those not in use have no activation. */
  get rowsEnd(): number {
    return this.unused
  }
  /** Bytes of pages and index. */
  get bytes(): number {
    const pages = this.pages.length * this.layout.stride * 8 * (1 << this.pageBits)
    return this.segments.reduce(
      (sum, s) => sum + (s === this.emptySegment ? 0 : s.byteLength),
      pages,
    )
  }
}

function put(segment: Int32Array, hash: number, row: Row): void {
  const mask = (segment.length >> 1) - 1
  let i = hash & mask
  while (segment[2 * i + 1]! !== 0) i = (i + 1) & mask
  segment[2 * i] = hash
  segment[2 * i + 1] = row + 1
}

/** Empties place `i` and closes the gap, so that no tombstones slow later searches (Knuth 6.4, algorithm R). */
function unlink(segment: Int32Array, mask: number, i: number): void {
  let gap = i
  for (let j = (i + 1) & mask; segment[2 * j + 1]! !== 0; j = (j + 1) & mask) {
    const home = segment[2 * j]! & mask
    if (((j - home) & mask) < ((j - gap) & mask)) continue
    segment[2 * gap] = segment[2 * j]!
    segment[2 * gap + 1] = segment[2 * j + 1]!
    gap = j
  }
  segment[2 * gap + 1] = 0
}
