import { bool, f64, list, multiWriter, plain, untether } from '../../actors/index.ts'
import { PROTO_ICMP, PROTO_TCP, PROTO_UDP } from '../packet/index.ts'
import {
  type Asked,
  type AskedOut,
  answerOf,
  endAsked,
  type Need,
  type Packed,
  unpacked,
} from './ask.ts'
import { idleUs, rulesOf } from './config.ts'
import { addressOf, portOf } from './keys.ts'
import { BLOCK } from './pool.ts'
import { advance, asksToOpen, closes, isClosed, type Session, tcpIdleUs } from './session.ts'

/** An inside port and the public end that stands for it, towards all remote ends (RFC 4787, REQ-1). */
export interface Mapping {
  readonly inside: number
  readonly end: number
  /** Packets of this time or a later one find it over; its end is free once no earlier one is under way. */
  untilUs: number
  /** The latest lease on it: until then instances translate by it without asking. */
  leasedUs: number
  sessions: Session[]
}

/**
 * Free ends for a new mapping, all as good by the RFCs. The asker is to choose: it sees where the way back of each is
 * steered, and the host may be anywhere.
 */
export interface Offer {
  readonly ends: readonly number[]
  /** Others are not to be asked for. */
  readonly isAll: boolean
}
/** A number is a translation (ask.ts). */
export type Answer = number | Offer | Need | 'refused'
type Inwards = number | 'unmapped' | 'filtered'

/** Sessions of one mapping: some hundreds are a busy peer-to-peer program. */
const SESSIONS_MAX = 1024
/** Free ports that are offered for a new mapping: some of them are steered back as they should be. */
const OFFERED_MAX = 64
/** A host that has so many free ports asks for no others that are steered better. */
const ENOUGH = 128
/** Ports below are those of well-known services. */
export const LOW = 1024
/** A port that the pool could not give is not asked for again for so long, nor are those around it. */
const TAKEN_US = 60_000_000
/** Of which a host remembers so many. */
const TAKEN_MAX = 64
/** A host without mappings is forgotten so long after its last one; its ports are then anyone's to ask for. */
const FORGET_US = 60_000_000

interface HostState {
  free: number[]
  mappings: Record<string, Mapping>
  insides: Record<string, number>
  untilUs: number
  nextUs: number
  tight: boolean
  taken: Record<string, number>
}

/**
 * All that stands for one inside host under one protocol, in one place: so a new flow is one call, the mapping is
 * endpoint-independent, and nobody else decides about the host's ports.
 */
export const Host = multiWriter(
  'nat-host',
  {
    /** Public ends that are this host's and name nothing. */
    free: list<number>('end'),
    /** By inside port. */
    mappings: plain<Record<string, Mapping>>('nat-mappings', () => ({})),
    /** Inside ports by public end. */
    insides: plain<Record<string, number>>('nat-insides', () => ({})),
    /** When the last mapping is over. */
    untilUs: f64,
    /** No mapping is over before. */
    nextUs: f64,
    /** The pool runs short: free ports are used up before others are asked for. */
    tight: bool,
    /** By block of the paired address: until when the pool is not asked for a port in it. */
    taken: plain<Record<string, number>>('nat-taken', () => ({})),
  },
  {
    outbound: (s, ask: Packed): Answer => outbound(s, unpacked(ask)),
    /** Where a packet for a public end goes inside. */
    inbound: (s, ask: Packed) => inbound(s, unpacked(ask)),
    /** A packet that has gone its way already, by a lease: what it makes of its connection. */
    heardOut: untether((s, ask: Packed) => heard(s, unpacked(ask), true)),
    heardIn: untether((s, ask: Packed) => heard(s, unpacked(ask), false)),
    /** The public end of an inside port, or its inside port: reads only, for what an ICMP error quotes. */
    endOf: (s, ask: Packed) => endOfInside(s, unpacked(ask)),
    insideOf: (s, ask: Packed) => insideOfEnd(s, unpacked(ask)),
    /** Ports from the pool. */
    own(s, ends: readonly number[], tight: boolean, nowUs: number) {
      for (const end of ends) s.free.push(end)
      s.tight = tight
      s.untilUs = Math.max(s.untilUs, nowUs + FORGET_US)
    },
    /** Gives back those of its ports that name nothing that was alive then. A host that was forgotten gives all. */
    release(s, ends: readonly number[], overUs: number): number[] {
      const given = ends.filter((end) => {
        const mapping = s.mappings[s.insides[end] ?? -1]
        if (mapping && overUs < mapping.untilUs) return false
        if (mapping) forget(s, mapping)
        return true
      })
      const gone = new Set(given)
      s.free = s.free.filter((end) => !gone.has(end))
      return given
    },
  },
  { due: (s) => s.untilUs + FORGET_US, expire: () => true },
)

