import type { Expiry, Field, KeyType, MaybePromise, Methods } from '../../actors/index.ts'
import type { Handles, NF, OptionValues, StateMap, Verdict } from '../../nf-apps/index.ts'
import type { Packet } from '../../nf-apps/packet/index.ts'

/**
 * An NF on one instance without an actor runtime: a map for each actor type, calls made on the spot. It knows nothing of
 * homes, messages or moves, so it is what a run on many instances is held against.
 */
export class Solo<S extends StateMap, E> {
  readonly state: Handles<S>
  readonly env: E
  /** Frames that the NF emitted, with the index of their packet. */
  readonly emitted: { index: number; bytes: Uint8Array }[] = []
  /** Lines that it told. */
  readonly events: string[] = []
  takesEvents = true
  /** Packet time below which none is still to come; by default they come in the order of their times. */
  lowUs = Number.POSITIVE_INFINITY
  private readonly nf: NF<S, E>
  private readonly all: Actors<unknown>[] = []
  /** Packet time: what expiry goes by. */
  private readonly clock = { us: 0 }

  constructor(nf: NF<S, E>, options: OptionValues = {}) {
    this.nf = nf
    this.env = nf.setup(options)
    const handles: Record<string, unknown> = {}
    for (const [name, keyed] of Object.entries(nf.state)) {
      const actors = new Actors(keyed, this.clock)
      this.all.push(actors)
      handles[name] = handleOf(keyed, actors)
    }
    this.state = handles as Handles<S>
  }

  /** A promise only if the NF itself waits for something. */
  packet(p: Packet): MaybePromise<Verdict> {
    const { index } = p
    this.clock.us = p.clockUs
    const output = {
      emit: (bytes: Uint8Array) => void this.emitted.push({ index, bytes: new Uint8Array(bytes) }),
      event: (line: string) => void this.events.push(line),
      takesEvents: this.takesEvents,
      steersAlike: () => true,
      lowUs: () => Math.min(this.lowUs, this.clock.us),
    }
    return this.nf.onPacket(p, this.state, this.env, output)
  }

  result(): Promise<string[]> {
    for (const actors of this.all) actors.expire()
    return this.nf.result(this.state, this.env)
  }

  notes(): Promise<string[]> {
    return this.nf.notes(this.state, this.env)
  }
}

/** The result of an NF over these packets, one after the other. */
export async function soloRun<S extends StateMap, E>(
  nf: NF<S, E>,
  packets: Iterable<Packet>,
  options: OptionValues = {},
): Promise<string[]> {
  const solo = new Solo(nf, options)
  for (const p of packets) {
    const verdict = solo.packet(p)
    if (verdict instanceof Promise) await verdict
  }
  return solo.result()
}

type AnyState = Record<string, unknown>
interface Entry<K> {
  readonly key: K
  readonly words: string
  state: AnyState
}

function handleOf({ type, key }: StateMap[string], actors: Actors<unknown>): object {
  const stub = (at: unknown) => stubOf(type.methods, actors, at)
  const reach = {
    lookup: (at: unknown) => copy(actors.find(at)?.state),
    remove: (at: unknown) => actors.remove(at),
    local: () => actors.all(),
    all: async () => actors.all(),
    at: stub,
  }
  if (type.writers === 'multi') {
    const create = (at: unknown) => actors.make(at).created
    // As in the product, a method of the only actor comes before a verb of the same name.
    return { ...reach, create, ...(key.words === 0 ? stub('only') : {}) }
  }
  return {
    ...reach,
    with<R>(at: unknown, turn: (state: AnyState, created: boolean) => R): R {
      const { entry, created } = actors.make(at)
      return actors.turn(entry, (state) => turn(state, created))
    },
    ifPresent<R>(at: unknown, turn: (state: AnyState | undefined) => R): R {
      const entry = actors.find(at)
      return entry ? actors.turn(entry, turn) : turn(undefined)
    },
  }
}

