import {
  bool,
  f64,
  i32,
  multiWriter,
  plain,
  singleWriter,
  stale,
  u8,
  u16,
  u32,
  untether,
} from '../../actors/index.ts'
import type { Handles } from '../nf.ts'
import { symmetricFlow } from '../packet/index.ts'
import type { Fingerprint } from './fingerprint.ts'
import { host } from './host-key.ts'
import { type Likeness, newTimeline, record, type Timeline } from './timeline.ts'

/** The two sides of a connection, by the order of their addresses in its key. */
export const LOW = 0
export const HIGH = 1

/** What a side is in its connection: bit by bit what is settled about its payload. */
export const SERVICE_KNOWN = 1
export const CLIENT_KNOWN = 2
export const SERVICE_GUESSED = 4
export const CLIENT_GUESSED = 8
export const STACK_KNOWN = 16

/** A connection: written by whoever has its packets, once a packet. */
export const Flow = singleWriter(
  'prads-flow',
  {
    /** Index and time (seconds) of its first packet, time of its last. */
    firstIndex: f64,
    started: f64,
    last: f64,
    /** As they were at its start: who sent first, how many bytes, which flags. */
    startSide: u8,
    startBytes: u16,
    startFlags: u8,
    /** The side taken for the client. A SYN-ACK, or a server's known port, may turn it round. */
    client: u8,
    settled: u8,
    switches: u16,
    /** Seconds of silence after which it is forgotten; 0: never. */
    forget: u32,
    vlanPackets: u32,
    /** What we do not look into: real prads knows no ports and no protocol of it. */
    opaque: bool,
    lowPackets: u32,
    lowBytes: f64,
    lowFlags: u8,
    highPackets: u32,
    highBytes: f64,
    highFlags: u8,
    /** The second of which each side's asset has been told last. */
    lowTold: f64,
    highTold: f64,
    /** The stack by stray ACKs that each side's asset has been told last; 0 is none, else number + 2. */
    lowAck: i32,
    highAck: i32,
    /** Sightings by UDP that each side's asset has been told. */
    lowOffers: u16,
    highOffers: u16,
  },
  {},
  {
    due: (s) => (s.forget === 0 ? Number.POSITIVE_INFINITY : (s.last + s.forget) * 1e6),
    expire: () => true,
  },
)

/** The roles of a host in a connection. Before the second packet, none. */
export const NO_ROLE = 0
export const CLIENT = 1
export const SERVER = 2

/** When and where something was seen. */
interface Sighting {
  readonly index: number
  /** Packet time in seconds. */
  readonly seconds: number
}
/** A TCP stack as one packet showed it. */
export interface StackSighting extends Sighting, Readonly<Fingerprint> {
  readonly what: 'stack'
  /** Tag of the packet: id and priority. */
  readonly vlan: number
  readonly kind: number
  readonly port: number
  /** Number of the signature that fits, −1: none. */
  readonly match: number
  /** A print of UDP or ICMP, whole; else empty. */
  readonly text: string
}
/** A service or client as one payload showed it. */
export interface Offer {
  readonly vlan: number
  readonly role: number
  readonly ttl: number
  readonly service: string
  readonly application: string
}
interface OfferSighting extends Sighting {
  readonly what: 'offer'
  readonly protocol: number
  readonly port: number
  readonly value: Offer
}
/** A MAC address as one ARP reply claimed it. */
export interface Claim {
  readonly vlan: number
  readonly mac: number
}
interface ClaimSighting extends Sighting {
  readonly what: 'claim'
  readonly value: Claim
}
export type Evidence = StackSighting | OfferSighting | ClaimSighting

/** What an asset is told: when it was seen, and what was seen. */
export interface Note {
  first: number
  last: number
  readonly evidence: Evidence[]
}

