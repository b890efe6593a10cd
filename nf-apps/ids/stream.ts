import { type Packet, TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN } from '../packet/index.ts'

/**
 * A TCP connection as its packets show it: who may say what, and the bytes of either side put in order.
 *
 * Bytes count from 0 behind the SYN. What the other side has acknowledged is what it will act on, so rules see
 * acknowledged bytes, and what is left when the connection ends. The state is plain data: it rehomes with its flow.
 */

const NONE = 0
const SYN_SENT = 1
const SYN_RECEIVED = 2
export const ESTABLISHED = 3
const FIN_WAIT_1 = 4
const FIN_WAIT_2 = 5
export const TIME_WAIT = 6
/** From here on no more is to come: what is there is looked at, however little. */
const LAST_ACK = 7
const CLOSE_WAIT = 8
const CLOSING = 9
export const CLOSED = 10

/** Bytes a side may hold that are not yet inspected; segments beyond are left out, and counted. */
const PENDING_BYTES_MAX = 256 * 1024
/** Bytes of a side that are put in order at all: attacks come early in a connection. */
const DEPTH_BYTES = 1024 * 1024
/** Raw bytes are inspected in pieces of at least this, so that a pattern over a few segments is found. */
const CHUNK_BYTES = 2560
/** Segments a side may hold out of order; each costs an object. */
const SEGMENTS_MAX = 1024

export interface Segment {
  at: number
  bytes: Uint8Array
}

/** What one side sends. Offsets are bytes behind its SYN. */
export interface Half {
  /** Sequence number of the SYN; −1 until known. */
  isn: number
  /** Behind the last byte seen. */
  next: number
  /** Behind the last byte that the other side has acknowledged. */
  acked: number
  /** Behind its last byte, told by its FIN; −1 before. */
  fin: number
  /** How far the other side's window lets it send. */
  limit: number
  /** Shift of the windows that the *other* side announces. */
  scale: number
  /** Handed to the application's parser, inspected as raw bytes. */
  app: number
  raw: number
  /** Pieces not yet both parsed and inspected: in order, not overlapping. */
  segments: Segment[]
  held: number
  /** Raw bytes are inspected now, however few: a message is complete. */
  flush: boolean
  deep: boolean
  /** Segments left out at a limit. */
  refused: number
}

export interface Connection {
  state: number
  midstream: boolean
  fourWay: boolean
  fastOpen: boolean
  /** A reset of the client's (1) or the server's (2) has closed it, from this state. */
  resetBy: number
  resetFrom: number
  client: Half
  server: Half
}

function newHalf(): Half {
  return {
    isn: -1,
    next: 0,
    acked: 0,
    fin: -1,
    limit: 0,
    scale: 0,
    app: 0,
    raw: 0,
    segments: [],
    held: 0,
    flush: false,
    deep: false,
    refused: 0,
  }
}

export function newConnection(): Connection {
  return {
    state: NONE,
    midstream: false,
    fourWay: false,
    fastOpen: false,
    resetBy: 0,
    resetFrom: NONE,
    client: newHalf(),
    server: newHalf(),
  }
}

/** Offset of a sequence number in a half, nearest to what it has sent. */
function offsetOf(half: Half, seq: number): number {
  const expected = (half.isn + 1 + half.next) | 0
  return half.next + ((seq - expected) | 0)
}

/** Whether a packet starts a connection anew where one has ended. */
export function startsAnew(c: Connection, p: Packet, toServer: boolean): boolean {
  if ((p.flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) !== TCP_SYN || !toServer) return false
  return c.state > ESTABLISHED && ((p.seq - c.client.isn) | 0) !== 0
}

/**
 * Takes a packet into the connection: true if its payload (if any) was put in order, so that it is inspected with
 * the stream; false where it is to be inspected by itself.
 */
export function track(c: Connection, p: Packet, toServer: boolean, midstream: boolean): boolean {
  switch (c.state) {
    case NONE:
      return open(c, p, toServer, midstream)
    case SYN_SENT:
      return synSent(c, p, toServer)
    case SYN_RECEIVED:
      return synReceived(c, p, toServer)
    case CLOSED:
      return afterClose(c, p, toServer)
    default:
      return established(c, p, toServer)
  }
}

