/**
 * How one view follows from another: pure, the same on every machine.
 *
 * A new table is balanced to one slot over the active instances and moves the fewest slots. A slot may move only
 * when its owner has reported holding its token (PROTOCOL.md, rule 2): then the holder to PULL from is known to be the
 * old owner, however fast views follow each other. The others are pinned and stay put.
 *
 * Shares are reckoned over all slots, pinned ones included, and nobody gives away more than what is over its
 * share. So while slots are pinned the table may be uneven for the time of a handoff, but no slot moves that would have
 * to come back: all views together, until nothing is pinned, move no more than one view would have.
 *
 * Without an active instance there is nobody to give to: leavers keep their slots until another instance joins,
 * or leave with them; then they have no owner (0), and the next instance to join starts with fresh tokens.
 */
import { type MemberNo, RehomeError } from '../bus/index.ts'
import { SLOT_BITS } from './hash.ts'
import {
  type Crash,
  ID_LENGTH_MAX,
  MEMBERS_MAX,
  type Member,
  noCrash,
  type Role,
  View,
} from './view.ts'

/** Member → an epoch in whose view it held the tokens of all slots that it owned. Outdated is safe. */
export type Settled = ReadonlyMap<MemberNo, number>

export interface JoinInfo {
  readonly id: string
  readonly role: Role
  readonly protocol: number
  readonly schema: string
}

/** A cluster before its first member: no slot has an owner. Its epoch 0 is never written. */
export function emptyView(slotBits = SLOT_BITS): View {
  const none = new Uint32Array(1 << slotBits)
  return new View({
    epoch: 0,
    slotBits,
    members: [],
    nextNo: 1,
    crash: noCrash,
    owner: none,
    holder: none,
    since: none,
  })
}

/** The founder's view: an instance owns all slots and holds their tokens, fresh ones. */
export function firstView(info: JoinInfo, slotBits = SLOT_BITS): View {
  return withMember(emptyView(slotBits), info, new Map())
}

/** Adds a member, whose number is `view.nextNo`. */
export function withMember(view: View, info: JoinInfo, settled: Settled): View {
  refuseStranger(view, info)
  const { id, role, protocol, schema } = info
  const member: Member = { no: view.nextNo, id, role, state: 'active', protocol, schema }
  return follow(view, [...view.members, member], view.nextNo + 1, settled)
}

/** Its slots go as they are settled. Undefined: it is leaving already, or gone. */
export function withLeaving(view: View, no: MemberNo, settled: Settled): View | undefined {
  if (view.memberOf(no)?.state !== 'active') return undefined
  const members = view.members.map((m): Member => (m.no === no ? { ...m, state: 'leaving' } : m))
  return follow(view, members, view.nextNo, settled)
}

/**
 * Takes a member out after its BYE: it had nothing, so every token that the view expected it to hand over has arrived.
 * Undefined: it is gone already.
 */
export function without(view: View, no: MemberNo, settled: Settled): View | undefined {
  if (!view.memberOf(no)) return undefined
  const members = view.members.filter((m) => m.no !== no)
  return follow(view, members, view.nextNo, settled)
}

/**
 * Takes out a member that crashed. Its tokens are lost: each of its slots gets a new owner that is its own holder, and so
 * are the owners that still had to PULL from it. The view says that there was a crash, who was there, and what it took.
 */
export function withoutCrashed(
  view: View,
  no: MemberNo,
  actors: number,
  settled: Settled,
): View | undefined {
  if (!view.memberOf(no)) return undefined
  const members = view.members.filter((m) => m.no !== no)
  const crash: Crash = {
    epoch: view.epoch + 1,
    below: view.nextNo,
    members: view.crash.members + 1,
    actors: Math.min(view.crash.actors + actors, 0xffffffff),
  }
  return follow(view, members, view.nextNo, settled, crash)
}

/** Moves what has come to be movable. Undefined: nothing, so that nobody writes endless views. */
export function rebalanced(view: View, settled: Settled): View | undefined {
  const { owner, since, members } = view
  const some = countShares(owner, since, members, settled).some((s) => s.over > 0 && s.movable > 0)
  return some ? follow(view, members, view.nextNo, settled) : undefined
}

/** How many slots have yet to move until the view is balanced and its leavers have none. */
export function movesDue(view: View): number {
  let due = 0
  for (const share of countShares(view.owner, view.since, view.members, new Map()))
    due += Math.max(0, share.over)
  return due
}

/** Whether the owner is known to hold the slot's token. */
function isSettled(view: View, slot: number, settled: Settled): boolean {
  const epoch = settled.get(view.owner[slot]!)
  return epoch !== undefined && epoch >= view.since[slot]!
}

function refuseStranger(view: View, info: JoinInfo): void {
  const who = `${info.role} "${info.id}"`
  if (info.id.length === 0 || info.id.length > ID_LENGTH_MAX)
    throw new RehomeError('bad-argument', `a member's id has 1 to ${ID_LENGTH_MAX} characters`)
  if (view.members.length >= MEMBERS_MAX)
    throw new RehomeError('overloaded', `${who} cannot join: there are ${MEMBERS_MAX} members`)
  const one = view.members[0]
  if (one === undefined) return
  if (one.protocol !== info.protocol)
    throw new RehomeError(
      'mismatch',
      `${who} speaks protocol ${info.protocol}, the cluster speaks ${one.protocol}: ` +
        'run the same version of rehome everywhere',
      { theirs: one.protocol, ours: info.protocol },
    )
  if (one.schema !== info.schema)
    throw new RehomeError(
      'mismatch',
      `${who} has the state schema ${info.schema}, the cluster has ${one.schema}: ` +
        'run the same NF, in the same version, everywhere',
      { theirs: one.schema, ours: info.schema },
    )
}

