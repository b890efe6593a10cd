import { type Packet, PROTO_ICMP, PROTO_ICMPV6, PROTO_TCP, PROTO_UDP } from '../packet/index.ts'
import { AhoCorasick, FOLD } from '../pattern/index.ts'
import { BUFFERS, type BufferName } from './buffers.ts'
import type { PortSet } from './nets.ts'
import type { Content, Matcher } from './payload.ts'
import type { Direction, Signature } from './signature.ts'

/**
 * Which signatures a packet can match at all, found in one pass over its payload.
 *
 * Signatures are grouped by protocol, direction and the ports they name; a group finds its signatures by their
 * most telling content (`fast_pattern`, else the longest). A packet asks at most three groups: that of its
 * destination port, of its source port, and of signatures for any port. So the cost of a packet follows from how
 * many of the rules' contents occur in it, hardly from how many rules there are.
 */

/** Signatures that a packet may match, each once, in the order in which they are tried. */
export class Candidates {
  private readonly stamps: Int32Array
  private stamp = 0
  readonly ranks: number[] = []

  constructor(size: number) {
    this.stamps = new Int32Array(size)
  }

  clear(): void {
    this.stamp = (this.stamp + 1) | 0
    this.ranks.length = 0
  }

  readonly add = (rank: number): void => {
    if (this.stamps[rank] === this.stamp) return
    this.stamps[rank] = this.stamp
    this.ranks.push(rank)
  }

  /** By insertion: they are a handful. */
  sorted(): readonly number[] {
    const { ranks } = this
    if (ranks.length > 64) return ranks.sort((a, b) => a - b)
    for (let i = 1; i < ranks.length; i++) {
      const rank = ranks[i]!
      let k = i
      for (; k > 0 && ranks[k - 1]! > rank; k--) ranks[k] = ranks[k - 1]!
      ranks[k] = rank
    }
    return ranks
  }
}

/** Patterns that can only match within so many bytes are looked for there alone. */
const NEAR_BYTES = 512

/** Signatures by a content that must occur for them to match, and those that have none. */
class PatternGroup {
  private readonly near = new Patterns()
  private readonly far = new Patterns()
  private readonly always: number[] = []

  add(rank: number, content: Content | undefined): void {
    if (content === undefined) this.always.push(rank)
    else {
      const within = reach(content)
      const near = within <= NEAR_BYTES
      ;(near ? this.near : this.far).add(rank, content.bytes, within)
    }
  }

  collect(bytes: Uint8Array, low: number, high: number, into: Candidates): void {
    for (const rank of this.always) into.add(rank)
    this.near.collect(bytes, low, high, into)
    this.far.collect(bytes, low, high, into)
  }
}

/** Behind the last byte that a content can match at. */
function reach(c: Content): number {
  const placed = c.distance === undefined && c.within === undefined && typeof c.offset === 'number'
  if (!placed || typeof c.depth !== 'number' || c.depth === 0) return Number.POSITIVE_INFINITY
  return c.depth
}

class Patterns {
  private readonly byText = new Map<string, { pattern: Uint8Array; ranks: number[] }>()
  private within = 0
  private automaton: AhoCorasick | undefined

  add(rank: number, bytes: Uint8Array, within: number): void {
    const pattern = bytes.map((byte) => FOLD[byte]!)
    const text = pattern.join()
    const entry = this.byText.get(text)
    if (entry) entry.ranks.push(rank)
    else this.byText.set(text, { pattern, ranks: [rank] })
    this.within = Math.max(this.within, within)
  }

  collect(bytes: Uint8Array, low: number, high: number, into: Candidates): void {
    if (this.byText.size === 0) return
    // Built at its first packet: most port groups never see one.
    if (this.automaton === undefined) this.build()
    this.automaton!.search(bytes, low, Math.min(high, low + this.within), into.add)
  }

  private build(): void {
    const entries = [...this.byText.values()]
    this.automaton = new AhoCorasick(
      entries.map((entry) => entry.pattern),
      entries.map((entry) => entry.ranks),
    )
  }
}

class Group {
  /** By the packet's payload, by the stream's, and by headers alone. */
  readonly packet = new PatternGroup()
  readonly stream = new PatternGroup()
  readonly headers: number[] = []

  add(rank: number, s: Signature): void {
    if (s.payload.length === 0) {
      this.headers.push(rank)
      return
    }
    const content = fastest(s.payload)
    if (s.payloadOn.packet) this.packet.add(rank, nearest(s.payload) ?? content)
    if (s.payloadOn.stream) this.stream.add(rank, content)
  }
}

