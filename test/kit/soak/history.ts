/**
 * What the instances of a soak write down, one JSON object a line in a file for each process. Times are nanoseconds of
 * the machine's monotonic clock, which all its processes share: that is what lets the checker order them.
 */

/** A state that an actor has had: its life, how many turns it has had, and a digest of their ids in order. */
export interface Version {
  readonly life: number
  readonly n: number
  readonly digest: number
}

/** Written by an actor's own method, at its home, before anything leaves the process. */
export interface TurnLine extends Version {
  readonly k: 'turn'
  readonly t: number
  readonly actor: string
  /** The operation; 0 for merged updates, which have `x` instead. */
  readonly id: number
  /** The process that asked for it, and where it stands among what that process asked of this actor. */
  readonly by: number
  readonly seq: number
  /** A plain call: it runs behind what its caller asked for before, and what comes later need not wait for it. */
  readonly plain?: true
  readonly x?: number
}
export interface BeginLine {
  readonly k: 'begin'
  readonly t: number
  readonly id: number
  /** The process that asks. */
  readonly by: number
  readonly f: Operation
  readonly actor: string
}
export interface EndLine {
  readonly k: 'end'
  readonly t: number
  readonly id: number
  /** The process that asked. */
  readonly by: number
  /** `fail`: it did not run; `info`: it may have run. */
  readonly is: 'ok' | 'fail' | 'info'
  /** What it answered: a state, null for none; of a removal, whether there was an actor. */
  readonly value?: Version | boolean | null
  readonly why?: string
}
/** An untethered update was made: its caller waits for nothing. */
export interface SentLine {
  readonly k: 'post' | 'add'
  readonly t: number
  readonly actor: string
  readonly id: number
  readonly x?: number
}
/** Something that the process itself saw to be wrong. */
export interface WrongLine {
  readonly k: 'wrong'
  readonly t: number
  readonly what: string
}
export type Line = TurnLine | BeginLine | EndLine | SentLine | WrongLine

/** `packet` is the turn of a packet's flow; the others are what a packet asks for besides. */
export const operations = [
  'packet',
  'append',
  'post',
  'add',
  'read',
  'peek',
  'remove',
  'with',
  'suspended',
  'ifPresent',
  'size',
  'lookup',
  'end',
] as const
export type Operation = (typeof operations)[number]

/** How a log's digest goes on: a turn that is lost, doubled or out of its order shows in all that follow. */
export function digestOf(before: number, id: number): number {
  let h = Math.imul(before ^ id, 0x9e3779b1)
  h ^= h >>> 15
  return Math.imul(h ^ (id >>> 7), 0x85ebca6b) >>> 0
}

/** A packet's payload: what its instance is to do. */
export interface Order {
  readonly op: number
  readonly key: number
  readonly flow: number
  readonly seq: number
  readonly id: number
  /** An amount: what is added, or how long a turn is suspended (ms). */
  readonly x: number
  /** The flow's turn waits until the operation has its answer. */
  readonly waits: boolean
}
const WORDS = 7

export function encodeOrder(o: Order): Uint8Array {
  const bytes = new Uint8Array(WORDS * 4)
  const view = new DataView(bytes.buffer)
  const words = [o.op, o.key, o.flow, o.seq, o.id, o.x, o.waits ? 1 : 0]
  for (const [i, word] of words.entries()) view.setUint32(i * 4, word)
  return bytes
}
export function decodeOrder(bytes: Uint8Array, at: number): Order {
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, WORDS * 4)
  const word = (i: number) => view.getUint32(i * 4)
  return {
    op: word(0),
    key: word(1),
    flow: word(2),
    seq: word(3),
    id: word(4),
    x: word(5),
    waits: word(6) === 1,
  }
}
