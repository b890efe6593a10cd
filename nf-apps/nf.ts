import type {
  Fields,
  KeyedType,
  MaybePromise,
  MultiWriter,
  SingleWriter,
  Stub,
  Writers,
} from '../actors/index.ts'
import { RehomeError } from '../actors/index.ts'
import { type Ip, type Packet, steeringHash } from './packet/index.ts'

/** What becomes of a packet. */
export type Verdict = 0 | 1
/** The packet goes on. */
// Declared as Verdict, so that `.then(() => forward)` is a verdict's promise and no number's.
export const forward: Verdict = 1
/** The packet ends here. It is no loss: a run's figures count packets without a verdict as dropped. */
export const drop: Verdict = 0

/** The actor types of an NF by the name its handler uses: `flows: Flow.keyedBy(symmetricFlow)`. */
// biome-ignore lint/suspicious/noExplicitAny: a bound that any keyed type meets; inference keeps the real ones
export type StateMap = Readonly<Record<string, KeyedType<Writers, any, any, any>>>

/** What the handler gets for each: the key type 'only' is one actor's stub, the others are reached by key. */
export type Handles<S extends StateMap> = {
  readonly [N in keyof S]: S[N] extends KeyedType<infer W, infer K, infer F, infer M>
    ? Handle<W, K, F, M>
    : never
}
type Handle<W extends Writers, K, F extends Fields, M> = W extends 'single'
  ? SingleWriter<K, F, M>
  : 'only' extends K
    ? Stub<M> & MultiWriter<K, F, M>
    : MultiWriter<K, F, M>

/** An option of `rehome run NF --NAME VALUE`. */
export interface NFOption {
  readonly type: 'string' | 'boolean'
  /** May be given more than once. */
  readonly multiple?: boolean
  /** What stands for its value in the help. */
  readonly value?: string
  readonly default?: string
  readonly help: string
}
/** An NF's options by their names, as given or by default; undefined where there is neither. */
export type OptionValues = Readonly<
  Record<string, string | boolean | readonly string[] | undefined>
>

/** What a handler sends besides its verdict: replies, the packet translated, lines for a log; and where answers will come. */
export interface Output {
  /** Emits bytes (a whole frame of the packet's link type), under the packet's index. They are copied. */
  emit(bytes: Uint8Array): void
  /** Tells a line about what has happened, as it happens. */
  event(line: string): void
  /** Whether anybody takes such lines. An NF that has to find out what to tell may spare itself that. */
  readonly takesEvents: boolean
  /**
   * Whether packets of that steering hash go to the instance that this packet goes to: by the newest view known here,
   * whatever the placement. For who may choose a flow's ends, as a NAT its ports, so that both of its flows meet in one place.
   * A hint: the next change of scale may part them, so what is right must not depend on it.
   */
  steersAlike(hash: number): boolean
  /**
   * Packet time (µs) below which nothing is under way any more at any instance; this packet's own time at most. Packets of different
   * flows pass each other, by minutes of packet time where a capture is replayed in seconds. So what several flows share and a packet
   * still to come would find alive is ended by this time, not by that of the packet at hand.
   */
  lowUs(): number
}

/** A network function, as `defineNF` makes it and those who run it see it. */
export interface NF<S extends StateMap = StateMap, E = unknown> {
  readonly name: string
  readonly summary: string
  readonly options: Readonly<Record<string, NFOption>>
  readonly state: S
  /** The verdict of a packet whose handler threw. */
  readonly onError: Verdict
  /** What an instance reads once before its first packet: signatures, rules. Throws `bad-input` or `bad-argument`. */
  setup(options: OptionValues): E
  // Methods, not properties: an NF of any state and environment is an NF to those who only run it.
  onPacket(packet: Packet, state: Handles<S>, env: E, output: Output): MaybePromise<Verdict>
  /** See `NFDefinition`. */
  readonly rehearses: boolean
  /** Where it is there: see `NFDefinition`. */
  steering?(packet: Packet, env: E): number
  /** Addresses that are the NF's own when it stands between two interfaces; undefined: it only watches packets. */
  addresses(env: E): readonly Ip[] | undefined
  /** The NF's result, read from its actors, as lines in one canonical order. */
  result(state: Handles<S>, env: E): Promise<string[]>
  /** Whether the result is a log, whose lines stay once they are there: those can be shown as they come. */
  isLog(env: E): boolean
  /** Lines of a log that are there by now: its result, unless that is more than need be read. */
  found(state: Handles<S>, env: E): Promise<string[]>
  /** What the result cannot show: input that was not used, work left out at a limit. None: no lines. */
  notes(state: Handles<S>, env: E): Promise<string[]>
}