/** The content that says most: the one named by fast_pattern, else the longest. */
function fastest(matchers: readonly Matcher[]): Content | undefined {
  let best: Content | undefined
  for (const m of matchers) {
    if (m.kind !== 'content' || m.negated) continue
    if (m.fastPattern) return m
    if (best === undefined || m.bytes.length > best.bytes.length) best = m
  }
  return best
}

/** Shorter ones let too many packets through to be worth the bytes they save. */
const TELLING_BYTES = 4

/** Of the contents that can only stand near the start the longest, if it says enough. */
function nearest(matchers: readonly Matcher[]): Content | undefined {
  const near = matchers.filter((m) => m.kind === 'content' && reach(m) <= NEAR_BYTES)
  const best = fastest(near)
  return best !== undefined && best.bytes.length >= TELLING_BYTES ? best : undefined
}

/** Groups of one protocol and direction. */
class Section {
  private readonly any = new Group()
  private readonly byDestination: PortGroups
  private readonly bySource: PortGroups

  constructor(entries: readonly Entry[]) {
    const destination: Entry[] = []
    const source: Entry[] = []
    for (const entry of entries) {
      if (entry.destinationPorts) destination.push(entry)
      else if (entry.sourcePorts) source.push(entry)
      else this.any.add(entry.rank, entry.signature)
    }
    this.byDestination = new PortGroups(destination, (e) => e.destinationPorts!)
    this.bySource = new PortGroups(source, (e) => e.sourcePorts!)
  }

  /** Groups that may hold a packet's signatures; undefined where there is none of its port. */
  groups(sourcePort: number, destinationPort: number): readonly (Group | undefined)[] {
    scratch[0] = this.any
    scratch[1] = this.byDestination.get(destinationPort)
    scratch[2] = this.bySource.get(sourcePort)
    return scratch
  }
}
const scratch: (Group | undefined)[] = [undefined, undefined, undefined]

interface Entry {
  readonly rank: number
  readonly signature: Signature
  readonly sourcePorts: PortSet | undefined
  readonly destinationPorts: PortSet | undefined
}

/** Ports that the same signatures name share a group. */
class PortGroups {
  private readonly classOf = new Uint16Array(65536)
  private readonly groups: (Group | undefined)[] = []

  constructor(entries: readonly Entry[], ports: (e: Entry) => PortSet) {
    const sets = new Set(entries.map(ports))
    let classes = 1
    for (const set of sets) classes = this.split(set, classes)
    const sample = new Int32Array(classes).fill(-1)
    for (let port = 65535; port >= 0; port--) sample[this.classOf[port]!] = port
    for (let c = 0; c < classes; c++) {
      const inside = entries.filter((e) => sample[c]! >= 0 && ports(e)[sample[c]!] === 1)
      if (inside.length === 0) continue
      const group = new Group()
      for (const e of inside) group.add(e.rank, e.signature)
      this.groups[c] = group
    }
  }

  /** Divides each class into the ports in the set and those not. */
  private split(set: PortSet, classes: number): number {
    const inside = new Int32Array(classes).fill(-1)
    const outside = new Uint8Array(classes)
    for (let port = 0; port < 65536; port++) {
      if (set[port] === 0) outside[this.classOf[port]!] = 1
    }
    let next = classes
    for (let port = 0; port < 65536; port++) {
      if (set[port] === 0) continue
      const c = this.classOf[port]!
      if (outside[c] === 0) continue
      if (inside[c]! < 0) inside[c] = next++
      this.classOf[port] = inside[c]!
    }
    return next
  }

  get(port: number): Group | undefined {
    return this.groups[this.classOf[port]!]
  }
}

const TCP = 0
const UDP = 1
const ICMP = 2
const OTHER = 3
const PROTOCOLS = 4

export class RuleSet {
  /** In the order in which they are tried. */
  readonly signatures: readonly Signature[]
  /** About addresses only: tried once per flow and direction. */
  readonly addressRules: readonly Signature[]
  /** Any signature looks into HTTP messages and into payloads at once: more of the stream is kept. */
  readonly mixed: boolean
  readonly hasHttp: boolean
  private readonly sections: Section[] = []
  private readonly messages: Map<BufferName, PatternGroup>[] = [new Map(), new Map()]
  /** Signatures of a message that no content finds, by direction. */
  private readonly messageAlways: number[][] = [[], []]

  constructor(given: readonly Signature[]) {
    this.signatures = [...given].sort(inOrder)
    this.addressRules = this.signatures.filter((s) => s.onlyAddresses)
    this.mixed = this.signatures.some((s) => s.buffers.length > 0 && s.payload.length > 0)
    this.hasHttp = this.signatures.some((s) => s.buffers.length > 0 || s.protocol === 'http')
    for (let protocol = 0; protocol < PROTOCOLS; protocol++) {
      for (const direction of [0, 1] as const) {
        this.sections.push(new Section(this.entries(protocol, direction)))
      }
    }
    for (const [rank, s] of this.signatures.entries()) this.addMessages(s, rank)
  }

