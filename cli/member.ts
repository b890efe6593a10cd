import { Space, type SpaceOptions } from '../actors/index.ts'
import {
  type ByteReader,
  type Clock,
  Kind,
  type LinkLimits,
  Links,
  type MemberNo,
} from '../bus/index.ts'
import type { View } from '../placement/index.ts'

/** What a member is besides its actor space: an instance's intake, or a steerer. */
export interface Part {
  /** A message of one of this part's kinds, in its link's order. */
  onMessage(from: MemberNo, kind: number, r: ByteReader): void
  onView(view: View): void
  onCredit(): void
  memberGone(no: MemberNo): void
  /** A bounded step of what goes on by itself; true if there is more to do now. */
  step(): boolean
  /** Nothing of this part is under way: a leaver may say BYE. */
  readonly idle: boolean
  /** This part sends a leaver nothing any more: its BYE may be answered. */
  letsGo(no: MemberNo): boolean
}

export interface MemberPorts {
  readonly self: MemberNo
  readonly clock: Clock
  readonly transmit: (to: MemberNo, frame: Uint8Array) => void
  /** A frame speaks of a newer view than ours. */
  readonly wantView: (epoch: number) => void
  /** All our slots' tokens are here, in the view of this epoch. */
  readonly onSettled: (epoch: number) => void
  /** All have answered our BYE: the member may be taken out of the view. */
  readonly onLeft: () => void
  /** A handler's or our own mistake; the member goes on. */
  readonly onError: (what: string, error: unknown) => void
}

export type SpaceSettings = Omit<SpaceOptions, 'self' | 'out' | 'clock'> & {
  /** Other bounds of the links than usual; the same at all members. */
  readonly links?: Partial<LinkLimits>
}

/** Timeouts, late offers of a leaver: nothing that anything waits for closely. */
const TICK_MS = 100
/**
 * An instance that has so many packets to do that they pile up sends what these cause no more often than this: whoever waits for it
 * waits for the packets before it anyway, and a frame costs both ends, and the bus between them, as much as some dozens of packets.
 */
const GATHER_MS = 10
/** Of packets in one turn of the event loop: a hundred small ones, half a millisecond. */
const MUCH_BYTES = 16 * 1024
/** Of packets between two flushes: their source, which sends so many ahead of their verdicts, is not to run dry. */
const GATHER_BYTES = 128 * 1024

/**
 * One member of the cluster: its links, its actor space, and its part. Everything comes in through `receive`, `onView`
 * and the clock, and goes out through the ports, so the simulator runs the very same code.
 *
 * What one burst of input causes goes out together at its end (`wake`).
 */
export class Member {
  readonly links: Links
  readonly space: Space
  view: View | undefined

  private readonly ports: MemberPorts
  private part!: Part
  private awake = false
  /** Bytes of packets that have come in this turn of the loop, and since the last flush. */
  private packetBytes = 0
  private gatheredBytes = 0
  private flushedMs = 0
  private stopped = false
  /** BYE: to whom it was said, and who has answered. */
  private readonly said = new Set<MemberNo>()
  private readonly answered = new Set<MemberNo>()
  /** BYEs that are not answered yet, with their epochs: before we have that view we may still send to the leaver. */
  private readonly byes = new Map<MemberNo, number>()
  private left = false
  private timer: { cancel(): void } | undefined
  private wanted = 0

  constructor(ports: MemberPorts, settings: SpaceSettings) {
    this.ports = ports
    this.links = new Links({
      self: ports.self,
      clock: ports.clock,
      transmit: ports.transmit,
      epoch: () => this.view?.epoch ?? 0,
      onMessage: (from, kind, r, epoch) => this.onMessage(from, kind, r, epoch),
      ...(settings.links === undefined ? {} : { limits: settings.links }),
    })
    this.links.onCredit = () => {
      this.space.onCredit()
      this.part.onCredit()
      this.wake()
    }
    const { links } = this
    const out = {
      begin: (to: MemberNo, kind: number) => {
        if (!this.awake) this.wake()
        return links.begin(to, kind)
      },
      beginPart: (to: MemberNo, kind: number) => {
        if (!this.awake) this.wake()
        return links.beginPart(to, kind)
      },
      beginFurther: (to: MemberNo, kind: number) => {
        if (!this.awake) this.wake()
        return links.beginFurther(to, kind)
      },
      end: () => links.end(),
      openParts: (to: MemberNo) => links.openParts(to),
      creditLeft: (to: MemberNo) => links.creditLeft(to),
      consumed: (from: MemberNo, bytes: number) => {
        if (!this.awake) this.wake()
        links.consumed(from, bytes)
      },
    }
    this.out = out
    this.space = new Space({ ...settings, self: ports.self, out, clock: ports.clock })
    this.space.onError = ports.onError
    this.space.onSettled = ports.onSettled
    this.tick()
  }

