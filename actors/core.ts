import {
  type ByteReader,
  type ByteWriter,
  type Clock,
  Kind,
  type MemberNo,
  type Parts,
  RehomeError,
} from '../bus/index.ts'
import { mix, type Sender, type Slots, slotOf, type View } from '../placement/index.ts'
import { ACTIVATION, ENTRY, HASH, HOME } from './layout.ts'
import type { RuntimeType } from './runtime-type.ts'
import type { Row } from './table.ts'

/** How the actors of an NF are spread: see DESIGN, "affinity". */
export type PlacementKind = 'aligned' | 'spread'
/**
 * Where state lives: in the shared space; (the traditional NF) in each instance alone; in a store, every access
 * to it a message; or with its packets, moved in bulk while these are stopped.
 */
export const stateModels = ['shared', 'local-only', 'remote-only', 'stop-and-sync'] as const
export type StateModel = (typeof stateModels)[number]

/** Figures of an instance's actors; all count from its start. */
export interface SpaceStats {
  rehomedIn: number
  rehomedOut: number
  plainOut: number
  stale: number
  staleHits: number
  untether: number
  untetherMerged: number
  untetherApplied: number
  /** Updates that were lost with the instance that had them. */
  untetherLost: number
  rejected: number
  expired: number
}

export interface Limits {
  /** An untethered update leaves within this time (ms). */
  readonly flushMs: number
  /** Unmerged updates that may wait for one actor, and actors that may have any; beyond, packets are held back. */
  readonly outboxUpdatesMax: number
  readonly outboxesMax: number
  /** Values kept for stale reads. */
  readonly staleValuesMax: number
  /** A turn, call or read that has not been answered by then ends in an error (ms). */
  readonly waitMs: number
  /** Records of a page are 2^pageBits: large pages cost memory in small clusters, small ones time. */
  readonly pageBits: number
  /** Bytes of tokens handed over in one turn of the event loop; usual, if not given. */
  readonly givenBytes?: number
}
export const defaultLimits: Limits = {
  flushMs: 10,
  outboxUpdatesMax: 1024,
  outboxesMax: 65_536,
  staleValuesMax: 16_384,
  waitMs: 30_000,
  pageBits: 12,
}

/** Where a type's hash is mixed again under spread placement. */
const SPREAD_SALT = 0x5bd1e995
export const spreadHash = (hash: number): number => mix(hash ^ SPREAD_SALT)

/**
 * What the parts of the actor space share: the types and their tables, the slots, the way out, the clock.
 * No I/O, no clock and no randomness of its own.
 */
export class Core {
  readonly self: MemberNo
  readonly types: readonly RuntimeType[]
  readonly slots: Slots
  readonly out: Sender & {
    /** Begins what goes into one message with others of its kind. */
    beginPart(to: MemberNo, kind: number): ByteWriter
    /** The same, but only behind another part, which needs no credit; undefined: there is none. */
    beginFurther(to: MemberNo, kind: number): ByteWriter | undefined
    /** Takes further parts behind the one that has been written, where there is room; see `Parts`. */
    openParts(to: MemberNo): Parts | undefined
    creditLeft(to: MemberNo): number
    consumed(from: MemberNo, n: number): void
  }
  readonly clock: Clock
  readonly limits: Limits
  readonly model: StateModel
  readonly stats: SpaceStats = {
    rehomedIn: 0,
    rehomedOut: 0,
    plainOut: 0,
    stale: 0,
    staleHits: 0,
    untether: 0,
    untetherMerged: 0,
    untetherApplied: 0,
    untetherLost: 0,
    rejected: 0,
    expired: 0,
  }
  view: View | undefined
  /** The member that has all actors, under `remote-only`; 0: none has joined. */
  store: MemberNo = 0
  /** Under `local-only` each instance has actors of its own: the one whose are read; 0: those here, or all. */
  readsOf: MemberNo = 0
  /** Actors and tokens may be fetched behind the packets: not before these are stopped, under `stop-and-sync`. */
  mayMove = true
  /** Packet time (µs) up to which idle actors have been looked for: no packet still to come is older. */
  sweptUs = 0
  /** A turn is running: no other may begin inside it (rule 20). */
  inTurn = false
  /** A crash is being recovered from: no actor leaves, nor does what waits to leave change. */
  frozen = false
  /** The same, and what is here has not been reported yet. */
  fencing = false
  private readonly spread: boolean
  private readonly slotBits: number
  private requests = 0
  /** Where the length of the part that is being written stands. */
  private partAt = 0

  constructor(o: {
    self: MemberNo
    types: readonly RuntimeType[]
    slots: Slots
    out: Core['out']
    clock: Clock
    limits: Limits
    placement: PlacementKind
    model: StateModel
  }) {
    this.self = o.self
    this.types = o.types
    this.slots = o.slots
    this.out = o.out
    this.clock = o.clock
    this.limits = o.limits
    this.spread = o.placement === 'spread'
    this.slotBits = o.slots.slotBits
    this.model = o.model
  }

