import {
  ByteReader,
  type ByteWriter,
  type Clock,
  Kind,
  kindInfo,
  type MemberNo,
  RehomeError,
} from '../bus/index.ts'
import { DUE, HELD, Slots, type View } from '../placement/index.ts'
import { Calls } from './calls.ts'
import { Collects } from './collects.ts'
import {
  Core,
  defaultLimits,
  type Limits,
  type PlacementKind,
  type SpaceStats,
  type StateModel,
} from './core.ts'
import type { Definition } from './define.ts'
import { Directory } from './directory.ts'
import { handleOf, type Parts } from './handles.ts'
import { Homes } from './homes.ts'
import { ACTIVATION, ENTRY, HOME } from './layout.ts'
import { Lender } from './lender.ts'
import { Loans } from './loans.ts'
import { Reads } from './reads.ts'
import { Recovery } from './recovery.ts'
import { type PacketTime, RuntimeType } from './runtime-type.ts'
import { Sweeps } from './sweeps.ts'
import { Updates } from './updates.ts'

export interface SpaceOptions {
  readonly self: MemberNo
  /** The NF's actor types by name; their order is their number on the wire. */
  readonly types: Readonly<Record<string, Definition>>
  readonly out: Core['out']
  readonly clock: Clock
  readonly slotBits: number
  readonly placement?: PlacementKind
  readonly model?: StateModel
  /** This member has all actors, and lends them to the others' turns: the store of `remote-only`. */
  readonly isStore?: boolean
  readonly limits?: Partial<Limits>
}

/** A turn, call or read that waits, for people who ask what a packet is waiting for. */
export interface WaitingInfo {
  readonly type: string
  readonly key: string
  readonly waitsFor: string
  readonly ageMs: number
}

/** Records looked at in one background step: some tens of microseconds. */
const BACKGROUND_ROWS = 2048
const BACKGROUND_SLOTS = 64

/**
 * The actor space of one instance: what its handlers call, and what other instances' messages meet.
 *
 * A pure state machine: messages and views come in through `onMessage` and `onView`, messages go out
 * through `out`, time through `clock` and `tick`; `step` does what goes on behind the packets.
 */
export class Space {
  readonly core: Core
  /** What actors are reached by, one for each type name, by whoever handles no packet. */
  readonly handles: Readonly<Record<string, unknown>>
  onError: (what: string, error: unknown) => void = () => {}
  /** Every slot that the view gives this instance is here. */
  set onSettled(listener: (epoch: number) => void) {
    this.core.slots.onSettled = listener
  }

  private readonly directory: Directory
  private readonly homes: Homes
  private readonly recovery: Recovery
  private readonly sweeps: Sweeps
  private readonly calls: Calls
  private readonly updates: Updates
  private readonly reads: Reads
  private readonly collects: Collects
  private readonly loans: Loans
  private readonly lender: Lender
  private readonly parts: Parts
  /**
   * Messages that need a view that we do not have yet, in order. A sender's epochs never fall, so what it sends after
   * one of these waits too (rule 19).
   */
  private held: { from: MemberNo; kind: number; payload: Uint8Array; epoch: number }[] = []
  private leaving = false

  constructor(o: SpaceOptions) {
    const limits = o.limits ? { ...defaultLimits, ...o.limits } : defaultLimits
    const { self, out, clock, slotBits, placement = 'aligned', model = 'shared' } = o
    const isStore = o.isStore === true
    const types = Object.entries(o.types).map(
      ([name, keyed], id) => new RuntimeType(id, name, keyed, { slotBits, ...limits }),
    )
    const entries = {
      give: (slot: number, w: ByteWriter) => this.giveEntries(slot, w),
      take: (_slot: number, r: ByteReader) => this.takeEntries(r),
      drop: (slot: number) => this.dropEntries(slot),
    }
    const slots = new Slots({ self, slotBits, out, entries, ...limits })
    if (model === 'local-only' || isStore) slots.holdAll()
    this.core = new Core({ self, types, slots, out, clock, limits, placement, model })
    this.directory = new Directory(this.core)
    this.homes = new Homes(this.core, this.directory)
    this.recovery = new Recovery(this.core, this.homes, this.directory)
    this.sweeps = new Sweeps(this.core, this.homes)
    this.calls = new Calls(this.core, this.homes)
    this.updates = new Updates(this.core, this.homes, this.calls)
    this.reads = new Reads(this.core, this.homes)
    this.collects = new Collects(this.core)
    this.loans = new Loans(this.core)
    this.lender = new Lender(this.core, this.homes)
    const again = (kind: number, payload: Uint8Array) => this.again(kind, payload)
    this.calls.judge = (r) => this.judge(Kind.CALL, r)
    this.calls.judgeAgain = again
    this.updates.judgeAgain = again
    this.reads.judgeAgain = again
    this.updates.onError = (type, error) => this.onError(`an update of ${type.name}`, error)
    this.parts = {
      core: this.core,
      turns: model === 'remote-only' && !isStore ? this.loans : this.homes.turns,
      calls: this.calls,
      updates: this.updates,
      reads: this.reads,
      collects: this.collects,
    }
    this.handles = this.handlesAt({ us: 0 })
  }

