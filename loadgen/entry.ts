import type { MemberNo } from '../bus/index.ts'
import { Packet } from '../nf-apps/packet/index.ts'
import { LINE, type Output } from './batch.ts'

/** Who gets the packets of a steering hash, by the newest view: its flips may still be under way. */
type ReceiverOf = (hash: number) => MemberNo

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

  constructor(receiverOf: ReceiverOf) {
    this.receiverOf = receiverOf
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
  private put(linkType: number, bytes: Uint8Array): void {
    const { index, timeUs } = this.packet
    this.batch.outputs.push({ index, timeUs, linkType, bytes })
  }
}
