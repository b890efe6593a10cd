/**
 * Finds which of many byte strings occur in a payload, in one pass over it (Aho and Corasick, 1975).
 * The bytes that stand in no string share one column of the table, which keeps it small.
 */
export class LiteralScanner {
  private readonly columnOf = new Uint8Array(256)
  private readonly columns: number
  /** next[state * columns + column] */
  private readonly next: Uint32Array
  /** For each state the numbers of the strings that end there. */
  private readonly ends: (readonly number[] | undefined)[]

  /** Strings of latin1, not empty; a string's number is its place. */
  constructor(literals: readonly string[]) {
    let columns = 1
    for (const literal of literals) {
      for (let i = 0; i < literal.length; i++) {
        const code = literal.charCodeAt(i) & 255
        if (this.columnOf[code] === 0) this.columnOf[code] = columns++
      }
    }
    this.columns = columns
    const { next, ends } = this.trie(literals)
    this.ends = ends
    this.next = this.withFailures(next)
  }

  private trie(literals: readonly string[]) {
    const next: Int32Array[] = [new Int32Array(this.columns).fill(-1)]
    const ends: (number[] | undefined)[] = [undefined]
    for (const [number, literal] of literals.entries()) {
      let state = 0
      for (let i = 0; i < literal.length; i++) {
        const column = this.columnOf[literal.charCodeAt(i) & 255]!
        let to = next[state]![column]!
        if (to < 0) {
          to = next.push(new Int32Array(this.columns).fill(-1)) - 1
          next[state]![column] = to
          ends.push(undefined)
        }
        state = to
      }
      ends[state] = [...(ends[state] ?? []), number]
    }
    return { next, ends }
  }

  /** Breadth first, so that the state to fall back to is complete before it is needed. */
  private withFailures(trie: Int32Array[]): Uint32Array {
    const { columns, ends } = this
    const table = new Uint32Array(trie.length * columns)
    const fail = new Uint32Array(trie.length)
    const queue = [0]
    for (let head = 0; head < queue.length; head++) {
      const state = queue[head]!
      for (let column = 0; column < columns; column++) {
        const to = trie[state]![column]!
        const back = state === 0 ? 0 : table[fail[state]! * columns + column]!
        if (to < 0) {
          table[state * columns + column] = back
          continue
        }
        table[state * columns + column] = to
        fail[to] = back
        if (ends[back]) ends[to] = [...(ends[to] ?? []), ...ends[back]]
        queue.push(to)
      }
    }
    return table
  }

  /** Calls `found` with the number of each string, as often as it ends in bytes[from, to). */
  scan(bytes: Uint8Array, from: number, to: number, found: number[]): void {
    const { columnOf, columns, next, ends } = this
    let state = 0
    for (let i = from; i < to; i++) {
      state = next[state * columns + columnOf[bytes[i]!]!]!
      const here = ends[state]
      if (here) for (const number of here) if (!found.includes(number)) found.push(number)
    }
  }
}
