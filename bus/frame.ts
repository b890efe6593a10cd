/**
 * The bytes of a frame: one bus message, a header and then messages one behind the other.
 *
 * | at | bytes | field |
 * |---|---|---|
 * | 0 | 2 | magic, 'RH' |
 * | 2 | 1 | protocol version |
 * | 3 | 1 | flags: DATA (has a number and messages), PROBE (wants a frame back), HELLO (listens from now on) |
 * | 4 | 4 | from |
 * | 8 | 4 | to |
 * | 12 | 4 | epoch of the sender's view when the messages were written |
 * | 16 | 4 | length of the frame, so that a cut one is noticed |
 * | 20 | 4 | how many frames are missing behind `ack` before one that has come; 0 with DATA |
 * | 24 | 8 | seq: number of this frame on its link, from 1; 0 without DATA |
 * | 32 | 8 | ack: every frame up to this one has come |
 * | 40 | 8 | grant: bytes of credit-class payload that the receiver of this frame may send, in all |
 *
 * Numbers that only grow are doubles: whole up to 2^53, so they never wrap in any life of a member.
 *
 * A message is `[kind u8][length u24][payload]`. With PIECE set in its kind the payload is
 * `[bytes still to come u32][piece]`, and the last piece has 0 to come.
 */
export const HEADER_BYTES = 48
export const DATA = 1
export const PROBE = 2
export const HELLO = 4
/** In a message's kind byte: this is a piece of a message that is too large for one frame. */
export const PIECE = 0x80
export const MESSAGE_HEAD_BYTES = 4

const MAGIC = 0x4852
const LE = true

/** The fields of a header, in one object that is reused from frame to frame. */
export class FrameHeader {
  flags = 0
  from = 0
  to = 0
  epoch = 0
  missing = 0
  seq = 0
  ack = 0
  grant = 0
}

/** Why a frame is none of ours; '' if it is one. */
export type FrameFault = '' | 'short' | 'magic' | 'version' | 'length' | 'number' | 'body'

export function putHeader(
  view: DataView,
  at: number,
  version: number,
  bytes: number,
  h: FrameHeader,
): void {
  view.setUint16(at, MAGIC, LE)
  view.setUint8(at + 2, version)
  view.setUint8(at + 3, h.flags)
  view.setUint32(at + 4, h.from, LE)
  view.setUint32(at + 8, h.to, LE)
  view.setUint32(at + 12, h.epoch, LE)
  view.setUint32(at + 16, bytes, LE)
  view.setUint32(at + 20, h.missing, LE)
  view.setFloat64(at + 24, h.seq, LE)
  view.setFloat64(at + 32, h.ack, LE)
  view.setFloat64(at + 40, h.grant, LE)
}

/** What rides along changes until the frame is handed to the bus; the rest stands when it is closed. */
export function putRiders(view: DataView, at: number, ack: number, grant: number): void {
  view.setFloat64(at + 32, ack, LE)
  view.setFloat64(at + 40, grant, LE)
}

/** Reads and checks the frame of `bytes` bytes at `at`; `h.from` is set whenever there is a header. */
export function readFrame(
  view: DataView,
  at: number,
  bytes: number,
  version: number,
  h: FrameHeader,
): FrameFault {
  h.from = 0
  if (bytes < HEADER_BYTES) return 'short'
  if (view.getUint16(at, LE) !== MAGIC) return 'magic'
  h.from = view.getUint32(at + 4, LE)
  if (view.getUint8(at + 2) !== version) return 'version'
  h.flags = view.getUint8(at + 3)
  h.to = view.getUint32(at + 8, LE)
  h.epoch = view.getUint32(at + 12, LE)
  if (view.getUint32(at + 16, LE) !== bytes) return 'length'
  h.missing = view.getUint32(at + 20, LE)
  h.seq = view.getFloat64(at + 24, LE)
  h.ack = view.getFloat64(at + 32, LE)
  h.grant = view.getFloat64(at + 40, LE)
  if (!isCount(h.seq) || !isCount(h.ack) || !isCount(h.grant)) return 'number'
  if (((h.flags & DATA) !== 0) !== h.seq > 0) return 'number'
  return wholeBody(view, at + HEADER_BYTES, at + bytes) ? '' : 'body'
}

export function epochOf(view: DataView, at: number): number {
  return view.getUint32(at + 12, LE)
}

function isCount(n: number): boolean {
  return n >= 0 && Number.isSafeInteger(n)
}

/**
 * A frame is taken as a whole or not at all: once its number is used up, the same frame sent again
 * would be taken for a duplicate. So its messages must fill it exactly before the first is delivered.
 */
function wholeBody(view: DataView, from: number, end: number): boolean {
  let at = from
  while (at + MESSAGE_HEAD_BYTES <= end) {
    at += MESSAGE_HEAD_BYTES + (view.getUint32(at, LE) >>> 8)
  }
  return at === end
}

export function countMessages(frame: Uint8Array): number {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.length)
  let count = 0
  let at = HEADER_BYTES
  while (at < frame.length) {
    const word = view.getUint32(at, LE)
    const moreToCome = (word & PIECE) !== 0 && view.getUint32(at + MESSAGE_HEAD_BYTES, LE) > 0
    if (!moreToCome) count++
    at += MESSAGE_HEAD_BYTES + (word >>> 8)
  }
  return count
}
