import {
  closeSync,
  createReadStream,
  mkdtempSync,
  openSync,
  readSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { finished } from 'node:stream/promises'
import { constants, createGunzip, type Gunzip } from 'node:zlib'
import { RehomeError } from '../bus/index.ts'
import type { CaptureProblem } from './capture-record.ts'

/** Inflated at a time: each piece is a trip to the thread pool and back, and may be lost to a damage. */
const INFLATE_BYTES = 64 * 1024

/** Bytes that can be read from any position, any number of times. Several readers may share one. */
export interface CaptureFile {
  readonly name: string
  readonly size: number
  /** What went wrong when it was spooled, for the readers to count. */
  readonly problem: CaptureProblem | undefined
  /** Reads up to `length` bytes at `position` into `into`; 0 at the end. */
  read(into: Uint8Array, at: number, length: number, position: number): number
  close(): void
}

/** A capture in memory: for fixtures, and for fuzzing at speed. */
export function memoryFile(bytes: Uint8Array, name = 'memory'): CaptureFile {
  return {
    name,
    size: bytes.length,
    problem: undefined,
    read(into, at, length, position) {
      const piece = bytes.subarray(position, position + length)
      into.set(piece, at)
      return piece.length
    },
    close() {},
  }
}

/** Opens a capture where it lies. It must be a plain file: `spool` also takes pipes and gzip. */
export function openFile(path: string): CaptureFile {
  const file = plainFile(path)
  if (file) return file
  throw new RehomeError(
    'bad-input',
    `${path} is compressed or a pipe: it has to be spooled first`,
    {
      path,
    },
  )
}

/**
 * Makes any input a file that can be read twice: '-' (standard input), pipes and gzip are written out to a temporary
 * file that has no name any more when it is written, so that nothing is left behind however the process ends. A
 * plain file is opened as it is. Memory is bounded; the disk is bounded by its own size, and a full one is an error.
 */
export async function spool(path: string): Promise<CaptureFile> {
  if (path !== '-') return plainFile(path) ?? spoolStream(createReadStream(path), path)
  if (process.stdin.isTTY)
    throw new RehomeError('bad-input', 'standard input is a terminal: pipe a capture into it')
  return spoolStream(process.stdin, 'standard input')
}

/** Undefined for what can be read but not from any position: a pipe or compressed data. */
function plainFile(path: string): CaptureFile | undefined {
  let fd: number | undefined
  try {
    const stat = statSync(path)
    if (stat.isDirectory()) throw new Error('it is a directory')
    if (!stat.isFile()) return undefined
    fd = openSync(path, 'r')
    if (!isGzip(peek(fd))) return fdFile(fd, path, stat.size)
    closeSync(fd)
    return undefined
  } catch (error) {
    if (fd !== undefined) closeSync(fd)
    throw new RehomeError('bad-input', `cannot read ${path}: ${reason(error)}`, { path })
  }
}

function fdFile(fd: number, name: string, size: number, problem?: CaptureProblem): CaptureFile {
  return {
    name,
    size,
    problem,
    read(into, at, length, position) {
      try {
        return readSync(fd, into, at, length, position)
      } catch (error) {
        throw new RehomeError('bad-input', `cannot read ${name}: ${reason(error)}`, { path: name })
      }
    },
    close: () => closeSync(fd),
  }
}

async function spoolStream(source: Readable, name: string): Promise<CaptureFile> {
  let sink: Sink | undefined
  try {
    sink = new Sink()
    await drain(source, sink)
    if (sink.failure) throw sink.failure
  } catch (error) {
    if (sink) closeSync(sink.fd)
    throw new RehomeError('bad-input', `cannot spool ${name}: ${reason(error)}`, { path: name })
  }
  return fdFile(sink.fd, name, sink.size, sink.problem)
}

/** The temporary file that is being written. */
class Sink {
  readonly fd = temporaryFile()
  size = 0
  problem: CaptureProblem | undefined
  /** Kept, not thrown: an inflater's listener has nobody to catch it. */
  failure: unknown

  write(chunk: Uint8Array): void {
    if (this.failure) return
    try {
      for (let at = 0; at < chunk.length; ) at += writeSync(this.fd, chunk, at)
      this.size += chunk.length
    } catch (error) {
      this.failure = error
    }
  }
}

/** Writes all that comes to the sink, inflated if it starts like gzip. */
async function drain(source: Readable, sink: Sink): Promise<void> {
  let head: Buffer | undefined = Buffer.alloc(0)
  let gunzip: Gunzip | undefined
  for await (const chunk of source as AsyncIterable<Buffer>) {
    const piece: Buffer = head ? Buffer.concat([head, chunk]) : chunk
    if (head && piece.length < 2) {
      head = piece
      continue
    }
    if (head && isGzip(piece)) gunzip = inflateInto(sink)
    head = undefined
    if (!gunzip) sink.write(piece)
    else if (!gunzip.write(piece)) await roomIn(gunzip)
    if (sink.failure || gunzip?.destroyed) break
  }
  if (head) sink.write(head)
  if (!gunzip || gunzip.destroyed) return
  gunzip.end()
  await finished(gunzip).catch(() => {})
}

/** Resolves when the inflater takes more, or when damaged data have ended it. */
function roomIn(gunzip: Gunzip): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      gunzip.off('drain', done).off('close', done)
      resolve()
    }
    gunzip.on('drain', done).on('close', done)
  })
}

/**
 * What has been inflated before a damage is kept, but for at most one output chunk. Z_SYNC_FLUSH: a stream
 * that merely ends too early gives all it had, and the capture's last record shows the cut.
 */
function inflateInto(sink: Sink): Gunzip {
  const gunzip = createGunzip({ finishFlush: constants.Z_SYNC_FLUSH, chunkSize: INFLATE_BYTES })
  gunzip.on('data', (chunk: Buffer) => {
    sink.write(chunk)
    if (sink.failure) gunzip.destroy()
  })
  gunzip.on('error', () => {
    sink.problem = 'bad-gzip'
  })
  return gunzip
}

function isGzip(head: Uint8Array): boolean {
  return head[0] === 0x1f && head[1] === 0x8b
}

function peek(fd: number): Uint8Array {
  const head = new Uint8Array(2)
  readSync(fd, head, 0, 2, 0)
  return head
}

function temporaryFile(): number {
  const folder = mkdtempSync(join(tmpdir(), 'rehome-'))
  try {
    return openSync(join(folder, 'spool'), 'wx+', 0o600)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** What the system said, without its code and the call: "no such file or directory". */
function reason(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.message.replace(/^E[A-Z]+: /, '').replace(/, [a-z]+( '.*')?$/, '')
}
