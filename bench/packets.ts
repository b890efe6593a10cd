import { ByteReader, ByteWriter } from '../bus/index.ts'
import {
  CaptureRecord,
  Random,
  Steerer,
  type SyntheticSettings,
  SyntheticTraffic,
  syntheticDefaults,
} from '../loadgen/index.ts'
import { LINK_ETHERNET, Packet, steeringHash } from '../nf-apps/packet/index.ts'
import type { View } from '../placement/index.ts'

/** Packets of the seed's traffic in memory, one behind the other, with what steering knows of each. */
export interface Packets {
  readonly count: number
  readonly bytes: Uint8Array
  /** `count` + 1 offsets. */
  readonly at: Uint32Array
  readonly timeUs: Float64Array
  readonly hash: Uint32Array
}

/** The mean flow of the seed's larger traffic: so many packets a flow, and all of them make `flows` flows. */
const FLOW_PACKETS = 8.6
/** The first byte of the addresses of those who begin flows in the seed's traffic. */
const CLIENTS_NET = 10
/** Bytes of a packet without data. */
const FRAME_BYTES = 64

/**
 * Packets of about `flows` flows in all, in random order as the seed has it; `seen` gets every one, `most` of them (drawn at
 * random, so that they go over all flows alike) are kept.
 */
export function packetsOf(
  flows: number,
  most: number,
  seen: (packet: Packet) => void = () => {},
): Packets {
  const total = Math.max(64, Math.round(flows * FLOW_PACKETS))
  const settings: SyntheticSettings = {
    ...syntheticDefaults,
    flows,
    packets: total,
    payload: [0, 0],
  }
  const traffic = new SyntheticTraffic(settings)
  const random = new Random(1)
  const room = Math.min(total, most)
  const bytes = new Uint8Array(room * FRAME_BYTES)
  const at = new Uint32Array(room + 1)
  const timeUs = new Float64Array(room)
  const hash = new Uint32Array(room)
  const record = new CaptureRecord()
  const packet = new Packet()
  let count = 0
  for (let n = 0; traffic.next(record); n++) {
    const { start, end, linkType, wireLength } = record
    packet.load(record.bytes, start, end, linkType, wireLength, record.timeUs, record.timeUs, n, 0)
    packet.hash = steeringHash(packet)
    packet.isStamped = true
    seen(packet)
    if (random.unit() * (total - n) >= room - count) continue
    bytes.set(record.bytes.subarray(start, end), at[count]!)
    at[count + 1] = at[count]! + end - start
    timeUs[count] = record.timeUs
    hash[count++] = packet.hash
  }
  return { count, bytes, at, timeUs, hash }
}

/** Ethernet, IPv4 and TCP headers of a packet without data; the source's address and port are still to be written. */
const FRAME = new Uint8Array([
  ...[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x08, 0],
  ...[0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 0, 0, 0, 0, 10, 127, 0, 1],
  ...[0, 0, 1, 187, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10, 255, 255, 0, 0, 0, 0],
])
const SOURCE_AT = 26
const PORT_AT = 34

/**
 * `count` packets drawn from `flows` flows, each as likely as another; `seen` gets one of each flow first. For millions of flows:
 * the seed's traffic would need a minute to have shown them all.
 */
export function packetsAmong(
  flows: number,
  count: number,
  seen: (packet: Packet) => void,
): Packets {
  const length = FRAME.length
  const packet = new Packet()
  const write = (bytes: Uint8Array, start: number, flow: number) => {
    bytes.set(FRAME, start)
    const view = new DataView(bytes.buffer, start)
    view.setUint32(SOURCE_AT, 0x0a80_0000 + flow)
    view.setUint16(PORT_AT, 1024 + (flow % 50_000))
    packet.load(bytes, start, start + length, LINK_ETHERNET, length, 0, 0, 0, 0)
    packet.hash = steeringHash(packet)
    packet.isStamped = true
  }
  const one = new Uint8Array(length)
  for (let flow = 0; flow < flows; flow++) {
    write(one, 0, flow)
    seen(packet)
  }
  const bytes = new Uint8Array(count * length)
  const at = Uint32Array.from({ length: count + 1 }, (_, i) => i * length)
  const hash = new Uint32Array(count)
  const random = new Random(1)
  for (let i = 0; i < count; i++) {
    write(bytes, i * length, Math.floor(random.unit() * flows))
    hash[i] = packet.hash
  }
  return { count, bytes, at, timeUs: new Float64Array(count), hash }
}

