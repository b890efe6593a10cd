import type { Link } from './link.ts'
import type { MemberNo } from './port.ts'

/** Links that the recent ones are remembered for; a power of two. */
const RECENT = 16

/** The links of one member by the number of the peer: who is known, who is dead, who is still to come. */
export class LinkTable {
  readonly home: Link
  /** Takes what is written to a member that is dead. */
  readonly nobody: Link
  private readonly links = new Map<MemberNo, Link>()
  /** By the low bits of their number: most members talk to few at a time. */
  private readonly recent: Link[]
  private readonly make: (no: MemberNo) => Link
  /** Highest number that was opened or removed: a lower one without a link is dead, a higher one new. */
  private newest = 0
  /** Links above it: bounded, since a forged frame can name any number. */
  private strangers = 0
  private readonly strangersMax: number

  constructor(self: MemberNo, strangersMax: number, make: (no: MemberNo) => Link) {
    this.make = make
    this.strangersMax = strangersMax
    this.nobody = make(0)
    this.recent = new Array(RECENT).fill(this.nobody)
    this.home = make(self)
    this.links.set(self, this.home)
    this.reach(self)
  }

  open(no: MemberNo): void {
    this.reach(no)
    if (!this.links.has(no)) this.links.set(no, this.make(no))
  }

  /** The link that ends; undefined if there was none. One's own stays. */
  remove(no: MemberNo): Link | undefined {
    this.reach(no)
    const link = this.links.get(no)
    if (!link || link === this.home) return undefined
    this.links.delete(no)
    if (this.recent[no & (RECENT - 1)] === link) this.recent[no & (RECENT - 1)] = this.nobody
    return link
  }

  /** The link to `no`; a new one for a member of a view still to come; undefined for a dead one. */
  of(no: MemberNo): Link | undefined {
    const recent = this.recent[no & (RECENT - 1)]!
    return recent.no === no ? recent : this.find(no)
  }

  get(no: MemberNo): Link | undefined {
    return this.links.get(no)
  }

  all(): IterableIterator<Link> {
    return this.links.values()
  }

  private reach(no: MemberNo): void {
    if (no <= this.newest) return
    this.newest = no
    this.strangers = 0
    for (const known of this.links.keys()) if (known > no) this.strangers++
  }

  private find(no: MemberNo): Link | undefined {
    let link = this.links.get(no)
    if (!link) {
      if (no <= this.newest || this.strangers >= this.strangersMax) return undefined
      link = this.make(no)
      this.links.set(no, link)
      this.strangers++
    }
    this.recent[no & (RECENT - 1)] = link
    return link
  }
}
