import type { State } from '../../actors/index.ts'
import {
  NET_IPV4,
  type Packet,
  PROTO_ICMP,
  PROTO_TCP,
  PROTO_UDP,
  TCP_ACK,
  TCP_FIN,
  TCP_RST,
  TCP_SYN,
} from '../packet/index.ts'
import {
  ACK,
  distanceOf,
  FIN,
  type Fingerprint,
  ICMP,
  RST,
  readFingerprint,
  SYN,
  SYNACK,
  UDP,
} from './fingerprint.ts'
import type { Host } from './host-key.ts'
import { knownPort } from './known-ports.ts'
import type { ServiceSignatures } from './service-signatures.ts'
import type { Signatures } from './signatures.ts'
import {
  CLIENT,
  CLIENT_GUESSED,
  CLIENT_KNOWN,
  type Evidence,
  type Flow,
  HIGH,
  LOW,
  SERVER,
  SERVICE_GUESSED,
  SERVICE_KNOWN,
  STACK_KNOWN,
} from './state.ts'
import * as look from './switches.ts'
import type { Told } from './told.ts'

export type FlowState = State<(typeof Flow)['fields']>

/** As far as the window: what is behind may be cut off by the capture. */
const TCP_HEADER_MIN = 16
/** Bytes of a TCP payload that are looked at; banners and headers stand at its beginning. */
const TCP_DEPTH = 600
/**
 * Bytes of any payload: a full Ethernet packet. Expressions can take time quadratic in it, some of those in
 * circulation cubic; at this length the worst of them takes 16 ms, at a segmentation offload's 64 KiB it would take
 * minutes.
 */
const DEPTH_MAX = 1460
/** Payloads that are too short to tell anything. */
const TCP_PAYLOAD_MIN = 10
const UDP_PAYLOAD_MIN = 5
/**
 * UDP payloads of one side of a connection that its asset is told: each is looked at anew, and what is new comes
 * early. One more than it takes real prads to log a service again.
 */
const UDP_OFFERS_MAX = 202
const DNS = 53

/** One packet's examination: who sent it, as what, and what it gives away. */
export class Examination {
  private readonly signatures: Signatures
  private readonly told: Told
  private readonly print: Fingerprint = {
    window: 0,
    ttl: 0,
    df: 0,
    size: 0,
    options: [],
    mss: 0,
    scale: 0,
    quirks: 0,
    stamp: 0,
  }
  private p!: Packet
  private flow!: FlowState
  private host!: Host
  /** Where the transport header begins, as real prads finds it. */
  private at = 0
  private srcPort = 0
  private dstPort = 0
  private side = LOW
  private role = 0
  private found: Evidence[] | undefined

  constructor(signatures: Signatures, told: Told) {
    this.signatures = signatures
    this.told = told
  }

  /**
   * Looks for what the flow's switches ask, and notes in the flow what is settled. `host` is the sender; what it finds
   * is to be told it.
   */
  examine(
    p: Packet,
    flow: FlowState,
    side: number,
    role: number,
    host: Host,
  ): Evidence[] | undefined {
    this.p = p
    this.flow = flow
    this.host = host
    this.side = side
    this.role = role
    this.found = undefined
    const at = transportOf(p)
    const room = p.end - at
    this.at = at
    if (p.ipProtocol === PROTO_TCP && room >= TCP_HEADER_MIN) {
      this.ports()
      this.tcp(p.bytes[at + 13]!)
    } else if (p.ipProtocol === PROTO_UDP && room >= 8) {
      this.ports()
      this.udp()
    } else if (p.ipProtocol === PROTO_ICMP && room >= 4) this.icmp()
    return this.found
  }

  private ports(): void {
    this.srcPort = u16(this.p.bytes, this.at)
    this.dstPort = u16(this.p.bytes, this.at + 2)
  }

  private tcp(flags: number): void {
    const { switches } = this.flow
    if (flags & TCP_SYN) {
      if (!(flags & TCP_ACK)) {
        if (switches & look.LOOK_SYN) return this.stack(SYN)
      } else if (switches & look.LOOK_SYNACK) {
        this.stack(SYNACK)
        if (this.role !== SERVER) this.turnRound()
        return
      }
    }
    if (this.role === CLIENT) this.tcpClient()
    else if (this.role === SERVER) this.tcpService()
    else return
    if (flags & TCP_ACK && !(flags & (TCP_SYN | TCP_RST | TCP_FIN)) && switches & look.LOOK_ACK) {
      this.stack(ACK)
    } else if (flags & TCP_FIN && switches & look.LOOK_FIN) this.stack(FIN)
    else if (flags & TCP_RST && switches & look.LOOK_RST) this.stack(RST)
  }

