import type { MaybePromise } from '../../actors/index.ts'
import { andThen } from '../../actors/index.ts'
import { defineNF, drop, forward, type Verdict } from '../nf.ts'
import {
  FINE,
  flowOf,
  Ip,
  isIcmpError,
  isIcmpQuery,
  NET_IPV4,
  type Packet,
  PROTO_ICMP,
} from '../packet/index.ts'
import { isInside, natConfig, natOptions } from './config.ts'
import { lineOf } from './events.ts'
import { datagramOf, hold, laneOf } from './fragments.ts'
import { translateError } from './icmp-error.ts'
import { isTranslated } from './keys.ts'
import { type Ends, frameOf, placeOf, rewrite, rewriteError } from './rewrite.ts'
import { closes, opens } from './session.ts'
import { natActors, type Run } from './state.ts'
import { natSteering } from './steering.ts'
import { NOBODY, type Question, type Translated, tell, translate } from './translate.ts'
import { type Cause, causes } from './way.ts'

/*
 * Theory of operation. Many inside hosts share a few public addresses: on the way out a packet gets a public
 * source, on the way back the inside destination that it stands for.
 *
 * - A `hosts` actor decides all that concerns one inside host: its ports, its mappings, who may send in.
 * - A `pools` actor knows whose each port of a public address is, and gives ports to hosts in blocks. A port is one
 *   host's at a time, a host maps it once: so no public port ever stands for two flows, wherever their packets are.
 * - A `ways` actor lies where the packets of one flow arrive, and is a lease on what the host decided: until it is
 *   over, packets are translated with no other actor. Segments that open a connection, or close it from outside, ask the host,
 *   and so does the first packet after a lease. Of the one behind a SYN, and of one that closes from inside, the host is told, and
 *   they do not wait; but where lines of events are taken, all that closes asks, since the host's answer is what they tell. Who
 *   may pass depends on packet time alone, so that it is the same on any number of instances. A mapping ends, and its port may stand
 *   for another, when no packet that would find it alive is under way: packets of a host's flows pass each other.
 * - `hints` is no actor: what this instance has heard of who has which ports. Only the number of calls depends on it.
 *
 * One packet: 10.0.0.7:5000 sends its first datagram to 198.51.100.1:53. There is no way for this flow. Host
 * 10.0.0.7 has no mapping of port 5000 and no such port. The pool of 192.0.2.1 finds 5000 free and gives out the block
 * of 4992 to 5055; the host maps 5000 to 192.0.2.1:5000, open to 198.51.100.1 for 300 s and a lease of 30 s. The datagram is
 * sent on from there, its checksums mended by the difference. The next ones follow the way. The answer to 192.0.2.1:5000
 * goes by the block to its host, which lets it in to 10.0.0.7:5000; an instance that has not heard of the block asks the
 * pool. The host's next flow, from port 9000 that another host has, brings four ports of the block that would do, and has one of
 * them with the first answer: the host remembers for a minute which ports the pool could not give.
 */
export const nat = defineNF('nat', {
  summary: 'lets inside hosts share public addresses (RFC 4787, 5382, 5508)',
  options: natOptions,
  state: natActors,
  onError: drop,
  setup: natConfig,
  rehearses: true,
  steering: natSteering,
  addresses: ({ pool }) => pool.map(Ip.v4),
  onPacket(p, state, config, output) {
    const run = { state, config, output }
    if (p.kind !== NET_IPV4 || p.malformed !== FINE) return dropped(run, 'malformed')
    if (!isTranslated(p.ipProtocol)) return dropped(run, 'protocol')
    if (isInside(config, p.src) && isInside(config, p.dst)) return local(run, p)
    if (p.isFragment) return onFragment(run, p)
    if (isIcmpError(p)) return onIcmpError(run, p)
    if (p.ipProtocol === PROTO_ICMP && !isIcmpQuery(p)) return dropped(run, 'protocol')
    const isOutward = !config.publics.has(p.dst.d)
    // Not of one from outside: the inside end may use the same ends anew at once, elsewhere, before the host hears of it.
    const tells = isOutward && !output.takesEvents
    const mustAsk = opens(p.flags) || (closes(p.flags) && !tells)
    if (mustAsk && isOutward) return ask(run, p, questionOf(p, NOBODY, opens(p.flags)))
    const followed = state.ways.ifPresent(flowOf(p), (way) => {
      if (!way) return questionOf(p, NOBODY, true)
      if (mustAsk || p.clockUs >= way.untilUs) return questionOf(p, way.dst, false)
      if (way.opens || closes(p.flags)) tellHost(run, p, way)
      return sent(run, p, way)
    })
    return andThen(followed, (verdict) =>
      typeof verdict === 'object' ? ask(run, p, verdict) : verdict,
    )
  },
  async result({ tally }) {
    const t = await tally.lookup('only')
    const dropped = Object.keys(causes) as Cause[]
    return [
      `translated ${t?.translated ?? 0}`,
      `local ${t?.local ?? 0}`,
      ...dropped.map((cause) => `dropped ${cause} ${t?.[cause] ?? 0}`),
    ]
  },
})

function dropped(run: Run, cause: Cause): Verdict {
  run.state.tally[cause](1)
  return drop
}

