/**
 * One packet as a source hands it out: a stretch of bytes, not a copy. A source fills the same record again and
 * again, and `bytes` may be overwritten by the next `next`: who keeps a packet copies `start` to `end`.
 */
export class CaptureRecord {
  bytes: Uint8Array = new Uint8Array(0)
  start = 0
  end = 0
  /** Bytes that the packet had on the wire; more than `end - start` when the capture cut it. */
  wireLength = 0
  /** Microseconds since 1970. At today's dates a double holds steps of 0.25 µs. */
  timeUs = 0
  /** Number of the link type (LINKTYPE_ of the pcap formats), per packet: pcapng may mix them. */
  linkType = 0
}

/**
 * What can be wrong inside a capture, and what is done about it. Reading ends where libpcap's would; where the
 * framing is sound (pcapng's blocks), one bad packet is skipped and the run goes on, where libpcap gives up.
 */
export const captureProblems = {
  truncated: 'the file ends inside a record; reading ended there',
  oversized: 'a packet over 262,144 bytes; a pcap ends there, a pcapng goes on behind it',
  'bad-block': 'a block whose lengths do not agree; reading ended there',
  'bad-section': 'a section of unknown byte order or version; reading ended there',
  'bad-packet': 'a packet longer than the block it is in; skipped',
  'bad-interface': 'a packet of an interface that the section does not describe; skipped',
  'bad-options': 'interface options that do not fit their block; the rest of them ignored',
  'bad-gzip': 'the compressed data are damaged; reading ended at the damage',
} as const
export type CaptureProblem = keyof typeof captureProblems
export type CaptureProblems = Record<CaptureProblem, number>

export function noProblems(): CaptureProblems {
  return {
    truncated: 0,
    oversized: 0,
    'bad-block': 0,
    'bad-section': 0,
    'bad-packet': 0,
    'bad-interface': 0,
    'bad-options': 0,
    'bad-gzip': 0,
  }
}

/** A source of packets, pulled one by one: a capture, a looped one, or synthetic traffic. */
export interface CaptureReader {
  /** For messages: the path, or what the traffic was made from. */
  readonly name: string
  /** Fills `record` with the next packet; false at the end, and from then on. */
  next(record: CaptureRecord): boolean
  /** Back to the first packet; `problems` start at 0 again. */
  rewind(): void
  /** How often each problem occurred since the start or the last `rewind`. */
  readonly problems: CaptureProblems
  close(): void
}