/** The next view with these members: who is no longer among them loses slots and tokens, then slots move. */
function follow(
  view: View,
  members: readonly Member[],
  nextNo: MemberNo,
  settled: Settled,
  crash: Crash = view.crash,
): View {
  const epoch = view.epoch + 1
  const owner = view.owner.slice()
  const holder = view.holder.slice()
  const since = view.since.slice()
  const present = new Set(members.map((m) => m.no))
  for (let s = 0; s < owner.length; s++) {
    if (owner[s] !== 0 && !present.has(owner[s]!)) {
      owner[s] = holder[s] = 0
      since[s] = epoch
    } else if (isSettled(view, s, settled) || !present.has(holder[s]!)) holder[s] = owner[s]!
  }
  inherit(members, owner, holder, since, epoch)
  const shares = countShares(owner, since, members, settled)
  const slots = pickSlots(owner, since, shares)
  const takers = pickTakers(shares, slots.length)
  for (let i = 0; i < slots.length; i++) {
    const s = slots[i]!
    holder[s] = owner[s] === 0 ? takers[i]! : owner[s]!
    owner[s] = takers[i]!
    since[s] = epoch
  }
  return new View({
    epoch,
    slotBits: view.slotBits,
    members,
    nextNo,
    crash,
    owner,
    holder,
    since,
  })
}

/**
 * The last active instance has crashed beside leavers: slots without an owner are theirs now, in turns. They have
 * actors of them, and wait for others; somebody must decide.
 */
function inherit(
  members: readonly Member[],
  owner: Uint32Array,
  holder: Uint32Array,
  since: Uint32Array,
  epoch: number,
): void {
  const instances = members.filter((m) => m.role === 'instance')
  if (instances.length === 0 || instances.some((m) => m.state === 'active')) return
  let turn = 0
  for (let s = 0; s < owner.length; s++) {
    if (owner[s] !== 0) continue
    owner[s] = holder[s] = instances[turn++ % instances.length]!.no
    since[s] = epoch
  }
}

/** One owner's part in a table. */
interface Share {
  readonly no: MemberNo
  /** Its slots that came to it no later than this epoch may move. */
  readonly settled: number
  count: number
  movable: number
  /** What it has to give, pinned slots included; below 0: what it lacks. */
  over: number
  /** Movable slots met so far, in slot order. */
  met: number
}

/** Every owner's share and every active instance's, nobody with anything over while none is active. */
function countShares(
  owner: Uint32Array,
  since: Uint32Array,
  members: readonly Member[],
  settled: Settled,
): Share[] {
  const shares = new Map<MemberNo, Share>()
  const shareOf = (no: MemberNo): Share => {
    const known = shares.get(no)
    if (known) return known
    const epoch = no === 0 ? Number.POSITIVE_INFINITY : (settled.get(no) ?? -1)
    const share = { no, settled: epoch, count: 0, movable: 0, over: 0, met: 0 }
    shares.set(no, share)
    return share
  }
  const active = members.filter((m) => m.role === 'instance' && m.state === 'active')
  const receivers = active.map((m) => shareOf(m.no))
  for (let s = 0; s < owner.length; s++) {
    const share = shareOf(owner[s]!)
    share.count++
    if (since[s]! <= share.settled) share.movable++
  }
  if (active.length === 0) return [...shares.values()]
  for (const share of shares.values()) share.over = share.count
  setFairShares(receivers, owner.length)
  return [...shares.values()]
}

/**
 * The slots by the number of instances, rounded down; the rest one each, to those that have more than that already,
 * for each of them is one move less. The nearest to its share comes first: it then gives nothing at all.
 */
function setFairShares(instances: readonly Share[], slots: number): void {
  const low = Math.floor(slots / instances.length)
  let rest = slots - low * instances.length
  const distance = (s: Share) => (s.count > low ? s.count - low : slots + low - s.count)
  const nearest = [...instances].sort((a, b) => distance(a) - distance(b) || a.no - b.no)
  for (const share of nearest) share.over = share.count - low - (rest-- > 0 ? 1 : 0)
}

/** What is over, as far as it may move, rising; each owner's picks lie evenly among its slots. */
function pickSlots(owner: Uint32Array, since: Uint32Array, shares: readonly Share[]): number[] {
  const givers = new Map<MemberNo, Share>()
  for (const share of shares) if (share.over > 0) givers.set(share.no, share)
  const picks: number[] = []
  for (let s = 0; s < owner.length; s++) {
    const share = givers.get(owner[s]!)
    if (!share || since[s]! > share.settled) continue
    const give = Math.min(share.over, share.movable)
    const before = Math.floor((share.met * give) / share.movable)
    if (Math.floor((++share.met * give) / share.movable) > before) picks.push(s)
  }
  return picks
}

/** Who takes `n` slots, one after the other: always one of those with the fewest, in turns. */
function pickTakers(shares: readonly Share[], n: number): MemberNo[] {
  const needy = shares.filter((s) => s.over < 0)
  needy.sort((a, b) => a.count - b.count || a.no - b.no)
  const takers: MemberNo[] = []
  for (let level = needy[0]?.count ?? 0; takers.length < n; level++)
    for (const share of needy) {
      if (share.count > level) break
      if (takers.length < n && share.over++ < 0) takers.push(share.no)
    }
  return takers
}
