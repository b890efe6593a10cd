/** A letter's small one, and every other byte itself. */
export const FOLD = Uint8Array.from({ length: 256 }, (_, c) => (c >= 65 && c <= 90 ? c + 32 : c))

/**
 * Finds which of many patterns stand in a text in one pass over it (Aho and Corasick, 1975). Letters are folded,
 * so that one automaton serves patterns with and without `nocase`; who needs the case looks again.
 *
 * The automaton is a full table over the byte classes that the patterns use: a step is one load. States are
 * numbered by depth, as traffic seldom leads beyond the third: those rows lie together and stay in the cache. A
 * thousand patterns of 10 bytes over 60 classes take 2.4 MB.
 */
export class AhoCorasick {
  private readonly classes: Uint8Array
  private readonly width: number
  /** Where the next state's row starts; its complement, if patterns end in that state. */
  private readonly next: Int32Array
  /** Values of the patterns that end in a state. */
  private readonly outputs: (readonly number[] | undefined)[]
  private readonly shortest: number

  /** `patterns` are in small letters; `values` are what each of them stands for. */
  constructor(patterns: readonly Uint8Array[], values: readonly (readonly number[])[]) {
    const { classes, width } = byteClasses(patterns)
    this.classes = classes
    this.width = width
    this.shortest = Math.min(...patterns.map((p) => p.length), Number.MAX_SAFE_INTEGER)
    const trie = trieOf(patterns, classes)
    this.outputs = new Array<readonly number[] | undefined>(trie.children.length)
    this.next = new Int32Array(trie.children.length * width)
    this.fill(trie, values)
  }

  /** Row by row in order of depth: where a state has no child, it goes where its longest suffix would. */
  private fill(trie: Trie, values: readonly (readonly number[])[]): void {
    const { next, width, outputs } = this
    const order = [0]
    const fallback = new Int32Array(trie.children.length)
    for (let row = 0; row < order.length; row++) {
      const node = order[row]!
      const back = fallback[row]!
      const inherited = row === 0 ? [] : (outputs[back] ?? [])
      const own = (trie.outputs[node] ?? []).flatMap((pattern) => values[pattern]!)
      const all = [...own, ...inherited]
      if (all.length > 0) outputs[row] = all
      const children = trie.children[node]!
      for (let c = 0; c < width; c++) {
        const child = children.get(c)
        const elsewhere = row === 0 ? 0 : next[back * width + c]!
        if (child === undefined) next[row * width + c] = elsewhere
        else {
          fallback[order.length] = elsewhere
          next[row * width + c] = order.length
          order.push(child)
        }
      }
    }
    for (let i = 0; i < next.length; i++) {
      const to = next[i]!
      next[i] = outputs[to] === undefined ? to * width : ~(to * width)
    }
  }

  /** Calls `found` with the values of each pattern that stands in [low, high); possibly more than once. */
  search(bytes: Uint8Array, low: number, high: number, found: (value: number) => void): void {
    if (high - low < this.shortest) return
    const { next, classes, width, outputs } = this
    let state = 0
    for (let i = low; i < high; i++) {
      state = next[state + classes[bytes[i]!]!]!
      if (state >= 0) continue
      state = ~state
      for (const value of outputs[state / width]!) found(value)
    }
  }
}

interface Trie {
  readonly children: Map<number, number>[]
  readonly outputs: (number[] | undefined)[]
}

function trieOf(patterns: readonly Uint8Array[], classes: Uint8Array): Trie {
  const children: Map<number, number>[] = [new Map()]
  const outputs: (number[] | undefined)[] = [undefined]
  for (const [index, pattern] of patterns.entries()) {
    let node = 0
    for (const byte of pattern) {
      const c = classes[byte]!
      let child = children[node]!.get(c)
      if (child === undefined) {
        child = children.push(new Map()) - 1
        outputs.push(undefined)
        children[node]!.set(c, child)
      }
      node = child
    }
    outputs[node] = [...(outputs[node] ?? []), index]
  }
  return { children, outputs }
}

/** A class for each byte that occurs in a pattern, one for all others. */
function byteClasses(patterns: readonly Uint8Array[]): { classes: Uint8Array; width: number } {
  const used = new Uint8Array(256)
  for (const pattern of patterns) for (const byte of pattern) used[byte] = 1
  const classOf = new Uint8Array(256)
  let width = 1
  for (let b = 0; b < 256; b++) if (used[b] === 1 && width < 256) classOf[b] = width++
  const classes = new Uint8Array(256)
  for (let b = 0; b < 256; b++) classes[b] = classOf[FOLD[b]!]!
  return { classes, width }
}
