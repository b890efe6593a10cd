import type { News } from './events.ts'
import { endOf } from './keys.ts'

/** What is asked of a host about one packet. */
export interface Asked {
  readonly protocol: number
  readonly remote: number
  readonly remotePort: number
  /** TCP's. */
  readonly flags: number
  readonly nowUs: number
  /** What was over by then, no packet still to come finds alive. */
  readonly lowUs: number
  /** The rules' number. */
  readonly rules: number
  /** The inside port; of a packet from outside, the public one. */
  readonly port: number
  /** The place in the pool of the public address that this host is paired with; of a packet from outside, of its own. */
  readonly index: number
}

/** A port is needed first: that same one, if it can be had, or any. */
export type Need = 'same' | 'any'

export interface AskedOut extends Asked {
  /** What the pool has been asked for already. */
  readonly asked: Need | 'nothing'
  /** Public ends for a new mapping, of those that were offered, or that the asker believes to be at hand. */
  readonly wanted: readonly number[]
}

/** A translation, and whether a lease on it goes with that: else it is for this packet alone. */
export interface Translation {
  /** The public end; of a packet from outside, the inside port. */
  readonly end: number
  readonly isLeased: boolean
  /** What the packet has made of its session. */
  readonly news: News | undefined
}

/*
 * Each new connection asks twice or three times, mostly by message: so questions and answers are few numbers. As objects they
 * were five times the bytes, and the larger part of what asking cost.
 */
const ASKED = ['nothing', 'same', 'any'] as const
const FIXED = 6

export type Packed = readonly number[]

export function packed(a: Asked): Packed {
  return [a.nowUs, a.remote | 0, (a.remotePort << 16) | a.port, small(a), a.rules, lag(a)]
}

export function packedOut(a: AskedOut): Packed {
  const asked = ASKED.indexOf(a.asked) << 24
  return [
    a.nowUs,
    a.remote | 0,
    (a.remotePort << 16) | a.port,
    small(a) | asked,
    a.rules,
    lag(a),
    ...a.wanted,
  ]
}

/** Mostly some ms: less to send than a time. */
const lag = ({ nowUs, lowUs }: Asked) => nowUs - lowUs

const small = ({ protocol, flags, index }: Asked) =>
  protocol | ((flags & 0xff) << 8) | (index << 16)

export function unpacked(p: Packed): AskedOut {
  const [ports, rest] = [p[2]!, p[3]!]
  return {
    protocol: rest & 0xff,
    remote: p[1]! >>> 0,
    remotePort: ports >>> 16,
    flags: (rest >>> 8) & 0xff,
    nowUs: p[0]!,
    lowUs: p[0]! - p[5]!,
    rules: p[4]!,
    port: ports & 0xffff,
    index: (rest >>> 16) & 0xff,
    asked: ASKED[rest >>> 24] ?? 'nothing',
    wanted: p.length > FIXED ? p.slice(FIXED) : NONE,
  }
}
export const NONE: readonly number[] = []

/** The public end that a packet from outside came to. */
export const endAsked = ({ index, port }: Asked): number => endOf(index, port)

const NEWS = [undefined, 'new', 'closed'] as const

export const answerOf = ({ end, isLeased, news }: Translation): number =>
  end * 8 + (isLeased ? 4 : 0) + NEWS.indexOf(news)

export function translationOf(answer: number): Translation {
  return { end: answer >>> 3, isLeased: (answer & 4) !== 0, news: NEWS[answer & 3] }
}
