import { type ByteReader, Kind, type MemberNo, RehomeError } from '../bus/index.ts'
import { HELD } from '../placement/index.ts'
import type { Core } from './core.ts'
import { ACTIVATION, ENTRY, HASH, HOME } from './layout.ts'
import { ABSENT, COLLECT, sayFound } from './reads.ts'
import type { AnyState, RuntimeType } from './runtime-type.ts'
import type { Row } from './table.ts'
import { writeArgs } from './values.ts'

interface Item {
  readonly key: unknown
  readonly state: AnyState
}

/** A collection under way. */
interface Collection {
  readonly type: RuntimeType
  readonly items: Item[]
  /** Members that have not said COLLECTED. */
  readonly owed: Set<MemberNo>
  readonly since: number
  found: number
  expected: number
  slots: number
  readonly epochs: Set<number>
  readonly resolve: (items: Item[]) => void
  readonly reject: (error: unknown) => void
}

/** A COLLECT that this instance works on, slot by slot behind the packets. */
interface Walk {
  readonly type: RuntimeType
  readonly by: MemberNo
  readonly id: number
  /** Slots change hands from view to view: an answer is good for one. */
  readonly epoch: number
  slot: number
  slots: number
  count: number
}

/** How long until a collection that met a view change is begun again (ms). */
const RETRY_MS = 50

/**
 * All actors of a type, each that exists throughout once: every slot owner goes through its directory and
 * has each home tell the collector. If a handoff let a slot slip through, the collection begins again.
 */
export class Collects {
  private readonly core: Core
  private readonly collections = new Map<number, Collection>()
  private walks: Walk[] = []

  constructor(core: Core) {
    this.core = core
  }

  all(type: RuntimeType): Promise<Item[]> {
    return new Promise((resolve, reject) => {
      this.begin(type, resolve, reject, this.core.clock.now())
    })
  }

  private begin(
    type: RuntimeType,
    resolve: Collection['resolve'],
    reject: Collection['reject'],
    since: number,
  ): void {
    const { core } = this
    const role = core.model === 'remote-only' ? 'store' : 'instance'
    const asked = (no: MemberNo) => core.readsOf === 0 || core.readsOf === no
    const instances = core.view?.members.filter((m) => m.role === role && asked(m.no)) ?? []
    const id = core.nextRequest()
    const owed = new Set(instances.map((m) => m.no))
    const counts = { found: 0, expected: 0, slots: 0, epochs: new Set<number>() }
    this.collections.set(id, { type, items: [], owed, since, ...counts, resolve, reject })
    for (const no of owed) {
      const w = core.out.begin(no, Kind.COLLECT)
      w.u8(type.id)
      w.u32(core.self)
      w.u32(id)
      core.out.end()
    }
  }

  onCollect(r: ByteReader): void {
    const epoch = this.core.view?.epoch ?? 0
    const from = { type: this.core.type(r), by: r.u32(), id: r.u32() }
    this.walks.push({ ...from, epoch, slot: 0, slots: 0, count: 0 })
  }

  onFound(r: ByteReader): void {
    const id = r.u32()
    const collection = this.collections.get(id)
    if (!collection) return // begun again meanwhile
    collection.found++
    if (r.u8() !== ABSENT) {
      const { type } = collection
      type.readWords(r)
      collection.items.push({ key: type.key.read(type.words, 0), state: type.readSnapshot(r) })
    }
    this.settle(id, collection)
  }

  onCollected(from: MemberNo, r: ByteReader): void {
    const id = r.u32()
    const collection = this.collections.get(id)
    if (!collection) return
    collection.expected += r.u32()
    collection.slots += r.u32()
    collection.epochs.add(r.u32())
    collection.owed.delete(from)
    this.settle(id, collection)
  }

  private settle(id: number, collection: Collection): void {
    const { core } = this
    if (collection.owed.size > 0 || collection.found < collection.expected) return
    this.collections.delete(id)
    const { type, resolve, reject, since } = collection
    const whole = collection.epochs.size === 1 && collection.slots === core.slots.state.length
    if (whole || core.model === 'local-only') resolve(collection.items)
    else core.clock.after(RETRY_MS, () => this.begin(type, resolve, reject, since))
  }

  /** A bounded step of the walks; true while there are any. */
  step(slotsMax: number): boolean {
    const walk = this.walks[0]
    // The slots that are still to come belong to the answer.
    if (!walk || this.core.slots.dueCount > 0) return false
    const end = Math.min(walk.slot + slotsMax, this.core.slots.state.length)
    for (; walk.slot < end; walk.slot++) {
      if (this.core.slots.state[walk.slot] !== HELD) continue
      walk.slots++
      this.walkSlot(walk)
    }
    if (end === this.core.slots.state.length) {
      this.walks.shift()
      const w = this.core.out.begin(walk.by, Kind.COLLECTED)
      w.u32(walk.id)
      w.u32(walk.count)
      w.u32(walk.epoch === (this.core.view?.epoch ?? 0) ? walk.slots : 0)
      w.u32(walk.epoch)
      this.core.out.end()
    }
    return this.walks.length > 0
  }

  private walkSlot(walk: Walk): void {
    const { core } = this
    const { type } = walk
    for (const row of type.table.rowsOfSlot(walk.slot, core.slots.slotBits)) {
      const number = type.table.get(row, ACTIVATION)
      const isHome = number !== 0 && type.affairOf(row) === undefined
      if (core.model === 'local-only' ? number !== 0 : type.table.aside(row, ENTRY) !== 0) {
        walk.count++
        if (isHome) sayFound(core, type, row, walk.by, walk.id)
        else this.passOn(walk, row)
      }
    }
  }

  /** Its home is elsewhere, or something goes on with it here: the read finds its way. */
  private passOn(walk: Walk, row: Row): void {
    const { core } = this
    const { type } = walk
    type.table.keyOf(row, type.words)
    const home = type.table.aside(row, HOME)
    const w = core.about(home, Kind.READ_HOME, type, type.table.aside(row, HASH), type.words)
    w.u32(walk.by)
    w.u32(walk.id)
    w.u8(COLLECT)
    writeArgs(w, [])
    core.out.end()
  }

  timeOut(before: number): void {
    for (const [id, collection] of this.collections) {
      if (collection.since > before) continue
      this.collections.delete(id)
      const facts = { type: collection.type.name, missing: collection.owed.size }
      collection.reject(new RehomeError('timeout', 'a collection took too long', facts))
    }
  }

  memberGone(no: MemberNo): void {
    this.walks = this.walks.filter((walk) => walk.by !== no)
    for (const [id, collection] of [...this.collections]) {
      // What it had found or passed on is not known: begin again.
      this.collections.delete(id)
      const { type, resolve, reject, since } = collection
      this.begin(type, resolve, reject, since)
    }
  }

  get idle(): boolean {
    return this.collections.size === 0 && this.walks.length === 0
  }
}
