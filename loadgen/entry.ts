import type { ByteWriter, MemberNo } from '../bus/index.ts'
import { Packet } from '../nf-apps/packet/index.ts'
import { type BatchHead, LINE, writeOutput } from './batch.ts'

/** What an entry needs of its intake. */
export interface EntryPorts {
  /** Who gets the packets of a steering hash, by the newest view: its flips may still be under way. */
  receiverOf(hash: number): MemberNo
  /** Packet time below which nothing is under way. */
  lowUs(): number
  /** For a batch's outputs; it is given back when they are told. */
  writer(): ByteWriter
}

/** A batch whose packets do not all have their verdicts yet. */
export interface Batch {
  readonly from: MemberNo
  readonly id: number
  readonly bytes: number
  readonly dueMs: number
  readonly takesEvents: boolean
  readonly arrivedMs: number
  left: number
  forwarded: number
  dropped: number
  /** What is to be sent on, as it goes on the wire: an object and a copy for each would be much of what it costs. */
  outputs: ByteWriter | undefined
  outputCount: number
}

export function batchOf(from: MemberNo, head: BatchHead, bytes: number, arrivedMs: number): Batch {
  const { id, dueMs, count, takesEvents } = head
  return {
    from,
    id,
    bytes,
    dueMs,
    takesEvents,
    arrivedMs,
    left: count + 1, // it does not end while it is being read
    forwarded: 0,
    dropped: 0,
    outputs: undefined,
    outputCount: 0,
  }
}

const utf8 = new TextEncoder()

/** A packet with what belongs to it while it is handled. It is the handler's `output`. */
export class Entry {
  packet = new Packet()
  batch!: Batch
  /** When it was suspended, on the instance's clock. */
  since = 0
  private readonly ports: EntryPorts

  constructor(ports: EntryPorts) {
    this.ports = ports
  }

  emit(bytes: Uint8Array): void {
    this.put(this.packet.linkType, bytes)
  }
  event(line: string): void {
    if (this.takesEvents) this.put(LINE, utf8.encode(line))
  }
  get takesEvents(): boolean {
    return this.batch.takesEvents
  }
  steersAlike(hash: number): boolean {
    return this.ports.receiverOf(hash) === this.ports.receiverOf(this.packet.hash)
  }
  /** Of a steerer that is gone no time is known any more: then this packet's own is. */
  lowUs(): number {
    return Math.min(this.ports.lowUs(), this.packet.clockUs)
  }
  private put(linkType: number, bytes: Uint8Array): void {
    const { index, timeUs } = this.packet
    const { batch } = this
    batch.outputs ??= this.ports.writer()
    writeOutput(batch.outputs, { index, timeUs, linkType, bytes })
    batch.outputCount++
  }
}
