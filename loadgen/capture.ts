import { invariant, RehomeError } from '../bus/index.ts'
import { type CaptureFile, openFile } from './capture-file.ts'
import { type CaptureProblems, type CaptureReader, CaptureRecord } from './capture-record.ts'
import { PcapReader, pcapFormat } from './pcap.ts'
import { isPcapNg, PcapNgReader } from './pcapng.ts'

/**
 * Opens a capture, pcap or pcapng, told apart by its first bytes. A path must lead to a plain file and is closed with
 * the reader; `spool` makes a file of standard input, pipes and gzip, and whoever spooled it closes it.
 */
export function openCapture(where: string | CaptureFile): CaptureReader {
  if (typeof where !== 'string') return readerOf({ ...where, close() {} })
  const file = openFile(where)
  try {
    return readerOf(file)
  } catch (error) {
    file.close()
    throw error
  }
}

function readerOf(file: CaptureFile): CaptureReader {
  const bytes = new Uint8Array(4)
  const head = new DataView(bytes.buffer, 0, file.read(bytes, 0, 4, 0))
  const format = pcapFormat(head)
  if (format) return new PcapReader(file, format)
  if (isPcapNg(head)) return new PcapNgReader(file)
  const what = file.size === 0 ? 'it is empty' : 'it starts like neither pcap nor pcapng'
  throw new RehomeError('bad-input', `${file.name} is no capture: ${what}`)
}

/** Number of packets in a capture, as its reader will hand them out. */
export function countPackets(where: string | CaptureFile): number {
  const reader = openCapture(where)
  const record = new CaptureRecord()
  let packets = 0
  while (reader.next(record)) packets++
  reader.close()
  return packets
}

/** Between the last packet of one round and the first of the next. */
const LOOP_GAP_US = 1_000

/**
 * The same packets `times` over. Packet time goes on: each round is shifted by the span of the capture and a
 * millisecond, so that no round begins before the one before has ended.
 */
export function looped(reader: CaptureReader, times: number): CaptureReader {
  invariant(times >= 1, 'a capture is looped once or more')
  return new LoopedReader(reader, times)
}

class LoopedReader implements CaptureReader {
  private readonly reader: CaptureReader
  private readonly times: number
  private round = 0
  private shiftUs = 0
  private firstUs = Number.POSITIVE_INFINITY
  private lastUs = Number.NEGATIVE_INFINITY

  constructor(reader: CaptureReader, times: number) {
    this.reader = reader
    this.times = times
  }

  get name(): string {
    return this.reader.name
  }
  /** Of the round that runs: the same file has the same problems each time. */
  get problems(): CaptureProblems {
    return this.reader.problems
  }

  next(record: CaptureRecord): boolean {
    if (!this.reader.next(record) && !this.again(record)) return false
    if (this.round === 0) this.see(record.timeUs)
    record.timeUs += this.shiftUs
    return true
  }

  /** The next round's first packet; false after the last round, and for a capture without packets. */
  private again(record: CaptureRecord): boolean {
    if (this.round + 1 >= this.times || this.firstUs > this.lastUs) return false
    this.round++
    this.shiftUs += this.lastUs - this.firstUs + LOOP_GAP_US
    this.reader.rewind()
    return this.reader.next(record)
  }

  /** Captures merged from several are not always in order, so the span is of all packets. */
  private see(timeUs: number): void {
    if (timeUs < this.firstUs) this.firstUs = timeUs
    if (timeUs > this.lastUs) this.lastUs = timeUs
  }

  rewind(): void {
    this.reader.rewind()
    this.round = 0
    this.shiftUs = 0
  }

  close(): void {
    this.reader.close()
  }
}
