import { Kind } from '../bus/index.ts'
import { DUE, ELSEWHERE, HELD } from '../placement/index.ts'
import type { Core } from './core.ts'
import type { Homes } from './homes.ts'
import { ACTIVATION, HASH } from './layout.ts'
import type { PacketTime, RuntimeType } from './runtime-type.ts'
import type { Row } from './table.ts'

/** What goes through all records here behind the packets, some at a time: a leaver's offers, and expiry. */
export class Sweeps {
  private readonly core: Core
  private readonly homes: Homes
  private releaseType = 0
  private releaseRow: Row = 0
  private expireType = 0
  private expireRow: Row = 0

  constructor(core: Core, homes: Homes) {
    this.core = core
    this.homes = homes
  }

  /** Begins another round of offers: actors that were busy, or whose slot was still here, may go now. */
  releaseAgain(): void {
    this.releaseType = 0
    this.releaseRow = 0
  }

  /** Offers a leaver's single-writer actors to their slot owners, some rows at a time; true while in a round. */
  release(rowsMax: number): boolean {
    for (let left = rowsMax; left > 0; left--) {
      const type = this.core.types[this.releaseType]
      if (!type) return false
      if (this.releaseRow >= type.table.rowsEnd || type.writers === 'multi') {
        this.releaseType++
        this.releaseRow = 0
      } else this.offer(type, this.releaseRow++)
    }
    return true
  }

  private offer(type: RuntimeType, row: Row): void {
    const { core } = this
    const number = type.table.get(row, ACTIVATION)
    if (number === 0) return
    const hash = type.table.aside(row, HASH)
    const affair = type.affairOf(row)
    if (affair && (affair.transfer || affair.busy || affair.released === number)) return
    const state = core.slots.state[core.slot(hash)]
    if (state === HELD || state === DUE) return // the slot leaves first
    if (core.model === 'stop-and-sync' && state !== ELSEWHERE) return // and its actors with it
    type.needAffair(row).released = number
    type.table.keyOf(row, type.words)
    const w = core.partAbout(core.owner(hash), Kind.RELEASE, type, hash, type.words)
    w.u32(number)
    w.u32(core.crash)
    core.endPart(w)
  }

  /** Removes actors whose time is over by then, `rowsMax` records at a time; true once round all of them. */
  expire(time: PacketTime, rowsMax: number): boolean {
    const { types } = this.core
    for (let left = rowsMax; left > 0; left--) {
      const type = types[this.expireType]
      if (!type) {
        this.expireType = 0
        return true
      }
      if (!type.expiry || this.expireRow >= type.table.rowsEnd) {
        this.expireType++
        this.expireRow = 0
      } else this.expireOne(type, this.expireRow++, time)
    }
    return false
  }

  private expireOne(type: RuntimeType, row: Row, time: PacketTime): void {
    if (!type.table.isStill(row)) return
    type.table.aim(type.cursor, row)
    if (this.homes.turns.isOver(type, type.cursor, time)) this.homes.removeActivation(type, row)
  }
}