  /** Writes the key's words into the type's buffer; answers the hash that places it. */
  address(type: RuntimeType, key: unknown): number {
    return this.placed(type, type.key.write(key, type.words))
  }

  /** The hash that places a key, from the key's own. */
  placed(type: RuntimeType, hash: number): number {
    return this.isSpread(type) ? spreadHash(hash) : hash
  }
  /** The hashes that place its keys are not those of the keys. */
  isSpread(type: RuntimeType): boolean {
    return this.spread && !this.isWithPackets(type)
  }

  /** Under `stop-and-sync` the state of a flow is where its packets are, wherever else keys are spread. */
  private isWithPackets(type: RuntimeType): boolean {
    return this.model === 'stop-and-sync' && type.writers === 'single'
  }

  /** The type's actors lie in the slots by which their packets are steered. */
  isSteered(type: RuntimeType): boolean {
    return type.writers === 'single' && type.key.steered === true && !this.spread
  }

  /** Whether actors have homes and slots owners that change with the view. */
  get hasMoves(): boolean {
    return this.model === 'shared' || this.model === 'stop-and-sync'
  }

  /** Turns hashes of keys into those that place them. */
  place(hashes: Uint32Array, count: number): void {
    if (!this.spread) return
    for (let i = 0; i < count; i++) hashes[i] = spreadHash(hashes[i]!)
  }

  /** The crash that the view knows of: what is said about an activation is good until the next one. */
  get crash(): number {
    return this.view?.crash.epoch ?? 0
  }
  /**
   * Said before a crash that we know of: the directory has been made anew since, and that number may name another
   * activation now.
   */
  isOld(crash: number): boolean {
    return crash < this.crash
  }

  slot(hash: number): number {
    return slotOf(hash, this.slotBits)
  }
  owner(hash: number): MemberNo {
    const { view } = this
    if (!view) throw new RehomeError('not-ready', 'this instance has no view yet')
    if (this.model === 'remote-only') return this.store
    return view.owner[this.slot(hash)]!
  }

  type(r: ByteReader): RuntimeType {
    const id = r.u8()
    const type = this.types[id]
    if (!type) throw new RehomeError('bad-frame', `no actor type ${id}`)
    return type
  }

  /** A message about the actor in `type.words` to its slot owner, or to whoever the view says it is by then. */
  toOwner(kind: number, type: RuntimeType, hash: number, words: Uint32Array): ByteWriter {
    return this.about(this.owner(hash), kind, type, hash, words)
  }
  about(
    to: MemberNo,
    kind: number,
    type: RuntimeType,
    hash: number,
    words: Uint32Array,
  ): ByteWriter {
    const w = this.out.begin(to, kind)
    type.writeKey(w, hash, words)
    return w
  }

  /** Begins a part about an actor of a message of such parts, each behind its length; `endPart` finishes it. */
  partAbout(
    to: MemberNo,
    kind: number,
    type: RuntimeType,
    hash: number,
    words: Uint32Array,
  ): ByteWriter {
    const w = this.out.beginPart(to, kind)
    this.partAt = w.pos
    w.u32(0)
    type.writeKey(w, hash, words)
    return w
  }
  endPart(w: ByteWriter): void {
    w.view.setUint32(this.partAt, w.pos - this.partAt - 4, true)
    this.out.end()
  }

  nextRequest(): number {
    this.requests = (this.requests + 1) >>> 0 || 1
    return this.requests
  }

  /** The record of a key, made if there is none. The key's words are in `type.words`. */
  rowFor(type: RuntimeType, hash: number): Row {
    const row = type.table.find(hash, type.words)
    return row >= 0 ? row : type.table.insert(hash, type.words)
  }

  /** Frees a record that says nothing any more. */
  tidy(type: RuntimeType, row: Row): void {
    const { table } = type
    type.settleAffair(row)
    if (table.get(row, ACTIVATION) || table.aside(row, ENTRY) || type.affairOf(row)) return
    table.delete(row)
  }

  /** Notes in the directory that the actor's home is `home`, by a move with a new number. */
  name(type: RuntimeType, row: Row, home: MemberNo): number {
    const number = this.slots.nextNumber(this.slot(type.table.aside(row, HASH)))
    type.table.setAside(row, ENTRY, number)
    type.table.setAside(row, HOME, home)
    return number
  }

  /** Begins an activation; its state is to be reset or decoded by the caller. */
  activate(type: RuntimeType, row: Row, number: number): void {
    type.table.set(row, ACTIVATION, number)
    type.table.activations++
  }
  deactivate(type: RuntimeType, row: Row): void {
    type.table.set(row, ACTIVATION, 0)
    type.table.activations--
  }

  /** An activation's name in the cluster for good: numbers are never given twice in a slot. */
  activationId(hash: number, number: number): number {
    return this.slot(hash) * 2 ** 32 + number
  }
}

export { Kind }
