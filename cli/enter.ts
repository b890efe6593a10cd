import type { Bus, Clock, MemberNo } from '../bus/index.ts'
import { PROTOCOL_VERSION, RehomeError } from '../bus/index.ts'
import { Membership, type Role, type View } from '../placement/index.ts'
import type { Member, MemberPorts } from './member.ts'
import { Pulse } from './pulse.ts'

export interface EnterOptions<T> {
  readonly bus: Bus
  readonly clock: Clock
  readonly id: string
  readonly role: Role
  /** Schema of the NF's state: members that differ are refused. */
  readonly schema: string
  readonly slotBits: number
  readonly onError: (what: string, error: unknown) => void
  readonly make: (ports: MemberPorts) => T
  /** The last thing before the member is taken out of the view. */
  readonly beforeGone?: (body: T) => Promise<void>
}

/** A member that has joined. */
export interface Entered<T> {
  readonly no: MemberNo
  readonly body: T
  readonly membership: Membership
  /** Resolves when the member has left: after `leave`, everything given away and every BYE answered. */
  readonly left: Promise<void>
  /** Resolves if the others took the member for dead and go on without it; it has been stopped. */
  readonly evicted: Promise<RehomeError>
  /** Asks to leave; packets and calls go on until nothing is due. */
  leave(): Promise<void>
  /** Ends at once, as a crash would; nothing is said to anybody. */
  stop(): void
}

/** Joins a cluster over a bus: makes the member, and ties it to the bus and to the view. */
export async function enter<T extends { readonly member: Member }>(
  o: EnterOptions<T>,
): Promise<Entered<T>> {
  let latest: View | undefined
  let onView = (view: View) => {
    latest = view
  }
  const failed = (what: string) => (error: unknown) => {
    // What was under way when the member stopped: nobody waits for it.
    if (error instanceof RehomeError && error.code === 'closed') return
    o.onError(what, error)
  }
  const membership = new Membership({
    register: o.bus.register,
    clock: o.clock,
    onView: (view) => onView(view),
    onError: failed('membership'),
  })
  const { id, role, schema } = o
  const no = await membership.join({ id, role, protocol: PROTOCOL_VERSION, schema }, o.slotBits)
  let gone = () => {}
  const left = new Promise<void>((resolve) => {
    gone = resolve
  })
  let isLeaving = false
  const body: T = o.make({
    self: no,
    clock: o.clock,
    transmit: (to, frame) => o.bus.publish(to, frame),
    wantView: (epoch) => void membership.refresh(epoch).catch(failed('fetching a view')),
    onSettled: (epoch) => void membership.reportSettled(epoch).catch(failed('reporting')),
    onLeft: () => {
      isLeaving = true
      takeOut(o, body, membership).then(gone).catch(failed('leaving'))
    },
    onError: o.onError,
  })
  const { member } = body
  const gate = new Gate(membership, member, failed('asking for the view'))
  const pulse = heartbeats(o, membership, member, gate, failed('taking out a silent member'))
  const listening = await o.bus.listen(no, (frame) => {
    if (pulse.takes(frame)) return
    pulse.look()
    gate.receive(frame)
  })
  o.bus.onReconnect(() => member.links.kick())
  const stop = () => {
    pulse.stop()
    member.stop()
    membership.stop()
    listening.stop()
  }
  const evicted = new Promise<RehomeError>((resolve) => {
    onView = (view) => {
      if (view.memberOf(no) || isLeaving) {
        pulse.onView(view)
        member.onView(view)
        return
      }
      // What was here has been given up and is made anew elsewhere: nothing of it may be heard any more.
      stop()
      resolve(new RehomeError('peer-gone', `${id} was silent for too long and was taken out`))
    }
    if (latest) onView(latest)
  })
  // Others may have had the view first, and sent frames that nobody heard: they are not to wait for their resending.
  member.links.greet()
  return { no, body, membership, left, evicted, leave: () => membership.leave(), stop }
}

async function takeOut<T>(o: EnterOptions<T>, body: T, membership: Membership): Promise<void> {
  await o.beforeGone?.(body)
  await membership.remove(membership.no)
}

/** Says that the member lives, and takes out the one before it if that one does not say so. */
function heartbeats(
  { bus, clock }: { bus: Bus; clock: Clock },
  membership: Membership,
  member: Member,
  gate: Gate,
  failed: (error: unknown) => void,
): Pulse {
  let evicting = false
  const pulse = new Pulse({
    self: membership.no,
    clock,
    publish: (to, bytes) => bus.publish(to, bytes),
    actors: () => member.space.actors,
    onWake: () => gate.close(),
    onSilent: (silent, actors) => {
      if (evicting) return
      evicting = true
      membership
        .evict(silent, actors, () => pulse.isSilent(silent))
        .catch(failed)
        .finally(() => {
          evicting = false
        })
    },
  })
  return pulse
}

/**
 * Frames that come to a member that was deaf wait until it has heard whether it is still one: it may have been taken
 * out, and the actors that they are about may live elsewhere by now.
 */
class Gate {
  private held: Uint8Array[] | undefined
  private readonly membership: Membership
  private readonly member: Member
  private readonly failed: (error: unknown) => void

  constructor(membership: Membership, member: Member, failed: (error: unknown) => void) {
    this.membership = membership
    this.member = member
    this.failed = failed
  }

  receive(frame: Uint8Array): void {
    if (this.held) this.held.push(frame)
    else this.member.receive(frame)
  }

  close(): void {
    if (this.held) return
    this.held = []
    this.membership
      .confirm()
      .catch(this.failed)
      .finally(() => this.open())
  }

  private open(): void {
    const held = this.held ?? []
    this.held = undefined
    for (const frame of held) this.member.receive(frame)
  }
}