/**
 * The first packets of the seed's traffic, in its order: flows begin and end among them. `payload` bytes of data in
 * each, IPv4; `least` packets a flow; all packets, or only what clients send; steered by `hashOf`.
 */
export function streamOf(
  flows: number,
  count: number,
  payload: number,
  {
    least = syntheticDefaults.least,
    only = 'both' as 'both' | 'clients',
    hashOf = steeringHash,
  } = {},
): Packets {
  const settings: SyntheticSettings = {
    ...syntheticDefaults,
    flows,
    packets: only === 'both' ? count : 3 * count,
    payload: [payload, payload],
    least,
  }
  const traffic = new SyntheticTraffic(settings)
  const bytes = new Uint8Array(count * (FRAME_BYTES + payload))
  const at = new Uint32Array(count + 1)
  const timeUs = new Float64Array(count)
  const hash = new Uint32Array(count)
  const record = new CaptureRecord()
  const packet = new Packet()
  let n = 0
  while (n < count && traffic.next(record)) {
    const { start, end, linkType, wireLength } = record
    packet.load(record.bytes, start, end, linkType, wireLength, record.timeUs, record.timeUs, n, 0)
    if (only === 'clients' && packet.src.d >>> 24 !== CLIENTS_NET) continue
    hash[n] = hashOf(packet)
    bytes.set(record.bytes.subarray(start, end), at[n]!)
    at[n + 1] = at[n]! + end - start
    timeUs[n++] = record.timeUs
  }
  return { count: n, bytes, at, timeUs, hash }
}

interface Arrival {
  bytes: Uint8Array
  start: number
  end: number
  linkType: number
  wireLength: number
  timeUs: number
}

/** A packet as the steerer is offered it; good until the next one is asked for. */
export function arrivalAt(p: Packets, i: number): Arrival {
  arrival.bytes = p.bytes
  arrival.start = p.at[i]!
  arrival.end = p.at[i + 1]!
  arrival.wireLength = arrival.end - arrival.start
  arrival.timeUs = p.timeUs[i]!
  return arrival
}
const arrival: Arrival = {
  bytes: new Uint8Array(0),
  start: 0,
  end: 0,
  linkType: LINK_ETHERNET,
  wireLength: 0,
  timeUs: 0,
}

/** The same packets as PACKETS payloads: as the steerer makes them when it is busy, and an instance gets them. */
export function batchesOf(p: Packets, view: View): Uint8Array[] {
  const batches = new Batches(view)
  for (let i = 0; i < p.count; i++) batches.add(arrivalAt(p, i), p.hash[i]!)
  return batches.end()
}

/** Packets into PACKETS payloads, by the steerer. */
export class Batches {
  private readonly made: Uint8Array[] = []
  private readonly steerer: Steerer
  private answered = 0

  constructor(view: View) {
    const w = new ByteWriter()
    const out = {
      begin: () => w,
      end: () => {
        this.made.push(new Uint8Array(w.written()))
        w.pos = 0
      },
      creditLeft: () => 1,
    }
    const { slotBits } = view
    this.steerer = new Steerer({ out, self: 0, slotBits, wallMs: () => 0, flipsPerStep: 1 })
    this.steerer.onView(view)
  }

  add(arrival: Arrival, hash: number): void {
    if (!this.steerer.offer(arrival, hash)) throw new Error('a packet was not taken')
    // Each batch has its verdicts at once: a steerer sends only so many packets ahead of them.
    for (; this.answered < this.made.length; this.answered++) {
      this.steerer.onDone(doneOf(this.made[this.answered]!))
    }
  }

  end(): Uint8Array[] {
    this.steerer.flush()
    return this.made
  }
}

/** The last answer to a batch: its number, and that no packet was forwarded, dropped or emitted. */
function doneOf(batch: Uint8Array): ByteReader {
  const w = new ByteWriter()
  w.u32(new ByteReader(batch).u32())
  w.u8(1)
  for (const n of [0, 0, 0]) w.u32(n)
  return new ByteReader(w.written())
}
