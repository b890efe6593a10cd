import { f64, list, multiWriter, plain, singleWriter, u32, untether } from '../../actors/index.ts'
import type { Ip } from '../packet/index.ts'
import type { Threshold } from './signature.ts'

/**
 * An alert as instances tell each other: packet index, packet time in µs, the rule's number, source, its port (of ICMP
 * the type), destination, its port (the code), protocol. A tuple, since a scan makes hundred thousands of them.
 */
export type AlertRecord = [
  index: number,
  timeUs: number,
  rule: number,
  source: string,
  sourcePort: number,
  destination: string,
  destinationPort: number,
  protocol: number,
]

/** Order of alerts in every output: by packet, then by rule, then by what they are about. */
export function inRecordOrder(a: AlertRecord, b: AlertRecord): number {
  for (let i = 0; i < a.length; i++) {
    const x = a[i]!
    const y = b[i]!
    if (x !== y) return x < y ? -1 : 1
  }
  return 0
}

/** Packets whose alerts are kept by one actor: some hundred thousand bytes at worst, spread over the instances. */
const INDEX_SPAN = 4096
export const logKey = (index: number): number => Math.floor(index / INDEX_SPAN)

/** Alerts that nothing holds back. */
export const AlertLog = multiWriter(
  'ids-alert-log',
  { alerts: list<AlertRecord>('alerts') },
  {
    add: untether(
      (s, alerts: AlertRecord[]) => {
        s.alerts.push(...alerts)
      },
      { merge: (a, b) => [...a, ...b] },
    ),
  },
)

/**
 * Alerts of one rule and host that a threshold holds back. They come from several instances in any order, so nothing
 * is decided as they come: they wait here, sorted by packet, and are counted at the end. Of more than
 * `WAITING_MAX` the older half is counted before: by then their stragglers have come, for instances are not
 * thousands of one host's packets apart. One that has not is counted in `late`, and by its arrival.
 */
export const Tracker = multiWriter(
  'ids-tracker',
  {
    waiting: list<AlertRecord>('waiting'),
    passed: list<AlertRecord>('passed'),
    threshold: plain<Threshold | null>('threshold', () => null),
    startUs: f64,
    count: u32,
    started: u32,
    seen: list<string>('seen'),
    decidedTo: f64,
    late: u32,
    dropped: u32,
  },
  {
    add: untether(
      (s, note: { threshold: Threshold; alerts: AlertRecord[] }) => {
        s.threshold = note.threshold
        for (const alert of note.alerts) if (alert[0] < s.decidedTo) s.late++
        s.waiting.push(...note.alerts)
        if (s.waiting.length > WAITING_MAX) decideSome(s)
      },
      { merge: (a, b) => ({ threshold: a.threshold, alerts: [...a.alerts, ...b.alerts] }) },
    ),
  },
)

/** Alerts that wait in one tracker: 100 bytes each. */
const WAITING_MAX = 16_384
/** Alerts of one tracker that have passed. */
const PASSED_MAX = 65_536

export interface Counting {
  startUs: number
  count: number
  started: number
  /** What has been counted in this window, where each counts once. */
  seen: string[]
}

function decideSome(
  s: Counting & {
    waiting: AlertRecord[]
    passed: AlertRecord[]
    threshold: Threshold | null
    decidedTo: number
    dropped: number
  },
): void {
  const sorted = s.waiting.sort(inRecordOrder)
  const older = sorted.slice(0, WAITING_MAX / 2)
  s.decidedTo = older[older.length - 1]![0]
  s.waiting = sorted.slice(older.length)
  const passed = decide(s.threshold!, s, older)
  const room = PASSED_MAX - s.passed.length
  s.dropped += Math.max(0, passed.length - room)
  s.passed.push(...passed.slice(0, Math.max(0, room)))
}

/** Which of these alerts, in order, a threshold lets through, going on from what has been counted. */
export function decide(t: Threshold, s: Counting, alerts: readonly AlertRecord[]): AlertRecord[] {
  return alerts.filter((alert) => passes(t, s, alert))
}

