import { LINK_RAW, NET_IPV4, Packet } from '../packet/index.ts'

/** Datagrams out of fragments. The pieces lie in the flow of their fragments, whose instance gets them all. */

interface Piece {
  at: number
  last: boolean
  bytes: Uint8Array
}
export interface Datagram {
  id: number
  protocol: number
  firstUs: number
  pieces: Piece[]
}

/** Datagrams that two hosts may have under way; the oldest goes first. */
const DATAGRAMS_MAX = 16
const PIECES_MAX = 2048
const DATAGRAM_BYTES_MAX = 65_535
/** Packet time that a datagram waits for its rest. */
const WAIT_US = 60_000_000
const HEADER_V4 = 20
const HEADER_V6 = 40

/** Adds a fragment: the whole datagram as a packet, if it is complete with it. What finds no room is counted. */
export function defragment(
  datagrams: Datagram[],
  p: Packet,
  losses: { fragments: number },
): Packet | undefined {
  const v4 = p.kind === NET_IPV4
  const start = v4 ? p.l3Offset + p.headerLength : p.fragmentHeaderOffset + 8
  const end = Math.min(p.l3Offset + p.totalLength, p.end)
  const bytes = new Uint8Array(p.bytes.subarray(start, end))
  const at = p.fragmentOffset
  const most = DATAGRAM_BYTES_MAX - (v4 ? HEADER_V4 : 0)
  if (bytes.length === 0) return undefined
  if (at + bytes.length > most) {
    losses.fragments++
    return undefined
  }
  const protocol = v4 ? p.ipProtocol : p.bytes[p.fragmentHeaderOffset]!
  const datagram = find(datagrams, p, protocol)
  if (datagrams.length > DATAGRAMS_MAX) losses.fragments += datagrams.shift()!.pieces.length
  if (datagram.pieces.length >= PIECES_MAX) {
    losses.fragments++
    return undefined
  }
  datagram.pieces.push({ at, last: !p.moreFragments, bytes })
  const whole = assemble(datagram.pieces, v4 ? HEADER_V4 : HEADER_V6)
  if (whole === undefined) return undefined
  datagrams.splice(datagrams.indexOf(datagram), 1)
  return packetOf(p, whole, datagram.protocol)
}

function find(datagrams: Datagram[], p: Packet, protocol: number): Datagram {
  const alive = (d: Datagram) => p.clockUs - d.firstUs < WAIT_US
  const found = datagrams.find(
    // The fragment that ends an IPv6 chain may not name the same protocol: the id is 32 bits there.
    (d) => d.id === p.ipId && (p.kind !== NET_IPV4 || d.protocol === protocol) && alive(d),
  )
  if (found) return found
  const fresh = { id: p.ipId, protocol, firstUs: p.clockUs, pieces: [] }
  datagrams.push(fresh)
  return fresh
}

/** The bytes behind room for a header, if there is no gap; of bytes that come twice the first stay. */
function assemble(pieces: readonly Piece[], header: number): Uint8Array | undefined {
  const last = pieces.find((piece) => piece.last)
  if (!last) return undefined
  const length = last.at + last.bytes.length
  if (pieces.reduce((sum, piece) => sum + piece.bytes.length, 0) < length) return undefined
  const whole = new Uint8Array(header + length)
  const filled = new Uint8Array(length)
  let count = 0
  for (const { at, bytes } of pieces) {
    for (let i = 0; i < bytes.length && at + i < length; i++) {
      if (filled[at + i] === 1) continue
      filled[at + i] = 1
      whole[header + at + i] = bytes[i]!
      count++
    }
  }
  return count === length ? whole : undefined
}

/** A header of the datagram's own in front, as if it had never been cut. */
function packetOf(p: Packet, bytes: Uint8Array, protocol: number): Packet {
  const header = p.kind === NET_IPV4 ? HEADER_V4 : HEADER_V6
  bytes.set(p.bytes.subarray(p.l3Offset, p.l3Offset + header))
  const view = new DataView(bytes.buffer)
  if (p.kind === NET_IPV4) {
    bytes[0] = 0x45
    view.setUint16(2, bytes.length)
    view.setUint16(6, 0)
    bytes[9] = protocol
  } else {
    view.setUint16(4, bytes.length - HEADER_V6)
    bytes[6] = protocol
  }
  const { timeUs, clockUs, index, hash } = p
  const length = bytes.length
  return new Packet().load(bytes, 0, length, LINK_RAW, length, timeUs, clockUs, index, hash)
}
