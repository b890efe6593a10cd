import type { SpaceStats } from '../actors/index.ts'
import { type ByteReader, Kind, type MemberNo } from '../bus/index.ts'
import { Intake, type IntakeStats } from '../loadgen/index.ts'
import type { Handles, NF, StateMap } from '../nf-apps/index.ts'
import { type Packet, symmetricFlow, symmetricFlowOf } from '../nf-apps/packet/index.ts'
import { type Role, slotOf, type View } from '../placement/index.ts'
import { BulkMove } from './bulk-move.ts'
import { Member, type MemberPorts, type Part, type SpaceSettings } from './member.ts'

export interface InstancePorts extends MemberPorts {
  /** Wall clock in ms, the same on all processes of a machine. */
  readonly wallMs: () => number
}

/** An instance's figures, as it tells them. */
export interface InstanceReport extends IntakeStats, Omit<SpaceStats, 'rejected' | 'expired'> {
  id: string
  no: MemberNo
  epoch: number
  state: 'active' | 'leaving'
  role: Role
  actors: number
  slots: number
  /** Slots of its own that are still to come. */
  slotsDue: number
  handoffs: number
  suspended: number
}

/** One suspended packet: what `status --suspended` shows. */
export interface SuspendedPacket {
  flow: string
  index: number
  behind: number
  ageMs: number
  actor: string
  waitsFor: string
}

/** What an ASK is after. */
export const ASK_FIGURES = 0
export const ASK_SUSPENDED = 1
export const ASK_LATENCY = 2

/** What the handler reaches actors by, and the time (µs) of the packet that it handles. */
interface Hands {
  readonly handles: Handles<StateMap>
  readonly time: { us: number }
}

/** Packet time that passes before idle actors are looked through again (µs). */
const SWEEP_EVERY_US = 1_000_000

/** An instance: a member whose part is to run the NF on the packets it gets. */
export class Instance implements Part {
  readonly member: Member
  readonly intake: Intake
  readonly id: string
  private readonly self: MemberNo
  private readonly ports: InstancePorts
  private view: View | undefined
  private readonly clocks: { from: MemberNo; id: number; us: number; swept: boolean }[] = []
  private sweptUs = 0
  private sweeping = 0
  private readonly freeHands: Hands[] = []
  private readonly bulk: BulkMove | undefined

  constructor(
    id: string,
    nf: NF<StateMap, unknown>,
    env: unknown,
    ports: InstancePorts,
    settings: SpaceSettings,
  ) {
    this.id = id
    this.self = ports.self
    this.ports = ports
    const member = new Member(ports, settings)
    this.member = member
    const { space } = member
    let hands = this.hands()
    this.intake = new Intake({
      out: member.out,
      clock: ports.clock,
      slotBits: settings.slotBits,
      handler: (packet, output) => {
        hands.time.us = packet.clockUs
        if (nf.steering) packet.isStamped = false // its hash is not that of its flow
        const verdict = nf.onPacket(packet, hands.handles, env, output)
        if (typeof verdict === 'number') return verdict
        hands = this.keep(hands, verdict)
        return verdict
      },
      onError: (packet: Packet, error) => {
        ports.onError(`packet ${packet.index}`, error)
        return nf.onError
      },
      pressed: () => space.pressed,
      receiverOf: (hash) => this.view?.ownerOf(slotOf(hash, settings.slotBits)) ?? 0,
      isGone: (no) => this.isGone(no),
      foresees: () => space.foresees,
      foresee: (hashes, count) => space.foresee(hashes, count),
      onFlipped: (slot) => space.follow(slot),
      wake: () => member.wake(),
      wallMs: ports.wallMs,
    })
    if (settings.model === 'stop-and-sync') {
      this.bulk = new BulkMove(space, this.intake, ports.clock)
    }
    member.be(this)
  }

  private hands(): Hands {
    const time = { us: 0 }
    return { time, handles: this.member.space.handlesAt(time) as Handles<StateMap> }
  }

  /** A suspended packet keeps its handles, and with them its time; the next packets get others. */
  private keep(hands: Hands, verdict: Promise<number>): Hands {
    const back = () => void this.freeHands.push(hands)
    verdict.then(back, back)
    return this.freeHands.pop() ?? this.hands()
  }

