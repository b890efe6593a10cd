/** Network byte order, without checks: the caller has made sure of the bytes. */
export function u16(b: Uint8Array, i: number): number {
  return (b[i]! << 8) | b[i + 1]!
}

/** Signed. */
export function i32(b: Uint8Array, i: number): number {
  return (b[i]! << 24) | (b[i + 1]! << 16) | (b[i + 2]! << 8) | b[i + 3]!
}

export function u32(b: Uint8Array, i: number): number {
  return i32(b, i) >>> 0
}
