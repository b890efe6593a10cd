import { constants, inflateRawSync, inflateSync } from 'node:zlib'

/** Bytes a compressed body may become: what a bomb can make us allocate. */
const INFLATED_MAX = 1024 * 1024

/** Decompresses what there is of a body, cut off or not; bytes that are not compressed come back as they are. */
export function zlibPart(bytes: Uint8Array, gzip: boolean): Uint8Array {
  const settings = { finishFlush: constants.Z_SYNC_FLUSH, maxOutputLength: INFLATED_MAX }
  const packed = gzip ? bytes.subarray(gzipHeader(bytes)) : bytes
  const ways = packed === bytes ? [inflateSync, inflateRawSync] : [inflateRawSync]
  for (let length = packed.length; length > 0; length >>>= 1) {
    for (const way of ways) {
      try {
        return way(packed.subarray(0, length), settings)
      } catch (error) {
        if ((error as { code?: string }).code === 'ERR_BUFFER_TOO_LARGE') break
        if (way === ways[ways.length - 1]) return bytes
      }
    }
  }
  return bytes
}

const EXTRA = 4
const NAME = 8
const COMMENT = 16
const HEADER_CRC = 2

/**
 * Length of a gzip header (RFC 1952), 0 if there is none. Read here as browsers do: what is wrong with its checksums
 * or its reserved flags, which zlib would refuse, does not matter to them.
 */
function gzipHeader(bytes: Uint8Array): number {
  if (bytes.length < 10 || bytes[0] !== 0x1f || bytes[1] !== 0x8b || bytes[2] !== 8) return 0
  const flags = bytes[3]!
  let at = 10
  if ((flags & EXTRA) !== 0) at += 2 + ((bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8))
  for (const text of [NAME, COMMENT]) {
    if ((flags & text) === 0) continue
    while (at < bytes.length && bytes[at] !== 0) at++
    at++
  }
  if ((flags & HEADER_CRC) !== 0) at += 2
  return Math.min(at, bytes.length)
}