  /** Says the types' names, fields, keys and methods: members with another one could not read our actors. */
  get schema(): string {
    return this.core.types.map((type) => type.schema).join('; ')
  }
  get stats(): SpaceStats {
    return this.core.stats
  }
  /** Activations here. */
  get actors(): number {
    return this.core.types.reduce((n, type) => n + type.table.activations, 0)
  }

  // ---- what comes in ----

  onView(view: View): void {
    const { core } = this
    core.view = view
    this.leaving = view.memberOf(core.self)?.state === 'leaving'
    core.store = view.members.find((m) => m.role === 'store')?.no ?? 0
    if (core.hasMoves) this.recovery.onView(view, core.slots.adopt(view))
    // Nothing is handed over, so the packets may follow the view at once.
    else core.slots.onSettled(view.epoch)
    const held = this.held
    this.held = []
    for (const m of held) {
      // What a dead one wanted is of no use any more. But whom a leaver has sent elsewhere is to hear it, though it is gone.
      const isOfUse = m.kind === Kind.REJECT || !view.isGone(m.from)
      if (isOfUse) this.onMessage(m.from, m.kind, new ByteReader(m.payload), m.epoch)
    }
  }

  /** Under `local-only`: reads go to this instance's own actors from now on. */
  set readsOf(no: MemberNo) {
    this.core.readsOf = no
  }

  /** Slots of ours whose tokens are still to come. */
  get slotsDue(): number {
    return this.core.slots.dueCount
  }
  get inHandoff(): boolean {
    return this.slotsDue > 0
  }
  /** All that a view has for this instance to fetch is here. */
  get moved(): boolean {
    return this.slotsDue === 0 && this.directory.settled
  }
  /** Turns elsewhere have states of this store. */
  get lends(): boolean {
    return !this.lender.idle
  }
  get handoffs(): number {
    return this.core.slots.handoffs
  }

  /** A message of one of the actors' kinds, in its link's order. `epoch` is its sender's. */
  onMessage(from: MemberNo, kind: number, r: ByteReader, epoch: number): void {
    const info = kindInfo(kind)
    if (info?.judged === true && epoch > (this.core.view?.epoch ?? 0)) {
      this.held.push({ from, kind, payload: new Uint8Array(r.bytes.subarray(r.pos, r.end)), epoch })
      return
    }
    const size = r.left
    this.dispatch(from, kind, r)
    if (info?.credit) this.core.out.consumed(from, size)
  }

  private dispatch(from: MemberNo, kind: number, r: ByteReader): void {
    // The two that are many stand first.
    switch (kind) {
      case Kind.REPLY:
        return this.calls.onReply(r)
      case Kind.CALL:
        return this.calls.onCalls(from, r)
      case Kind.TRANSFER:
      case Kind.STATE:
      case Kind.UNTETHER:
      case Kind.ACQUIRE:
      case Kind.REMOVED:
      case Kind.RELEASE:
        return this.takeParts(from, kind, r)
      case Kind.READ:
        return this.judge(kind, r)
      case Kind.GRANT:
        return this.homes.onGrants(r)
      case Kind.ABSENT:
        return this.homes.onAbsents(r)
      case Kind.REMOVED_OK:
        return this.homes.onRemovedOk(r)
      case Kind.APPLIED:
        return this.updates.onApplied(r)
      case Kind.REJECT:
        return r.u8() === Kind.CALL ? this.calls.onReject(r) : this.updates.onReject(r)
      case Kind.READ_HOME:
        return this.readHome(r)
      case Kind.VALUE:
        return this.reads.onValue(r)
      case Kind.COLLECT:
        return this.collects.onCollect(r)
      case Kind.FOUND:
        return this.collects.onFound(r)
      case Kind.COLLECTED:
        return this.collects.onCollected(from, r)
      case Kind.TAKE:
        return this.lender.onTake(from, r)
      case Kind.LENT:
        return this.loans.onLent(r)
      case Kind.PUT:
        return this.lender.onPut(r)
      case Kind.PULL:
        return this.core.slots.onPull(from, r)
      case Kind.SLOT:
        return this.core.slots.onSlot(r)
      case Kind.FENCE:
        return this.recovery.onFence(from, r)
      case Kind.REPORT:
        return this.recovery.onReport(from, r)
      case Kind.RECOVERED:
        return this.recovery.onRecovered(from, r)
      default:
        throw new RehomeError('bad-frame', `a message of kind ${kind} has no place here`)
    }
  }

