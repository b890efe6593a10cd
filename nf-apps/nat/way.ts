import { bool, f64, multiWriter, singleWriter, u16, u32, untether } from '../../actors/index.ts'

/** Kept so long beyond its lease (µs): packets of other flows may be ahead in packet time. */
const SLACK_US = 60_000_000

/**
 * How packets of one flow, in one direction, are translated, and until when that may be done without asking the host
 * actor: a lease. It lies where the flow's packets arrive, so that nearly all of them cost one turn and no message.
 */
export const Way = singleWriter(
  'nat-way',
  {
    src: u32,
    dst: u32,
    srcPort: u16,
    dstPort: u16,
    untilUs: f64,
    /** Of a connection that opens: the host is to hear of the next packet, which need not wait for that. */
    opens: bool,
  },
  {},
  { due: (s) => s.untilUs + SLACK_US, expire: () => true },
)

/** Why a packet is dropped. */
export const causes = {
  malformed: 'no IPv4 packet that can be read',
  protocol: 'neither TCP, UDP nor ICMP',
  elsewhere: 'neither from inside nor to a public address',
  unmapped: 'to a public port that stands for nobody',
  filtered: 'from a remote end that may not send in',
  refused: 'ends a connection that is not known, or is one too many of its mapping',
  exhausted: 'a new flow that found no free port',
  fragment: 'a fragment whose first one was dropped, or one too many to hold',
} as const
export type Cause = keyof typeof causes

const add = (a: number, b: number) => a + b
type Counts = Record<'translated' | 'local' | Cause, number>
const counter = (name: keyof Counts) =>
  untether(
    (s: Counts, n: number) => {
      s[name] += n
    },
    { merge: add },
  )

export const Tally = multiWriter(
  'nat-tally',
  {
    translated: f64,
    /** Between inside hosts: passed as they are. */
    local: f64,
    malformed: f64,
    protocol: f64,
    elsewhere: f64,
    unmapped: f64,
    filtered: f64,
    refused: f64,
    exhausted: f64,
    fragment: f64,
  },
  {
    translated: counter('translated'),
    local: counter('local'),
    malformed: counter('malformed'),
    protocol: counter('protocol'),
    elsewhere: counter('elsewhere'),
    unmapped: counter('unmapped'),
    filtered: counter('filtered'),
    refused: counter('refused'),
    exhausted: counter('exhausted'),
    fragment: counter('fragment'),
  },
)
