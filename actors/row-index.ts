/** A record's number in its table. Records never move, so it stays good while the record is in use. */
export type Row = number

/** Numbers in the smallest segment. */
const SEGMENT_MIN = 8
/** Numbers in a segment: 32 KiB. A larger one is cut in two, which takes some tens of microseconds. */
const SEGMENT_MAX = 8192
/**
 * From this size on a segment whose rows are all of one half of its hashes is cut as well: they crowd in one part of it, where each search goes
 * through hundreds of them. With half of it a segment at rest costs a search among 500,000 rows a fifth more, since there are as many more.
 */
const SEGMENT_UNEVEN = 2048
/** Beyond 2^12 segments they grow: at more than eight million actors. */
const DEPTH_MAX = 12
const EMPTY = new Int32Array(2)

interface Segment {
  /** The top bits of a hash that all of its rows have in common, the same as their number. */
  readonly depth: number
  count: number
}

/**
 * Rows by hash: open addressing in segments by the hash's top bits, each of pairs of hash and row + 1 (0: empty), at most
 * half full. A segment that is full doubles, and from some size on it is cut in two (extendible hashing): so nothing
 * ever rehashes more than one segment, and a small table has few of them, which stay in the processor's cache.
 *
 * Within a segment the places follow the hash as well, so a slot's rows lie side by side.
 */
export class RowIndex {
  /** By a hash's top bits: neighbours share a segment until it is cut. */
  entries: Int32Array[] = [EMPTY, EMPTY]
  /** What a hash is shifted by, to the right, for its place in the segment. */
  shifts = new Uint8Array([31, 31])
  /** The same, for its segment. A shift by 32 is one by 0 in JavaScript, so there are always two at least. */
  topShift = 31
  private segments: Segment[] = [
    { depth: 1, count: 0 },
    { depth: 1, count: 0 },
  ]
  private readonly depthMax: number

  /** No segment is smaller than a slot. */
  constructor(slotBits: number) {
    this.depthMax = Math.max(1, Math.min(slotBits, DEPTH_MAX))
  }

  /** The first row of this very hash (signed) that a search meets, which may be another key's; -1: there is none. */
  rowOf(hash: number): Row {
    const top = hash >>> this.topShift
    const entries = this.entries[top]!
    const mask = entries.length - 2
    let i = ((hash >>> this.shifts[top]!) << 1) & mask
    while (entries[i] !== hash) {
      if (entries[i + 1] === 0) return -1
      i = (i + 2) & mask
    }
    return entries[i + 1]! - 1 // an empty place keeps the hash that it had
  }

  add(hash: number, row: Row): void {
    let top = hash >>> this.topShift
    while ((this.segments[top]!.count + 1) * 4 > this.entries[top]!.length) {
      this.makeRoom(top)
      top = hash >>> this.topShift
    }
    this.segments[top]!.count++
    put(this.entries[top]!, this.shifts[top]!, hash, row)
  }

  private makeRoom(top: number): void {
    const { depth } = this.segments[top]!
    const old = this.entries[top]!
    if (depth < this.depthMax && isToCut(old, depth + 1)) return this.cut(top)
    const bits = 32 - this.topShift - depth
    this.place((top >>> bits) << bits, depth, Math.max(SEGMENT_MIN, old.length * 2))
    this.move(old)
  }

  /**
   * Two segments of the same size, by one bit more. Where that bit is the same for all of its rows they stay together, and by the next bit
   * they are cut: slots that come in their order fill a segment from one end, and moving them bit by bit took 5 to 10 ms.
   */
  private cut(top: number): void {
    const segment = this.segments[top]!
    const depth = segment.depth + 1
    const old = this.entries[top]!
    if (32 - this.topShift < depth) this.double()
    const first = this.entries.indexOf(old)
    const half = 2 ** (32 - this.topShift - depth)
    const side = depth < this.depthMax ? sideOf(old, depth) : BOTH
    if (side === BOTH) {
      this.place(first, depth, old.length)
      this.place(first + half, depth, old.length)
      return this.move(old)
    }
    const at = first + side * half
    this.place(first + half - side * half, depth, SEGMENT_MIN)
    this.segments.fill({ depth, count: segment.count }, at, at + half)
    this.cut(at)
  }