  private tcpClient(): void {
    const { flow, p } = this
    if (!(flow.switches & look.LOOK_TCP_CLIENTS) || flow.settled & CLIENT_KNOWN) return
    const from = this.tcpPayload()
    if (p.end - from < TCP_PAYLOAD_MIN) return
    // Real prads looks at all of a client's payload in IPv6.
    const to = from + (p.kind === NET_IPV4 ? TCP_DEPTH : DEPTH_MAX)
    if (this.payload(this.signatures.tcpClients, from, to)) flow.settled |= CLIENT_KNOWN
    else if (!(flow.settled & CLIENT_GUESSED) && this.guess(this.dstPort)) {
      flow.settled |= CLIENT_GUESSED
    }
  }

  private tcpService(): void {
    const { flow, p } = this
    if (!(flow.switches & look.LOOK_TCP_SERVICES) || flow.settled & SERVICE_KNOWN) return
    const from = this.tcpPayload()
    if (p.end - from < TCP_PAYLOAD_MIN) return
    if (this.payload(this.signatures.tcpServices, from, from + TCP_DEPTH))
      flow.settled |= SERVICE_KNOWN
    else if (!(flow.settled & SERVICE_GUESSED) && this.guess(this.srcPort)) {
      flow.settled |= SERVICE_GUESSED
    }
  }

  private tcpPayload(): number {
    return this.at + ((this.p.bytes[this.at + 12]! >>> 4) << 2)
  }

  private udp(): void {
    const { flow, p } = this
    if (this.dstPort === DNS) this.role = CLIENT
    else if (this.srcPort === DNS) this.role = SERVER
    if (!(flow.switches & look.LOOK_UDP_SERVICES)) return
    if (p.end - this.at - 8 >= UDP_PAYLOAD_MIN) this.udpService()
    if (flow.switches & look.LOOK_UDP_STACK && p.kind === NET_IPV4) {
      this.rawStack(UDP, `20:${this.ipText()}:${rawFragmentField(p)}:${p.tos}:${quirksOf(p)}`)
    }
  }

  private udpService(): void {
    const { flow, p } = this
    // Real prads loads signatures for UDP over IPv4 alone.
    const from = this.at + 8
    const known =
      p.kind === NET_IPV4 && this.payload(this.signatures.udpServices, from, from + DEPTH_MAX)
    if (known) flow.settled |= SERVICE_KNOWN
    else if (this.role === CLIENT && !(flow.settled & CLIENT_GUESSED)) {
      if (this.guessEither(this.dstPort, this.srcPort)) flow.settled |= CLIENT_GUESSED
    } else if (this.role === SERVER && !(flow.settled & SERVICE_GUESSED)) {
      if (this.guessEither(this.srcPort, this.dstPort)) flow.settled |= SERVICE_GUESSED
    }
  }

  /** If not the service's end but the other has a known port, the sides were the other way round. */
  private guessEither(expected: number, opposite: number): boolean {
    if (this.guess(expected)) return true
    const service = knownPort(this.p.ipProtocol, opposite)
    if (!service) return false
    this.turnRound()
    this.offer('unknown', service)
    return true
  }

  private guess(port: number): boolean {
    const service = knownPort(this.p.ipProtocol, port)
    if (service) this.offer('unknown', service)
    return service !== undefined
  }

  /** The server is the side that was taken for the client; what was settled of it is not. */
  private turnRound(): void {
    this.flow.client = this.flow.client === LOW ? HIGH : LOW
    this.flow.settled = 0
    this.role = this.role === CLIENT ? SERVER : CLIENT
  }

  private payload(signatures: ServiceSignatures, from: number, to: number): boolean {
    const match = signatures.match(this.p.bytes, from, Math.min(to, this.p.end))
    if (match) this.offer(match.service, match.application)
    return match !== undefined
  }

  private offer(service: string, application: string): void {
    const { p, role } = this
    if (p.ipProtocol === PROTO_UDP && !this.mayOffer()) return
    this.add({
      what: 'offer',
      index: p.index,
      seconds: secondsOf(p),
      protocol: p.ipProtocol,
      port: role === CLIENT ? this.dstPort : this.srcPort,
      value: { vlan: tagOf(p), role, ttl: p.ttl, service, application },
    })
  }

