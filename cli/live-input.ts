import { RehomeError, wallMs } from '../bus/index.ts'
import {
  CaptureRecord,
  type OnWireFrame,
  RawSocket,
  Router,
  type RouterCounts,
  type RouterPort,
  toWire,
} from '../loadgen/index.ts'
import type { NF } from '../nf-apps/index.ts'
import { macAt, Packet } from '../nf-apps/packet/index.ts'
import type { FeedPorts } from './feed.ts'
import { addressesOf, isForwarding, routesOf } from './network.ts'
import type { Source } from './source.ts'

/** What came and went by the interfaces of a run. */
export interface LiveFigures extends RouterCounts {
  received: number
  sent: number
  /** Frames that the kernel had no room for, coming in. */
  missed: number
  /** Frames that the interface did not take, going out. */
  unsent: number
  /** Packets whose next hop did not answer. */
  unanswered: number
}

export interface LiveOptions {
  readonly interface: string
  readonly outInterface: string | undefined
  /** Time of each part of the scale (ms). */
  readonly everyMs: number
}

/** How long to wait for frames before it is looked whether the run is over (ms). */
const LOOK_MS = 100
/** How often a full receiver is looked at again even if nothing is heard of it (ms). */
const ROOM_MS = 5

/** Packets from interfaces: watched on one, or through the NF from one to another. */
export class LiveInput {
  /** Unknown: it goes on until it is stopped. */
  readonly total = 0
  private readonly sockets: readonly RawSocket[]
  private readonly router: Router | undefined
  private readonly everyMs: number
  private flushing = false
  private readonly record = new CaptureRecord()
  private readonly packet = new Packet()
  /** Frames that found no room yet, of one burst. */
  private readonly held: CaptureRecord[] = []
  private heldAt = 0

  private constructor(sockets: readonly RawSocket[], router: Router | undefined, everyMs: number) {
    this.sockets = sockets
    this.router = router
    this.everyMs = everyMs
  }

  static async open(o: LiveOptions, nf: NF, env: unknown): Promise<LiveInput> {
    if (o.outInterface === undefined) {
      const watched = { promiscuous: true, outgoing: true }
      return new LiveInput([await RawSocket.open(o.interface, watched)], undefined, o.everyMs)
    }
    const names = [o.interface, o.outInterface] as const
    const own = nf.addresses(env)
    if (!own) throw wrong(`${nf.name} only watches packets: it takes --interface alone`)
    if (names[0] === names[1]) throw wrong('--interface and --out-interface are two, not one')
    const between = { promiscuous: false, outgoing: false }
    const inner = await RawSocket.open(names[0], between)
    const outer = await RawSocket.open(names[1], between)
    const addresses = [addressesOf(names[0]), addressesOf(names[1])] as const
    for (const name of names) {
      if (!isForwarding(name)) continue
      const how = `sysctl -w net.ipv4.conf.${name}.forwarding=0`
      throw wrong(`the kernel forwards packets of ${name} itself, beside ${nf.name}: ${how}`)
    }
    const taken = own.find((ip) => addresses.flat().some((one) => one.equals(ip)))
    if (taken) {
      throw wrong(
        `${taken} is this machine's own address, so its kernel would answer too: give ${nf.name} another`,
      )
    }
    const port = (socket: RawSocket, i: 0 | 1): RouterPort => ({
      name: socket.name,
      mac: macAt(socket.mac, 0),
      mtu: socket.mtu,
      addresses: addresses[i],
      send: (frame) => socket.send(frame),
    })
    const ports = [port(inner, 0), port(outer, 1)] as const
    const nowMs = () => performance.now()
    const router = new Router({ ports, routes: routesOf(names), own, nowMs })
    return new LiveInput([inner, outer], router, o.everyMs)
  }

  /** What the NF emits goes on, a burst at a time. */
  readonly onFrame = (bytes: Uint8Array): void => {
    if (!this.router) return
    this.router.send(bytes)
    if (this.flushing) return
    this.flushing = true
    setImmediate(() => {
      this.flushing = false
      this.flush()
    })
  }

  get name(): string {
    return this.sockets.map((socket) => socket.name).join(' and ')
  }

  private flush(): void {
    for (const socket of this.sockets) socket.flush()
  }

  /** Steers what comes in, until the run is stopped; the scale changes by the clock. */
  async feed(source: Source, o: FeedPorts): Promise<number> {
    const { steerer, member } = source
    let start = o.now()
    let part = 0
    while (!o.stopped()) {
      if (steerer.index === 0) start = o.now() // the first part begins with the first packet
      const due = Math.min(o.scale.length - 1, Math.floor((o.now() - start) / this.everyMs))
      if (due > part) {
        part = due
        o.scaleTo(o.scale[part]!)
      }
      const got = this.receive(source, o.hashOf)
      steerer.flush()
      member.wake()
      this.flush()
      // What finds no room waits here, and the rest in the kernel's buffers, which count what they drop.
      while (!this.offerHeld(source, o.hashOf) && !o.stopped()) {
        steerer.flush()
        await o.wait(ROOM_MS)
      }
      if (got > 0) await o.wait(0)
      else await RawSocket.readable(this.sockets, LOOK_MS)
    }
    return steerer.index
  }

  /** Takes a burst of each interface; how many frames there were. */
  private receive(source: Source, hashOf: FeedPorts['hashOf']): number {
    const { record, router } = this
    let got = 0
    for (const [port, socket] of this.sockets.entries()) {
      record.timeUs = Math.floor(wallMs() * 1000)
      record.linkType = socket.linkType
      const take: OnWireFrame = (bytes, start, end) => {
        if (router && !router.take(port, bytes, start, end)) return
        record.bytes = bytes
        record.start = start
        record.end = end
        record.wireLength = end - start
        if (this.held.length > 0 || !this.offer(source, record, hashOf))
          this.held.push(copyOf(record))
      }
      got += socket.receive((bytes, start, end, offload) => {
        toWire(bytes, start, end, offload, take)
      })
    }
    return got
  }

  private offer(source: Source, record: CaptureRecord, hashOf: FeedPorts['hashOf']): boolean {
    const { packet } = this
    const { bytes, start, end, linkType, wireLength, timeUs } = record
    packet.load(bytes, start, end, linkType, wireLength, timeUs, 0, 0, 0)
    return source.steerer.offer(record, hashOf(packet))
  }

  private offerHeld(source: Source, hashOf: FeedPorts['hashOf']): boolean {
    while (this.heldAt < this.held.length && this.offer(source, this.held[this.heldAt]!, hashOf)) {
      this.heldAt++
    }
    if (this.heldAt < this.held.length) return false
    this.held.length = this.heldAt = 0
    return true
  }

  figures(): LiveFigures {
    for (const socket of this.sockets) socket.count()
    const sum = (what: 'received' | 'sent' | 'missed' | 'unsent') =>
      this.sockets.reduce((n, socket) => n + socket[what], 0)
    return {
      received: sum('received'),
      sent: sum('sent'),
      missed: sum('missed'),
      unsent: sum('unsent'),
      unanswered: this.router?.unanswered ?? 0,
      ...(this.router?.counts ?? { ignored: 0, expired: 0, tooBig: 0, unroutable: 0 }),
    }
  }

  close(): void {
    for (const socket of this.sockets) socket.close()
  }
}

function copyOf(record: CaptureRecord): CaptureRecord {
  const { start, end } = record
  const bytes = new Uint8Array(record.bytes.subarray(start, end))
  return Object.assign(new CaptureRecord(), record, { bytes, start: 0, end: end - start })
}

const wrong = (message: string) => new RehomeError('bad-argument', message)
