import {
  checksum,
  FINE,
  isIcmpError,
  LINK_ETHERNET,
  loadQuoted,
  Packet,
  PROTO_ICMP,
  PROTO_TCP,
  PROTO_UDP,
  sumPseudoHeader,
} from '../../nf-apps/packet/index.ts'

/** A frame that went into the NAT or came out of it; outputs carry the index of what they came from. */
export interface Seen {
  readonly index: number
  readonly us: number
  readonly bytes: Uint8Array
}

export interface Expected {
  readonly isInside: (address: number) => boolean
  readonly isPublic: (address: number) => boolean
  /** A public end may stand for another inside end after so long without a packet (µs). */
  readonly quietUs: number
  /** An inside end keeps its public end while it is quiet for less than this (µs). */
  readonly keptUs: number
}

interface Use {
  readonly inside: string
  readonly outside: string
  lastUs: number
}

/**
 * Judges a NAT by what went in and came out alone. It knows nothing of ports that were given out, of hosts or of
 * instances: mappings are read off the packets that went out, in the order of their indices.
 */
export function checkNat(ins: readonly Seen[], outs: readonly Seen[], e: Expected): string[] {
  const found: string[] = []
  const inputs = new Map(ins.map((i) => [i.index, i]))
  const byInside = new Map<string, Use>()
  const byOutside = new Map<string, Use>()
  const given = new Map<number, number>()
  const went = new Set(outs.map((o) => o.index))
  // On several instances a packet may be ahead of others that came just before it: a mapping is also known by those.
  const soon = new Set<string>()
  for (const o of outs) {
    const input = inputs.get(o.index)
    if (input && isOutgoing(load(input), e)) soon.add(soonKey(load(input), load(o), input.us))
  }
  // A packet to a public end that stands for nobody is dropped, but its sender has a mapping by it all the same.
  const unseen = new Set(
    ins
      .filter((i) => !went.has(i.index))
      .map(load)
      .filter((p) => e.isInside(p.src.d) && e.isPublic(p.dst.d))
      .map((p) => `${p.ipProtocol} ${endText(p, 'src')}`),
  )
  const say = (o: Seen, what: string) => found.push(`packet ${o.index}: ${what}`)
  for (const o of [...outs].sort((a, b) => a.index - b.index)) {
    const input = inputs.get(o.index)
    if (!input) {
      say(o, 'an output without an input')
      continue
    }
    given.set(o.index, (given.get(o.index) ?? 0) + 1)
    const before = load(input)
    const after = load(o)
    if (before.isFragment) continue // of a datagram the first fragment alone has ports: the unit tests look at those
    if ((given.get(o.index) ?? 0) > 1) say(o, 'was sent twice')
    const changed = compare(before, after)
    if (changed) say(o, changed)
    const wrong = rightBefore(before) ? wrongAfter(after) : undefined
    if (wrong) say(o, wrong)
    if (isIcmpError(before)) continue
    judge(before, after, input.us, {
      byInside,
      byOutside,
      unseen,
      soon,
      say: (what) => say(o, what),
      e,
    })
  }
  return found
}

/** A frame that came out of a NAT, with its cause's time but not its index: as a capture has it. */
type Unnamed = Omit<Seen, 'index'>

/**
 * Finds the inputs that outputs come from: of the same time, and the same but for what a NAT changes. Fragments that
 * were held go under another's time, and are left out; −1 is the index of an output that has no input.
 */
export function withCauses(ins: readonly Seen[], outs: readonly Unnamed[]): Seen[] {
  const byTime = new Map<number, { index: number; text: string }[]>()
  for (const one of ins) {
    const us = Math.round(one.us)
    const there = byTime.get(us) ?? []
    there.push({ index: one.index, text: textOf(load(one)) })
    byTime.set(us, there)
  }
  return outs.flatMap((o) => {
    const out = load({ ...o, index: -1 })
    const there = byTime.get(Math.round(o.us)) ?? []
    const at = there.findIndex(({ text }) => text === textOf(out))
    const [cause] = at < 0 ? [] : there.splice(at, 1)
    if (!cause && out.isFragment) return []
    return [{ ...o, index: cause?.index ?? -1 }]
  })
}

const textOf = (p: Packet) =>
  Buffer.from(p.malformed === FINE ? blank(p) : p.bytes).toString('latin1')

interface Books {
  readonly byInside: Map<string, Use>
  readonly byOutside: Map<string, Use>
  readonly unseen: ReadonlySet<string>
  readonly soon: ReadonlySet<string>
  readonly say: (what: string) => void
  readonly e: Expected
}

