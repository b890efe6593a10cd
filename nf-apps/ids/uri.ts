/**
 * A request's URI in the one form that rules are written against: escapes decoded, backslashes turned, doubled
 * slashes and dot segments gone from the path. What follows the ? is decoded only.
 */
export function normalizeUri(raw: Uint8Array): Uint8Array {
  const start = pathStart(raw)
  const query = raw.indexOf(QUESTION, start)
  const pathEnd = query < 0 ? raw.length : query
  const out = new Uint8Array(raw.length)
  let length = decode(raw, start, pathEnd, out, 0)
  length = normalizePath(out, length)
  if (query >= 0) length = decode(raw, query, raw.length, out, length)
  return out.subarray(0, length)
}

const SLASH = 0x2f
const BACKSLASH = 0x5c
const DOT = 0x2e
const QUESTION = 0x3f
const PERCENT = 0x25

/** Behind scheme and host of an absolute URI; 0 of any other. */
function pathStart(raw: Uint8Array): number {
  const scheme = /^[a-zA-Z][a-zA-Z0-9+.-]*:\/\/[^/?#]*/.exec(latin1(raw.subarray(0, 512)))
  return scheme ? scheme[0].length : 0
}

export function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1')
}

/** %41 and %u0041 to their bytes, of the latter the lower one; what is no escape stays. */
function decode(from: Uint8Array, low: number, high: number, to: Uint8Array, at: number): number {
  let out = at
  for (let i = low; i < high; i++) {
    const c = from[i]!
    if (c !== PERCENT) {
      to[out++] = c
      continue
    }
    const wide = i + 5 < high && (from[i + 1]! | 0x20) === 0x75
    const digits = wide ? i + 2 : i + 1
    const count = wide ? 4 : 2
    const value = hexValue(from, digits, Math.min(high, digits + count), count)
    if (value < 0) to[out++] = c
    else {
      to[out++] = value & 255
      i = digits + count - 1
    }
  }
  return out
}

function hexValue(bytes: Uint8Array, low: number, high: number, count: number): number {
  if (high - low !== count) return -1
  let value = 0
  for (let i = low; i < high; i++) {
    const digit = Number.parseInt(String.fromCharCode(bytes[i]!), 16)
    if (Number.isNaN(digit)) return -1
    value = value * 16 + digit
  }
  return value
}

/** Within `bytes[0, length)`, in place; answers the new length. */
function normalizePath(bytes: Uint8Array, length: number): number {
  let out = 0
  for (let i = 0; i < length; i++) {
    const c = bytes[i] === BACKSLASH ? SLASH : bytes[i]!
    if (c === SLASH && out > 0 && bytes[out - 1] === SLASH) continue
    bytes[out++] = c
  }
  return removeDots(bytes, out)
}

function removeDots(bytes: Uint8Array, length: number): number {
  let out = 0
  let i = 0
  while (i < length) {
    let end = i
    while (end < length && bytes[end] !== SLASH) end++
    const size = end - i
    const dots = size > 0 && size <= 2 && bytes[i] === DOT && bytes[end - 1] === DOT
    if (!dots) {
      for (; i < end; i++) bytes[out++] = bytes[i]!
      if (end < length) bytes[out++] = SLASH
    } else if (size === 2) out = parentOf(bytes, out)
    i = end + 1
  }
  return out
}

/** Where the path ends without its last segment: behind the slash before it. */
function parentOf(bytes: Uint8Array, length: number): number {
  let at = length - 1
  while (at > 0 && bytes[at - 1] !== SLASH) at--
  return Math.max(at, length > 0 ? 1 : 0)
}
