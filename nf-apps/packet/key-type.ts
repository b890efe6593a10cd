/** How keys of one kind are encoded, placed and shown. */
export interface KeyType<K> {
  readonly name: string
  /** 32-bit words of the encoded key. */
  readonly words: number
  /** Fills out[0..words) and returns the unsigned 32-bit hash that places the key. */
  write(key: K, out: Uint32Array): number
  read(words: Uint32Array, at: number): K
  text(key: K): string
  parse(text: string): K
}
