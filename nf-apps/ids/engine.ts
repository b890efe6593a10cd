import {
  Packet,
  PROTO_ESP,
  PROTO_ICMP,
  PROTO_ICMPV6,
  PROTO_SCTP,
  PROTO_TCP,
  PROTO_UDP,
  TCP_ACK,
  TCP_SYN,
} from '../packet/index.ts'
import { Regex } from '../pattern/index.ts'
import { Applications } from './applications.ts'
import type { BufferName } from './buffers.ts'
import { BUFFERS } from './buffers.ts'
import {
  APP_HTTP,
  endsAtUs,
  type FlowState,
  hasPending,
  resetFlow,
  SEEN_TO_CLIENT,
  SEEN_TO_SERVER,
  TRIED_TO_CLIENT,
  TRIED_TO_SERVER,
  unread,
} from './flow-state.ts'
import { defragment } from './fragments.ts'
import type { Message } from './http.ts'
import { HttpBuffers } from './http-buffers.ts'
import type { PortSet } from './nets.ts'
import { Inspection } from './payload.ts'
import { type Losses, noLosses } from './records.ts'
import { Candidates, protocolOf, type RuleSet } from './rule-set.ts'
import { type Direction, type Signature, TO_CLIENT, TO_SERVER } from './signature.ts'
import {
  ackedBytes,
  CLOSED,
  contiguous,
  ESTABLISHED,
  type Half,
  heldTo,
  newConnection,
  rawIsDue,
  startsAnew,
  track,
  trim,
} from './stream.ts'

/** A signature that has matched, and which way what it matched went. */
export interface Hit {
  readonly signature: Signature
  /** It goes against the packet in hand: what matched came before, the other way. */
  readonly turned: boolean
}

/** Alerts of one packet; more say nothing new, and a packet made to match all rules would drown the rest. */
const ALERTS_PER_PACKET_MAX = 15
/** Raw bytes kept behind an HTTP message for rules that look into both. */
const KEPT_BYTES = 8 * 1024

/**
 * Inspects a flow's packets in order. It holds no state between packets: that is all in the flow, and the flow
 * may come from and go to another instance between any two of them.
 */
export class Engine {
  private readonly rules: RuleSet
  private readonly midstream: boolean
  private readonly candidates: Candidates
  private readonly inspection = new Inspection()
  private readonly applications = new Applications()
  private readonly turned = new Packet()
  private hits: Hit[] = []
  private passed = false
  private losses = noLosses()
  private limited = 0

  /** Of the packet in hand. */
  private flow!: FlowState
  private packet!: Packet
  private established = false
  /** What is looked at is what the end of the flow shows: no packet is on its way. */
  private ending = false
  /** Its payload is part of the stream, so that the stream's rules look there. */
  private added = false
  private blocks: Uint8Array[] = []
  /** Rules no longer read it: decided before the packet, as what it brings to light is still read. */
  private unreadable = false

  constructor(rules: RuleSet, midstream: boolean) {
    this.rules = rules
    this.midstream = midstream
    this.candidates = new Candidates(rules.signatures.length)
    this.limited = Regex.limited
  }

  /** The hits of a packet, in the order of their rules. `forward`: it goes from the flow key's source. */
  inspect(p: Packet, f: FlowState, forward: boolean): readonly Hit[] {
    this.hits = []
    this.passed = false
    this.flow = f
    this.packet = p
    if (f.lastUs > 0 && this.isOver(p, f, forward)) {
      this.flush(f)
      resetFlow(f)
      this.passed = false
    }
    if (f.lastUs === 0) f.clientIsSource = forward !== (this.midstream && isAnswer(p))
    f.lastUs = p.clockUs
    f.lastIndex = p.index
    const toServer = forward === f.clientIsSource
    const seen = toServer ? SEEN_TO_SERVER : SEEN_TO_CLIENT
    f.seen |= seen
    if (f.passes === seen) f.passed = true
    if (p.ipProtocol === PROTO_TCP && p.l4Offset >= 0 && !p.isFragment) this.tcp(p, f, forward)
    else this.datagram(toServer)
    return this.hits
  }

  /** What the end of a flow shows: bytes that nobody acknowledged, messages that were not complete. */
  finish(p: Packet, f: FlowState): readonly Hit[] {
    this.hits = []
    this.passed = false
    this.flow = f
    this.packet = p
    this.flush(f)
    return this.hits
  }

  /** What was left out since it was last asked; undefined where nothing was. */
  takeLosses(): Losses | undefined {
    const limited = Regex.limited + this.inspection.limited
    this.losses.searches += limited - this.limited
    this.limited = limited
    this.losses.unread += unread.flows
    unread.flows = 0
    const { losses } = this
    const { segments, deep, bodies, fragments, searches, alerts } = losses
    if (segments + deep + bodies + losses.unread + fragments + searches + alerts === 0) return
    this.losses = noLosses()
    return losses
  }

