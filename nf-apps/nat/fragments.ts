import { list, singleWriter } from '../../actors/index.ts'
import type { Packet } from '../packet/index.ts'

/** Frame of a fragment that came before its datagram's first one. */
interface Held {
  readonly bytes: Uint8Array
  readonly ip: number
}

export interface Datagram {
  readonly src: number
  readonly dst: number
  readonly protocol: number
  readonly id: number
  readonly sinceUs: number
  held: Held[]
  heldBytes: number
  /** Where its first fragment went: it is the one with ports. */
  to: { src: number; dst: number } | undefined
  refused: boolean
}

/** Packet time (µs) in which the fragments of a datagram have to come. */
const WAIT_US = 10_000_000
/** Datagrams of one slot that are remembered; the oldest goes first. */
const DATAGRAMS_MAX = 64
/** Of all that is held in a slot: a datagram of the largest size. What is over goes, oldest first. */
const HELD_BYTES_MAX = 0x10000

/**
 * What is known of the datagrams that come in fragments, by slot of the steering hash, which is the same for all fragments of a
 * datagram: so they need no call, and what strangers can have held is bounded.
 */
export const Fragments = singleWriter(
  'nat-fragments',
  { datagrams: list<Datagram>('nat-datagram') },
  {},
  {
    due: (s) => (s.datagrams.at(-1)?.sinceUs ?? 0) + WAIT_US,
    expire: () => true,
  },
)

/** The slot's part of a steering hash: 14 bits (placement has as many slots). */
export const laneOf = (hash: number): number => ((hash >>> 18) << 18) >>> 0

export function datagramOf(datagrams: Datagram[], p: Packet): Datagram {
  const { ipId: id, ipProtocol: protocol, clockUs } = p
  const [src, dst] = [p.src.d, p.dst.d]
  const found = datagrams.find(
    (d) =>
      d.id === id &&
      d.src === src &&
      d.dst === dst &&
      d.protocol === protocol &&
      clockUs < d.sinceUs + WAIT_US,
  )
  if (found) return found
  const ends = { src, dst, protocol, id, sinceUs: clockUs }
  const fresh = { ...ends, held: [], heldBytes: 0, to: undefined, refused: false }
  datagrams.push(fresh)
  while (datagrams.length > DATAGRAMS_MAX) datagrams.shift()
  return fresh
}

/** Keeps a fragment until the first one has come. */
export function hold(datagrams: Datagram[], datagram: Datagram, p: Packet): void {
  const bytes = new Uint8Array(p.bytes.subarray(p.start, p.end))
  datagram.held.push({ bytes, ip: p.l3Offset - p.start })
  datagram.heldBytes += bytes.length
  let all = datagrams.reduce((sum, d) => sum + d.heldBytes, 0)
  for (const d of datagrams) {
    if (all <= HELD_BYTES_MAX) return
    if (d === datagram) continue
    all -= d.heldBytes
    d.held = []
    d.heldBytes = 0
  }
}
