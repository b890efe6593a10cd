import { type ByteReader, invariant, Kind, type MemberNo } from '../bus/index.ts'
import type { Core } from './core.ts'
import type { Homes } from './homes.ts'
import { EXISTING, GIVEN_UP, LENT, LENT_FRESH, NOTHING, REMOVAL, REMOVED } from './loans.ts'
import type { PacketTime, RuntimeType } from './runtime-type.ts'
import type { Row } from './table.ts'
import { Waiter } from './waiters.ts'

/**
 * The store's side of `remote-only`: it is the home of all actors, and lends a single-writer one's state to one turn at a time. To
 * the rest of the space a loan is a turn that is suspended, so other turns, reads and removals queue behind it
 * as they do elsewhere. A record does not move while it is lent: its number is the loan's ticket.
 */
export class Lender {
  private readonly core: Core
  private readonly homes: Homes
  private out = 0

  constructor(core: Core, homes: Homes) {
    this.core = core
    this.homes = homes
  }

  onTake(by: MemberNo, r: ByteReader): void {
    const { core, homes } = this
    const type = core.type(r)
    const hash = r.u32()
    type.readWords(r)
    const id = r.u32()
    const how = r.u8()
    // Expiry goes by the time of the packet whose turn it is.
    const time = { us: type.expiry === undefined ? 0 : r.f64() }
    if (how === REMOVAL) return this.remove(type, by, id, time)
    const found = type.table.find(hash, type.words)
    if (homes.isAbsent(type, hash, found)) {
      if (how === EXISTING) return this.say(by, id, NOTHING)
      return this.lend(type, homes.make(type, hash), by, id, true)
    }
    this.serve(type, found, by, id, how === EXISTING, time)
  }

  private serve(
    type: RuntimeType,
    row: Row,
    by: MemberNo,
    id: number,
    mustExist: boolean,
    { us }: PacketTime,
  ): void {
    const turn = (state: unknown, created: boolean) => {
      if (state === undefined) this.say(by, id, NOTHING)
      else this.lend(type, row, by, id, created)
    }
    if (type.table.isStill(row)) {
      this.homes.turns.over(type, row, turn, mustExist, false, { us })
      return
    }
    const waiter = new Waiter(turn, mustExist, us, this.core.clock.now())
    waiter.fail = () => this.say(by, id, GIVEN_UP)
    this.homes.want(type, row, waiter)
  }

  private lend(type: RuntimeType, row: Row, by: MemberNo, id: number, fresh: boolean): void {
    const affair = type.needAffair(row)
    affair.busy = true
    affair.lentTo = by
    this.out++
    const w = this.core.out.begin(by, Kind.LENT)
    w.u32(id)
    w.u8(fresh ? LENT_FRESH : LENT)
    w.u32(row)
    type.table.encode(row, w)
    this.core.out.end()
  }

  onPut(r: ByteReader): void {
    const type = this.core.type(r)
    const row = r.u32()
    invariant(type.affairOf(row)?.busy === true, 'what is put back was lent')
    type.table.decode(row, r)
    this.back(type, row)
  }

  private back(type: RuntimeType, row: Row): void {
    const affair = type.needAffair(row)
    affair.busy = false
    affair.lentTo = 0
    this.out--
    this.homes.run(type, row, affair)
  }

  private remove(type: RuntimeType, by: MemberNo, id: number, time: PacketTime): void {
    const removed = this.homes.turns.remove(type, type.key.read(type.words, 0), time)
    const answer = (was: unknown) => this.say(by, id, was === true ? REMOVED : NOTHING)
    if (removed instanceof Promise) removed.then(answer, () => this.say(by, id, GIVEN_UP))
    else answer(removed)
  }

  private say(by: MemberNo, id: number, what: number): void {
    const w = this.core.out.begin(by, Kind.LENT)
    w.u32(id)
    w.u8(what)
    this.core.out.end()
  }

  /** A borrower is gone for good: what its turns did to the states they had went with it. */
  memberGone(no: MemberNo): void {
    for (const type of this.core.types) {
      for (const [row, affair] of [...type.openAffairs()]) {
        if (affair.lentTo === no) this.back(type, row)
      }
    }
  }

  get idle(): boolean {
    return this.out === 0
  }
}
