import { type ByteReader, type ByteWriter, invariant, Kind, type MemberNo } from '../bus/index.ts'
import type { View } from './view.ts'

/**
 * Which slots this instance may decide for.
 *
 * The directory of a slot is a token: whoever holds it serialises the moves of the slot's actors. A view says who
 * should hold it; authority follows the token, not the view (PROTOCOL.md, rule 2). A new owner PULLs it from the
 * holder that the view names, on first access or in the background, and gets SLOT: the counter of move numbers and
 * the directory's entries. What needs the token meanwhile waits here.
 *
 * The counter travels with the token, so a move's number is never given twice in a slot, and (slot, number)
 * names one activation for good: no tombstones in the directory (rule 3).
 */

/** What a slot is to this instance. HELD is the one that lets a call run without asking anyone. */
export const ELSEWHERE = 0
/** Ours by the view; its token is not here yet. */
export const DUE = 1
/** Ours by the view, and its token is here. */
export const HELD = 2
/** Another's by the view; its token is still here, until it is PULLed. */
const PINNED = 3

/** Where messages go out; `Links` is one. */
export interface Sender {
  begin(to: MemberNo, kind: number): ByteWriter
  end(): void
}

/** The directory's entries, which lie with the actors' records. */
export interface Entries {
  /** Writes the slot's entries and forgets them. */
  give(slot: number, w: ByteWriter): void
  take(slot: number, r: ByteReader): void
  /** Forgets the slot's entries. */
  drop(slot: number): void
}

/** Something that waits until a slot can be decided for, or until it is clear that it cannot be here. */
export type Waiting = () => void

/** Bytes of tokens asked for at once in the background: enough to hide the round trip, few enough that no packet waits long behind them. */
const PULLED_BYTES = 64 * 1024
/** What a token is taken to have before the first one has come: many entries, so that these are few. */
const TOKEN_BYTES_FIRST = 4096
/**
 * Bytes of tokens handed over in one turn of the event loop. A hundred may be asked for in one, one by one, since actors of as many
 * slots were touched; that was 10 ms of work among a million actors, and whatever else came waited behind it. What the background drain
 * asks for at once is answered at once: a quarter of it a turn cost the drain a sixth of its rate, and no stall was the shorter.
 */
const GIVEN_BYTES = PULLED_BYTES
/** Tokens named in one PULL. */
const PULL_SLOTS_MAX = 4096

export interface SlotsOptions {
  readonly self: MemberNo
  readonly slotBits: number
  readonly out: Sender
  readonly entries: Entries
  /** Where tokens are small, as in the simulator, less than usual: so that some have to wait. */
  readonly givenBytes?: number
}

export class Slots {
  readonly state: Uint8Array
  readonly slotBits: number
  /** Handoffs received. */
  handoffs = 0
  onSettled: (epoch: number) => void = () => {}
  /** A slot's token has come. */
  onHeld: (slot: number) => void = () => {}

  private view: View | undefined
  private readonly self: MemberNo
  private readonly out: Sender
  private readonly entries: Entries
  private readonly counters: Uint32Array
  /** PULL is out. */
  private readonly asked: Uint8Array
  /** Ours to decide for, but not before the recovery is through: its token is here, or is made afresh. */
  private readonly recovering: Uint8Array
  /** A recovery is under way: tokens that come meanwhile take part in it. */
  private paused = false
  private readonly waiting = new Map<number, Waiting[]>()
  private due = 0
  private pulls = 0
  /** Tokens that were PULLed and are still here, with their new owners. */
  private readonly toGive = new Map<number, MemberNo>()
  /** Bytes of tokens that may still be handed over in this turn. */
  private givesLeft: number
  private readonly givenBytes: number
  /** What tokens had of late, on average. */
  private tokenBytes = TOKEN_BYTES_FIRST
  /** Where the background drain goes on. */
  private cursor = 0
  private settledEpoch = 0

  constructor(o: SlotsOptions) {
    this.self = o.self
    this.givenBytes = o.givenBytes ?? GIVEN_BYTES
    this.givesLeft = this.givenBytes
    this.slotBits = o.slotBits
    this.out = o.out
    this.entries = o.entries
    const count = 1 << o.slotBits
    this.state = new Uint8Array(count)
    this.counters = new Uint32Array(count)
    this.asked = new Uint8Array(count)
    this.recovering = new Uint8Array(count)
  }

