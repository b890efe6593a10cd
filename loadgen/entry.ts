import type { MemberNo } from '../bus/index.ts'
import { Packet } from '../nf-apps/packet/index.ts'
import { LINE, type Output } from './batch.ts'

/** Who gets the packets of a steering hash, by the newest view: its flips may still be under way. */
type ReceiverOf = (hash: number) => MemberNo
/** Packet time below which nothing is under way. */
type LowUs = () => number

/** A batch whose packets do not all have their verdicts yet. */
export interface Batch {
  readonly from: MemberNo
  readonly id: number
  readonly bytes: number
  readonly dueMs: number
  readonly arrivedMs: number
  left: number
  forwarded: number
  dropped: number
  outputs: Output[]
}

const utf8 = new TextEncoder()

/** A packet with what belongs to it while it is handled. It is the handler's `output`. */
export class Entry {
  packet = new Packet()
  batch!: Batch
  /** When it was suspended, on the instance's clock. */
  since = 0
  private readonly receiverOf: ReceiverOf
  private readonly allLowUs: LowUs

  constructor(receiverOf: ReceiverOf, allLowUs: LowUs) {
    this.receiverOf = receiverOf
    this.allLowUs = allLowUs
  }

  emit(bytes: Uint8Array): void {
    this.put(this.packet.linkType, new Uint8Array(bytes))
  }
  event(line: string): void {
    this.put(LINE, utf8.encode(line))
  }
  steersAlike(hash: number): boolean {
    return this.receiverOf(hash) === this.receiverOf(this.packet.hash)
  }
  /** Of a steerer that is gone no time is known any more: then this packet's own is. */
  lowUs(): number {
    return Math.min(this.allLowUs(), this.packet.clockUs)
  }
  private put(linkType: number, bytes: Uint8Array): void {
    const { index, timeUs } = this.packet
    this.batch.outputs.push({ index, timeUs, linkType, bytes })
  }
}
