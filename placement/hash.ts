/** MurmurHash3's finalizer: every input bit changes each output bit with a chance of one half. */
export function mix(h: number): number {
  h ^= h >>> 16
  h = Math.imul(h, 0x85ebca6b)
  h ^= h >>> 13
  h = Math.imul(h, 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}

/** Hash (32 bits, unsigned) of the first `n` words: MurmurHash3 x86_32 over whole words. */
export function hashWords(words: Uint32Array, n: number): number {
  let h = n
  for (let i = 0; i < n; i++) {
    let k = Math.imul(words[i]!, 0xcc9e2d51)
    k = (k << 15) | (k >>> 17)
    h ^= Math.imul(k, 0x1b873593)
    h = (h << 13) | (h >>> 19)
    h = (Math.imul(h, 5) + 0xe6546b64) | 0
  }
  return mix(h)
}

/** 16,384 slots; a simulated cluster may have fewer, so that walks meet in them more often. */
export const SLOT_BITS = 14

/** The slot of a hash: its top bits, so that a table ordered by hash has each slot in one place. */
export function slotOf(hash: number, slotBits: number): number {
  return hash >>> (32 - slotBits)
}
