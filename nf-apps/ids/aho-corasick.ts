/**
 * Finds which of many patterns stand in a text in one pass over it (Aho and Corasick, 1975). Letters are folded,
 * so that one automaton serves patterns with and without `nocase`; who needs the case looks again.
 *
 * The automaton is a full table over the byte classes that the patterns use: a step is one load. A
 * thousand patterns of 10 bytes over 60 classes take 2.4 MB.
 */
export class AhoCorasick {
  private readonly classes: Uint8Array
  private readonly width: number
  private readonly next: Int32Array
  /** First output of a state; −1 for none. */
  private readonly output: Int32Array
  private readonly outputPattern: Int32Array
  private readonly outputNext: Int32Array
  private readonly shortest: number

  /** `patterns` are in small letters. */
  constructor(patterns: readonly Uint8Array[], fold: Uint8Array) {
    const { classes, width } = byteClasses(patterns, fold)
    const states = 1 + patterns.reduce((sum, p) => sum + p.length, 0)
    this.classes = classes
    this.width = width
    this.next = new Int32Array(states * width).fill(-1)
    this.output = new Int32Array(states).fill(-1)
    this.outputPattern = new Int32Array(patterns.length)
    this.outputNext = new Int32Array(patterns.length).fill(-1)
    this.shortest = patterns.reduce(
      (least, p) => Math.min(least, p.length),
      Number.MAX_SAFE_INTEGER,
    )
    for (const [i, pattern] of patterns.entries()) this.addPattern(pattern, i)
    this.link()
  }

  private used = 1

  private addPattern(pattern: Uint8Array, index: number): void {
    let state = 0
    for (const byte of pattern) {
      const at = state * this.width + this.classes[byte]!
      if (this.next[at]! < 0) this.next[at] = this.used++
      state = this.next[at]!
    }
    this.outputPattern[index] = index
    this.outputNext[index] = this.output[state]!
    this.output[state] = index
  }

  /** Where each state falls back to, folded into the table; outputs of the fallback are chained behind its own. */
  private outputFallback: Int32Array = new Int32Array(0)
  private link(): void {
    const { next, width, used } = this
    const fallback = new Int32Array(used)
    const queue = new Int32Array(used)
    const chain = new Int32Array(used).fill(0)
    let head = 0
    let tail = 0
    for (let c = 0; c < width; c++) {
      if (next[c]! < 0) next[c] = 0
      else queue[tail++] = next[c]!
    }
    while (head < tail) {
      const state = queue[head++]!
      const back = fallback[state]!
      chain[state] = this.output[back]! >= 0 ? back : chain[back]!
      for (let c = 0; c < width; c++) {
        const at = state * width + c
        const to = next[at]!
        const other = next[back * width + c]!
        if (to < 0) next[at] = other
        else {
          fallback[to] = other
          queue[tail++] = to
        }
      }
    }
    this.outputFallback = chain
  }

  /** Calls `found` for each pattern that ends somewhere in [low, high); possibly more than once. */
  search(bytes: Uint8Array, low: number, high: number, found: (pattern: number) => void): void {
    if (high - low < this.shortest) return
    const { next, classes, width, output, outputFallback } = this
    let state = 0
    for (let i = low; i < high; i++) {
      state = next[state * width + classes[bytes[i]!]!]!
      if (output[state]! < 0 && outputFallback[state] === 0) continue
      this.report(state, found)
    }
  }

  private report(from: number, found: (pattern: number) => void): void {
    let state = from
    do {
      for (let o = this.output[state]!; o >= 0; o = this.outputNext[o]!) {
        found(this.outputPattern[o]!)
      }
      state = this.outputFallback[state]!
    } while (state !== 0)
  }
}

/** A class for each byte that occurs in a pattern, one for all others. */
function byteClasses(
  patterns: readonly Uint8Array[],
  fold: Uint8Array,
): { classes: Uint8Array; width: number } {
  const used = new Uint8Array(256)
  for (const pattern of patterns) for (const byte of pattern) used[byte] = 1
  const classOf = new Uint8Array(256)
  let width = 1
  for (let b = 0; b < 256; b++) if (used[b] === 1 && width < 256) classOf[b] = width++
  const classes = new Uint8Array(256)
  for (let b = 0; b < 256; b++) classes[b] = classOf[fold[b]!]!
  return { classes, width }
}
