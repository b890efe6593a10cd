import { RehomeError } from '../bus/index.ts'
import type { CaptureFile } from './capture-file.ts'
import {
  type CaptureProblem,
  type CaptureReader,
  type CaptureRecord,
  noProblems,
} from './capture-record.ts'
import { Window } from './capture-window.ts'
import { PACKET_BYTES_MAX } from './pcap.ts'

/** Reads the same in both byte orders, so that a section can be told before its order is known. */
const SECTION_HEADER = 0x0a0d0d0a
const INTERFACE = 1
const OLD_PACKET = 2
const SIMPLE_PACKET = 3
const ENHANCED_PACKET = 6

const BYTE_ORDER = 0x1a2b3c4d
const SECTION_BYTES_MIN = 28
const BLOCK_BYTES_MIN = 12
/** A longer block is a broken length: libpcap's and Wireshark's limit. */
const BLOCK_BYTES_MAX = 16 * 1024 * 1024
/** A section that describes more is not a capture's; the limit bounds the memory (some 10 MB). */
const INTERFACES_MAX = 65_536

const END_OF_OPTIONS = 0
const TIME_RESOLUTION = 9
const TIME_OFFSET = 14

/** What a section says of one interface: how its packets and their times are to be read. */
interface Interface {
  readonly linkType: number
  readonly snapLength: number
  /** A time is 64 bits of units; in µs it is units × multiply ÷ divide + offset. One of both is 1. */
  multiply: number
  divide: number
  offsetUs: number
}

export function isPcapNg(head: DataView): boolean {
  return head.byteLength >= 4 && head.getUint32(0) === SECTION_HEADER
}

/**
 * Reads a pcapng file: sections, each of its own byte order and with interfaces of its own; packets name their
 * interface, which gives link type and time resolution. Blocks of other types are skipped.
 */
export class PcapNgReader implements CaptureReader {
  readonly name: string
  problems = noProblems()
  private readonly file: CaptureFile
  private readonly window: Window
  private littleEndian = true
  private interfaces: Interface[] = []
  /** Simple packets carry no time: they get the time of the packet before, so that time goes on. */
  private lastTimeUs = 0
  private ended = false

  constructor(file: CaptureFile) {
    this.file = file
    this.name = file.name
    this.window = new Window(file)
    this.rewind()
    if (!this.section())
      throw new RehomeError(
        'bad-input',
        `${file.name}: its pcapng header is broken or of a version not known`,
      )
    this.rewind()
  }

  rewind(): void {
    this.window.rewind()
    this.problems = noProblems()
    if (this.file.problem) this.problems[this.file.problem]++
    this.interfaces = []
    this.lastTimeUs = 0
    this.ended = false
  }

  next(record: CaptureRecord): boolean {
    const window = this.window
    while (!this.ended) {
      if (window.end - window.pos < BLOCK_BYTES_MIN && !window.fill(BLOCK_BYTES_MIN))
        return this.stop(window.atEnd ? undefined : 'truncated')
      const type = window.view.getUint32(window.pos, this.littleEndian)
      if (type === SECTION_HEADER) {
        if (!this.section()) return false
        continue
      }
      const length = window.view.getUint32(window.pos + 4, this.littleEndian)
      if (!this.wholeBlock(type, length)) continue
      const end = window.pos + length
      const found = this.block(type, window.pos, end, record)
      window.pos = end
      if (found) return true
    }
    return false
  }

  close(): void {
    this.ended = true
    this.file.close()
  }

  /** Reads the block that starts at `at`; true when it gave a packet. */
  private block(type: number, at: number, end: number, record: CaptureRecord): boolean {
    const view = this.window.view
    if (type === ENHANCED_PACKET || type === OLD_PACKET) {
      if (end - at < 32) return this.skipPacket('bad-packet')
      // The old block has two bytes of interface, then two of a drop counter.
      const id =
        type === ENHANCED_PACKET
          ? view.getUint32(at + 8, this.littleEndian)
          : view.getUint16(at + 8, this.littleEndian)
      return this.packet(at, end, id, record)
    }
    if (type === SIMPLE_PACKET) return this.simplePacket(at, end, record)
    if (type === INTERFACE) this.describe(at, end)
    return false
  }

  /** Enhanced and old packet blocks differ only in how they name the interface. */
  private packet(at: number, end: number, id: number, record: CaptureRecord): boolean {
    const source = this.interfaces[id]
    if (!source) return this.skipPacket('bad-interface')
    const view = this.window.view
    const little = this.littleEndian
    const captured = view.getUint32(at + 20, little)
    if (captured > PACKET_BYTES_MAX) return this.skipPacket('oversized')
    if (at + 28 + captured > end - 4) return this.skipPacket('bad-packet')
    const high = view.getUint32(at + 12, little)
    const low = view.getUint32(at + 16, little)
    this.lastTimeUs = timeUs(source, high, low)
    return this.deliver(record, at + 28, captured, view.getUint32(at + 24, little), source)
  }