function outbound(s: HostState, ask: AskedOut): Answer {
  const { nowUs, lowUs, port } = ask
  let mapping = s.mappings[port]
  if (mapping && lowUs >= mapping.untilUs) {
    forget(s, mapping)
    s.free.push(mapping.end)
    mapping = undefined
  }
  // What ends a connection that is not known opens none (nor does the kernel's NAT let it).
  const isOver = !mapping || nowUs >= mapping.untilUs
  if (isOver && ask.protocol === PROTO_TCP && isClosed(advance(0, ask.flags, true))) {
    return 'refused'
  }
  if (!mapping) {
    const end = endFor(s, ask)
    if (typeof end !== 'number') return end
    mapping = { inside: port, end, untilUs: 0, leasedUs: 0, sessions: [] }
    s.mappings[port] = mapping
    s.insides[end] = port
  }
  return pass(s, mapping, ask, true, mapping.end) ?? 'refused'
}

function inbound(s: HostState, ask: Asked): Inwards {
  const mapping = s.mappings[s.insides[endAsked(ask)] ?? -1]
  if (!mapping || ask.nowUs >= mapping.untilUs) return 'unmapped'
  if (!isLetIn(mapping, ask)) return 'filtered'
  return pass(s, mapping, ask, false, mapping.inside) ?? 'filtered'
}

/** Its port is the inside one, whichever way it went. */
function heard(s: HostState, ask: Asked, out: boolean): void {
  const mapping = s.mappings[ask.port]
  const session = mapping && sessionOf(mapping, ask)
  if (session) touch(s, mapping, session, ask, out)
}

/** A packet of a session, known or new; undefined if there is no room for another. */
function pass(
  s: HostState,
  mapping: Mapping,
  ask: Asked,
  out: boolean,
  end: number,
): number | undefined {
  const known = sessionOf(mapping, ask)
  const before = known?.stage
  const session = known ?? open(mapping, ask)
  if (!session) return undefined
  touch(s, mapping, session, ask, out)
  const was = before !== undefined && !isClosed(before)
  const is = !isClosed(session.stage)
  const news = was === is ? undefined : is ? 'new' : 'closed'
  return answerOf({ end, isLeased: is, news })
}

const endOfInside = (s: HostState, ask: Asked) => alive(s.mappings[ask.port], ask)?.end
const insideOfEnd = (s: HostState, ask: Asked) =>
  alive(s.mappings[s.insides[endAsked(ask)] ?? -1], ask)?.inside

function alive(mapping: Mapping | undefined, ask: Asked): Mapping | undefined {
  return mapping && ask.nowUs < mapping.untilUs && isLetIn(mapping, ask) ? mapping : undefined
}

// ---- sessions ----

function sessionOf({ sessions }: Mapping, { remote, remotePort, nowUs }: Asked) {
  for (const session of sessions) {
    const isIt = session.address === remote && session.port === remotePort
    if (isIt && nowUs < session.untilUs) return session
  }
  return undefined
}

function isLetIn(mapping: Mapping, ask: Asked): boolean {
  const { filtering } = rulesOf(ask.rules)
  if (filtering === 'any') return true
  if (filtering === 'address-and-port') return sessionOf(mapping, ask) !== undefined
  return mapping.sessions.some((x) => x.address === ask.remote && ask.nowUs < x.untilUs)
}

/** Undefined if there is no room. Of UDP the one that would end first makes room: its remote end is sent to again. */
function open(mapping: Mapping, ask: Asked): Session | undefined {
  const { nowUs, lowUs, remote, remotePort } = ask
  if (mapping.sessions.length > 0) {
    // Room for this packet comes before those that may still come late.
    const overUs = mapping.sessions.length < SESSIONS_MAX ? lowUs : nowUs
    mapping.sessions = mapping.sessions.filter((x) => overUs < x.untilUs)
  }
  const { sessions } = mapping
  if (sessions.length >= SESSIONS_MAX) {
    if (ask.protocol === PROTO_TCP) return undefined
    const first = sessions.reduce((a, b) => (b.untilUs < a.untilUs ? b : a))
    sessions.splice(sessions.indexOf(first), 1)
  }
  const session = { address: remote, port: remotePort, untilUs: 0, stage: 0, openedUs: 0 }
  sessions.push(session)
  return session
}

/**
 * Takes note of a packet. Packets under a lease are not noted, so a lease is added to what the session lives: it is never
 * shorter than its timeout. A closed connection ends sooner than it would have, but not before the last lease.
 *
 * Who was told of a packet by a note may hear of it behind later ones. Its bits are set all the same, and a session's life
 * counts from its last packet, so the order makes no difference, but for one thing: what closed a connection before the last SYN
 * would close the one that this opened.
 */
