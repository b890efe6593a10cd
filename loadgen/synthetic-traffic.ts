import { LINK_ETHERNET, TCP_ACK, TCP_FIN, TCP_PSH, TCP_SYN } from '../nf-apps/packet/index.ts'
import { type CaptureReader, type CaptureRecord, noProblems } from './capture-record.ts'
import type { SyntheticSettings } from './synthetic.ts'
import { Frame } from './synthetic-frame.ts'
import { Random } from './synthetic-random.ts'
import { FlowSizes } from './synthetic-sizes.ts'

/** Packet time of the start: a round date, for times must not depend on when a run is made. */
const START_US = 1_700_000_000_000_000

/** Client hosts 10.0.0.1 to 10.0.64.0; a flow's number gives its host and port, so no two flows share both. */
const CLIENTS = 16_384
const CLIENT_ADDRESS = 0x0a000001
const CLIENT_PORT = 1_024
const CLIENT_PORTS = 64_512
const SERVERS = 256
const SERVER_ADDRESS = 0xc0a80001
const SERVICES = [80, 443, 22, 25, 53, 110, 3306, 8080] as const

/**
 * The seed's traffic, made packet by packet. Each of a fixed number of slots carries one TCP flow after the other, and
 * each packet comes from a slot drawn at random at an exponential interval: so the packets of a flow, and, with
 * many slots, the arrivals of flows, are Poisson processes, at a constant time per packet.
 *
 * A flow is SYN, SYN-ACK, data in both directions, FIN from the client. A flow of two packets has no answer; one of a
 * single packet has SYN and FIN in it. Sequence and acknowledgement numbers count what was sent before.
 */
export class SyntheticTraffic implements CaptureReader {
  readonly name: string
  readonly problems = noProblems()
  private readonly settings: SyntheticSettings
  private readonly sizes: FlowSizes
  private readonly frame: Frame
  private random: Random
  private timeUs = START_US
  /** Packets handed out, and packets that started flows have or will have: never above what was asked for. */
  private emitted = 0
  private promised = 0
  private flowsStarted = 0

  /** Slots in use; those from here on have run out. */
  private slots: number
  /** Packets that a slot's flow has still to send; 0: the slot's next packet begins a flow. */
  private readonly left: Uint16Array
  private readonly sent: Uint16Array
  private readonly short: Uint8Array
  private readonly ipv6: Uint8Array
  private readonly client: Uint32Array
  private readonly clientPort: Uint16Array
  private readonly server: Uint32Array
  private readonly serverPort: Uint16Array
  private readonly clientSeq: Uint32Array
  private readonly serverSeq: Uint32Array

  constructor(settings: SyntheticSettings) {
    this.settings = settings
    this.name = `synthetic traffic (seed ${settings.seed})`
    this.sizes = new FlowSizes(settings.least)
    this.random = new Random(settings.seed)
    this.frame = new Frame(new Random(settings.seed))
    this.slots = slotsFor(settings.flows, this.sizes.mean)
    this.left = new Uint16Array(this.slots)
    this.sent = new Uint16Array(this.slots)
    this.short = new Uint8Array(this.slots)
    this.ipv6 = new Uint8Array(this.slots)
    this.client = new Uint32Array(this.slots)
    this.clientPort = new Uint16Array(this.slots)
    this.server = new Uint32Array(this.slots)
    this.serverPort = new Uint16Array(this.slots)
    this.clientSeq = new Uint32Array(this.slots)
    this.serverSeq = new Uint32Array(this.slots)
    this.rewind()
  }

  rewind(): void {
    this.random = new Random(this.settings.seed)
    this.timeUs = START_US
    this.emitted = this.promised = this.flowsStarted = 0
    this.slots = this.left.length
    this.left.fill(0)
  }

  next(record: CaptureRecord): boolean {
    if (this.emitted === this.settings.packets) return false
    this.timeUs += this.random.exponential(1e6 / this.settings.rate)
    const slot = this.drawSlot()
    const length = this.send(slot)
    this.emitted++
    record.bytes = this.frame.bytes
    record.start = 0
    record.end = length
    record.wireLength = length
    record.timeUs = this.timeUs
    record.linkType = LINK_ETHERNET
    return true
  }