  /** Has no captured length: what the interface's snap length and the block leave of the packet. */
  private simplePacket(at: number, end: number, record: CaptureRecord): boolean {
    const source = this.interfaces[0]
    if (end - at < 16) return this.skipPacket('bad-packet')
    if (!source) return this.skipPacket('bad-interface')
    const onWire = this.window.view.getUint32(at + 8, this.littleEndian)
    const captured = Math.min(onWire, source.snapLength)
    if (captured > PACKET_BYTES_MAX) return this.skipPacket('oversized')
    if (at + 12 + captured > end - 4) return this.skipPacket('bad-packet')
    return this.deliver(record, at + 12, captured, onWire, source)
  }

  private deliver(
    record: CaptureRecord,
    start: number,
    captured: number,
    onWire: number,
    source: Interface,
  ): true {
    record.bytes = this.window.bytes
    record.start = start
    record.end = start + captured
    record.wireLength = onWire
    record.timeUs = this.lastTimeUs
    record.linkType = source.linkType
    return true
  }

  private skipPacket(problem: CaptureProblem): false {
    this.problems[problem]++
    return false
  }

  /**
   * Gets a block wholly into the window. False when that is not to be: the block is broken, and reading has ended,
   * or it is longer than the window, and has been skipped.
   */
  private wholeBlock(type: number, length: number): boolean {
    const window = this.window
    if (length < BLOCK_BYTES_MIN || length > BLOCK_BYTES_MAX || length % 4 !== 0)
      return this.stop('bad-block')
    if (length > window.left) return this.stop('truncated')
    if (length > window.capacity) return this.skipLongBlock(type, length)
    if (window.end - window.pos < length && !window.fill(length)) return this.stop('truncated')
    const trailer = window.view.getUint32(window.pos + length - 4, this.littleEndian)
    return trailer === length || this.stop('bad-block')
  }

  /** Over a megabyte: secrets, names, notes, or a packet beyond the limit. */
  private skipLongBlock(type: number, length: number): false {
    const window = this.window
    window.skip(length - 4)
    if (!window.fill(4)) return this.stop('truncated')
    if (window.view.getUint32(window.pos, this.littleEndian) !== length)
      return this.stop('bad-block')
    window.skip(4)
    if (type === ENHANCED_PACKET || type === SIMPLE_PACKET || type === OLD_PACKET)
      this.problems.oversized++
    // Its packets cannot be read without it, and its number is not to go to the next interface.
    return type === INTERFACE ? this.stop('bad-block') : false
  }

  /** Starts a section: byte order and interfaces anew. False when reading has ended. */
  private section(): boolean {
    const window = this.window
    if (!window.fill(SECTION_BYTES_MIN)) return this.stop('truncated')
    const little = window.view.getUint32(window.pos + 8, true) === BYTE_ORDER
    if (!little && window.view.getUint32(window.pos + 8, false) !== BYTE_ORDER)
      return this.stop('bad-section')
    const length = window.view.getUint32(window.pos + 4, little)
    const major = window.view.getUint16(window.pos + 12, little)
    if (major !== 1 || length < SECTION_BYTES_MIN) return this.stop('bad-section')
    this.littleEndian = little
    this.interfaces = []
    if (this.wholeBlock(SECTION_HEADER, length)) window.pos += length
    return !this.ended
  }

  private describe(at: number, end: number): void {
    if (end - at < 20 || this.interfaces.length >= INTERFACES_MAX) {
      this.problems['bad-interface']++
      return
    }
    const view = this.window.view
    const snapLength = view.getUint32(at + 12, this.littleEndian)
    const entry: Interface = {
      linkType: view.getUint16(at + 8, this.littleEndian),
      snapLength: snapLength > 0 ? snapLength : 0xffffffff,
      multiply: 1,
      divide: 1,
      offsetUs: 0,
    }
    this.interfaces.push(entry)
    this.options(entry, at + 16, end - 4)
  }

  /** Options are a code, a length and a value padded to four bytes; the block bounds them. */
  private options(entry: Interface, from: number, end: number): void {
    const view = this.window.view
    for (let at = from; at + 4 <= end; ) {
      const code = view.getUint16(at, this.littleEndian)
      const length = view.getUint16(at + 2, this.littleEndian)
      if (code === END_OF_OPTIONS) return
      if (at + 4 + length > end) {
        this.problems['bad-options']++
        return
      }
      if (code === TIME_RESOLUTION && length === 1) setResolution(entry, view.getUint8(at + 4))
      if (code === TIME_OFFSET && length === 8)
        entry.offsetUs = Number(view.getBigInt64(at + 4, this.littleEndian)) * 1e6
      at += 4 + ((length + 3) & ~3)
    }
  }

  private stop(problem: CaptureProblem | undefined): false {
    if (problem) this.problems[problem]++
    this.ended = true
    return false
  }
}

/** if_tsresol: units of 10^-n seconds, or of 2^-n when the top bit is set. */
function setResolution(entry: Interface, value: number): void {
  const n = value & 0x7f
  if (value & 0x80) entry.multiply = 1e6 / 2 ** n
  else if (n <= 6) entry.multiply = 10 ** (6 - n)
  else entry.divide = 10 ** (n - 6)
}

/** Divided high word first: the 64 bits together do not fit a double, the quotient does. */
function timeUs(source: Interface, high: number, low: number): number {
  const { divide } = source
  if (divide === 1) return (high * 4294967296 + low) * source.multiply + source.offsetUs
  const rest = high % divide
  const whole = (high - rest) / divide
  return whole * 4294967296 + (rest * 4294967296 + low) / divide + source.offsetUs
}
