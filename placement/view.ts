import {
  ByteReader,
  ByteWriter,
  type MemberNo,
  PROTOCOL_VERSION,
  RehomeError,
} from '../bus/index.ts'
import { SLOT_BITS } from './hash.ts'

/**
 * Who takes part: an `instance` owns slots and runs the NF; a `steerer` only sends packets in; a `store` has all actors
 * where state is remote only.
 */
export type Role = 'instance' | 'steerer' | 'store'

export interface Member {
  readonly no: MemberNo
  /** The name people know it by; unique among the processes alive at one time. */
  readonly id: string
  readonly role: Role
  /** A leaving instance gets no packets and no more slots, and gives away those that it has. */
  readonly state: 'active' | 'leaving'
  readonly protocol: number
  /** Hash of the NF's state layouts: members that differ could not read each other's actors. */
  readonly schema: string
}

export interface ViewParts {
  readonly epoch: number
  readonly slotBits: number
  /** By rising number. */
  readonly members: readonly Member[]
  /** The number that the next member gets. It only grows, so that no number is ever used again. */
  readonly nextNo: MemberNo
  readonly crash: Crash
  readonly owner: Uint32Array
  readonly holder: Uint32Array
  readonly since: Uint32Array
}

/**
 * The newest crash that the view knows of. Those who were members then recover together what it took with it
 * (actors' Recovery); whoever joined later has no part in it.
 */
export interface Crash {
  /** The epoch that took the dead member out; 0: none has crashed so far. */
  readonly epoch: number
  /** Members with lower numbers were there. */
  readonly below: MemberNo
  /** Members that have died since the cluster began, and the actors that they had by their last heartbeats. */
  readonly members: number
  readonly actors: number
}
export const noCrash: Crash = { epoch: 0, below: 0, members: 0, actors: 0 }

/** Members in one view, gone ones not counted: with the longest names a view stays below NATS's 1 MB. */
export const MEMBERS_MAX = 4096
/** UTF-16 units of a member's name; see MEMBERS_MAX. */
export const ID_LENGTH_MAX = 64

/**
 * One numbered state of the cluster: its members, and for each slot its owner. Immutable: the tables are
 * shared by everyone who has the view, and nobody writes to them.
 */
export class View {
  readonly epoch: number
  readonly slotBits: number
  readonly members: readonly Member[]
  readonly nextNo: MemberNo
  readonly crash: Crash
  /** Slot → the instance that serialises the moves of its actors, once it has the token. 0: nobody. */
  readonly owner: Uint32Array
  /**
   * Slot → whom the owner PULLs the token from. The owner itself where the token is settled with it as far as
   * the view knows, or was lost in a crash: an owner that is named holder and has no token makes it afresh.
   * So a member that has a token, and is neither owner nor holder of the slot in its view, must drop it.
   */
  readonly holder: Uint32Array
  /** Slot → the epoch since which `owner` is the owner without a break. */
  readonly since: Uint32Array
  private readonly byNo: ReadonlyMap<MemberNo, Member>
  private readonly active: readonly Member[]

  constructor(parts: ViewParts) {
    this.epoch = parts.epoch
    this.slotBits = parts.slotBits
    this.members = parts.members
    this.nextNo = parts.nextNo
    this.crash = parts.crash
    this.owner = parts.owner
    this.holder = parts.holder
    this.since = parts.since
    this.byNo = new Map(parts.members.map((m) => [m.no, m]))
    this.active = parts.members.filter((m) => m.role === 'instance' && m.state === 'active')
  }

  memberOf(no: MemberNo): Member | undefined {
    return this.byNo.get(no)
  }
  /** Was a member once and is not any more. Numbers only grow: an unknown high one is still to come. */
  isGone(no: MemberNo): boolean {
    return no < this.nextNo && !this.byNo.has(no)
  }
  ownerOf(slot: number): MemberNo {
    return this.owner[slot]!
  }
  /** The slots that `no` owns, rising. */
  slotsOf(no: MemberNo): number[] {
    const slots: number[] = []
    for (let s = 0; s < this.owner.length; s++) if (this.owner[s] === no) slots.push(s)
    return slots
  }
  /** The instances that slots may be given to, by rising number. */
  activeInstances(): readonly Member[] {
    return this.active
  }
}

