import type { CaptureFile } from './capture-file.ts'

/** Bytes read at a time: large enough that the system calls do not show (60 M packets/s were measured). */
const PIECE_BYTES = 1 << 20

/**
 * A window over a file, moved forwards by its reader: `pos` to `end` is at hand. It never holds more than one piece,
 * so a reader asks for at most `capacity` bytes at once and skips what is longer.
 */
export class Window {
  readonly bytes: Uint8Array
  readonly view: DataView
  readonly capacity: number
  pos = 0
  end = 0
  private readonly file: CaptureFile
  /** Position in the file of what comes after `end`. */
  private position = 0

  constructor(file: CaptureFile) {
    this.file = file
    // The size at opening bounds the reading, so a file that is still being written reads the same twice.
    this.capacity = Math.min(PIECE_BYTES, file.size)
    const buffer = Buffer.allocUnsafeSlow(this.capacity)
    this.bytes = buffer
    this.view = new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength)
  }

  /** Sees to it that `n` bytes are at hand from `pos`; false when the file ends before. */
  fill(n: number): boolean {
    if (this.end - this.pos >= n) return true
    if (n > this.capacity) return false
    this.bytes.copyWithin(0, this.pos, this.end)
    this.end -= this.pos
    this.pos = 0
    while (this.end < n) {
      const room = Math.min(this.capacity - this.end, this.file.size - this.position)
      const got = room > 0 ? this.file.read(this.bytes, this.end, room, this.position) : 0
      if (got === 0) return false
      this.end += got
      this.position += got
    }
    return true
  }

  /** Moves on by `n` bytes, read or not; past the end of the file nothing is at hand any more. */
  skip(n: number): void {
    const left = this.end - this.pos
    if (n <= left) {
      this.pos += n
      return
    }
    this.position = Math.min(this.file.size, this.position + n - left)
    this.pos = this.end = 0
  }

  /** Whether anything is left, at hand or not yet read. */
  get atEnd(): boolean {
    return this.pos === this.end && !this.fill(1)
  }

  /** Bytes from `pos` to the end of the file. */
  get left(): number {
    return this.end - this.pos + this.file.size - this.position
  }

  rewind(): void {
    this.pos = this.end = this.position = 0
  }
}
