import type { Bus, Clock, MemberNo } from '../bus/index.ts'
import { PROTOCOL_VERSION, RehomeError } from '../bus/index.ts'
import { Membership, type Role, type View } from '../placement/index.ts'
import type { Member, MemberPorts } from './member.ts'

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
  let body: T | undefined
  const failed = (what: string) => (error: unknown) => {
    // What was under way when the member stopped: nobody waits for it.
    if (error instanceof RehomeError && error.code === 'closed') return
    o.onError(what, error)
  }
  const membership = new Membership({
    register: o.bus.register,
    clock: o.clock,
    onView: (view) => {
      latest = view
      body?.member.onView(view)
    },
    onError: failed('membership'),
  })
  const { id, role, schema } = o
  const no = await membership.join({ id, role, protocol: PROTOCOL_VERSION, schema }, o.slotBits)
  let gone = () => {}
  const left = new Promise<void>((resolve) => {
    gone = resolve
  })
  const made = o.make({
    self: no,
    clock: o.clock,
    transmit: (to, frame) => o.bus.publish(to, frame),
    wantView: (epoch) => void membership.refresh(epoch).catch(failed('fetching a view')),
    onSettled: (epoch) => void membership.reportSettled(epoch).catch(failed('reporting')),
    onLeft: () => {
      const last = body && o.beforeGone ? o.beforeGone(body) : Promise.resolve()
      last
        .then(() => membership.remove(no))
        .then(gone)
        .catch(failed('leaving'))
    },
    onError: o.onError,
  })
  const listening = await o.bus.listen(no, (frame) => made.member.receive(frame))
  o.bus.onReconnect(() => made.member.links.kick())
  const stop = () => {
    made.member.stop()
    membership.stop()
    listening.stop()
  }
  body = made
  if (latest) made.member.onView(latest)
  // Others may have had the view first, and sent frames that nobody heard: they are not to wait for their resending.
  made.member.links.greet()
  return { no, body: made, membership, left, leave: () => membership.leave(), stop }
}