function local(run: Run, p: Packet): Verdict {
  run.state.tally.local(1)
  run.output.emit(p.bytes.subarray(p.start, p.end))
  return forward
}

function sent(run: Run, p: Packet, ends: Ends): Verdict {
  const frame = frameOf(p)
  if (!frame) return dropped(run, 'malformed')
  rewrite(frame, placeOf(p), ends)
  run.state.tally.translated(1)
  run.output.emit(frame)
  return forward
}

/** Asks the host, and keeps its lease where there is one. */
function ask(run: Run, p: Packet, q: Question): MaybePromise<Verdict> {
  return translate(run, q, (t) => {
    if (typeof t === 'string') return dropped(run, t)
    for (const each of t.told) run.output.event(lineOf(each))
    const verdict = sent(run, p, t.ends)
    return andThen(keep(run, p, t), () => verdict)
  })
}

function keep(run: Run, p: Packet, t: Translated): MaybePromise<void> {
  const { ways } = run.state
  const isSyn = opens(p.flags)
  // What ends a connection is followed by little: a way that is there already serves for that.
  if (!isSyn && closes(p.flags)) return
  if (t.leaseUs > 0) return ways.with(flowOf(p), (way) => lay(way, t.ends, t.leaseUs, isSyn))
  if (!isSyn) return
  // A new connection between the ends of a closed one: the host is to hear of it until it is open.
  return ways.ifPresent(flowOf(p), (way) => {
    if (way) way.untilUs = Math.min(way.untilUs, p.clockUs)
  })
}

type Writable<T> = { -readonly [N in keyof T]: T[N] }
type WayState = Writable<Ends> & { untilUs: number; opens: boolean }

function lay(way: WayState, ends: Ends, untilUs: number, opens: boolean): void {
  way.src = ends.src
  way.dst = ends.dst
  way.srcPort = ends.srcPort
  way.dstPort = ends.dstPort
  way.untilUs = untilUs
  way.opens = opens
}

/** The segment behind a SYN moves the connection on, and one from inside may end it: neither need wait, but the host is to hear of them. */
function tellHost(run: Run, p: Packet, way: WayState): void {
  way.opens = false
  const q = questionOf(p, NOBODY, false)
  const { protocol } = q
  if (run.config.publics.has(q.dst))
    tell(run, q, false, { protocol, address: way.dst }, way.dstPort)
  else tell(run, q, true, { protocol, address: q.src }, q.srcPort)
}

function questionOf(p: Packet, owner: number, isNew: boolean): Question {
  const id = p.icmpId
  const type = p.icmpType
  return {
    protocol: p.ipProtocol,
    src: p.src.d,
    dst: p.dst.d,
    srcPort: p.srcPort || id,
    dstPort: p.dstPort || id,
    flags: p.flags,
    isRequest: type === 8 || type === 13 || type === 15 || type === 17,
    nowUs: p.clockUs,
    owner,
    isNew,
  }
}

function onIcmpError(run: Run, p: Packet): MaybePromise<Verdict> {
  return andThen(translateError(run, p), (t) => {
    if (typeof t === 'string') return dropped(run, t)
    const frame = frameOf(p)
    if (!frame) return dropped(run, 'malformed')
    rewriteError(frame, placeOf(p), t.quoted, t.inner, t.src, t.dst)
    run.state.tally.translated(1)
    run.output.emit(frame)
    return forward
  })
}

/** The first fragment is translated by its ports, the others as it was, also those that came before it. */
function onFragment(run: Run, p: Packet): MaybePromise<Verdict> {
  if (p.fragmentOffset === 0) return onFirstFragment(run, p)
  return run.state.fragments.with(laneOf(p.hash), ({ datagrams }) => {
    const datagram = datagramOf(datagrams, p)
    if (datagram.refused) return dropped(run, 'fragment')
    if (datagram.to) return sent(run, p, { ...datagram.to, srcPort: 0, dstPort: 0 })
    hold(datagrams, datagram, p)
    return forward
  })
}

function onFirstFragment(run: Run, p: Packet): MaybePromise<Verdict> {
  const shows = p.l4Offset >= 0 && (p.ipProtocol !== PROTO_ICMP || isIcmpQuery(p))
  if (!shows) return goOn(run, p, 'protocol')
  return translate(run, questionOf(p, NOBODY, true), (t) => goOn(run, p, t))
}

/** The first fragment goes on, or is dropped, and those that waited for it. */
function goOn(run: Run, p: Packet, t: Translated | Cause): MaybePromise<Verdict> {
  return run.state.fragments.with(laneOf(p.hash), ({ datagrams }) => {
    const datagram = datagramOf(datagrams, p)
    const { held } = datagram
    datagram.held = []
    datagram.heldBytes = 0
    datagram.refused = typeof t === 'string'
    if (typeof t === 'string') return dropped(run, t)
    const { src, dst } = t.ends
    datagram.to = { src, dst }
    const verdict = sent(run, p, t.ends)
    for (const { bytes, ip } of held) {
      const place = { ip, transport: -1, protocol: p.ipProtocol, end: bytes.length }
      const frame = new Uint8Array(bytes)
      rewrite(frame, place, { src, srcPort: 0, dst, dstPort: 0 })
      run.state.tally.translated(1)
      run.output.emit(frame)
    }
    return verdict
  })
}