function touch(s: HostState, mapping: Mapping, session: Session, ask: Asked, out: boolean): void {
  const { nowUs } = ask
  const { timeouts: t } = rulesOf(ask.rules)
  const isTcp = ask.protocol === PROTO_TCP
  const lives = () => t.leaseUs + (isTcp ? tcpIdleUs(session.stage, t) : idleUs(ask.protocol, t))
  const lastUs = Math.max(nowUs, session.untilUs - lives())
  if (isTcp && asksToOpen(ask.flags)) session.openedUs = Math.max(session.openedUs, nowUs)
  const isOfEarlier = nowUs < session.openedUs && closes(ask.flags)
  if (isTcp && !isOfEarlier) session.stage = advance(session.stage, ask.flags, out)
  session.untilUs = lastUs + lives()
  if (!isClosed(session.stage)) mapping.leasedUs = Math.max(mapping.leasedUs, nowUs + t.leaseUs)
  mapping.untilUs = mapping.leasedUs
  for (const { untilUs } of mapping.sessions) {
    if (untilUs > mapping.untilUs) mapping.untilUs = untilUs
  }
  s.nextUs = Math.min(s.nextUs, mapping.untilUs)
  s.untilUs = Math.max(s.untilUs, mapping.untilUs)
}

// ---- ports ----

function forget(s: HostState, mapping: Mapping): void {
  delete s.mappings[mapping.inside]
  delete s.insides[mapping.end]
}

function endFor(s: HostState, ask: AskedOut): number | Offer | Need {
  const { keepPorts } = rulesOf(ask.rules)
  const same = keepPorts ? s.free.indexOf(endAsked(ask)) : -1
  if (same >= 0) return taken(s, same)
  // A flow that would be dropped comes before packets that may still come late.
  if (s.free.length === 0) collect(s, ask.asked === 'any' ? ask.nowUs : ask.lowUs)
  const { length } = s.free
  // Others than those at hand are asked for only where there are plenty: else no flow would find its port at hand.
  const mayAsk = !(s.tight && length > 0)
  if (keepPorts && ask.asked === 'nothing' && mayAsk && !isTaken(s, ask)) return 'same'
  if (ask.asked === 'same') noteTaken(s, ask)
  for (const end of ask.wanted) {
    const at = s.free.indexOf(end)
    if (at >= 0) return taken(s, at)
  }
  if (length === 0) return 'any'
  const ends = best(s.free, ask)
  const port = portOf(ends[0]!)
  const isAll = ask.asked === 'any' || !mayAsk
  if (!isAll && faultsOf(ends[0]!, ask) & OTHER_SIDE) return 'any'
  // Low ports are too few to hold more of them for the way back's sake.
  return { ends, isAll: isAll || length >= ENOUGH || port < LOW }
}

const blockOf = (port: number) => Math.floor(port / BLOCK)

function isTaken(s: HostState, { port, nowUs }: AskedOut): boolean {
  return nowUs < (s.taken[blockOf(port)] ?? 0)
}

function noteTaken(s: HostState, { port, nowUs }: AskedOut): void {
  if (Object.keys(s.taken).length >= TAKEN_MAX) s.taken = {}
  s.taken[blockOf(port)] = nowUs + TAKEN_US
}

/**
 * The paired address first, then a port on the same side of 1024, then of the same parity (RFC 4787, REQ-2 to REQ-4):
 * remote ends see those and may go by them, so they come before the way back, which costs messages and nothing
 * else. Begins somewhere, so that a port tells little of the next one.
 */
function best(free: readonly number[], ask: AskedOut): number[] {
  const from = Math.imul(ask.port ^ (ask.remotePort << 16) ^ ask.remote, 0x9e3779b1) >>> 16
  let ends: number[] = []
  let least = Number.POSITIVE_INFINITY
  for (let i = 0; i < free.length; i++) {
    const end = free[(from + i) % free.length]!
    const faults = faultsOf(end, ask)
    if (faults < least) {
      least = faults
      ends = []
    }
    if (faults === least && ends.length < OFFERED_MAX) ends.push(end)
  }
  return ends
}
const OTHER_PARITY = 1
const OTHER_SIDE = 2
const OTHER_ADDRESS = 4

function faultsOf(end: number, ask: AskedOut): number {
  const { protocol } = ask
  const port = portOf(end)
  let faults = addressOf(end) === ask.index ? 0 : OTHER_ADDRESS
  // ICMP's identifiers have no sides.
  if (protocol !== PROTO_ICMP && port < LOW !== ask.port < LOW) faults += OTHER_SIDE
  if (protocol === PROTO_UDP && ((port ^ ask.port) & 1) === 1) faults += OTHER_PARITY
  return faults
}

/** Takes back the ports of mappings that were over by then. */
function collect(s: HostState, overUs: number): void {
  if (overUs < s.nextUs) return
  s.nextUs = Number.MAX_VALUE
  for (const mapping of Object.values(s.mappings)) {
    if (overUs < mapping.untilUs) s.nextUs = Math.min(s.nextUs, mapping.untilUs)
    else {
      forget(s, mapping)
      s.free.push(mapping.end)
    }
  }
}

function taken(s: HostState, at: number): number {
  const end = s.free[at]!
  s.free[at] = s.free[s.free.length - 1]!
  s.free.pop()
  return end
}
