import type { Clock, MemberNo } from '../bus/index.ts'
import type { View } from '../placement/index.ts'

/** How often a member says that it is there (ms). */
const BEAT_MS = 250
/**
 * A member that has not heard its own beats for so long (ms), because it was stopped or its bus was away, may have been
 * taken out meanwhile: a good third of what others wait.
 */
const DEAF_MS = 1250
/** Beats that a member may miss: 3 s of silence, which no pause of a healthy process comes near. */
const MISSED_MAX = 12

const MAGIC = 0x5042
const BYTES = 10

export interface PulsePorts {
  readonly self: MemberNo
  readonly clock: Clock
  readonly publish: (to: MemberNo, bytes: Uint8Array) => void
  /** How many actors are here, for those who count them if we die. */
  readonly actors: () => number
  /** This member was deaf: it must hear whether it is one still before it does anything. */
  readonly onWake: () => void
  /** That member has been silent for too long; told again as long as it is. */
  readonly onSilent: (no: MemberNo, actors: number) => void
}

/**
 * Heartbeats, around the ring of members: each tells the next one that it lives and watches the one before, so that a
 * large cluster beats no more per member than a small one.
 *
 * Beats are bare datagrams beside the links, whose order would hold them back behind what is sent again. With each
 * beat a member sends one to itself by the same bus, and a beat of the other's counts as missed only if its
 * own has come back: a bus that is away, or a process of its own that was stopped, accuses nobody.
 */
export class Pulse {
  private readonly ports: PulsePorts
  private before: MemberNo = 0
  private after: MemberNo = 0
  private missed = 0
  private heardSelf = false
  private lastHeard: number
  /** Actors of the member before, as it last said. */
  private actorsThere = 0
  private timer: { cancel(): void }

  constructor(ports: PulsePorts) {
    this.ports = ports
    this.lastHeard = ports.clock.now()
    this.timer = ports.clock.after(BEAT_MS, () => this.beat())
  }

  onView(view: View): void {
    const { self } = this.ports
    const others = view.members.map((m) => m.no).filter((no) => no !== self)
    const before = others.findLast((no) => no < self) ?? others.at(-1) ?? 0
    this.after = others.find((no) => no > self) ?? others[0] ?? 0
    if (before === this.before) return
    this.before = before
    this.missed = 0
    this.actorsThere = 0
  }

  /** Takes a frame if it is a beat. */
  takes(frame: Uint8Array): boolean {
    if (frame.length !== BYTES) return false
    const view = new DataView(frame.buffer, frame.byteOffset, BYTES)
    if (view.getUint16(0, true) !== MAGIC) return false
    const from = view.getUint32(2, true)
    if (from === this.ports.self) {
      this.look()
      this.lastHeard = this.ports.clock.now()
      this.heardSelf = true
    } else if (from === this.before) {
      this.missed = 0
      this.actorsThere = view.getUint32(6, true)
    }
    return true
  }

  isSilent(no: MemberNo): boolean {
    return no === this.before && this.missed >= MISSED_MAX
  }

  /** To be asked before anything that comes in is acted upon: tells `onWake` if this member was deaf. */
  look(): void {
    const now = this.ports.clock.now()
    if (now - this.lastHeard <= DEAF_MS) return
    this.lastHeard = now
    this.ports.onWake()
  }

  private beat(): void {
    const { ports } = this
    this.timer = ports.clock.after(BEAT_MS, () => this.beat())
    if (this.heardSelf) this.missed++
    this.heardSelf = false
    const bytes = new Uint8Array(BYTES)
    const view = new DataView(bytes.buffer)
    view.setUint16(0, MAGIC, true)
    view.setUint32(2, ports.self, true)
    view.setUint32(6, ports.actors(), true)
    ports.publish(ports.self, bytes)
    if (this.after !== 0) ports.publish(this.after, bytes)
    if (this.before !== 0 && this.missed >= MISSED_MAX) {
      ports.onSilent(this.before, this.actorsThere)
    }
  }

  stop(): void {
    this.timer.cancel()
  }
}