function open(c: Connection, p: Packet, toServer: boolean, midstream: boolean): boolean {
  const kind = p.flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)
  if (kind === TCP_SYN) {
    c.state = SYN_SENT
    start(c.client, p)
    c.server.scale = windowScale(p)
    c.server.limit = p.window
    if (p.payloadLength === 0 || !hasFastOpen(p)) return false
    c.fastOpen = true
    c.client.limit = p.payloadLength
    return addAt(c.client, p, 0)
  }
  if (!midstream || (p.flags & TCP_RST) !== 0) return false
  return pickUp(c, p, toServer)
}

/** Goes on with a connection whose beginning was not seen. */
function pickUp(c: Connection, p: Packet, toServer: boolean): boolean {
  const synAck = (p.flags & (TCP_SYN | TCP_ACK)) === (TCP_SYN | TCP_ACK)
  if (!synAck && (p.flags & (TCP_SYN | TCP_ACK)) !== TCP_ACK) return false
  const sender = toServer ? c.client : c.server
  const receiver = toServer ? c.server : c.client
  c.midstream = true
  c.state = synAck ? SYN_RECEIVED : ESTABLISHED
  sender.isn = synAck ? p.seq : (p.seq - 1) >>> 0
  receiver.isn = (p.ack - 1) >>> 0
  // Scales were in the SYNs: the greatest that windows commonly have.
  sender.scale = receiver.scale = 14
  receiver.limit = p.window << 14
  sender.limit = 65535 << 14
  return established(c, p, toServer)
}

function start(half: Half, p: Packet): void {
  half.isn = p.seq
  half.next = half.acked = half.app = half.raw = 0
  half.fin = -1
}

function synSent(c: Connection, p: Packet, toServer: boolean): boolean {
  const kind = p.flags & (TCP_SYN | TCP_ACK | TCP_RST)
  if ((kind & TCP_RST) !== 0) {
    if (!toServer && offsetOf(c.client, p.ack) >= 0) c.state = CLOSED
    return false
  }
  if (kind === (TCP_SYN | TCP_ACK) && c.fourWay && toServer) {
    if (p.seq !== c.client.isn || offsetOf(c.server, p.ack) !== 0) return false
    c.state = SYN_RECEIVED
    return false
  }
  if (kind === (TCP_SYN | TCP_ACK) && !toServer) return synAck(c, p)
  if (kind === TCP_SYN && !toServer) {
    c.fourWay = true
    start(c.server, p)
    c.client.limit = p.window
    return false
  }
  if (kind === TCP_SYN && toServer && c.client.held === 0) {
    start(c.client, p)
    if (p.payloadLength > 0 && hasFastOpen(p)) return open(c, p, true, false)
  }
  return false
}

function synAck(c: Connection, p: Packet): boolean {
  const acked = offsetOf(c.client, p.ack)
  if (acked < 0 || acked > c.client.next) return false
  c.state = SYN_RECEIVED
  start(c.server, p)
  c.client.acked = acked
  const scale = windowScale(p)
  if (scale < 0 || c.server.scale < 0) c.server.scale = c.client.scale = 0
  else c.client.scale = scale
  c.client.limit = acked + p.window
  if (p.payloadLength > 0 && c.fastOpen) return addAt(c.server, p, 0)
  return false
}

function synReceived(c: Connection, p: Packet, toServer: boolean): boolean {
  const kind = p.flags & (TCP_SYN | TCP_ACK | TCP_RST)
  if ((kind & TCP_RST) !== 0) return reset(c, p, toServer)
  if ((kind & TCP_SYN) !== 0 || (kind & TCP_ACK) === 0) return false
  if (c.fourWay ? toServer : !toServer) {
    return c.fastOpen && !toServer ? established(c, p, toServer) : false
  }
  const other = toServer ? c.server : c.client
  const acked = offsetOf(other, p.ack)
  if (acked < 0 || acked > other.next) return false
  c.state = ESTABLISHED
  return established(c, p, toServer)
}