/*
 * On the wire: protocol (u16), then numbers as varints. Slots that came to their owner together share its number and the
 * epoch, so the distinct pairs stand once, and for each slot the index of its pair, in as few bits as there are pairs.
 * Holders are written only where they are not the owner. 16,384 slots and 1,000 members come to some 55 KB.
 */
export function encodeView(view: ViewParts): Uint8Array {
  const w = new ByteWriter(4096)
  w.u16(PROTOCOL_VERSION)
  putVar(w, view.epoch)
  w.u8(view.slotBits)
  putVar(w, view.nextNo)
  putVar(w, view.crash.epoch)
  putVar(w, view.crash.below)
  putVar(w, view.crash.members)
  putVar(w, view.crash.actors)
  putMembers(w, view.members)
  putOwners(w, view.owner, view.since)
  putHolders(w, view.owner, view.holder)
  return w.take()
}

/** Answers a view that holds together, or throws: `bad-frame`, `mismatch` for another protocol's view. */
export function decodeView(bytes: Uint8Array): View {
  const r = new ByteReader(bytes)
  const protocol = r.u16()
  if (protocol !== PROTOCOL_VERSION)
    throw new RehomeError(
      'mismatch',
      `the cluster's view is of protocol ${protocol}, this program speaks ${PROTOCOL_VERSION}`,
      { theirs: protocol, ours: PROTOCOL_VERSION },
    )
  const epoch = getVar(r)
  const slotBits = r.u8()
  if (slotBits > SLOT_BITS) bad(`has ${slotBits} slot bits`)
  const nextNo = getVar(r)
  const crash = { epoch: getVar(r), below: getVar(r), members: getVar(r), actors: getVar(r) }
  if (crash.epoch > epoch || crash.below > nextNo) bad('tells of a crash in the future')
  const members = getMembers(r)
  for (const m of members) if (m.no >= nextNo) bad(`names member ${m.no} before it came`)
  const instances = new Set(members.filter((m) => m.role === 'instance').map((m) => m.no))
  const { owner, since } = getOwners(r, 1 << slotBits, instances, epoch)
  const holder = getHolders(r, owner, instances)
  if (r.left > 0) bad(`has ${r.left} bytes too many`)
  return new View({ epoch, slotBits, members, nextNo, crash, owner, holder, since })
}

function bad(what: string): never {
  throw new RehomeError('bad-frame', `a view on the bus ${what}`)
}

/** A role's place here is its number on the wire. */
const roles: readonly Role[] = ['instance', 'steerer', 'store']
const LEAVING = 4

function putMembers(w: ByteWriter, members: readonly Member[]): void {
  const schemas = [...new Set(members.map((m) => m.schema))]
  putVar(w, schemas.length)
  for (const schema of schemas) w.text(schema)
  putVar(w, members.length)
  let last = 0
  for (const m of members) {
    putVar(w, m.no - last)
    last = m.no
    w.u8(roles.indexOf(m.role) | (m.state === 'leaving' ? LEAVING : 0))
    putVar(w, m.protocol)
    putVar(w, schemas.indexOf(m.schema))
    w.text(m.id)
  }
}

function getMembers(r: ByteReader): Member[] {
  const schemas: string[] = []
  for (let left = getVar(r); left > 0; left--) schemas.push(r.text())
  const count = getVar(r)
  if (count > MEMBERS_MAX) bad(`has ${count} members`)
  const members: Member[] = []
  let no = 0
  while (members.length < count) {
    const step = getVar(r)
    if (step === 0) bad('names a member twice')
    no += step
    const flags = r.u8()
    const role = roles[flags & ~LEAVING] ?? bad(`has a member with flags ${flags}`)
    const protocol = getVar(r)
    const schema = schemas[getVar(r)] ?? bad('names a schema that it does not have')
    members.push({
      no,
      id: r.text(),
      role,
      state: flags & LEAVING ? 'leaving' : 'active',
      protocol,
      schema,
    })
  }
  return members
}

function putHolders(w: ByteWriter, owner: Uint32Array, holder: Uint32Array): void {
  let count = 0
  for (let s = 0; s < owner.length; s++) if (holder[s] !== owner[s]) count++
  putVar(w, count)
  let next = 0
  for (let s = 0; s < owner.length; s++) {
    if (holder[s] === owner[s]) continue
    putVar(w, s - next)
    putVar(w, holder[s]!)
    next = s + 1
  }
}