  /** One or more, each with its length; what one of them throws is no matter of the others. */
  private takeParts(from: MemberNo, kind: number, r: ByteReader): void {
    const { end } = r
    let failure: unknown
    while (r.pos < end) {
      r.end = end
      const bytes = r.u32()
      r.end = r.skip(bytes) + bytes
      r.pos = r.end - bytes
      const next = r.end
      try {
        if (kind === Kind.STATE) this.homes.onState(from, r)
        else if (kind === Kind.TRANSFER) this.homes.onTransfer(r)
        else this.judge(kind, r)
      } catch (error) {
        failure ??= error
      }
      r.pos = next
    }
    if (failure !== undefined) throw failure
  }

  /** A message that needs the slot owner: served, kept until the token is here, passed on, or rejected (rule 11). */
  private judge(kind: number, r: ByteReader): void {
    const { core } = this
    const start = r.pos
    const type = core.type(r)
    const hash = r.u32()
    type.readWords(r)
    const slot = core.slot(hash)
    const state = core.slots.state[slot]
    if (state === HELD) return this.serve(kind, type, hash, r, start)
    if (state === DUE) {
      const payload = new Uint8Array(r.bytes.subarray(start, r.end))
      return core.slots.whenHeld(slot, () => this.judge(kind, new ByteReader(payload)))
    }
    if (kind === Kind.CALL || kind === Kind.UNTETHER) {
      const by = r.u32()
      const w = core.out.begin(by, Kind.REJECT)
      w.u8(kind)
      w.raw(r.bytes.subarray(start, r.end))
    } else {
      const payload = r.bytes.subarray(start, r.end)
      const to = core.owner(hash)
      const isRead = kind === Kind.READ || kind === Kind.READ_HOME
      if (isRead) core.out.begin(to, kind).raw(payload)
      else core.out.beginPart(to, kind).block(payload)
    }
    core.out.end()
  }

  private serve(kind: number, type: RuntimeType, hash: number, r: ByteReader, start: number): void {
    switch (kind) {
      case Kind.CALL:
        return this.calls.serve(type, hash, r, start)
      case Kind.ACQUIRE:
        return this.directory.serveAcquire(type, hash, r)
      case Kind.REMOVED:
        return this.directory.serveRemoved(type, hash, r)
      case Kind.RELEASE:
        return this.directory.serveRelease(type, hash, r)
      case Kind.UNTETHER:
        return this.updates.serve(type, hash, r, start)
      default:
        return this.reads.serve(type, hash, r, r.bytes.subarray(start, r.end))
    }
  }

  private readHome(r: ByteReader): void {
    const start = r.pos
    const type = this.core.type(r)
    const hash = r.u32()
    type.readWords(r)
    const payload = r.bytes.subarray(start, r.end)
    if (this.reads.onReadHome(type, hash, r, payload)) return
    r.pos = start
    this.judge(Kind.READ, r)
  }

  private again(kind: number, payload: Uint8Array): void {
    this.judge(kind, new ByteReader(payload))
  }

  // ---- a slot's directory entries, as they travel in SLOT ----

  private giveEntries(slot: number, w: ByteWriter): void {
    for (const type of this.core.types) {
      const { table } = type
      const rows = table.rowsOfSlot(slot, this.core.slots.slotBits)
      const entries = rows.filter((row) => table.aside(row, ENTRY) !== 0)
      w.u32(entries.length)
      for (const row of entries) {
        this.directory.writeEntry(type, row, w)
        this.core.tidy(type, row)
      }
    }
  }

  private takeEntries(r: ByteReader): void {
    for (const type of this.core.types) {
      for (let n = r.u32(); n > 0; n--) this.directory.readEntry(type, r)
    }
  }