function established(c: Connection, p: Packet, toServer: boolean): boolean {
  if ((p.flags & TCP_RST) !== 0) return reset(c, p, toServer)
  const sender = toServer ? c.client : c.server
  const receiver = toServer ? c.server : c.client
  if ((p.flags & TCP_SYN) !== 0) return false
  const length = p.payloadLength
  const at = offsetOf(sender, p.seq)
  if (isKeepAlive(sender, p, at, length)) return false
  if (length > 0 && at + length <= trimmed(sender) && at + length <= sender.acked) {
    acknowledge(receiver, p)
    return false
  }
  if ((p.flags & TCP_ACK) !== 0 && !mayAcknowledge(receiver, p)) return false
  if (length > 0 && at + length > sender.limit && !c.midstream) return false
  acknowledge(receiver, p)
  const added = length > 0 && addAt(sender, p, at)
  const fin = (p.flags & TCP_FIN) !== 0
  if (at + length > sender.next) sender.next = at + length
  if (fin && sender.fin < 0) sender.fin = at + length
  advance(c, fin, toServer)
  return added
}

/** A byte or none from just before what was sent last. */
function isKeepAlive(sender: Half, p: Packet, at: number, length: number): boolean {
  return length <= 1 && (p.flags & TCP_FIN) === 0 && at === sender.next - 1 && length === 1
}

/** Behind the bytes that are gone: parsed and inspected. */
function trimmed(half: Half): number {
  return Math.min(half.app, half.raw)
}

function mayAcknowledge(receiver: Half, p: Packet): boolean {
  const acked = offsetOf(receiver, p.ack)
  if (acked > Math.max(receiver.limit, receiver.next + 1)) return false
  return acked >= receiver.acked - 65535 * 4
}

function acknowledge(receiver: Half, p: Packet): void {
  if ((p.flags & TCP_ACK) === 0) return
  const acked = offsetOf(receiver, p.ack)
  if (acked > receiver.acked) receiver.acked = Math.min(acked, receiver.next + 1)
  const limit = receiver.acked + p.window * 2 ** Math.max(0, receiver.scale)
  if (limit > receiver.limit) receiver.limit = limit
}

/** The state as the server goes through it. */
function advance(c: Connection, fin: boolean, toServer: boolean): void {
  switch (c.state) {
    case ESTABLISHED:
      if (fin) c.state = toServer ? CLOSE_WAIT : FIN_WAIT_1
      return
    case CLOSE_WAIT:
      if (fin && !toServer) c.state = LAST_ACK
      return
    case LAST_ACK:
      if (toServer) c.state = CLOSED
      return
    case FIN_WAIT_1:
      if (toServer) c.state = fin ? CLOSING : FIN_WAIT_2
      return
    case FIN_WAIT_2:
      if (fin && toServer) c.state = TIME_WAIT
      return
    case CLOSING:
    case TIME_WAIT:
      if (!toServer) c.state = CLOSED
      return
    default:
  }
}

/** The side that was reset may not know: it goes on, and so does the connection. */
function afterClose(c: Connection, p: Packet, toServer: boolean): boolean {
  if (c.resetBy !== (toServer ? 2 : 1) || (p.flags & (TCP_RST | TCP_SYN)) !== 0) return false
  c.state = c.resetFrom
  return track(c, p, toServer, false)
}

function reset(c: Connection, p: Packet, toServer: boolean): boolean {
  const sender = toServer ? c.client : c.server
  if (sender.isn >= 0 && offsetOf(sender, p.seq) !== sender.next) {
    // A reset out of place is a forgery that the other side ignores, unless a FIN took one number.
    if (offsetOf(sender, p.seq) !== sender.next + 1) return false
  }
  if ((p.flags & TCP_ACK) !== 0) acknowledge(toServer ? c.server : c.client, p)
  c.resetFrom = c.state
  c.resetBy = toServer ? 1 : 2
  c.state = CLOSED
  return false
}

/** Puts the packet's payload in at its place; false where it is of no use any more or over a limit. */
function addAt(half: Half, p: Packet, at: number): boolean {
  const low = Math.max(at, trimmed(half))
  let high = at + p.payloadLength
  if (half.deep) return true
  if (high > DEPTH_BYTES) {
    half.deep = true
    high = Math.min(high, DEPTH_BYTES)
  }
  if (high > half.next) half.next = high
  if (high <= low) return true
  if (half.held + (high - low) > PENDING_BYTES_MAX || half.segments.length >= SEGMENTS_MAX) {
    half.refused++
    return true
  }
  const from = p.payloadOffset + (low - at)
  insert(half, low, new Uint8Array(p.bytes.subarray(from, from + (high - low))))
  return true
}