function judge(before: Packet, after: Packet, us: number, { e, say, ...books }: Books): void {
  const protocol = before.ipProtocol
  const fromInside = e.isInside(before.src.d)
  const toPublic = e.isPublic(before.dst.d)
  if (fromInside && e.isInside(before.dst.d)) {
    if (endText(before, 'src') !== endText(after, 'src')) say('was translated between inside hosts')
    return
  }
  if (!fromInside && !toPublic)
    return say('went through though it is neither from inside nor to us')
  if (fromInside) {
    if (!e.isPublic(after.src.d)) return say(`left with the source ${after.src}`)
    const inside = `${protocol} ${endText(before, 'src')}`
    const outside = `${protocol} ${endText(after, 'src')}`
    const old = books.byInside.get(inside)
    if (old && old.outside !== outside && us - old.lastUs < e.keptUs) {
      say(`${inside} was ${old.outside} and is ${outside} now`)
    }
    const other = books.byOutside.get(outside)
    if (other && other.inside !== inside && us - other.lastUs < e.quietUs) {
      say(`${outside} stands for ${other.inside} and for ${inside}`)
    }
    const use = old?.outside === outside && other === old ? old : { inside, outside, lastUs: us }
    use.lastUs = Math.max(use.lastUs, us)
    books.byInside.set(inside, use)
    books.byOutside.set(outside, use)
    if (!toPublic && endText(before, 'dst', true) !== endText(after, 'dst', true)) {
      say('its destination was changed')
    }
  }
  if (!toPublic) return
  const outside = `${protocol} ${endText(before, 'dst')}`
  const inside = `${protocol} ${endText(after, 'dst')}`
  const isKnown = (from: string, by: string) =>
    books.unseen.has(from) || books.soon.has(`${from} ${by} ${second(us)}`)
  let use = books.byOutside.get(outside)
  if ((!use || use.inside !== inside) && isKnown(inside, outside)) {
    use = { inside, outside, lastUs: us }
    books.byInside.set(inside, use)
    books.byOutside.set(outside, use)
  }
  if (!use) return say(`came in by ${outside}, which stands for nobody`)
  if (use.inside !== inside) say(`came in by ${outside} to ${inside}, not to ${use.inside}`)
  use.lastUs = Math.max(use.lastUs, us)
}

const second = (us: number) => Math.floor(us / 1e6)
const isOutgoing = (p: Packet, e: Expected) => e.isInside(p.src.d) && !e.isInside(p.dst.d)
const soonKey = (before: Packet, after: Packet, us: number) => {
  const protocol = before.ipProtocol
  const from = `${protocol} ${endText(before, 'src')}`
  return `${from} ${protocol} ${endText(after, 'src')} ${second(us)}`
}

function endText(p: Packet, side: 'src' | 'dst', addressOnlyForIcmp = false): string {
  if (p.ipProtocol === PROTO_ICMP)
    return addressOnlyForIcmp ? `${p[side]}` : `${p[side]}:${p.icmpId}`
  return `${p[side]}:${side === 'src' ? p.srcPort : p.dstPort}`
}

function load({ bytes, us, index }: Seen): Packet {
  return new Packet().load(bytes, 0, bytes.length, LINK_ETHERNET, bytes.length, us, us, index, 0)
}

/** All but addresses, ports and checksums is as it was; of a quoted packet likewise. */
function compare(before: Packet, after: Packet): string | undefined {
  if (before.bytes.length !== after.bytes.length) return 'has another length'
  const [a, b] = [blank(before), blank(after)]
  const at = a.findIndex((byte, i) => byte !== b[i])
  return at < 0 ? undefined : `byte ${at} was changed`
}

function blank(p: Packet): Uint8Array {
  const bytes = p.bytes.slice()
  wipe(bytes, p)
  const quoted = new Packet()
  if (loadQuoted(p, quoted)) {
    bytes.fill(0, p.l4Offset + 2, p.l4Offset + 4)
    wipe(bytes, quoted)
  }
  return bytes
}

function wipe(bytes: Uint8Array, p: Packet): void {
  const { l3Offset, headerLength, ipProtocol } = p
  bytes.fill(0, l3Offset + 10, l3Offset + 20)
  const l4 = l3Offset + headerLength
  const end = p.end
  const clear = (from: number, to: number) =>
    bytes.fill(0, Math.min(l4 + from, end), Math.min(l4 + to, end))
  if (ipProtocol === PROTO_TCP || ipProtocol === PROTO_UDP) clear(0, 4)
  if (ipProtocol === PROTO_TCP) clear(16, 18)
  if (ipProtocol === PROTO_UDP) clear(6, 8)
  if (ipProtocol !== PROTO_ICMP || isIcmpError(p)) return
  clear(2, 4)
  clear(4, 6)
}

/** Undefined where all checksums of the packet are right, computed anew. */
export function wrongChecksum(p: Packet): string | undefined {
  const { bytes, l3Offset, l4Offset, ipProtocol: protocol } = p
  if (checksum(bytes, l3Offset, l3Offset + p.headerLength) !== 0) return 'IP checksum'
  if (l4Offset < 0 || p.isFragment) return undefined
  const end = l3Offset + p.totalLength
  if (end > p.end) return undefined
  if (protocol === PROTO_UDP && bytes[l4Offset + 6] === 0 && bytes[l4Offset + 7] === 0)
    return undefined
  const pseudo =
    protocol === PROTO_ICMP ? 0 : sumPseudoHeader(p.src, p.dst, protocol, end - l4Offset)
  if (checksum(bytes, l4Offset, end, pseudo) !== 0) return 'transport checksum'
  const quoted = new Packet()
  return loadQuoted(p, quoted) ? wrongQuoted(quoted) : undefined
}

function wrongQuoted(q: Packet): string | undefined {
  const wrong = wrongChecksum(q)
  return wrong && `quoted ${wrong}`
}

const rightBefore = (p: Packet) => wrongChecksum(p) === undefined
const wrongAfter = (p: Packet) => {
  const wrong = wrongChecksum(p)
  return wrong && `its ${wrong} is wrong`
}