  /** Nothing is held but memory. */
  close(): void {
    this.emitted = this.settings.packets
  }

  /** A slot that has a packet to send. Once all packets are promised, slots run out with their flows. */
  private drawSlot(): number {
    for (;;) {
      const slot = this.random.below(this.slots)
      if (this.left[slot] !== 0) return slot
      if (this.promised < this.settings.packets) {
        this.begin(slot)
        return slot
      }
      this.retire(slot)
    }
  }

  private begin(slot: number): void {
    const { least, packets, ipv6 } = this.settings
    const room = packets - this.promised
    let size = this.sizes.at(this.random.unit())
    // What would be left is too little for another flow.
    if (room - size < least) size = room
    this.promised += size
    const flow = this.flowsStarted++
    this.left[slot] = size
    this.sent[slot] = 0
    this.short[slot] = size < 3 ? 1 : 0
    this.ipv6[slot] = this.random.unit() < ipv6 ? 1 : 0
    this.client[slot] = CLIENT_ADDRESS + (flow % CLIENTS)
    this.clientPort[slot] = CLIENT_PORT + (Math.floor(flow / CLIENTS) % CLIENT_PORTS)
    this.server[slot] = SERVER_ADDRESS + this.random.below(SERVERS)
    this.serverPort[slot] = SERVICES[this.random.below(SERVICES.length)]!
    this.clientSeq[slot] = this.random.u32()
    this.serverSeq[slot] = this.random.u32()
  }

  /** Writes the next packet of a slot's flow; answers its length. */
  private send(slot: number): number {
    const k = this.sent[slot]!++
    const last = --this.left[slot]! === 0
    const answered = this.short[slot] === 0
    // SYN and FIN are the client's, SYN-ACK the server's, data either's.
    const fromServer = answered && !last && (k === 1 || (k > 1 && this.random.u32() >= 0x8000_0000))
    const syn = k === 0 || (k === 1 && answered)
    const payload = syn || !answered ? 0 : this.payloadLength()
    const acks = answered && k > 0
    const flags =
      (syn ? TCP_SYN : 0) | (last ? TCP_FIN : 0) | (acks ? TCP_ACK : 0) | (payload ? TCP_PSH : 0)
    const own = fromServer ? this.serverSeq : this.clientSeq
    const peer = fromServer ? this.clientSeq : this.serverSeq
    const seq = own[slot]!
    own[slot] = seq + payload + (syn ? 1 : 0) + (last ? 1 : 0)
    const client = this.client[slot]!
    const clientPort = this.clientPort[slot]!
    const server = this.server[slot]!
    const serverPort = this.serverPort[slot]!
    return this.frame.write(
      this.ipv6[slot] === 1,
      fromServer ? server : client,
      fromServer ? client : server,
      fromServer ? serverPort : clientPort,
      fromServer ? clientPort : serverPort,
      seq,
      acks ? peer[slot]! : 0,
      flags,
      this.emitted & 0xffff,
      payload,
      payload === 0 ? 0 : this.random.below(Frame.dataWords),
    )
  }

  private payloadLength(): number {
    const least = this.settings.payload[0]
    const most = this.settings.payload[1]
    return least === most ? least : least + this.random.below(most - least + 1)
  }

  /** The last slot in use takes the place of one that has run out. */
  private retire(slot: number): void {
    const from = --this.slots
    for (const column of [this.left, this.sent, this.short, this.ipv6]) column[slot] = column[from]!
    for (const column of [this.client, this.clientPort, this.server, this.serverPort])
      column[slot] = column[from]!
    for (const column of [this.clientSeq, this.serverSeq]) column[slot] = column[from]!
  }
}

/** A slot is idle for one of the `mean` intervals between its flows' first packets. */
function slotsFor(flows: number, mean: number): number {
  return Math.max(1, Math.round((flows * mean) / (mean - 1)))
}
