import { RehomeError } from '../bus/index.ts'
import { hashWords } from '../placement/index.ts'

/**
 * How the keys of an actor type are written as 32-bit words. Words compare without allocation, lie
 * beside the actor's state in its table, and travel as they are.
 */
export interface KeyType<K> {
  readonly name: string
  /** Words of an encoded key: the same for every key of the type. */
  readonly words: number
  /** The hash is the steering hash of the packets that the key is taken from. */
  readonly steered?: boolean
  /** Fills `out[0..words)`; answers the hash (32 bits, unsigned) that places the key. */
  write(key: K, out: Uint32Array): number
  read(words: Uint32Array, at: number): K
  text(key: K): string
  parse(text: string): K
  /** Saves most look-ups the writing of their keys. */
  readonly inPlace?: InPlace<K>
}

/** How a key is compared where it lies, for keys that come with their hash: a packet's, which steering has stamped. */
export interface InPlace<K> {
  /** Whether the two others may be asked; else the key is to be written. */
  isReady(key: K): boolean
  /** What `write` would answer, but signed: so it is one of the engine's small integers. */
  hash(key: K): number
  /** Whether `write` would have written the words from `at` on. */
  is(key: K, words: Int32Array, at: number): boolean
}

/** The key of a type that has a single actor. */
export const onlyKey: KeyType<'only'> = {
  name: 'only',
  words: 0,
  write: () => 0x9e3779b9, // any constant places it; this one has well mixed bits
  read: () => 'only',
  text: () => 'only',
  parse: () => 'only',
}

/** Whole numbers from 0 to 2^53 - 1. */
export const numberKey: KeyType<number> = {
  name: 'number',
  words: 2,
  write(key, out) {
    if (!Number.isSafeInteger(key) || key < 0) {
      throw new RehomeError('bad-argument', `a number key is a whole number from 0, not ${key}`)
    }
    out[0] = key >>> 0
    out[1] = key > 0xffffffff ? Math.floor(key / 2 ** 32) : 0 // a division costs as much as the hash
    return hashWords(out, 2)
  },
  read: (words, at) => words[at]! + words[at + 1]! * 2 ** 32,
  text: String,
  parse: Number,
}

/** Bytes of a text key: 15 words and one for the length keep a key within one cache line. */
const TEXT_KEY_BYTES = 60
const TEXT_KEY_WORDS = TEXT_KEY_BYTES / 4 + 1
const scratch = new Uint32Array(TEXT_KEY_WORDS)
const scratchBytes = new Uint8Array(scratch.buffer)
const encoder = new TextEncoder()
const decoder = new TextDecoder()

/** Texts of up to 60 bytes of UTF-8. */
export const textKey: KeyType<string> = {
  name: 'text',
  words: TEXT_KEY_WORDS,
  write(key, out) {
    scratch.fill(0)
    const { read, written } = encoder.encodeInto(key, scratchBytes.subarray(4))
    if (read < key.length) {
      const facts = { key: key.slice(0, 80) }
      throw new RehomeError('bad-argument', `a text key is over ${TEXT_KEY_BYTES} bytes`, facts)
    }
    scratch[0] = written
    out.set(scratch)
    return hashWords(scratch, TEXT_KEY_WORDS)
  },
  read(words, at) {
    scratch.set(words.subarray(at, at + TEXT_KEY_WORDS))
    return decoder.decode(scratchBytes.subarray(4, 4 + Math.min(scratch[0]!, TEXT_KEY_BYTES)))
  },
  text: (key) => key,
  parse: (text) => text,
}
