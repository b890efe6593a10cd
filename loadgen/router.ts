import {
  build,
  checksum,
  ETHER_ARP,
  ETHER_IPV4,
  ETHER_IPV6,
  Ip,
  macAt,
  PROTO_ICMP,
  type Subnet,
  updateChecksum,
} from '../nf-apps/packet/index.ts'
import { Neighbours, putMac } from './neighbours.ts'

/*
 * What a router does around an NF that packets go through: it takes those that are sent to it and are not the machine's
 * own, counts down their time to live, and sends on what the NF emits, by the machine's routes, to the next hop's MAC
 * address. Addresses that are the NF's own are answered for on the outer line.
 */

/** Where packets go: the longest prefix wins. */
export interface Route {
  readonly port: number
  readonly net: Subnet
  /** Next hop; 0: the destination itself is on the line. */
  readonly gateway: number
}

export interface RouterPort {
  readonly name: string
  readonly mac: number
  readonly mtu: number
  /** The machine's own addresses on it. */
  readonly addresses: readonly Ip[]
  readonly send: (frame: Uint8Array) => void
}

export interface RouterOptions {
  /** The inner one, and the outer one. */
  readonly ports: readonly [RouterPort, RouterPort]
  readonly routes: readonly Route[]
  /** The NF's own addresses. */
  readonly own: readonly Ip[]
  readonly nowMs: () => number
}

/** Why packets go no further; what the NF drops is not among them. */
export interface RouterCounts {
  /** Not for us to send on: for this machine, for others, or for all. */
  ignored: number
  expired: number
  tooBig: number
  /** No route by one of the two interfaces. */
  unroutable: number
}

const ETHER_BYTES = 14
const GROUP_BIT = 1
const DONT_FRAGMENT = 0x4000
const MORE_FRAGMENTS = 0x2000
const UNREACHABLE = 3
const FRAGMENTATION_NEEDED = 4
const TIME_EXCEEDED = 11
/** Of the packet that an ICMP error is about (RFC 1812, 4.3.2.3: as much as fits 576 bytes). */
const QUOTED_BYTES = 548

const word16 = (b: Uint8Array, at: number) => (b[at]! << 8) | b[at + 1]!
const word32 = (b: Uint8Array, at: number) => (word16(b, at) * 0x10000 + word16(b, at + 2)) >>> 0
function put16(b: Uint8Array, at: number, value: number): void {
  b[at] = value >>> 8
  b[at + 1] = value
}

export class Router {
  readonly counts: RouterCounts = { ignored: 0, expired: 0, tooBig: 0, unroutable: 0 }
  private readonly o: RouterOptions
  private readonly machine: ReadonlySet<number>
  private readonly machineV6: ReadonlySet<string>
  private readonly routes: readonly Route[]
  private readonly neighbours: readonly Neighbours[]

  constructor(options: RouterOptions) {
    this.o = options
    const { ports, own, nowMs } = options
    const all = ports.flatMap((p) => p.addresses)
    this.machine = new Set(all.filter((ip) => ip.v4).map((ip) => ip.d))
    this.machineV6 = new Set(all.filter((ip) => !ip.v4).map(String))
    this.routes = [...options.routes].sort((a, b) => b.net.prefix - a.net.prefix)
    this.neighbours = ports.map(({ mac, addresses, send }, i) => {
      const address = addresses.find((ip) => ip.v4)
      return new Neighbours(i === 1 ? own : [], { mac, address, send, nowMs })
    })
    for (const ip of own) this.neighbours[1]!.announce(ip)
  }

  /** Packets whose next hop does not answer. */
  get unanswered(): number {
    return this.neighbours.reduce((n, one) => n + one.unanswered, 0)
  }

  /** A frame that came in by a port: true if the NF is to have it. What is here is answered here. */
  take(port: number, b: Uint8Array, start: number, end: number): boolean {
    const { counts } = this
    const type = word16(b, start + 12)
    if (type === ETHER_ARP) {
      this.neighbours[port]!.onArp(b, start, end)
      return false
    }
    if (type === ETHER_IPV6 && this.neighbours[port]!.onSolicitation(b, start, end)) return false
    const ip = start + ETHER_BYTES
    const isIp = (type === ETHER_IPV4 && ip + 20 <= end) || (type === ETHER_IPV6 && ip + 40 <= end)
    if (!isIp || !this.isToUs(port, b, start) || this.isForMachine(type, b, ip)) {
      counts.ignored++
      return false
    }
    if (type === ETHER_IPV6) return true
    if (b[ip + 8]! <= 1) {
      counts.expired++
      this.complain(port, b, start, end, TIME_EXCEEDED, 0, 0)
      return false
    }
    const { mtu } = this.o.ports[1 - port]!
    if (word16(b, ip + 2) > mtu && (word16(b, ip + 6) & DONT_FRAGMENT) !== 0) {
      counts.tooBig++
      this.complain(port, b, start, end, UNREACHABLE, FRAGMENTATION_NEEDED, mtu)
      return false
    }
    countDown(b, ip)
    return true
  }