/** What `defineNF` takes: `state` and `onPacket`, and whatever else the NF needs. */
export interface NFDefinition<S extends StateMap, E> {
  /** One line for `rehome nfs`. */
  readonly summary?: string
  readonly options?: Readonly<Record<string, NFOption>>
  /** The actor types by the names that the handler uses, each with its key. */
  readonly state: S
  /** The verdict of a packet whose handler threw: `forward` if left out. */
  readonly onError?: Verdict
  /** Runs once at each instance before its first packet; what it answers is handed to all the others as `env`. */
  readonly setup?: (options: OptionValues) => E
  /**
   * All that its handler does, it does with its actors, `env` and `output`. Then each instance runs it over a second or two of
   * made-up packets before it joins, with actors and an `env` (one more `setup`) that are thrown away, so that its first real packets
   * do not wait for the engine to compile it. False if left out: nothing of it runs before its first packet.
   */
  readonly rehearses?: boolean
  /**
   * What the NF does with a packet. A promise suspends this packet, and those of its flow behind it; others go on. What it
   * throws is counted and told, and the verdict is `onError`.
   */
  onPacket(packet: Packet, state: Handles<S>, env: E, output: Output): MaybePromise<Verdict>
  /**
   * The hash that its packets are steered by, where it is not that of their flow: for an NF whose state belongs to more than
   * one flow. Packets of one hash keep their order; `besides` puts flows into one slot. It depends on the packet's bytes
   * and `env` alone, as each source of packets asks for itself. A key type that is `steered` has to hash as this does.
   */
  steering?(packet: Packet, env: E): number
  /** For an NF that sends packets on: the addresses that it answers for on its outer interface. */
  addresses?(env: E): readonly Ip[]
  /** Lines in one canonical order, read from the actors once all packets are through. */
  result?(state: Handles<S>, env: E): Promise<string[]>
  isLog?(env: E): boolean
  found?(state: Handles<S>, env: E): Promise<string[]>
  notes?(state: Handles<S>, env: E): Promise<string[]>
}

/**
 * Defines a network function: its actors and what it does with a packet. Throws `bad-definition` for a name that is not of small
 * letters, digits and -, a state without its key, or a missing handler.
 */
export function defineNF<S extends StateMap, E = undefined>(
  name: string,
  definition: NFDefinition<S, E>,
): NF<S, E> {
  if (!/^[a-z][a-z0-9-]*$/.test(name)) {
    throw new RehomeError('bad-definition', `NF name '${name}': small letters, digits and -`)
  }
  checkDefinition(name, definition)
  return {
    name,
    summary: definition.summary ?? '',
    options: definition.options ?? {},
    state: definition.state,
    onError: definition.onError ?? forward,
    setup: definition.setup ?? (() => undefined as E),
    rehearses: definition.rehearses ?? false,
    onPacket: definition.onPacket,
    ...(definition.steering && { steering: definition.steering }),
    addresses: definition.addresses ?? (() => undefined),
    result: definition.result ?? (async () => []),
    isLog: definition.isLog ?? (() => false),
    found: definition.found ?? definition.result ?? (async () => []),
    notes: definition.notes ?? (async () => []),
  }
}

/** What steers the packets of an NF. */
export function steeringOf<E>(nf: NF<StateMap, E>, env: E): (packet: Packet) => number {
  return nf.steering ? (packet) => nf.steering!(packet, env) : steeringHash
}

/** What the compiler would refuse: an NF may come from a file that no compiler has seen. */
function checkDefinition(
  name: string,
  { state, onPacket }: { readonly state?: object; readonly onPacket?: unknown },
): void {
  const wrong = (what: string) => new RehomeError('bad-definition', `NF '${name}': ${what}`)
  if (typeof onPacket !== 'function') throw wrong('onPacket is not a function')
  if (typeof state !== 'object' || state === null) throw wrong('state is missing; {} is none')
  for (const [each, keyed] of Object.entries<{ type?: unknown; key?: unknown } | undefined>({
    ...state,
  })) {
    if (keyed?.type && keyed.key) continue
    throw wrong(`state '${each}' is no actor type with its key: TYPE.keyedBy(KEY) or TYPE.only()`)
  }
}

/** Lines of a file that were not used which a note shows: more say little new, and each can be long. */
const SHOWN = 5

/** A note of what was not used, counted, with the first of them; `rest` says where all are. */
export function notUsed(what: string, lines: readonly string[], rest: string): string[] {
  if (lines.length === 0) return []
  const shown = lines.slice(0, SHOWN).map((line) => `  ${line}`)
  const more = lines.length > SHOWN ? [`  … and ${lines.length - SHOWN} more (${rest})`] : []
  return [`${lines.length} ${what}`, ...shown, ...more]
}