  /** Adds those that the packet's payload does not rule out. */
  byPayload(p: Packet, direction: Direction, stream: boolean, into: Candidates): void {
    for (const group of this.groupsOf(p, direction)) {
      if (group === undefined) continue
      group.packet.collect(p.bytes, p.payloadOffset, p.payloadEnd, into)
      if (stream) group.stream.collect(p.bytes, p.payloadOffset, p.payloadEnd, into)
    }
  }

  byStream(p: Packet, direction: Direction, bytes: Uint8Array, into: Candidates): void {
    for (const group of this.groupsOf(p, direction)) {
      group?.stream.collect(bytes, 0, bytes.length, into)
    }
  }

  byHeaders(p: Packet, direction: Direction, into: Candidates): void {
    for (const group of this.groupsOf(p, direction)) {
      if (group !== undefined) for (const rank of group.headers) into.add(rank)
    }
  }

  /** Adds those that a message's buffers do not rule out. */
  byMessage(
    direction: Direction,
    buffer: (name: BufferName) => Uint8Array | undefined,
    into: Candidates,
  ): void {
    for (const rank of this.messageAlways[direction]!) into.add(rank)
    for (const [name, group] of this.messages[direction]!) {
      const bytes = buffer(name)
      if (bytes !== undefined) group.collect(bytes, 0, bytes.length, into)
    }
  }

  private groupsOf(p: Packet, direction: Direction): readonly (Group | undefined)[] {
    return this.sections[protocolOf(p) * 2 + direction]!.groups(p.srcPort, p.dstPort)
  }

  private entries(protocol: number, direction: Direction): Entry[] {
    const entries: Entry[] = []
    this.signatures.forEach((s, rank) => {
      if (s.buffers.length > 0 || s.onlyAddresses || !isOf(s, protocol, direction)) return
      const { sourcePorts, destinationPorts } = s
      entries.push({ rank, signature: s, sourcePorts, destinationPorts })
      if (!s.bothWays) return
      const turned = { sourcePorts: destinationPorts, destinationPorts: sourcePorts }
      entries.push({ rank, signature: s, ...turned })
    })
    return entries
  }

  private addMessages(s: Signature, rank: number): void {
    if (s.buffers.length === 0) return
    for (const direction of [0, 1] as const) {
      if (!isOf(s, TCP, direction)) continue
      const best = s.buffers
        .map(({ buffer, matchers }) => ({ buffer, content: fastest(matchers) }))
        .filter(({ buffer, content }) => content && !BUFFERS[buffer].body)
        .concat(s.buffers.map(({ buffer, matchers }) => ({ buffer, content: fastest(matchers) })))
        .find(({ content }) => content !== undefined)
      if (!best) this.messageAlways[direction]!.push(rank)
      else this.messageGroup(direction, best.buffer).add(rank, best.content)
    }
  }

  private messageGroup(direction: Direction, name: BufferName): PatternGroup {
    const groups = this.messages[direction]!
    const found = groups.get(name)
    if (found) return found
    const group = new PatternGroup()
    groups.set(name, group)
    return group
  }
}

export function protocolOf(p: Packet): number {
  if (p.ipProtocol === PROTO_TCP) return TCP
  if (p.ipProtocol === PROTO_UDP) return UDP
  return p.ipProtocol === PROTO_ICMP || p.ipProtocol === PROTO_ICMPV6 ? ICMP : OTHER
}

function isOf(s: Signature, protocol: number, direction: Direction): boolean {
  const { direction: wanted } = s.flow
  if (wanted !== undefined && (wanted === 'to_server') !== (direction === 0)) return false
  switch (s.protocol) {
    case 'ip':
      return true
    case 'udp':
      return protocol === UDP
    case 'icmp':
      return protocol === ICMP
    default:
      return protocol === TCP
  }
}

const ACTION_RANKS = { pass: 0, drop: 1, reject: 2, alert: 3, log: 3 } as const

/** Passing rules first; those that set flowbits before those that read them; then by priority. */
function inOrder(a: Signature, b: Signature): number {
  return (
    ACTION_RANKS[a.action] - ACTION_RANKS[b.action] ||
    flowbitRank(b) - flowbitRank(a) ||
    a.priority - b.priority ||
    a.number - b.number
  )
}

function flowbitRank(s: Signature): number {
  if (s.flowbitActions.length > 0) return s.flowbits.length > 0 ? 2 : 3
  return s.flowbits.length > 0 ? 1 : 0
}