function stubOf(methods: Methods<AnyState>, actors: Actors<unknown>, at: unknown): object {
  const stub: Record<string, unknown> = {}
  for (const [name, method] of Object.entries(methods)) {
    if (typeof method === 'function') {
      stub[name] = (...args: unknown[]) =>
        actors.turn(actors.make(at).entry, (state) => method(state, ...args))
    } else if (method.access === 'untether') {
      stub[name] = (x: unknown) =>
        actors.turn(actors.make(at).entry, (state) => method.run(state, x))
    } else {
      stub[name] = (...args: unknown[]) => {
        const entry = actors.find(at)
        return method.run(entry?.state ?? actors.fresh(), ...args)
      }
    }
  }
  return stub
}

class Actors<K> {
  private readonly key: KeyType<K>
  private readonly fields: [string, Field<unknown>][]
  private readonly byHash = new Map<number, Entry<K>[]>()
  private readonly words: Uint32Array
  private readonly expiry: Expiry<AnyState> | undefined
  private readonly clock: { readonly us: number }

  constructor({ type, key }: StateMap[string], clock: { readonly us: number }) {
    this.key = key
    this.fields = Object.entries<Field<unknown>>(type.fields)
    this.words = new Uint32Array(key.words)
    this.expiry = type.expiry
    this.clock = clock
  }

  fresh(): AnyState {
    return Object.fromEntries(this.fields.map(([name, field]) => [name, field.initial()]))
  }

  find(key: K): Entry<K> | undefined {
    const hash = this.key.write(key, this.words)
    const words = this.words.join()
    const entry = this.byHash.get(hash)?.find((other) => other.words === words)
    if (!entry || !this.isOver(entry)) return entry
    this.drop(hash, entry)
  }

  /** Ends all whose time is over. */
  expire(): void {
    if (!this.expiry) return
    for (const [hash, entries] of this.byHash) {
      for (const entry of entries) if (this.isOver(entry)) this.drop(hash, entry)
    }
  }

  private isOver({ state }: Entry<K>): boolean {
    const due = this.expiry?.due(state) ?? Number.POSITIVE_INFINITY
    return due <= this.clock.us && this.expiry?.expire(state, due) === true
  }

  private drop(hash: number, entry: Entry<K>): void {
    const rest = (this.byHash.get(hash) ?? []).filter((other) => other !== entry)
    this.byHash.set(hash, rest)
  }

  make(key: K): { entry: Entry<K>; created: boolean } {
    const found = this.find(key)
    if (found) return { entry: found, created: false }
    const hash = this.key.write(key, this.words)
    const own = this.key.read(this.words, 0)
    const entry = { key: own, words: this.words.join(), state: this.fresh() }
    const here = this.byHash.get(hash)
    if (here) here.push(entry)
    else this.byHash.set(hash, [entry])
    return { entry, created: true }
  }

  remove(key: K): boolean {
    const entry = this.find(key)
    if (!entry) return false
    this.drop(this.key.write(key, this.words), entry)
    return true
  }

  all(): { key: K; state: AnyState }[] {
    const entries = [...this.byHash.values()].flat()
    return entries.map(({ key, state }) => ({ key, state: structuredClone(state) }))
  }

  /** Numbers wrap when the turn is over, as they would in the arrays that they lie in. */
  turn<R>({ state }: Entry<K>, run: (state: AnyState) => R): R {
    const done = run(state)
    if (done instanceof Promise) void done.then(() => this.wrap(state))
    else this.wrap(state)
    return done
  }

  private wrap(state: AnyState): void {
    for (const [name, { kind }] of this.fields) {
      const value = Number(state[name])
      if (kind === 'u8') state[name] = value & 0xff
      else if (kind === 'u16') state[name] = value & 0xffff
      else if (kind === 'u32') state[name] = value >>> 0
      else if (kind === 'i32') state[name] = value | 0
    }
  }
}

function copy(state: AnyState | undefined): AnyState | undefined {
  return state && structuredClone(state)
}
