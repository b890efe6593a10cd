import { constants, gunzipSync, inflateRawSync, inflateSync } from 'node:zlib'

/** Bytes a compressed body may become: what a bomb can make us allocate. */
const INFLATED_MAX = 1024 * 1024

/** Decompresses what there is of a body, cut off or not; bytes that are not compressed come back as they are. */
export function zlibPart(bytes: Uint8Array, gzip: boolean): Uint8Array {
  const settings = { finishFlush: constants.Z_SYNC_FLUSH, maxOutputLength: INFLATED_MAX }
  const ways = gzip ? [gunzipSync, inflateSync] : [inflateSync, inflateRawSync]
  for (let length = bytes.length; length > 0; length >>>= 1) {
    for (const way of ways) {
      try {
        return way(bytes.subarray(0, length), settings)
      } catch (error) {
        if ((error as { code?: string }).code === 'ERR_BUFFER_TOO_LARGE') break
        if (way === ways[ways.length - 1]) return bytes
      }
    }
  }
  return bytes
}