  onMessage(from: MemberNo, kind: number, r: ByteReader): void {
    if (kind === Kind.PACKETS) {
      this.intake.inHandoff = this.member.space.inHandoff
      this.intake.onPackets(from, r)
    } else if (kind === Kind.MARK) this.intake.onFlip('mark', from, r)
    else if (kind === Kind.HOLD) this.intake.onFlip('hold', from, r)
    else if (kind === Kind.DRAINED) this.intake.onDrained(r)
    else if (kind === Kind.CLOCK) {
      this.clocks.push({ from, id: r.u32(), us: r.f64(), swept: false })
    } else if (kind === Kind.ASK) this.tell(from, r)
  }

  onView(view: View): void {
    this.view = view
    this.bulk?.onView(view)
  }
  onCredit(): void {}
  memberGone(no: MemberNo): void {
    this.intake.memberGone(no)
  }
  private isGone(no: MemberNo): boolean {
    return this.view !== undefined && no < this.view.nextNo && !this.view.memberOf(no)
  }
  letsGo(): boolean {
    return true
  }

  step(): boolean {
    this.bulk?.step()
    const more = this.intake.step()
    return this.sweep() || this.answerClock() || more
  }

  /** Ends actors whose time is over, by the packet time below which nothing is under way. */
  private sweep(): boolean {
    const us = this.intake.lowUs()
    const mayBegin = us < Number.POSITIVE_INFINITY && us - this.sweptUs >= SWEEP_EVERY_US
    if (this.sweeping === 0 && !mayBegin) return false
    if (this.sweeping === 0) this.sweeping = us
    if (!this.member.space.expire(this.sweeping)) return true
    this.sweptUs = this.sweeping
    this.sweeping = 0
    return false
  }

  /** CLOCK: all traffic is through. Ends what is due by then, and answers once every effect is in. */
  private answerClock(): boolean {
    const first = this.clocks[0]
    if (!first || !this.intake.idle) return false
    const { space, out } = this.member
    if (space.lends) return false // a turn's state is on its way back
    if (!first.swept) {
      // Other steerers may have packets on their way that find alive what the time of this one's would end.
      first.swept = space.expire(Math.min(first.us, this.intake.lowUs(first.from)))
      return true
    }
    space.flush()
    if (!space.quiet) return false
    this.clocks.shift()
    const w = out.begin(first.from, Kind.CLOCK_OK)
    w.u32(first.id)
    w.u32(this.view?.epoch ?? 0)
    out.end()
    return this.clocks.length > 0
  }

  get idle(): boolean {
    return this.intake.idle && this.clocks.length === 0
  }

  private tell(to: MemberNo, r: ByteReader): void {
    const id = r.u32()
    const what = r.u8()
    const w = this.member.out.begin(to, Kind.TELL)
    w.u32(id)
    if (what === ASK_LATENCY) {
      this.intake.latency.encode(w)
      this.intake.timeHere.encode(w)
    } else {
      const told = what === ASK_SUSPENDED ? this.suspended() : this.report()
      w.block(new TextEncoder().encode(JSON.stringify(told)))
    }
    this.member.out.end()
  }

  report(): InstanceReport {
    const { intake, member, self, id } = this
    const { stats } = intake
    const { rejected: _, expired: __, ...calls } = member.space.stats
    const slots = this.view ? this.view.owner.reduce((n, o) => n + (o === self ? 1 : 0), 0) : 0
    return {
      id,
      no: self,
      epoch: this.view?.epoch ?? 0,
      state: this.view?.memberOf(self)?.state ?? 'active',
      role: this.view?.memberOf(self)?.role ?? 'instance',
      ...stats,
      actors: member.space.actors,
      slots,
      slotsDue: member.space.slotsDue,
      handoffs: member.space.handoffs,
      suspended: intake.suspendedNow,
      ...calls,
    }
  }

  private suspended(): SuspendedPacket[] {
    const now = this.ports.clock.now()
    const waits = [...this.member.space.waiting()]
    return [...this.intake.waiting()].map(({ packet, since, behind }) => {
      const ageMs = now - since
      // A packet's turn is as old as its suspension: that is how the two are matched.
      const near = waits.find((w) => Math.abs(w.ageMs - ageMs) < 1) ?? waits[0]
      const flow = symmetricFlow.text(symmetricFlowOf(packet))
      const actor = near ? `${near.type}/${near.key}` : ''
      return {
        flow,
        index: packet.index,
        behind,
        ageMs,
        actor,
        waitsFor: near?.waitsFor ?? 'REPLY',
      }
    })
  }
}