/**
 * Bytes that came first stay, unless the new segment starts before the old one: as Windows and the BSDs
 * do it.
 */
function insert(half: Half, at: number, bytes: Uint8Array): void {
  const { segments } = half
  const end = at + bytes.length
  let i = segments.length
  while (i > 0 && segments[i - 1]!.at + segments[i - 1]!.bytes.length > at) i--
  let low = at
  while (i < segments.length && segments[i]!.at < end) {
    const old = segments[i]!
    const oldEnd = old.at + old.bytes.length
    if (old.at <= at) {
      low = Math.max(low, oldEnd)
      i++
      continue
    }
    if (oldEnd <= end) {
      segments.splice(i, 1)
      half.held -= old.bytes.length
      continue
    }
    half.held -= end - old.at
    old.bytes = old.bytes.subarray(end - old.at)
    old.at = end
    break
  }
  if (low >= end) return
  segments.splice(i, 0, { at: low, bytes: bytes.subarray(low - at) })
  half.held += end - low
}

/** Contiguous bytes from the first that are held at or behind `from` up to `to`. */
export function contiguous(half: Half, from: number, to: number): Segment | undefined {
  const parts: Uint8Array[] = []
  let at = -1
  let end = 0
  for (const s of half.segments) {
    const low = Math.max(s.at, from)
    const high = Math.min(s.at + s.bytes.length, to)
    if (high <= low) continue
    if (at < 0) at = low
    else if (low !== end) break
    parts.push(s.bytes.subarray(low - s.at, high - s.at))
    end = high
  }
  if (at < 0) return undefined
  return { at, bytes: parts.length === 1 ? parts[0]! : joined(parts, end - at) }
}

export function joined(parts: readonly Uint8Array[], length: number): Uint8Array {
  const bytes = new Uint8Array(length)
  let at = 0
  for (const part of parts) {
    bytes.set(part, at)
    at += part.length
  }
  return bytes
}

/** Behind the last byte that the other side has acknowledged, its FIN not counted. */
export function ackedBytes(half: Half): number {
  return half.fin < 0 ? half.acked : Math.min(half.acked, half.fin)
}

/** Behind the last byte held. */
export function heldTo(half: Half): number {
  const last = half.segments[half.segments.length - 1]
  return last ? last.at + last.bytes.length : trimmed(half)
}

/** Lets go of what is parsed and inspected, but for `keep` bytes that a rule may still want to see. */
export function trim(half: Half, keep: number): void {
  const to = trimmed(half) - keep
  const { segments } = half
  let i = 0
  while (i < segments.length && segments[i]!.at + segments[i]!.bytes.length <= to) {
    half.held -= segments[i]!.bytes.length
    i++
  }
  if (i > 0) segments.splice(0, i)
}

/** Whether raw bytes are due for inspection. */
export function rawIsDue(c: Connection, half: Half): boolean {
  if (half.segments.length === 0 || half.raw >= heldTo(half)) return false
  return half.flush || half.deep || c.state > TIME_WAIT || half.acked - half.raw >= CHUNK_BYTES
}

function windowScale(p: Packet): number {
  const at = tcpOption(p, 3)
  return at < 0 ? -1 : Math.min(14, p.bytes[at + 2]!)
}

/** TCP Fast Open: its own option, or one for experiments with its magic number (RFC 7413). */
function hasFastOpen(p: Packet): boolean {
  if (tcpOption(p, 34) >= 0) return true
  const at = tcpOption(p, 254)
  return at >= 0 && p.bytes[at + 2] === 0xf9 && p.bytes[at + 3] === 0x89
}

/** Where a TCP option stands, or −1. */
function tcpOption(p: Packet, kind: number): number {
  const end = p.l4Offset + p.tcpHeaderLength
  let at = p.l4Offset + 20
  while (at < end) {
    const k = p.bytes[at]!
    if (k === 0) return -1
    if (k === 1) {
      at++
      continue
    }
    const length = p.bytes[at + 1] ?? 0
    if (length < 2 || at + length > end) return -1
    if (k === kind) return at
    at += length
  }
  return -1
}