function getHolders(
  r: ByteReader,
  owner: Uint32Array,
  instances: ReadonlySet<MemberNo>,
): Uint32Array {
  const holder = owner.slice()
  let slot = -1
  for (let left = getVar(r); left > 0; left--) {
    slot += getVar(r) + 1
    if (slot >= holder.length) bad('names a holder for a slot that is none')
    const no = getVar(r)
    if (owner[slot] === 0 || !instances.has(no)) bad('names a stranger as holder')
    holder[slot] = no
  }
  return holder
}

function putOwners(w: ByteWriter, owner: Uint32Array, since: Uint32Array): void {
  const owners = distinct(owner)
  const epochs = distinct(since)
  const ownerAt = indexes(owners)
  const epochAt = indexes(epochs)
  const pairs = owner.map((no, s) => ownerAt.get(no)! * epochs.length + epochAt.get(since[s]!)!)
  const values = distinct(pairs)
  putRising(w, owners)
  putRising(w, epochs)
  putRising(w, values)
  const pairAt = indexes(values)
  const width = widthOf(values.length)
  let bits = 0
  let have = 0
  for (const pair of pairs) {
    bits |= pairAt.get(pair)! << have
    for (have += width; have >= 8; have -= 8) {
      w.u8(bits & 0xff)
      bits >>>= 8
    }
  }
  if (have > 0) w.u8(bits)
}

/** Owners and epochs stand once, so what the rest of the program relies on is asked of each once, not of each slot. */
function getOwners(
  r: ByteReader,
  n: number,
  instances: ReadonlySet<MemberNo>,
  epoch: number,
): { owner: Uint32Array; since: Uint32Array } {
  const owners = getRising(r, n)
  const epochs = getRising(r, n)
  const pairs = getRising(r, n)
  for (const no of owners)
    if (no !== 0 && !instances.has(no)) bad(`gives slots to a stranger, ${no}`)
  if (epochs[epochs.length - 1]! > epoch) bad('says that slots moved in the future')
  if (pairs[pairs.length - 1]! >= owners.length * epochs.length) bad('has an owner too many')
  const width = widthOf(pairs.length)
  const packed = r.raw(Math.ceil((n * width) / 8))
  const owner = new Uint32Array(n)
  const since = new Uint32Array(n)
  let bits = 0
  let have = 0
  let at = 0
  for (let s = 0; s < n; s++) {
    for (; have < width; have += 8) bits |= packed[at++]! << have
    const pair = pairs[bits & ((1 << width) - 1)] ?? bad(`has an index over its ${pairs.length}`)
    owner[s] = owners[Math.floor(pair / epochs.length)]!
    since[s] = epochs[pair % epochs.length]!
    bits >>>= width
    have -= width
  }
  return { owner, since }
}

function distinct(values: Uint32Array): Uint32Array {
  return Uint32Array.from(new Set(values)).sort()
}

function indexes(values: Uint32Array): Map<number, number> {
  const at = new Map<number, number>()
  for (const value of values) at.set(value, at.size)
  return at
}

/** Bits that tell `count` values apart. */
function widthOf(count: number): number {
  return count < 2 ? 0 : 32 - Math.clz32(count - 1)
}

/** Distinct numbers, rising: their count, then what each is more than the one before. */
function putRising(w: ByteWriter, values: Uint32Array): void {
  putVar(w, values.length)
  let last = 0
  for (const value of values) {
    putVar(w, value - last)
    last = value
  }
}

function getRising(r: ByteReader, max: number): Uint32Array {
  const count = getVar(r)
  if (count === 0 || count > max) bad(`has a column of ${count} values for ${max} slots`)
  const values = new Uint32Array(count)
  let value = 0
  for (let i = 0; i < count; i++) {
    value += getVar(r)
    if (value > 0xffffffff) bad('has a number over 32 bits')
    values[i] = value
  }
  return values
}

/** A number below 2^32, seven bits a byte, low ones first. */
function putVar(w: ByteWriter, value: number): void {
  let rest = value
  for (; rest > 0x7f; rest = Math.floor(rest / 128)) w.u8((rest & 0x7f) | 0x80)
  w.u8(rest)
}

function getVar(r: ByteReader): number {
  let value = 0
  for (let scale = 1; scale <= 128 ** 4; scale *= 128) {
    const byte = r.u8()
    value += (byte & 0x7f) * scale
    if (byte < 0x80) return value <= 0xffffffff ? value : bad('has a number over 32 bits')
  }
  return bad('has a number over 32 bits')
}
