import { type CaptureReader, CaptureRecord } from '../loadgen/index.ts'
import { Packet } from '../nf-apps/packet/index.ts'
import type { Source } from './source.ts'

/** What any source of packets is fed by. */
export interface FeedPorts {
  /** What steers a packet (`steeringOf`). */
  readonly hashOf: (packet: Packet) => number
  /** Instances in each part. */
  readonly scale: readonly number[]
  readonly scaleTo: (n: number) => void
  readonly stopped: () => boolean
  /** For traffic to wait: told of room, or after `ms`. */
  readonly wait: (ms: number) => Promise<void>
  readonly now: () => number
}

export interface FeedOptions extends FeedPorts {
  readonly reader: CaptureReader
  /** Packets of the input in all: `scale` cuts them into equal parts. */
  readonly total: number
  /** The shortest time that a part may take (ms): the input is paced so that a change of scale meets traffic. */
  readonly partMs: number
  /** Packets per second at most; 0: as fast as they go. */
  readonly rate: number
}

/** Packets offered between two looks at the clock and the messages that have come in. */
const BURST = 128

/**
 * Feeds the input to the source. At each cut the change of scale is begun and the packets go on: none waits for a view.
 * They wait only for credit, and for their time when the input is paced.
 */
export async function feed(source: Source, o: FeedOptions): Promise<number> {
  const record = new CaptureRecord()
  const packet = new Packet()
  const { steerer, member } = source
  const parts = o.scale.length
  const pace = paceOf(o)
  const start = o.now()
  let sent = 0
  let part = 0
  while (!o.stopped() && o.reader.next(record)) {
    const due = Math.min(parts - 1, Math.floor((sent * parts) / o.total))
    if (due > part) {
      part = due
      o.scaleTo(o.scale[part]!)
    }
    const { bytes, start: from, end, linkType, wireLength, timeUs } = record
    packet.load(bytes, from, end, linkType, wireLength, timeUs, 0, 0, 0)
    const hash = o.hashOf(packet)
    while (!steerer.offer(record, hash)) {
      if (o.stopped()) return sent
      flush()
      await o.wait(ROOM_MS)
    }
    sent++
    if (sent % BURST === 0) {
      flush()
      await o.wait(0) // what has come in is taken in
      for (let early = 1; pace > 0 && early > 0 && !o.stopped(); ) {
        early = sent / pace - (o.now() - start)
        if (early > 0) await o.wait(early) // any room wakes it too
      }
    }
  }
  flush()
  return sent

  function flush(): void {
    steerer.flush()
    member.wake()
  }
}

/** How often a full receiver is looked at again even if nothing is heard of it (ms). */
const ROOM_MS = 5

/** Packets per ms; 0: as fast as they go. */
function paceOf(o: FeedOptions): number {
  if (o.rate > 0) return o.rate / 1000
  const changes = o.scale.some((n) => n !== o.scale[0])
  return changes ? o.total / o.scale.length / o.partMs : 0
}
