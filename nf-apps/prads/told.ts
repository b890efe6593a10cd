import { hashWords } from '../../actors/index.ts'
import type { Host } from './host-key.ts'

/** Things told that are remembered, 40 bytes each; a power of two. */
const ROWS = 1 << 16
/** Of a row: the host's address and VLAN, and what was told of it; an empty row has 0 for that. */
const KEY_WORDS = 6
const PRESENCE = 1
/**
 * Seconds of packet time for which a stack that was told is not told again. An asset is lost with its home if that
 * crashes, and what the host shows afterwards is to be told anew.
 */
const GOOD_FOR = 60

/**
 * What this instance has told the assets lately, so that it tells them only what would change them: most connections
 * show what others of the same host have shown before. What has the place of something else puts it out; that is told
 * again when it is seen again, and changes nothing.
 */
export class Told {
  private readonly keys = new Uint32Array(ROWS * KEY_WORDS)
  /** Of a row: index and second of the packet that was told. */
  private readonly values = new Float64Array(ROWS * 2)
  private readonly wanted = new Uint32Array(KEY_WORDS)

  /** Whether the host's asset is to be told that it is there in this second. */
  isNewSecond(host: Host, second: number): boolean {
    const at = this.rowOf(host, PRESENCE) * 2
    if (this.values[at + 1] === second) return false
    this.values[at + 1] = second
    return true
  }

  /** Whether the host's asset is to be told of this stack: it keeps the packet of least index. */
  isNewStack(host: Host, kind: number, match: number, index: number, second: number): boolean {
    // `match` is −1 or more, `kind` has three bits: it is no other stack, and no PRESENCE.
    const at = this.rowOf(host, ((match + 2) << 3) | kind) * 2
    const { values } = this
    if (values[at]! <= index && Math.abs(second - values[at + 1]!) < GOOD_FOR) return false
    values[at] = index
    values[at + 1] = second
    return true
  }

  /** The row of what is told of a host: nothing is known of it if something else was there. */
  private rowOf({ ip, vlan }: Host, what: number): number {
    const { keys, wanted } = this
    wanted[0] = ip.w0
    wanted[1] = ip.w1
    wanted[2] = ip.w2
    wanted[3] = ip.w3
    wanted[4] = vlan
    wanted[5] = what
    const row = hashWords(wanted, KEY_WORDS) & (ROWS - 1)
    const at = row * KEY_WORDS
    let isOther = 0
    for (let i = 0; i < KEY_WORDS; i++) isOther |= keys[at + i]! ^ wanted[i]!
    if (isOther !== 0) {
      for (let i = 0; i < KEY_WORDS; i++) keys[at + i] = wanted[i]!
      this.values.fill(Number.NaN, row * 2, row * 2 + 2)
    }
    return row
  }
}