  private double(): void {
    this.entries = eachTwice(this.entries)
    this.segments = eachTwice(this.segments)
    this.shifts = Uint8Array.from(
      { length: this.shifts.length * 2 },
      (_, i) => this.shifts[i >> 1]!,
    )
    this.topShift--
  }

  /** An empty segment in place of what is there from `first` on. */
  private place(first: number, depth: number, size: number): void {
    const n = 2 ** (32 - this.topShift - depth)
    const pairBits = 31 - Math.clz32(size >> 1)
    this.entries.fill(new Int32Array(size), first, first + n)
    this.segments.fill({ depth, count: 0 }, first, first + n)
    this.shifts.fill(Math.max(0, 32 - depth - pairBits), first, first + n)
  }

  private move(old: Int32Array): void {
    for (let i = 0; i < old.length; i += 2) {
      if (old[i + 1]! === 0) continue
      const hash = old[i]!
      const top = hash >>> this.topShift
      this.segments[top]!.count++
      put(this.entries[top]!, this.shifts[top]!, hash, old[i + 1]! - 1)
    }
  }

  delete(hash: number, row: Row): void {
    const top = hash >>> this.topShift
    const entries = this.entries[top]!
    const shift = this.shifts[top]!
    const mask = (entries.length >> 1) - 1
    let i = (hash >>> shift) & mask
    while (entries[2 * i + 1]! !== row + 1) i = (i + 1) & mask
    unlink(entries, shift, mask, i)
    this.segments[top]!.count--
  }

  /** Rows of one slot: from the place of its least hash on, and on behind that of its greatest to the end of the run. */
  ofSlot(slot: number, slotBits: number): Row[] {
    const below = 32 - slotBits
    const least = (slot << below) >>> 0
    const top = least >>> this.topShift
    const entries = this.entries[top]!
    const shift = this.shifts[top]!
    const mask = (entries.length >> 1) - 1
    const start = (least >>> shift) & mask
    const places = (((least | ((1 << below) - 1)) >>> shift) & mask) - start
    const rows: Row[] = []
    for (let k = 0; k <= mask; k++) {
      const i = (start + k) & mask
      const row = entries[2 * i + 1]! - 1
      if (row < 0 && k >= places) break
      if (row >= 0 && entries[2 * i]! >>> below === slot) rows.push(row)
    }
    return rows
  }

  get bytes(): number {
    return [...new Set(this.entries)].reduce((sum, e) => sum + e.byteLength, 0)
  }
}

/** By `push`: an array of `flatMap` is of another kind to the engine, and the code for the one does not run on the other. */
function eachTwice<T>(all: readonly T[]): T[] {
  const twice: T[] = []
  for (const one of all) twice.push(one, one)
  return twice
}

const BOTH = 2

/** Rather than doubled; `bit` is the next one. */
function isToCut(entries: Int32Array, bit: number): boolean {
  const { length } = entries
  if (length < SEGMENT_UNEVEN) return false
  return length >= SEGMENT_MAX || sideOf(entries, bit) !== BOTH
}

/** The half that all of a segment's rows fall into by this bit of their hashes, counted from the top; or both. */
function sideOf(entries: Int32Array, bit: number): number {
  let sides = 0
  for (let i = 0; i < entries.length && sides !== 3; i += 2) {
    if (entries[i + 1]! !== 0) sides |= 1 << ((entries[i]! >>> (32 - bit)) & 1)
  }
  return sides === 3 ? BOTH : sides >> 1
}

function put(entries: Int32Array, shift: number, hash: number, row: Row): void {
  const mask = (entries.length >> 1) - 1
  let i = (hash >>> shift) & mask
  while (entries[2 * i + 1]! !== 0) i = (i + 1) & mask
  entries[2 * i] = hash
  entries[2 * i + 1] = row + 1
}

/** Empties place `i` and closes the gap, so that no tombstones slow later searches (Knuth 6.4, algorithm R). */
function unlink(entries: Int32Array, shift: number, mask: number, i: number): void {
  let gap = i
  for (let j = (i + 1) & mask; entries[2 * j + 1]! !== 0; j = (j + 1) & mask) {
    const home = (entries[2 * j]! >>> shift) & mask
    if (((j - home) & mask) < ((j - gap) & mask)) continue
    entries[2 * gap] = entries[2 * j]!
    entries[2 * gap + 1] = entries[2 * j + 1]!
    gap = j
  }
  entries[2 * gap + 1] = 0
}