  /** The datagram that this fragment makes complete. */
  defragment(p: Packet, f: FlowState): Packet | undefined {
    return defragment(f.datagrams, p, this.losses)
  }

  private isOver(p: Packet, f: FlowState, forward: boolean): boolean {
    if (p.clockUs >= endsAtUs(f)) return true
    const c = f.connection
    return (
      c !== null && p.ipProtocol === PROTO_TCP && startsAnew(c, p, forward === f.clientIsSource)
    )
  }

  private datagram(toServer: boolean): void {
    const f = this.flow
    const both = SEEN_TO_SERVER | SEEN_TO_CLIENT
    this.established = (f.seen & both) === both
    this.added = false
    this.unreadable = false
    this.blocks = []
    this.packetRules(toServer ? TO_SERVER : TO_CLIENT)
  }

  private tcp(p: Packet, f: FlowState, forward: boolean): void {
    const toServer = forward === f.clientIsSource
    f.connection ??= newConnection()
    const c = f.connection
    this.unreadable = f.encrypted
    this.established = c.state >= ESTABLISHED
    const half = toServer ? c.client : c.server
    const { refused, deep } = half
    this.added = track(c, p, toServer, this.midstream)
    this.losses.segments += half.refused - refused
    if (half.deep && !deep) this.losses.deep++
    const messages: Message[] = []
    const cut = f.http?.cut ?? 0
    if (c.state >= ESTABLISHED) {
      this.applications.read(f, c, !toServer, false, (m) => messages.push(m))
      const own = c.state === CLOSED
      if (own) this.applications.read(f, c, toServer, c.resetBy !== 0, (m) => messages.push(m))
    }
    this.losses.bodies += (f.http?.cut ?? 0) - cut
    const direction = forward === f.clientIsSource ? TO_SERVER : TO_CLIENT
    const sender = direction === TO_SERVER ? c.client : c.server
    this.blocks = []
    if (c.state >= ESTABLISHED && !this.unreadable && rawIsDue(c, sender)) {
      this.takeRaw(sender, false)
    }
    this.packetRules(direction)
    for (const message of messages) this.message(message)
    this.letGo(c.client)
    this.letGo(c.server)
    f.pending = hasPending(f, c)
  }

  private letGo(half: Half): void {
    if (this.flow.encrypted) half.raw = Math.max(half.raw, half.acked)
    trim(half, this.flow.app === APP_HTTP && this.rules.mixed ? KEPT_BYTES : 0)
  }

  /** Takes raw bytes off for inspection, a block for each stretch without a gap: acknowledged ones, at the end all. */
  private takeRaw(half: Half, all: boolean): void {
    const to = all ? heldTo(half) : ackedBytes(half)
    for (let from = half.raw; from < to; ) {
      const block = contiguous(half, from, to)
      if (block === undefined) break
      this.blocks.push(block.bytes)
      from = block.at + block.bytes.length
    }
    if (to > half.raw) half.raw = to
    half.flush = false
  }

  private flush(f: FlowState): void {
    const c = f.connection
    if (c === null || c.state < ESTABLISHED || f.passed) return
    this.established = true
    this.added = true
    this.ending = true
    for (const toServer of [true, false]) {
      const half = toServer ? c.client : c.server
      const direction = toServer ? TO_SERVER : TO_CLIENT
      const messages: Message[] = []
      this.applications.read(f, c, toServer, true, (m) => messages.push(m))
      this.blocks = []
      if (!f.encrypted) this.takeRaw(half, true)
      const view = this.viewOf(direction)
      if (c.state !== CLOSED || this.blocks.length > 0) this.addressRules(view, direction)
      this.candidates.clear()
      for (const block of this.blocks) this.rules.byStream(view, direction, block, this.candidates)
      for (const rank of this.candidates.sorted()) {
        const s = this.rules.signatures[rank]!
        if (s.tests.length === 0) this.tryStream(s, view, direction)
      }
      for (const message of messages) this.message(message)
    }
    this.ending = false
  }

  /** The packet in hand as one of the direction asked for: with its ends turned, if it went the other way. */
  private viewOf(direction: Direction): Packet {
    const p = this.packet
    const f = this.flow
    const forward = (direction === TO_SERVER) === f.clientIsSource
    return forward === isForward(p) ? p : turn(p, this.turned)
  }