  private mayOffer(): boolean {
    const { flow } = this
    const told = this.side === LOW ? flow.lowOffers++ : flow.highOffers++
    if (told < UDP_OFFERS_MAX) return true
    if (this.side === LOW) flow.lowOffers = UDP_OFFERS_MAX
    else flow.highOffers = UDP_OFFERS_MAX
    return false
  }

  private stack(kind: number): void {
    const { p, print } = this
    if (!readFingerprint(p, this.at, kind, print)) return
    const match = this.signatures.os[kind]!.match(print)
    if (kind === ACK && !this.isNewAck(match)) return
    const seconds = secondsOf(p)
    if (!this.told.isNewStack(this.host, kind, match, p.index, seconds)) return
    this.add({
      what: 'stack',
      index: p.index,
      seconds,
      vlan: tagOf(p),
      kind,
      port: this.srcPort,
      match,
      text: '',
      window: print.window,
      ttl: print.ttl,
      df: print.df,
      size: print.size,
      options: print.options.slice(),
      mss: print.mss,
      scale: print.scale,
      quirks: print.quirks,
      stamp: print.stamp,
    })
  }

  /** Stray ACKs are most of all packets: those that show the same as the one before say nothing. */
  private isNewAck(match: number): boolean {
    const { flow } = this
    const code = match + 2
    if ((this.side === LOW ? flow.lowAck : flow.highAck) === code) return false
    if (this.side === LOW) flow.lowAck = code
    else flow.highAck = code
    return true
  }

  /** Only the first packet of an ICMP exchange is looked at. */
  private icmp(): void {
    const { p, flow } = this
    if (!(flow.switches & look.LOOK_ICMP_STACK) || flow.settled & STACK_KNOWN) return
    flow.settled |= STACK_KNOWN
    const head = `${p.payloadLength & 255}:${p.bytes[this.at]}:${p.bytes[this.at + 1]}`
    const tail = `${p.totalLength}:${rawFragmentField(p)}:${p.tos}:${quirksOf(p)}`
    this.rawStack(ICMP, `${head}:${this.ipText()}:${tail}`)
  }

  /** `ttl:df:bytes of options` */
  private ipText(): string {
    const { p } = this
    return `${p.ttl + distanceOf(p.ttl)}:${p.dontFragment ? 1 : 0}:${p.headerLength - 20}`
  }

  private rawStack(kind: number, text: string): void {
    const { p } = this
    const seen = { index: p.index, seconds: secondsOf(p), vlan: tagOf(p), port: 0, ttl: p.ttl }
    const none = { window: 0, df: 0, size: 0, mss: 0, scale: 0, quirks: 0, stamp: 0, options: [] }
    this.add({ what: 'stack', kind, match: -1, text, ...seen, ...none })
  }

  private add(evidence: Evidence): void {
    if (this.found) this.found.push(evidence)
    else this.found = [evidence]
  }
}

/** Behind the IP header alone: a later fragment is taken for the beginning of a packet. */
function transportOf(p: Packet): number {
  const v4 = p.kind === NET_IPV4
  return p.l3Offset + (v4 ? (p.bytes[p.l3Offset]! & 15) << 2 : 40)
}

/** Of TCP, as far as they were captured. */
export function flagsOf(p: Packet): number {
  const at = transportOf(p) + 13
  return p.ipProtocol === PROTO_TCP && at < p.end ? p.bytes[at]! : 0
}

function u16(b: Uint8Array, i: number): number {
  return (b[i]! << 8) | b[i + 1]!
}

/** The fragment field of IPv4 as a little-endian machine reads it, which is how real prads writes it. */
function rawFragmentField(p: Packet): number {
  return p.bytes[p.l3Offset + 6]! | (p.bytes[p.l3Offset + 7]! << 8)
}

/** Real prads says I (IP options) of every such packet. */
function quirksOf(p: Packet): string {
  return p.ipId === 0 ? 'ZI' : 'I'
}

export function secondsOf(p: Packet): number {
  return Math.floor(p.timeUs / 1_000_000)
}

/** The whole tag, priority bits and all; 0 without one. */
export function tagOf(p: Packet): number {
  if (p.vlanCount === 0) return 0
  return (p.bytes[p.start + 14]! << 8) | p.bytes[p.start + 15]!
}
