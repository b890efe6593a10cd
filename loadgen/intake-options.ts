import type { Clock, MemberNo } from '../bus/index.ts'
import type { Packet } from '../nf-apps/packet/index.ts'
import type { Sender } from '../placement/index.ts'
import type { Entry } from './entry.ts'

/** What the intake hands each packet to. 1: forward, 0: drop. */
export type Handler = (packet: Packet, entry: Entry) => number | Promise<number>

export interface IntakeStats {
  packets: number
  bytes: number
  malformed: number
  errors: number
  suspendedMax: number
  /** Packets handled while the newest view was not settled here. */
  packetsDuringHandoff: number
}

export interface IntakeOptions {
  readonly out: Sender & { consumed(from: MemberNo, bytes: number): void }
  readonly clock: Clock
  readonly slotBits: number
  readonly handler: Handler
  /** Verdict of a packet whose handler threw. */
  readonly onError: (packet: Packet, error: unknown) => number
  readonly pressed: () => boolean
  /** Who gets the packets of a steering hash, by the newest view: its flips may still be under way. */
  readonly receiverOf: (hash: number) => MemberNo
  /** The member was in the view, and is not any more. */
  readonly isGone: (no: MemberNo) => boolean
  /** Whether `foresee` is worth its time. */
  readonly foresees: () => boolean
  /** Packets of these steering hashes come next. */
  readonly foresee: (hashes: Uint32Array, count: number) => void
  /** A slot's packets come here from now on, and the receiver before has ended its own. */
  readonly onFlipped: (slot: number) => void
  /** A suspended packet went on outside of any delivery: what it sent must be flushed. */
  readonly wake: () => void
  /** Wall clock in ms, the same on all processes of a machine. */
  readonly wallMs: () => number
}