/** A host: told by every instance that has packets from it, in messages that nobody waits for. */
export const Asset = multiWriter(
  'prads-asset',
  {
    known: bool,
    firstSeen: f64,
    lastSeen: f64,
    /** By kind of packet and signature: its sighting of least index. */
    stacks: plain<Record<string, StackSighting>>('prads-stacks', () => ({})),
    /** By protocol and port. */
    offers: plain<Record<string, Timeline<Offer>>>('prads-offers', () => ({})),
    claims: plain<Timeline<Claim>>('prads-claims', newTimeline),
  },
  {
    note: untether(
      (s, note: Note) => {
        s.firstSeen = s.known ? Math.min(s.firstSeen, note.first) : note.first
        s.lastSeen = s.known ? Math.max(s.lastSeen, note.last) : note.last
        s.known = true
        for (const seen of note.evidence) {
          if (seen.what === 'offer') recordOffer(s.offers, seen)
          else if (seen.what === 'stack') recordStack(s.stacks, seen)
          else record(s.claims, seen, claims)
        }
      },
      { merge: mergeNotes },
    ),
  },
)

/** The earlier note is ours alone until it is sent, so it takes in the later one. */
function mergeNotes(earlier: Note, later: Note): Note {
  earlier.first = Math.min(earlier.first, later.first)
  earlier.last = Math.max(earlier.last, later.last)
  for (const seen of later.evidence) earlier.evidence.push(seen)
  return earlier
}

function recordStack(stacks: Record<string, StackSighting>, seen: StackSighting): void {
  const key = seen.text === '' ? stackKey(seen.kind, seen.match) : `${seen.kind} ${seen.text}`
  const known = stacks[key]
  if (!known || seen.index < known.index) stacks[key] = seen
}

const stackKeys: string[][] = []

/** The same text again and again, made once. */
function stackKey(kind: number, match: number): string {
  stackKeys[kind] ??= []
  const known = stackKeys[kind][match + 1]
  if (known !== undefined) return known
  const key = `${kind} ${match}`
  stackKeys[kind][match + 1] = key
  return key
}

function recordOffer(offers: Record<string, Timeline<Offer>>, seen: OfferSighting): void {
  const key = `${seen.protocol} ${seen.port}`
  offers[key] ??= newTimeline()
  record(offers[key], seen, offersBy)
}

const offersBy: Likeness<Offer> = {
  equal: (a, b) =>
    a.application === b.application &&
    a.service === b.service &&
    a.ttl === b.ttl &&
    a.role === b.role &&
    a.vlan === b.vlan,
  alike: (a, b) => a.application === b.application,
}
const claims: Likeness<Claim> = {
  equal: (a, b) => a.mac === b.mac && a.vlan === b.vlan,
  alike: (a, b) => a.mac === b.mac,
}

/** Packets that belong to no connection; those that do are counted there. */
const tallyNames = ['arp', 'gre', 'other', 'hollow', 'vlan', 'tunnels4', 'tunnels6'] as const
export type Tally = Partial<Record<(typeof tallyNames)[number], number>>

export const Statistics = multiWriter(
  'prads-statistics',
  {
    arp: f64,
    gre: f64,
    /** Neither IP nor ARP. */
    other: f64,
    /** A tunnel's packet without a packet in it. */
    hollow: f64,
    /** Of these: with a tag. */
    vlan: f64,
    /** Packets with an IP packet in them, which is counted with its connection. */
    tunnels4: f64,
    tunnels6: f64,
  },
  {
    count: untether((s, tally: Tally) => void addTally(s, tally), { merge: addTally }),
  },
)

function addTally(to: Tally, more: Tally): Tally {
  for (const name of tallyNames) if (more[name]) to[name] = (to[name] ?? 0) + more[name]
  return to
}

/** What is looked for, cluster-wide: read once a connection, written hardly ever. */
export const Configuration = multiWriter(
  'prads-configuration',
  { given: bool, switches: u16 },
  {
    /** Applies to connections that begin from now on. */
    change(s, switches: number) {
      s.given = true
      s.switches = switches
    },
    /** Undefined unless changed: then each instance goes by the options it was started with. */
    switches: stale((s) => (s.given ? s.switches : undefined), { withinMs: 1000 }),
  },
)

export const pradsActors = {
  flows: Flow.keyedBy(symmetricFlow),
  assets: Asset.keyedBy(host),
  statistics: Statistics.only(),
  configuration: Configuration.only(),
}
export type PradsActors = Handles<typeof pradsActors>
