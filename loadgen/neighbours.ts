import { ARP_REQUEST, build, Ip, macAt, PROTO_ICMPV6 } from '../nf-apps/packet/index.ts'

/*
 * Who has which address on a line. Asked for the NF's own addresses, we say that they are ours (ARP, and IPv6 neighbour
 * discovery, RFC 4861); before a packet goes to a next hop, we ask for its MAC address, and keep the packet until the
 * answer.
 */

const ARP_REPLY = 2
const ETHER_BYTES = 14
const ARP_BYTES = 28
const BROADCAST = 0xffff_ffff_ffff
/** An answer is asked for again after so long (ms): machines are replaced. */
const FRESH_MS = 30_000
/** Between two questions (ms), and how often a next hop is asked before its packets are dropped. */
const ASK_EVERY_MS = 1_000
const ASKS_MAX = 3
/** Packets that wait for one answer; more are dropped. */
const WAITING_MAX = 64
/** Next hops of a line: what it can have as machines, and no more than memory should hold. */
const HOPS_MAX = 65_536

interface Hop {
  mac: number
  /** When the answer came, on our clock. */
  heardMs: number
  askedMs: number
  asks: number
  waiting: Uint8Array[]
}

export interface NeighbourOptions {
  readonly mac: number
  /** The interface's own address, which questions come from; undefined: it has none. */
  readonly address: Ip | undefined
  /** Sends a frame. */
  readonly send: (frame: Uint8Array) => void
  readonly nowMs: () => number
}

export class Neighbours {
  /** Packets whose next hop did not answer. */
  unanswered = 0
  private readonly o: NeighbourOptions
  private readonly own: ReadonlySet<string>
  private readonly hops = new Map<number, Hop>()

  constructor(own: readonly Ip[], options: NeighbourOptions) {
    this.o = options
    this.own = new Set(own.map(String))
  }

  /** Sends a frame, which it may keep, to an IPv4 next hop: its destination is filled in once it is known. */
  to(next: number, frame: Uint8Array): void {
    const { nowMs } = this.o
    const now = nowMs()
    let hop = this.hops.get(next)
    if (!hop) {
      if (this.hops.size >= HOPS_MAX) this.hops.clear()
      hop = { mac: 0, heardMs: 0, askedMs: 0, asks: 0, waiting: [] }
      this.hops.set(next, hop)
    }
    const old = now - hop.heardMs > FRESH_MS
    if ((hop.mac === 0 || old) && (hop.asks === 0 || now - hop.askedMs > ASK_EVERY_MS)) {
      this.ask(next, hop, now)
    }
    if (hop.mac !== 0) this.address(frame, hop.mac)
    else if (hop.waiting.length < WAITING_MAX) hop.waiting.push(frame)
    else this.unanswered++
  }

  private address(frame: Uint8Array, mac: number): void {
    putMac(frame, 0, mac)
    this.o.send(frame)
  }

  private ask(next: number, hop: Hop, now: number): void {
    if (hop.asks >= ASKS_MAX) {
      // It does not answer any more: its packets are dropped, and the next one asks anew.
      this.unanswered += hop.waiting.length
      hop.waiting = []
      hop.mac = 0
      hop.asks = 0
    }
    hop.asks++
    hop.askedMs = now
    const { mac, address, send } = this.o
    const senderIp = address ?? Ip.v4(0)
    const question = build.arp({ senderMac: mac, senderIp, targetIp: Ip.v4(next) })
    send(build.ethernet({ src: mac, dst: hop.mac || BROADCAST }, question))
  }

  /** Tells the line that an address is ours now, where it was another's before. */
  announce(ip: Ip): void {
    if (!ip.v4) return
    const { mac, send } = this.o
    const said = build.arp({ senderMac: mac, senderIp: ip, targetIp: ip })
    send(build.ethernet({ src: mac, dst: BROADCAST }, said))
  }

  /** ARP, as it came: questions for what is ours are answered, answers to our own taken. */
  onArp(b: Uint8Array, start: number, end: number): void {
    const at = start + ETHER_BYTES
    if (at + ARP_BYTES > end || b[at + 4] !== 6 || b[at + 5] !== 4) return
    const sender = new Ip(0, 0, 0xffff, word32(b, at + 14))
    const target = new Ip(0, 0, 0xffff, word32(b, at + 24))
    const senderMac = macAt(b, at + 8)
    this.heard(sender.d, senderMac)
    if (b[at + 7] !== ARP_REQUEST || !this.own.has(target.toString())) return
    const { mac, send } = this.o
    const ends = { senderMac: mac, senderIp: target, targetMac: senderMac, targetIp: sender }
    send(build.ethernet({ src: mac, dst: senderMac }, build.arp({ operation: ARP_REPLY, ...ends })))
  }

  /** Only what was asked for is believed, so that nobody can fill the table. */
  private heard(ip: number, mac: number): void {
    const hop = this.hops.get(ip)
    if (!hop || mac === 0) return
    hop.mac = mac
    hop.heardMs = this.o.nowMs()
    hop.asks = 0
    const { waiting } = hop
    hop.waiting = []
    for (const frame of waiting) this.address(frame, mac)
  }

  /** Answers a neighbour solicitation (RFC 4861, 7.2.4) for an address of ours; true if it is one. */
  onSolicitation(b: Uint8Array, start: number, end: number): boolean {
    const ip = start + ETHER_BYTES
    const at = ip + 40
    if (at + 24 > end || b[ip + 6] !== PROTO_ICMPV6 || b[at] !== 135) return false
    const target = ipAt(b, at + 8)
    // Hop limit 255: it comes from this very line, and from no further.
    if (b[ip + 7] !== 255 || !this.own.has(target.toString())) return false
    const asker = ipAt(b, ip + 8)
    const unknown = asker.w0 === 0 && asker.w1 === 0 && asker.w2 === 0 && asker.w3 === 0
    const { mac, send } = this.o
    const payload = new Uint8Array(24)
    payload.set(b.subarray(at + 8, at + 24))
    payload.set([2, 1], 16) // option: target's link-layer address
    putMac(payload, 18, mac)
    // Solicited where somebody can be told, and: this replaces what was known.
    const id = unknown ? 0x2000 : 0x6000
    const dst = unknown ? Ip.parse('ff02::1') : asker
    const answer = build.icmpv6({ type: 136, id }, payload)
    const to = unknown ? 0x3333_0000_0001 : macAt(b, start + 6)
    const packet = build.ipv6({ src: target, dst, hopLimit: 255 }, answer)
    send(build.ethernet({ src: mac, dst: to }, packet))
    return true
  }
}

function word32(b: Uint8Array, at: number): number {
  return ((b[at]! << 24) | (b[at + 1]! << 16) | (b[at + 2]! << 8) | b[at + 3]!) >>> 0
}

function ipAt(b: Uint8Array, at: number): Ip {
  return new Ip(word32(b, at), word32(b, at + 4), word32(b, at + 8), word32(b, at + 12))
}

export function putMac(b: Uint8Array, at: number, mac: number): void {
  for (let i = 5, rest = mac; i >= 0; i--) {
    b[at + i] = rest % 256
    rest = Math.floor(rest / 256)
  }
}
