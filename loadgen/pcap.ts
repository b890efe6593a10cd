import { RehomeError } from '../bus/index.ts'
import type { CaptureFile } from './capture-file.ts'
import {
  type CaptureProblem,
  type CaptureReader,
  type CaptureRecord,
  noProblems,
} from './capture-record.ts'
import { Window } from './capture-window.ts'

/** A longer packet is a broken length: libpcap's and Wireshark's limit for all usual link types. */
export const PACKET_BYTES_MAX = 262_144

const FILE_HEADER_BYTES = 24
/** Read in the file's own byte order, a magic number says it all: resolution and record header. */
const magics = new Map([
  [0xa1b2c3d4, { tick: 1, recordBytes: 16 }],
  [0xa1b23c4d, { tick: 0.001, recordBytes: 16 }],
  // The "modified" format: each record header has 8 more bytes (interface, protocol, packet type).
  [0xa1b2cd34, { tick: 1, recordBytes: 24 }],
])

interface Format {
  readonly littleEndian: boolean
  /** Microseconds per unit of a record's fraction of a second. */
  readonly tick: number
  readonly recordBytes: number
}

/** What the first four bytes say; undefined when they are not a pcap's. */
export function pcapFormat(head: DataView): Format | undefined {
  if (head.byteLength < 4) return undefined
  for (const littleEndian of [true, false]) {
    const format = magics.get(head.getUint32(0, littleEndian))
    if (format) return { littleEndian, ...format }
  }
  return undefined
}

/** Reads a pcap file: one header, then records of a fixed header and the captured bytes. */
export class PcapReader implements CaptureReader {
  readonly name: string
  problems = noProblems()
  private readonly file: CaptureFile
  private readonly window: Window
  private readonly littleEndian: boolean
  private readonly tick: number
  private readonly recordBytes: number
  private readonly linkType: number
  /** libpcap hands out no more of a packet than this, whatever its record holds; so do we. */
  private readonly snapLength: number
  /** Before 2.4 writers disagreed which length comes first; the captured one is never the longer. */
  private readonly oldLengths: boolean
  private ended = false

  constructor(file: CaptureFile, format: Format) {
    this.file = file
    this.name = file.name
    this.window = new Window(file)
    this.littleEndian = format.littleEndian
    this.tick = format.tick
    this.recordBytes = format.recordBytes
    if (!this.window.fill(FILE_HEADER_BYTES))
      throw new RehomeError('bad-input', `${file.name}: the file ends inside the pcap header`)
    const view = this.window.view
    const [major, minor] = [
      view.getUint16(4, this.littleEndian),
      view.getUint16(6, this.littleEndian),
    ]
    if (major !== 2)
      throw new RehomeError('bad-input', `${file.name}: pcap version ${major}.${minor}, not 2.x`)
    this.oldLengths = minor < 4
    const snapLength = view.getUint32(16, this.littleEndian)
    this.snapLength = snapLength > 0 ? snapLength : PACKET_BYTES_MAX
    this.linkType = view.getUint32(20, this.littleEndian) & 0xffff
    this.rewind()
  }

  rewind(): void {
    this.window.rewind()
    this.window.skip(FILE_HEADER_BYTES)
    this.problems = noProblems()
    if (this.file.problem) this.problems[this.file.problem]++
    this.ended = false
  }

  next(record: CaptureRecord): boolean {
    const window = this.window
    const head = this.recordBytes
    if (this.ended) return false
    if (window.end - window.pos < head && !window.fill(head))
      return this.stop(window.atEnd ? undefined : 'truncated')
    const view = window.view
    const little = this.littleEndian
    const at = window.pos
    let captured = view.getUint32(at + 8, little)
    let onWire = view.getUint32(at + 12, little)
    if (this.oldLengths && captured > onWire) [captured, onWire] = [onWire, captured]
    if (captured > PACKET_BYTES_MAX) return this.stop('oversized')
    record.timeUs = view.getUint32(at, little) * 1e6 + view.getUint32(at + 4, little) * this.tick
    const whole = head + captured
    if (window.end - at < whole && !window.fill(whole)) return this.stop('truncated')
    const start = window.pos + head
    record.bytes = window.bytes
    record.start = start
    record.end = start + Math.min(captured, this.snapLength)
    record.wireLength = onWire
    record.linkType = this.linkType
    window.pos = start + captured
    return true
  }

  close(): void {
    this.ended = true
    this.file.close()
  }

  /** There is no way to find the next record behind a broken one, so a pcap ends there. */
  private stop(problem: CaptureProblem | undefined): false {
    if (problem) this.problems[problem]++
    this.ended = true
    return false
  }
}
