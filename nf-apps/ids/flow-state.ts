import { bool, f64, list, plain, type State, singleWriter, u8 } from '../../actors/index.ts'
import type { Datagram } from './fragments.ts'
import { type Http, isUnread } from './http.ts'
import { type Connection, type Half, heldTo } from './stream.ts'
import type { Tls } from './tls.ts'

/** What is spoken on a connection. */
export const APP_UNKNOWN = 0
export const APP_HTTP = 1
export const APP_TLS = 2
export const APP_OTHER = 3

/** Directions seen, and those in which the rules about addresses only have been tried. */
export const SEEN_TO_SERVER = 1
export const SEEN_TO_CLIENT = 2
export const TRIED_TO_SERVER = 4
export const TRIED_TO_CLIENT = 8

const flowFields = {
  /** Packet time of the last packet, µs; 0 before the first. */
  lastUs: f64,
  /** Index of the last packet, which alerts at the flow's end are about. */
  lastIndex: f64,
  /** Whether the flow key's source is the client: who sent the first packet. */
  clientIsSource: bool,
  seen: u8,
  app: u8,
  /** Rules no longer look at it: one that lets pass or drops has matched. */
  passed: bool,
  /** It will be passed with the next packet to the server (1) or the client (2): a message of that side has matched. */
  passes: u8,
  /** Nothing readable is to come. */
  encrypted: bool,
  /**
   * Its end will still have something to inspect. Noted by each packet, whose turn has the connection at hand anyway: whoever asks
   * when the flow is due would wait half a microsecond for it.
   */
  pending: bool,
  bits: list<string>('flowbits'),
  connection: plain<Connection | null>('tcp connection', () => null),
  http: plain<Http | null>('http', () => null),
  tls: plain<Tls | null>('tls', () => null),
  datagrams: list<Datagram>('fragments'),
}
export type FlowState = State<typeof flowFields>

const SECOND_US = 1_000_000
/** A flow without packets for this long has ended: of TCP established, of others; and before an answer. */
const TCP_TIMEOUT_US = 600 * SECOND_US
const OTHER_TIMEOUT_US = 300 * SECOND_US
const NEW_TCP_TIMEOUT_US = 60 * SECOND_US
const NEW_TIMEOUT_US = 30 * SECOND_US
/** A flow that holds bytes not inspected waits a day for its end to be told, which its next packet does or the run's. */
const PENDING_TIMEOUT_US = 86_400 * SECOND_US

/** Packet time from which on the flow's next packet begins a new one. */
export function endsAtUs(f: FlowState): number {
  const both = (f.seen & (SEEN_TO_SERVER | SEEN_TO_CLIENT)) === (SEEN_TO_SERVER | SEEN_TO_CLIENT)
  if (f.connection !== null) {
    return f.lastUs + (both ? TCP_TIMEOUT_US : NEW_TCP_TIMEOUT_US)
  }
  return f.lastUs + (both ? OTHER_TIMEOUT_US : NEW_TIMEOUT_US)
}

/** Whether the end of this flow, of that connection, will still have something to inspect. */
export function hasPending({ http }: FlowState, { client, server }: Connection): boolean {
  return isHeld(client) || isHeld(server) || (http !== null && isUnread(http))
}
const isHeld = (half: Half) => heldTo(half) > Math.min(half.app, half.raw)

/** Flows whose day was over in this process, and that had something yet to be inspected; who tells of them takes them off. */
export const unread = { flows: 0 }

export const Flow = singleWriter(
  'ids-flow',
  flowFields,
  {},
  {
    due: (f) => (f.pending ? f.lastUs + PENDING_TIMEOUT_US : endsAtUs(f)),
    expire: (f) => {
      if (f.pending) unread.flows++
      return true
    },
  },
)

/** Makes a flow as if it had not been: its key has been taken by another connection. */
export function resetFlow(f: FlowState): void {
  f.lastUs = 0
  f.seen = 0
  f.app = APP_UNKNOWN
  f.passed = false
  f.passes = 0
  f.encrypted = false
  f.pending = false
  f.bits = []
  f.connection = null
  f.http = null
  f.tls = null
  f.datagrams = []
}