  /** Ours by the view, held or not. */
  isOurs(slot: number): boolean {
    const state = this.state[slot]!
    return state === DUE || state === HELD
  }

  /** Takes the next number of a slot whose token is here. */
  nextNumber(slot: number): number {
    const next = this.counters[slot]! + 1
    this.counters[slot] = next
    return next
  }

  /**
   * Takes a view up. True if slots of ours have no token any more: the view names us both owner and holder, so
   * they are the cluster's first, or their tokens died with a holder. They wait for `recovered`.
   */
  adopt(view: View): boolean {
    this.view = view
    this.due = 0
    const orphans: Waiting[] = []
    let fresh = false
    for (let slot = 0; slot < view.owner.length; slot++) {
      const ours = view.owner[slot] === this.self
      const holds = view.holder[slot] === this.self
      const here = this.state[slot]! >= HELD || this.recovering[slot] !== 0
      if (here && !ours && !holds) {
        // Its owner to be died before it had PULLed it: the next owner makes a token afresh.
        this.entries.drop(slot)
        this.recovering[slot] = 0
        this.state[slot] = ELSEWHERE
      } else if (here) this.state[slot] = !ours ? PINNED : this.recovering[slot] ? DUE : HELD
      else this.state[slot] = ours ? DUE : ELSEWHERE
      if (!here && ours && holds) {
        if (this.asked[slot]) this.pulls--
        this.asked[slot] = 0
        this.recovering[slot] = 1
        fresh = true
      }
      if (this.state[slot] === DUE) this.due++
      if (this.state[slot] === ELSEWHERE && !this.asked[slot]) {
        orphans.push(...this.takeWaiting(slot))
      }
    }
    this.cursor = 0
    for (const go of orphans) go()
    this.report()
    return fresh
  }

  /** A member has crashed: until `recovered` nothing is decided for any slot here, and all entries are void. */
  pause(): void {
    this.paused = true
    for (let slot = 0; slot < this.state.length; slot++) {
      if (this.state[slot]! < HELD || this.recovering[slot]) continue
      this.recovering[slot] = 1
      this.entries.drop(slot)
      if (this.state[slot] !== HELD) continue
      this.state[slot] = DUE
      this.due++
    }
  }

  /** The directories are whole again: `first` runs while all tokens are here still, then goes on what waits. */
  recovered(first: () => void): void {
    this.paused = false
    const back: number[] = []
    for (let slot = 0; slot < this.state.length; slot++) {
      if (!this.recovering[slot]) continue
      this.recovering[slot] = 0
      back.push(slot)
      if (this.state[slot] !== DUE) continue
      this.state[slot] = HELD
      this.due--
    }
    first()
    for (const slot of back) {
      for (const go of this.takeWaiting(slot)) go()
      if (this.state[slot] === HELD) this.onHeld(slot)
    }
    this.report()
  }

  /** The slot's token is here, or is being made. */
  isRecovering(slot: number): boolean {
    return this.recovering[slot] !== 0
  }
  /** Numbers of that slot go on behind `number`. */
  countFrom(slot: number, number: number): void {
    if (number > this.counters[slot]!) this.counters[slot] = number
  }

  /** Runs `go` once the token is here, which is asked for now, or once the slot is another's. */
  whenHeld(slot: number, go: Waiting): void {
    this.wait(slot, go)
    if (!this.asked[slot] && !this.recovering[slot]) this.pull([slot])
  }

  private wait(slot: number, go: Waiting): void {
    const queue = this.waiting.get(slot)
    if (queue) queue.push(go)
    else this.waiting.set(slot, [go])
  }

  /** Asks for tokens that nobody has touched yet, a bounded number at a time; the rest when some have come. */
  drain(): void {
    const most = Math.max(1, PULLED_BYTES / this.tokenBytes)
    if (this.due === 0 || this.pulls >= most) return
    const byHolder = new Map<MemberNo, number[]>()
    for (; this.pulls < most && this.cursor < this.state.length; this.cursor++) {
      const slot = this.cursor
      if (this.state[slot] !== DUE || this.asked[slot] || this.recovering[slot]) continue
      const holder = this.view!.holder[slot]!
      const slots = byHolder.get(holder)
      if (slots) slots.push(slot)
      else byHolder.set(holder, [slot])
      this.asked[slot] = 1
      this.pulls++
    }
    for (const [holder, slots] of byHolder) this.sendPull(holder, slots)
  }

