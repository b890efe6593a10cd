import { closeSync, openSync, writeSync } from 'node:fs'
import { RehomeError } from '../bus/index.ts'
import type { CaptureRecord } from './capture-record.ts'
import { PACKET_BYTES_MAX } from './pcap.ts'

/** Bytes gathered before they are written: one system call for some thousand packets. */
const BUFFER_BYTES = 1 << 20
const FILE_HEADER_BYTES = 24
const RECORD_HEADER_BYTES = 16

/** Writes packets to a pcap file (2.4, little-endian), with times in µs or ns. */
export class PcapWriter {
  /** Packets not written, since a pcap file has one link type and theirs is another. */
  refused = 0
  private readonly fd: number
  private readonly path: string
  private readonly linkType: number
  private readonly ticksPerSecond: number
  private readonly buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES)
  private readonly view = new DataView(this.buffer.buffer)
  private pos = FILE_HEADER_BYTES

  constructor(path: string, options: { linkType: number; resolution?: 'us' | 'ns' }) {
    this.path = path
    this.linkType = options.linkType
    const nanoseconds = options.resolution === 'ns'
    this.ticksPerSecond = nanoseconds ? 1e9 : 1e6
    try {
      this.fd = openSync(path, 'w')
    } catch (error) {
      throw this.failure(error)
    }
    this.view.setUint32(0, nanoseconds ? 0xa1b23c4d : 0xa1b2c3d4, true)
    this.view.setUint16(4, 2, true)
    this.view.setUint16(6, 4, true)
    this.view.setUint32(8, 0)
    this.view.setUint32(12, 0)
    this.view.setUint32(16, PACKET_BYTES_MAX, true)
    this.view.setUint32(20, options.linkType, true)
  }

  write(record: CaptureRecord): void {
    const length = record.end - record.start
    if (record.linkType !== this.linkType || length > PACKET_BYTES_MAX) {
      this.refused++
      return
    }
    if (this.pos + RECORD_HEADER_BYTES + length > BUFFER_BYTES) this.flush()
    const view = this.view
    const seconds = Math.floor(record.timeUs / 1e6)
    // Rounding may reach the next second only for ns, where a double has no finer steps than 0.25 µs anyway.
    const ticks = Math.round((record.timeUs - seconds * 1e6) * (this.ticksPerSecond / 1e6))
    view.setUint32(this.pos, seconds, true)
    view.setUint32(this.pos + 4, Math.min(ticks, this.ticksPerSecond - 1), true)
    view.setUint32(this.pos + 8, length, true)
    view.setUint32(this.pos + 12, record.wireLength, true)
    this.pos += RECORD_HEADER_BYTES
    this.buffer.set(record.bytes.subarray(record.start, record.end), this.pos)
    this.pos += length
  }

  close(): void {
    this.flush()
    closeSync(this.fd)
  }

  private flush(): void {
    try {
      for (let at = 0; at < this.pos; ) at += writeSync(this.fd, this.buffer, at, this.pos - at)
    } catch (error) {
      throw this.failure(error)
    }
    this.pos = 0
  }

  private failure(error: unknown): RehomeError {
    const why = error instanceof Error ? error.message : String(error)
    return new RehomeError('bad-argument', `cannot write ${this.path}: ${why}`, { path: this.path })
  }
}