  /** Where the part's messages go. */
  readonly out: SpaceOptions['out']

  /** Gives the member its part; before anything comes in. */
  be(part: Part): void {
    this.part = part
  }

  receive(frame: Uint8Array): void {
    if (this.stopped) return
    try {
      this.links.receive(frame)
    } catch (error) {
      this.ports.onError('a message', error)
    }
    this.wake()
  }

  onView(view: View): void {
    const before = this.view
    this.links.settle() // of the view before
    this.view = view
    for (const member of view.members) this.links.open(member.no)
    this.space.onView(view)
    this.part.onView(view)
    for (const { no } of before?.members ?? []) {
      if (!view.memberOf(no) && no !== this.ports.self) this.forget(no)
    }
    this.wake()
  }

  /** A member is out of the view: after its BYE nothing is left of it; otherwise what waits for it ends now. */
  private forget(no: MemberNo): void {
    this.links.forget(no)
    this.space.memberGone(no)
    this.part.memberGone(no)
  }

  private onMessage(from: MemberNo, kind: number, r: ByteReader, epoch: number): void {
    if (epoch > (this.view?.epoch ?? 0) && epoch > this.wanted) {
      this.wanted = epoch
      this.ports.wantView(epoch)
    }
    if (kind === Kind.PACKETS) this.packetBytes += r.left
    if (IS_PARTS[kind] === 1) this.part.onMessage(from, kind, r)
    else if (kind === Kind.BYE) this.byes.set(from, epoch)
    else if (kind === Kind.BYE_OK) this.answered.add(from)
    else this.space.onMessage(from, kind, r, epoch)
  }

  /** Something came in or was done: what it caused goes out at the end of this burst. */
  wake(): void {
    if (this.awake || this.stopped) return
    this.awake = true
    this.ports.clock.soon(() => this.pump())
  }

  private pump(): void {
    if (this.stopped) return
    let more = false
    try {
      this.links.drainSelf()
      more = this.part.step()
      more = this.space.step() || more
      this.links.drainSelf()
      this.answerByes()
      this.sayBye()
    } catch (error) {
      this.ports.onError('a step', error)
    }
    const gathers = this.gathers()
    if (!gathers) this.links.flush()
    this.awake = false
    if (more || gathers) this.wake()
  }

  /**
   * Many packets have come in this turn of the loop, so that the next one will bring more: what these cause goes out together.
   * A turn that brings few ends it at once, so nobody waits for packets that do not come.
   */
  private gathers(): boolean {
    const isMuch = this.packetBytes >= MUCH_BYTES
    this.gatheredBytes += this.packetBytes
    this.packetBytes = 0
    const now = this.ports.clock.now()
    const mayWait = this.gatheredBytes < GATHER_BYTES && now - this.flushedMs < GATHER_MS
    if (isMuch && mayWait) return true
    this.gatheredBytes = 0
    this.flushedMs = now
    return false
  }

  private tick(): void {
    this.timer = this.ports.clock.after(TICK_MS, () => {
      if (this.stopped) return
      this.space.tick()
      this.wake()
      this.tick()
    })
  }

  private answerByes(): void {
    for (const [no, epoch] of this.byes) {
      if (epoch > (this.view?.epoch ?? 0) || !this.part.letsGo(no)) continue
      this.byes.delete(no)
      this.out.begin(no, Kind.BYE_OK)
      this.out.end()
    }
  }

  /** A leaver that has nothing left says so to everybody, and is gone once all have answered (rule 15). */
  private sayBye(): void {
    const { view, ports } = this
    if (this.left || view?.memberOf(ports.self)?.state !== 'leaving') return
    // Whoever is new in a view that was only heard of has been sent something, and would get no BYE.
    if (this.wanted > view.epoch) return
    if (view.owner.includes(ports.self) || !this.space.empty || !this.part.idle) return
    const peers = view.members.filter((m) => m.no !== ports.self)
    for (const { no } of peers) {
      if (this.said.has(no)) continue
      this.said.add(no)
      this.out.begin(no, Kind.BYE)
      this.out.end()
    }
    if (!peers.every((m) => this.answered.has(m.no) && this.links.idle(m.no))) return
    this.left = true
    ports.onLeft()
  }

  stop(): void {
    this.stopped = true
    this.timer?.cancel()
    this.links.stop()
  }
}

/** By kind: 1 for those that are a part's. A table, since it is asked for each message. */
const IS_PARTS = new Uint8Array(256)
const PART_KINDS = [
  Kind.PACKETS,
  Kind.DONE,
  Kind.MARK,
  Kind.HOLD,
  Kind.DRAINED,
  Kind.CLOCK,
  Kind.CLOCK_OK,
  Kind.ASK,
  Kind.TELL,
]
for (const kind of PART_KINDS) IS_PARTS[kind] = 1