  private isToUs(port: number, b: Uint8Array, start: number): boolean {
    return (b[start]! & GROUP_BIT) === 0 && macAt(b, start) === this.o.ports[port]!.mac
  }

  private isForMachine(type: number, b: Uint8Array, ip: number): boolean {
    if (type === ETHER_IPV4) return this.machine.has(word32(b, ip + 16))
    const at = ip + 24
    const dst = new Ip(word32(b, at), word32(b, at + 4), word32(b, at + 8), word32(b, at + 12))
    // Link-local addresses go no further than this line.
    return dst.a >>> 22 === 0x3fa || this.machineV6.has(dst.toString())
  }

  /** Sends an ICMP error to a packet's sender, but not about an error or a fragment other than the first (RFC 1812, 4.3.2.7). */
  private complain(
    port: number,
    b: Uint8Array,
    start: number,
    end: number,
    type: number,
    code: number,
    mtu: number,
  ): void {
    const ip = start + ETHER_BYTES
    const { mac, addresses, send } = this.o.ports[port]!
    const src = addresses.find((one) => one.v4)
    const l4 = ip + (b[ip]! & 15) * 4
    const isError = b[ip + 9] === PROTO_ICMP && ![0, 8, 13, 14].includes(b[l4] ?? 3)
    if (!src || isError || (word16(b, ip + 6) & 0x1fff) !== 0) return
    const quoted = b.subarray(ip, Math.min(ip + word16(b, ip + 2), end, ip + QUOTED_BYTES))
    const part = build.icmp({ type, code, sequence: mtu }, quoted)
    const packet = build.ipv4({ src, dst: Ip.v4(word32(b, ip + 12)) }, part)
    send(build.ethernet({ src: mac, dst: macAt(b, start + 6) }, packet))
  }

  /** Sends on what the NF has emitted. */
  send(frame: Uint8Array): void {
    const ip = ETHER_BYTES
    const isV4 = frame.length >= ip + 20 && word16(frame, 12) === ETHER_IPV4
    const dst = isV4 ? word32(frame, ip + 16) : 0
    const route = isV4 ? this.routeOf(dst) : undefined
    if (!route) {
      this.counts.unroutable++
      return
    }
    const port = this.o.ports[route.port]!
    const next = route.gateway || dst
    const own = new Uint8Array(frame) // what the bus delivered is not ours to write to
    putMac(own, 6, port.mac)
    const to = this.neighbours[route.port]!
    if (word16(own, ip + 2) <= port.mtu) return to.to(next, own)
    if ((word16(own, ip + 6) & DONT_FRAGMENT) !== 0) this.counts.tooBig++
    else for (const piece of fragments(own, port.mtu)) to.to(next, piece)
  }

  private routeOf(dst: number): Route | undefined {
    return this.routes.find(({ net: { address, prefix } }) => {
      return prefix === 0 || (address.d ^ dst) >>> (32 - prefix) === 0
    })
  }
}

/** Time to live, less one, and the checksum with it. */
function countDown(b: Uint8Array, ip: number): void {
  const before = word16(b, ip + 8)
  const after = before - 0x100
  put16(b, ip + 10, updateChecksum(word16(b, ip + 10), before, after))
  put16(b, ip + 8, after)
}

/** An IPv4 packet in pieces that a line takes (RFC 791). */
function* fragments(frame: Uint8Array, mtu: number): Iterable<Uint8Array> {
  const ip = ETHER_BYTES
  const header = (frame[ip]! & 15) * 4
  const size = Math.floor((mtu - header) / 8) * 8
  const flags = word16(frame, ip + 6)
  const body = ip + header
  const end = Math.min(frame.length, ip + word16(frame, ip + 2))
  for (let at = body; at < end; at += size) {
    const to = Math.min(end, at + size)
    const piece = new Uint8Array(body + to - at)
    piece.set(frame.subarray(0, body))
    piece.set(frame.subarray(at, to), body)
    const more = to < end ? MORE_FRAGMENTS : flags & MORE_FRAGMENTS
    put16(piece, ip + 2, header + to - at)
    put16(piece, ip + 6, more | ((flags & 0x1fff) + (at - body) / 8))
    put16(piece, ip + 10, 0)
    put16(piece, ip + 10, checksum(piece, ip, body))
    yield piece
  }
}
