import type { ByteReader, ByteWriter } from '../bus/index.ts'
import {
  ACTIVATION,
  AFFAIR,
  ASIDE_WORDS,
  type Cursor,
  ENTRY,
  HASH,
  HEADER_WORDS,
  HOME,
  type Layout,
  newPage,
  type Page,
} from './layout.ts'
import { type Row, RowIndex } from './row-index.ts'
import { readValue, writeValue } from './values.ts'

export type { Row } from './row-index.ts'

/** In a free record's ENTRY, so that who still knows its row does not take it for one that says nothing. */
const FREED = 0xffff_ffff

/** Hashes that are foreseen at a time, at most. */
const FORESEEN_MAX = 64
/** Bytes of records from which on looking ahead is worth it: half of a core's cache of the second level, as a rule. */
const LARGE_BYTES = 2 ** 20

/**
 * What an instance knows about the actors of one type: a record for each that has its home here, whose
 * directory entry is here, or with which something goes on.
 */
export class ActorTable {
  readonly layout: Layout
  /** Records in use, and among them those that are activations. */
  size = 0
  activations = 0

  readonly pages: Page[] = []
  readonly pageBits: number
  private readonly pageMask: number
  private readonly strideWords: number
  private readonly keyWords: number
  private readonly isKey: Layout['isKey']
  private readonly plainCount: number
  private free: Row = -1
  private unused: Row = 0

  readonly index: RowIndex
  private readonly foreseen = new Int32Array(FORESEEN_MAX)
  /** Of no meaning. */
  seen = 0

  constructor(layout: Layout, options: { slotBits: number; pageBits: number }) {
    this.layout = layout
    this.pageBits = options.pageBits
    this.pageMask = (1 << options.pageBits) - 1
    this.strideWords = layout.stride * 2
    this.keyWords = layout.keyWords
    this.isKey = layout.isKey
    this.plainCount = layout.plain.length
    this.index = new RowIndex(options.slotBits)
  }

  find(hash: number, key: Uint32Array): Row {
    const { index } = this
    const top = hash >>> index.topShift
    const entries = index.entries[top]!
    const mask = (entries.length >> 1) - 1
    const wanted = hash | 0
    for (let i = (hash >>> index.shifts[top]!) & mask; ; i = (i + 1) & mask) {
      const row = entries[2 * i + 1]! - 1
      if (row < 0) return -1
      if (entries[2 * i]! !== wanted) continue
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

  /** Aims at the key's record if it lies still; -1 if it does not, or there is none. */
  aimAtStill(cursor: Cursor, hash: number, key: Uint32Array): Row {
    const { index } = this
    const top = hash >>> index.topShift
    const entries = index.entries[top]!
    const mask = (entries.length >> 1) - 1
    const wanted = hash | 0
    for (let i = (hash >>> index.shifts[top]!) & mask; ; i = (i + 1) & mask) {
      const row = entries[2 * i + 1]! - 1
      if (row < 0) return -1
      if (entries[2 * i]! !== wanted) continue
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
    const { foreseen, pages, pageBits, pageMask, strideWords } = this
    const { entries, shifts, topShift } = this.index
    for (let i = 0; i < count; i++) {
      const hash = hashes[i]!
      const top = hash >>> topShift
      const segment = entries[top]!
      foreseen[i] = segment[2 * ((hash >>> shifts[top]!) & ((segment.length >> 1) - 1)) + 1]!
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
    words[at + ACTIVATION] = 0
    words[at + AFFAIR] = 0
    for (let i = 0; i < this.keyWords; i++) words[at + HEADER_WORDS + i] = key[i]!
    this.setAside(row, HASH, hash)
    this.setAside(row, ENTRY, 0)
    this.setAside(row, HOME, 0)
    this.index.add(hash, row)
    this.size++
    return row
  }

  private newRow(): Row {
    const row = this.free
    if (row >= 0) {
      this.free = this.aside(row, HASH) - 1
      return row
    }
    if (this.unused >>> this.pageBits === this.pages.length) {
      this.pages.push(newPage(1 << this.pageBits, this.layout))
    }
    return this.unused++
  }

  /** Frees a record: nothing here refers to the actor any more. */
  delete(row: Row): void {
    this.index.delete(this.aside(row, HASH), row)
    this.size--
    const page = this.pages[row >>> this.pageBits]!
    const at = (row & this.pageMask) * this.plainCount
    for (let j = 0; j < this.plainCount; j++) page.plain[at + j] = undefined
    this.set(row, ACTIVATION, 0)
    this.setAside(row, ENTRY, FREED)
    this.setAside(row, HASH, this.free + 1)
    this.free = row
  }

  /** A word of the record's head. */
  get(row: Row, word: number): number {
    return this.pages[row >>> this.pageBits]!.u32[(row & this.pageMask) * this.strideWords + word]!
  }
  set(row: Row, word: number, value: number): void {
    this.pages[row >>> this.pageBits]!.u32[(row & this.pageMask) * this.strideWords + word] = value
  }

  /** A word that lies beside the record. */
  aside(row: Row, word: number): number {
    return this.pages[row >>> this.pageBits]!.aside[(row & this.pageMask) * ASIDE_WORDS + word]!
  }
  setAside(row: Row, word: number, value: number): void {
    this.pages[row >>> this.pageBits]!.aside[(row & this.pageMask) * ASIDE_WORDS + word] = value
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
    copy(page.u8, start + numbersAt, w.bytes, w.pos, numbersEnd - numbersAt)
    w.pos += numbersEnd - numbersAt
    if (this.plainCount === 0) return
    const at = (row & this.pageMask) * this.plainCount
    for (let j = 0; j < this.plainCount; j++) writeValue(w, page.plain[at + j])
  }

  decode(row: Row, r: ByteReader): void {
    const page = this.pages[row >>> this.pageBits]!
    const start = (row & this.pageMask) * this.layout.stride * 8
    const { numbersAt, numbersEnd } = this.layout
    const at = r.skip(numbersEnd - numbersAt)
    copy(r.bytes, at, page.u8, start + numbersAt, numbersEnd - numbersAt)
    if (this.plainCount === 0) return
    const plainAt = (row & this.pageMask) * this.plainCount
    for (let j = 0; j < this.plainCount; j++) page.plain[plainAt + j] = readValue(r)
  }

  /** Rows in use of one slot. */
  rowsOfSlot(slot: number, slotBits: number): Row[] {
    return this.index.ofSlot(slot, slotBits)
  }

  /** Its records lie in memory that is far from the processor. */
  get isLarge(): boolean {
    return this.size * this.layout.stride * 8 > LARGE_BYTES
  }

  isFree(row: Row): boolean {
    return this.aside(row, ENTRY) === FREED
  }

  /** Row numbers run from 0 to this; those not in use have no activation. */
  get rowsEnd(): number {
    return this.unused
  }
  /** Bytes of pages and index. */
  get bytes(): number {
    const record = this.layout.stride * 8 + ASIDE_WORDS * 4
    return this.pages.length * record * (1 << this.pageBits) + this.index.bytes
  }
}

/** Of some bytes, where `set` of a part would cost an object and a call. */
function copy(from: Uint8Array, at: number, to: Uint8Array, toAt: number, count: number): void {
  for (let i = 0; i < count; i++) to[toAt + i] = from[at + i]!
}
