/**
 * Reassembly: the bytes of each direction of a TCP connection in their order, however its segments come.
 *
 * A stream begins with its SYN (or, midstream, with the first segment that is seen). What comes in order is taken at once; what is ahead is
 * held until the gap before it is filled; what was there before is cut off. Instead of an application
 * there is a digest of the stream's bytes, which tells streams of other bytes, or of the same in another order, apart.
 *
 * SYN 99 | 100 "ab" | 104 "ef" (held: 102 is awaited) | 102 "cd": taken, and "ef" with it. 6 bytes, next 106.
 */
import { bool, f64, list, singleWriter, u32 } from '../../actors/index.ts'
import { defineNF, forward } from '../nf.ts'
import { flow, flowOf, TCP_SYN } from '../packet/index.ts'

interface Segment {
  readonly seq: number
  readonly bytes: Uint8Array
}

const fields = {
  isOpen: bool,
  first: u32,
  next: u32,
  bytes: f64,
  digest: u32,
  held: list<Segment>('segment'),
  refused: u32,
}
const Stream = singleWriter('stream', fields)
type Stream = { isOpen: boolean; next: number; bytes: number; digest: number; held: Segment[] }

/** Segments that are held for one stream: some 90 kB. More are refused and counted; their sender sends them again. */
const HELD_MAX = 64

/** How far `a` is before `b`, where sequence numbers wrap. */
const before = (a: number, b: number) => (b - a) | 0

/** Takes a segment that does not begin behind what is awaited. */
function take(s: Stream, { seq, bytes }: Segment): void {
  for (let i = Math.max(0, before(seq, s.next)); i < bytes.length; i++) {
    s.digest = (Math.imul(s.digest, 31) + bytes[i]!) >>> 0
    s.next = (s.next + 1) >>> 0
    s.bytes++
  }
}

function takeHeld(s: Stream): void {
  const held = [...s.held].sort((a, b) => before(b.seq, a.seq))
  while (held[0] && before(held[0].seq, s.next) >= 0) take(s, held.shift()!)
  if (held.length < s.held.length) s.held = held
}

export const reassembly = defineNF('reassembly', {
  summary: 'puts the segments of TCP streams in order',
  state: { streams: Stream.keyedBy(flow) },
  onPacket(p, { streams }) {
    if (!p.hasTcp) return forward
    const isSyn = (p.flags & TCP_SYN) !== 0
    return streams.with(flowOf(p), (s) => {
      const seq = isSyn ? (p.seq + 1) >>> 0 : p.seq
      // A SYN begins a connection, also on ports that were used before; said again, it finds what it began.
      if (!s.isOpen || (isSyn && seq !== s.first)) {
        s.isOpen = true
        s.first = seq
        s.next = seq
        s.held = []
      }
      if (p.payloadLength <= 0) return forward
      const bytes = p.bytes.slice(p.payloadOffset, p.payloadEnd)
      if (before(seq, s.next) >= 0) {
        take(s, { seq, bytes })
        takeHeld(s)
      } else if (s.held.length < HELD_MAX) s.held = [...s.held, { seq, bytes }]
      else s.refused++
      return forward
    })
  },
  async result({ streams }) {
    const all = await streams.all()
    return all
      .map(({ key, state: s }) => {
        const waits = s.held.length > 0 ? ` held ${s.held.length}` : ''
        const refused = s.refused > 0 ? ` refused ${s.refused}` : ''
        return `${flow.text(key)} ${s.bytes} ${s.digest.toString(16).padStart(8, '0')}${waits}${refused}`
      })
      .sort()
  },
})