  private packetRules(direction: Direction): void {
    const { flow: f, packet: p, candidates, rules } = this
    if (f.passed) return
    this.addressRules(p, direction)
    candidates.clear()
    rules.byHeaders(p, direction, candidates)
    const readable = p.payloadLength > 0 && !this.unreadable && !p.isFragment
    if (readable) rules.byPayload(p, direction, !this.added, candidates)
    for (const block of this.blocks) rules.byStream(p, direction, block, candidates)
    for (const rank of candidates.sorted()) {
      const s = rules.signatures[rank]!
      if (s.payload.length === 0 || this.blocks.length > 0 || readable) {
        this.tryPacket(s, p, direction)
      }
    }
  }

  private addressRules(p: Packet, direction: Direction): void {
    const tried = direction === TO_SERVER ? TRIED_TO_SERVER : TRIED_TO_CLIENT
    const f = this.flow
    if ((f.seen & tried) !== 0 && isOfFlow(p)) return
    f.seen |= tried
    const protocol = protocolOf(p)
    for (const s of this.rules.addressRules) {
      if (!protocolFits(s, protocol) || !this.headerFits(s, p)) continue
      this.matched(s, direction, true)
    }
  }

  private tryPacket(s: Signature, p: Packet, direction: Direction): void {
    if (!this.flowFits(s) || !this.headerFits(s, p)) return
    for (const test of s.tests) if (!test(p)) return
    if (!this.flowbitsFit(s)) return
    const where = s.payload.length === 0 ? 'packet' : this.payloadFits(s, p)
    if (where === undefined) return
    if (s.flow.stream === 'only' && where !== 'stream') return
    if (s.flow.stream === 'no' && where === 'stream') return
    const ofHttpOnly = s.protocol === 'http' && s.payload.length === 0 && s.tests.length === 0
    this.matched(s, direction, where === 'stream' || ofHttpOnly)
  }

  private tryStream(s: Signature, p: Packet, direction: Direction): void {
    if (!s.payloadOn.stream || s.flow.stream === 'no') return
    if (!this.flowFits(s) || !this.headerFits(s, p) || !this.flowbitsFit(s)) return
    if (this.blocksFit(s)) this.matched(s, direction, true)
  }

  private payloadFits(s: Signature, p: Packet): 'packet' | 'stream' | undefined {
    if (s.payloadOn.stream && this.blocksFit(s)) return 'stream'
    if (s.payloadOn.stream && !s.payloadOn.packet && this.added) return undefined
    if (p.payloadLength === 0 || this.unreadable || p.isFragment) return undefined
    const { bytes, payloadOffset, payloadEnd } = p
    const fits = this.inspection.matches(s.payload, bytes, payloadOffset, payloadEnd)
    return fits ? 'packet' : undefined
  }

  private blocksFit(s: Signature): boolean {
    for (const block of this.blocks) {
      if (this.inspection.matches(s.payload, block, 0, block.length)) return true
    }
    return false
  }

  private message(message: Message): void {
    if (this.flow.passed) return
    if (message.body !== undefined && message.body.length === 0) return
    const direction = message.isRequest ? TO_SERVER : TO_CLIENT
    const view = this.viewOf(direction)
    const buffers = new HttpBuffers(message)
    const get = (name: BufferName) => buffers.get(name)
    const { candidates, rules } = this
    candidates.clear()
    rules.byMessage(direction, get, candidates)
    this.established = true
    for (const rank of candidates.sorted()) {
      const s = rules.signatures[rank]!
      if (needsBody(s) !== (message.body !== undefined)) continue
      if (!this.flowFits(s) || !this.headerFits(s, view) || !this.flowbitsFit(s)) continue
      if (s.tests.some((test) => !test(this.packet)) || !this.buffersFit(s, get)) continue
      if (s.payload.length === 0 || this.rawFits(s, direction)) this.matched(s, direction, true)
    }
  }

  private buffersFit(s: Signature, get: (name: BufferName) => Uint8Array | undefined): boolean {
    for (const { buffer, matchers } of s.buffers) {
      const bytes = get(buffer)
      if (bytes === undefined) return false
      if (!this.inspection.matches(matchers, bytes, 0, bytes.length)) return false
    }
    return true
  }

  /** Payload options of a rule that looks into messages: on the bytes round the message. */
  private rawFits(s: Signature, direction: Direction): boolean {
    const c = this.flow.connection
    if (c === null) return false
    const half = direction === TO_SERVER ? c.client : c.server
    const block = contiguous(half, Math.max(0, half.app - BODY_WINDOW), half.app)
    return (
      block !== undefined && this.inspection.matches(s.payload, block.bytes, 0, block.bytes.length)
    )
  }

  private flowFits(s: Signature): boolean {
    if (s.protocol === 'http' && this.flow.app !== APP_HTTP) return false
    if (s.flow.established !== undefined && s.flow.established !== this.established) return false
    return s.flow.fragment === undefined || s.flow.fragment === 'no'
  }