  private dropEntries(slot: number): void {
    for (const type of this.core.types) {
      for (const row of type.table.rowsOfSlot(slot, this.core.slots.slotBits)) {
        type.table.setAside(row, ENTRY, 0)
        type.table.setAside(row, HOME, 0)
        this.core.tidy(type, row)
      }
    }
  }

  // ---- what goes on behind the packets ----

  /** A bounded step of handoffs, drains and collections; true while there is more that can be done now. */
  step(): boolean {
    const { view, hasMoves } = this.core
    const fetching = view !== undefined && this.directory.step()
    const releases = this.leaving && hasMoves
    const moving = releases && this.sweeps.release(BACKGROUND_ROWS)
    return this.collects.step(BACKGROUND_SLOTS) || moving || fetching
  }

  /** The packets of a slot come here from now on, and nowhere else any more. */
  follow(slot: number): void {
    this.directory.follow(slot)
  }

  /** Sends what waits in outboxes: at the end of the traffic, before a scale-in, when stopping. */
  flush(): void {
    this.updates.flush()
  }

  /** Credit is back. */
  onCredit(): void {
    this.calls.resume()
    this.reads.resume()
    this.updates.flush()
  }

  /** Ends what has waited too long; to be called every 100 ms or so. */
  tick(): void {
    const now = this.core.clock.now()
    const before = now - this.core.limits.waitMs
    if (this.leaving) this.sweeps.releaseAgain()
    this.homes.timeOut(before, now)
    this.calls.timeOut(before, now)
    this.reads.timeOut(before)
    this.collects.timeOut(before)
    this.loans.timeOut(before)
  }

  /** There are more actors than a processor's cache holds. */
  get foresees(): boolean {
    return this.core.types.some((type) => type.key.steered && type.table.isLarge)
  }
  /** Packets of these steering hashes come next: what is keyed by their flows is looked at ahead of them. */
  foresee(hashes: Uint32Array, count: number): void {
    this.core.place(hashes, count)
    for (const type of this.core.types) {
      if (type.key.steered && type.table.isLarge) type.table.foresee(hashes, count)
    }
  }

  /** Handles whose turns judge expiry by the packet time that stands in `time`: a packet that is suspended keeps its own. */
  handlesAt(time: PacketTime): Readonly<Record<string, unknown>> {
    return Object.fromEntries(
      this.core.types.map((type) => [type.name, handleOf(type, this.parts, time)]),
    )
  }

  /** Packet time has come to `us`: removes what is due, a bounded part; true once all has been looked at. */
  expire(us: number): boolean {
    this.core.sweptUs = Math.max(this.core.sweptUs, us)
    return this.sweeps.expire({ us }, BACKGROUND_ROWS)
  }

  /** A member has died, or has left: what waits for its answer ends, definite or indefinite. */
  memberGone(no: MemberNo): void {
    this.calls.memberGone(no)
    this.updates.memberGone(no)
    this.reads.memberGone()
    this.collects.memberGone(no)
    this.lender.memberGone(no)
    this.onCredit() // what waited for room with the dead one goes elsewhere
  }

  /** Packets should be held back at their source: updates or calls have piled up (rule 23). */
  get pressed(): boolean {
    return this.updates.pressed
  }

  /** Nothing is on its way from here and nothing waits: all effects so far are in. */
  get quiet(): boolean {
    const open =
      this.calls.idle &&
      this.updates.idle &&
      this.reads.idle &&
      this.homes.idle &&
      this.directory.idle
    const lends = !this.loans.idle || !this.lender.idle
    const still = this.collects.idle && this.recovery.idle && this.held.length === 0
    return open && still && !lends
  }

  /** Nothing is here and nothing is due: an instance may say BYE (rule 15). Of what is its own alone nobody hears. */
  get empty(): boolean {
    if (!this.core.hasMoves) return this.quiet
    const left = this.core.types.some((t) => t.table.activations > 0 || t.affairCount > 0)
    return this.quiet && !left && this.core.slots.empty
  }

  /** What waits here, for `status --suspended`. */
  *waiting(): Iterable<WaitingInfo> {
    const now = this.core.clock.now()
    for (const type of this.core.types) {
      for (const [row, affair] of type.openAffairs()) {
        type.table.keyOf(row, type.words)
        const key = type.keyText(type.words)
        const here = type.table.get(row, ACTIVATION) !== 0
        const waitsFor = affair.busy ? 'the turn before it' : here ? 'its turn' : 'STATE or GRANT'
        for (const waiter of [...affair.queue, ...affair.waiting]) {
          yield { type: type.name, key, waitsFor, ageMs: now - waiter.since }
        }
      }
    }
  }
}