function passes(t: Threshold, s: Counting, alert: AlertRecord): boolean {
  const timeUs = alert[1]
  const within = s.started === 1 && timeUs <= s.startUs + t.seconds * 1_000_000
  if (t.unique !== 'no') {
    const what = countedOf(t, alert)
    if (!within) s.seen = []
    if (s.seen.includes(what)) return t.type === 'detection_filter' && s.count > t.count
    if (s.seen.length < SEEN_MAX) s.seen.push(what)
  }
  if (within) s.count++
  else {
    s.started = 1
    s.startUs = timeUs
    s.count = 1
  }
  switch (t.type) {
    case 'limit':
      return s.count <= t.count
    case 'both':
      return s.count === t.count
    case 'detection_filter':
      return within && s.count > t.count
    default:
      if (s.count < t.count) return false
      s.count = 0
      if (t.count === 1) s.started = 0
      return true
  }
}

/** Different things a window tells apart; thresholds beyond count every event. */
const SEEN_MAX = 4096

function countedOf(t: Threshold, alert: AlertRecord): string {
  if (t.unique === 'src_port') return String(alert[4])
  return t.unique === 'dst_port' ? String(alert[6]) : `${alert[5]} ${alert[6]}`
}

/** Of the hosts a threshold counts by: base 64 keeps two IPv6 addresses within a text key. */
export function trackerKey(t: Threshold, rule: number, source: Ip, destination: Ip): string {
  const ends =
    t.track === 'by_src'
      ? [source]
      : t.track === 'by_dst'
        ? [destination]
        : t.track === 'by_rule'
          ? []
          : [source, destination].sort((a, b) => a.compare(b))
  return [rule, ...ends.map(ipText)].join(' ')
}

function ipText(address: Ip): string {
  if (address.v4) return address.toString()
  const words = Uint32Array.of(address.a, address.b, address.c, address.d)
  return Buffer.from(words.buffer).toString('base64url')
}

/** What alerts say of a host. */
export const Malicious = multiWriter(
  'ids-malicious',
  { alerts: u32, firstIndex: f64, worst: u32 },
  {
    note: untether(
      (s, x: { alerts: number; firstIndex: number; worst: number }) => {
        if (s.alerts === 0 || x.firstIndex < s.firstIndex) s.firstIndex = x.firstIndex
        if (s.alerts === 0 || x.worst < s.worst) s.worst = x.worst
        s.alerts += x.alerts
      },
      {
        merge: (a, b) => ({
          alerts: a.alerts + b.alerts,
          firstIndex: Math.min(a.firstIndex, b.firstIndex),
          worst: Math.min(a.worst, b.worst),
        }),
      },
    ),
  },
)

/** Flows that a pass rule has taken out of inspection. */
export const Whitelist = singleWriter('ids-whitelist', { sid: f64, index: f64 })

/** What each instance has loaded: they must agree, or who inspects a flow decides what is found. */
export const Configuration = multiWriter(
  'ids-configuration',
  { rules: list<string>('digests of rule sets') },
  {
    announce: untether((s, digest: string) => {
      if (!s.rules.includes(digest)) s.rules.push(digest)
    }),
  },
)

/** What was left out at a limit, so that rules did not see all: told in the run's report. */
export interface Losses {
  /** Segments that found no room in their side of a connection, or too many others waiting. */
  segments: number
  /** Sides of connections that went on behind the bytes which are put in order. */
  deep: number
  /** HTTP bodies that went on behind the bytes that rules see. */
  bodies: number
  /** Flows that fell silent for a day, and then were let go with bytes that no rule had seen. */
  unread: number
  /** Fragments of datagrams that were too many, or too big. */
  fragments: number
  /** Searches for an expression or a list of options that ended at their bound, without a match. */
  searches: number
  /** Alerts beyond those of one packet. */
  alerts: number
}

export function noLosses(): Losses {
  return { segments: 0, deep: 0, bodies: 0, unread: 0, fragments: 0, searches: 0, alerts: 0 }
}

function addLosses(to: Losses, more: Losses): Losses {
  to.segments += more.segments
  to.deep += more.deep
  to.bodies += more.bodies
  to.unread += more.unread
  to.fragments += more.fragments
  to.searches += more.searches
  to.alerts += more.alerts
  return to
}

export const LossCount = multiWriter(
  'ids-losses',
  {
    segments: f64,
    deep: f64,
    bodies: f64,
    unread: f64,
    fragments: f64,
    searches: f64,
    alerts: f64,
  },
  {
    add: untether((s, losses: Losses) => void addLosses(s, losses), {
      merge: (a, b) => addLosses({ ...a }, b),
    }),
  },
)