  private pull(slots: number[]): void {
    for (const slot of slots) this.asked[slot] = 1
    this.pulls += slots.length
    this.sendPull(this.view!.holder[slots[0]!]!, slots)
  }

  private sendPull(holder: MemberNo, slots: readonly number[]): void {
    for (let i = 0; i < slots.length; i += PULL_SLOTS_MAX) {
      const part = slots.slice(i, i + PULL_SLOTS_MAX)
      const w = this.out.begin(holder, Kind.PULL)
      w.u16(part.length)
      for (const slot of part) w.u16(slot)
      this.out.end()
    }
  }

  /** PULL: a view that we have adopted names the sender these slots' owner and us their holder. */
  onPull(from: MemberNo, r: ByteReader): void {
    for (let n = r.u16(); n > 0; n--) this.toGive.set(r.u16(), from)
    this.handSome()
  }

  /** A turn is over: hands over more of the tokens that were PULLed; true if there are others still. */
  give(): boolean {
    this.givesLeft = this.givenBytes
    return this.handSome()
  }

  private handSome(): boolean {
    for (const [slot, to] of this.toGive) {
      if (this.givesLeft <= 0) return true
      this.toGive.delete(slot)
      this.givesLeft -= this.hand(slot, to)
    }
    return false
  }

  /** Answers how many bytes it came to. */
  private hand(slot: number, to: MemberNo): number {
    if (this.recovering[slot]) {
      this.wait(slot, () => void this.toGive.set(slot, to))
      return 0
    }
    // It crashed meanwhile, and its tokens are made afresh.
    if (this.view!.isGone(to)) return 0
    invariant(this.state[slot]! >= HELD, `PULL of slot ${slot} from ${to}: its token is here`)
    invariant(this.view!.owner[slot] === to, `PULL of slot ${slot}: ${to} is its owner`)
    const w = this.out.begin(to, Kind.SLOT)
    const start = w.pos
    w.u16(slot)
    w.u32(this.counters[slot]!)
    w.u32(this.view!.crash.epoch)
    this.entries.give(slot, w)
    const bytes = w.pos - start
    this.out.end()
    this.state[slot] = ELSEWHERE
    return bytes
  }

  onSlot(r: ByteReader): void {
    // Whole numbers: code for these would be thrown away at the first fraction.
    this.tokenBytes += Math.round((r.left - this.tokenBytes) / 8)
    const slot = r.u16()
    invariant(this.state[slot]! < HELD && !this.recovering[slot], `slot ${slot} has one token`)
    this.counters[slot] = r.u32()
    const crash = r.u32()
    this.entries.take(slot, r)
    this.handoffs++
    this.asked[slot] = 0
    this.pulls--
    // A slot stays with an owner that has not reported it held, so the view still names us (rule 2).
    invariant(this.view!.owner[slot] === this.self, `slot ${slot} came to its owner`)
    // Of before the crash that is being recovered from; its giver may also have recovered it already.
    if (this.paused && crash < this.view!.crash.epoch) {
      this.recovering[slot] = 1
      this.entries.drop(slot)
      return
    }
    this.state[slot] = HELD
    this.due--
    for (const go of this.takeWaiting(slot)) go()
    this.onHeld(slot)
    this.report()
  }

  private takeWaiting(slot: number): Waiting[] {
    const queue = this.waiting.get(slot)
    if (!queue) return []
    this.waiting.delete(slot)
    return queue
  }

  private report(): void {
    const { epoch } = this.view!
    if (this.due > 0 || epoch <= this.settledEpoch) return
    this.settledEpoch = epoch
    this.onSettled(epoch)
  }

  /** No token is here, none is on its way, and nothing waits for one. */
  get empty(): boolean {
    if (this.waiting.size > 0 || this.pulls > 0) return false
    return !this.recovering.includes(1) && !this.state.some((s) => s >= HELD)
  }
  /** Every slot is ours: the instance of a cluster that shares nothing. */
  holdAll(): void {
    this.state.fill(HELD)
  }
  /** Slots whose token is still to come. */
  get dueCount(): number {
    return this.due
  }
}