  private headerFits(s: Signature, p: Packet): boolean {
    if (s.family !== undefined && s.family !== p.kind) return false
    if (p.isFragment && (s.sourcePorts !== undefined || s.destinationPorts !== undefined)) {
      return false
    }
    if (
      portFits(s.sourcePorts, p.srcPort) &&
      portFits(s.destinationPorts, p.dstPort) &&
      (s.source === undefined || s.source(p.src)) &&
      (s.destination === undefined || s.destination(p.dst))
    ) {
      return true
    }
    return (
      s.bothWays &&
      portFits(s.sourcePorts, p.dstPort) &&
      portFits(s.destinationPorts, p.srcPort) &&
      (s.source === undefined || s.source(p.dst)) &&
      (s.destination === undefined || s.destination(p.src))
    )
  }

  private flowbitsFit(s: Signature): boolean {
    const { bits } = this.flow
    for (const { set, all, names } of s.flowbits) {
      const fits = (name: string) => bits.includes(name) === set
      if (!(all ? names.every(fits) : names.some(fits))) return false
    }
    return true
  }

  /** `ofFlow`: what matched is more than one packet's, so that what the rule decides holds for the flow. */
  private matched(s: Signature, direction: Direction, ofFlow: boolean): void {
    const f = this.flow
    const turned = ((direction === TO_SERVER) === f.clientIsSource) !== isForward(this.packet)
    for (const { action, names } of s.flowbitActions) {
      for (const name of names) setBit(f, name, action)
    }
    if (this.passed) return
    // What came the other way was on its way before this packet: its own alerts stand, and it may have some.
    if (ofFlow && s.action === 'pass' && turned && !this.ending) {
      f.passes = direction === TO_SERVER ? SEEN_TO_SERVER : SEEN_TO_CLIENT
      this.hits.push({ signature: s, turned })
      return
    }
    if (ofFlow && s.action !== 'alert' && s.action !== 'log') f.passed = true
    if (s.action === 'pass') {
      this.passed = true
      this.hits = ofFlow ? [{ signature: s, turned }] : []
      return
    }
    if (s.noAlert) return
    if (this.hits.length >= ALERTS_PER_PACKET_MAX) this.losses.alerts++
    else this.hits.push({ signature: s, turned })
  }
}

const BODY_WINDOW = KEPT_BYTES

/** Flowbits a flow may carry: rule sets use a few hundred names in all. */
const FLOWBITS_MAX = 1024

function setBit(f: FlowState, name: string, action: 'set' | 'unset' | 'toggle'): void {
  const at = f.bits.indexOf(name)
  if (at < 0 && action !== 'unset' && f.bits.length < FLOWBITS_MAX) f.bits = [...f.bits, name]
  if (at >= 0 && action !== 'set') f.bits = f.bits.filter((bit) => bit !== name)
}

function needsBody(s: Signature): boolean {
  return s.buffers.some(({ buffer }) => BUFFERS[buffer].body)
}

function portFits(set: PortSet | undefined, port: number): boolean {
  return set === undefined || set[port] === 1
}

function protocolFits(s: Signature, protocol: number): boolean {
  return s.protocol === 'ip' || NUMBERS[s.protocol] === protocol
}
const NUMBERS = { tcp: 0, http: 0, udp: 1, icmp: 2 } as const

const SYN_ACK = TCP_SYN | TCP_ACK

/** The second packet of a handshake whose first was not seen. */
function isAnswer(p: Packet): boolean {
  return p.ipProtocol === PROTO_TCP && p.l4Offset >= 0 && (p.flags & SYN_ACK) === SYN_ACK
}

const OF_FLOWS = new Set([PROTO_ICMP, PROTO_TCP, PROTO_UDP, PROTO_ESP, PROTO_ICMPV6, PROTO_SCTP])

/** Other protocols have no flows: each packet is looked at as if it were the first. */
function isOfFlow(p: Packet): boolean {
  return OF_FLOWS.has(p.ipProtocol) && !p.isFragment
}

/** Whether a packet goes from its symmetric flow's source. */
function isForward(p: Packet): boolean {
  return p.symmetricFlow.forward
}

/** A packet without payload that goes the other way. */
function turn(p: Packet, into: Packet): Packet {
  into.kind = p.kind
  into.ipProtocol = p.ipProtocol
  into.src.copy(p.dst)
  into.dst.copy(p.src)
  into.srcPort = p.dstPort
  into.dstPort = p.srcPort
  into.timeUs = p.timeUs
  into.clockUs = p.clockUs
  into.index = p.index
  into.payloadOffset = into.payloadEnd = 0
  into.l4Offset = 0
  into.symmetricFlow.copy(p.symmetricFlow)
  into.symmetricFlow.forward = !p.symmetricFlow.forward
  return into
}
