import { ByteWriter } from './bytes.ts'
import type { Link } from './link.ts'
import type { MemberNo } from './port.ts'

const NOWHERE = new ByteWriter(0)

/**
 * A message of many small parts that is being written: the next one goes behind the last, at `end`, without asking anybody, as long as
 * `goOn` says so. What a part costs `Links` (which link, which view, how long, how much credit) is settled for all of them together.
 *
 * Each is written whole or not at all. Where one begins, the link's slab has room for 200 bytes; who writes more asks for it, and the message goes on elsewhere.
 */
export class Parts {
  link!: Link
  w = NOWHERE
  /** Behind the last part. */
  end = 0
  /** Where they begin. */
  private start = 0
  /** Whom they are for; 0: they are settled. */
  private to: MemberNo = 0
  /** No part begins from here on: the message, or its frame, has as much as it takes. */
  private fullAt = 0

  /** The next part may go to `no`. */
  goOn(no: MemberNo): boolean {
    return this.to === no && this.end < this.fullAt
  }

  get isOpen(): boolean {
    return this.to !== 0
  }

  /** Behind what has been written to that link, in its last message, which has enough when it comes to `enoughAt`. */
  open(link: Link, enoughAt: number): this {
    this.link = link
    this.to = link.no
    this.w = link.w
    this.start = link.w.pos
    this.end = this.start
    this.fullAt = Math.min(link.fullAt, enoughAt)
    return this
  }

  /** Hands them over to the link, as the part that is being written; false: there are none. */
  settle(): boolean {
    const { link, start, end, to } = this
    if (to === 0) return false
    this.to = 0
    link.w.pos = end // also of one that was begun and given up
    link.partStart = start
    return end > start
  }
}
