import { andThen } from '../../actors/index.ts'
import { loadQuoted, NET_IPV4, Packet, PROTO_ICMP, PROTO_TCP, PROTO_UDP } from '../packet/index.ts'
import { addressOf, isTranslated, portOf } from './keys.ts'
import {
  type Ends,
  icmpChecksumIsWrong,
  ipChecksumIsWrong,
  type Place,
  placeOf,
} from './rewrite.ts'
import type { OrCause, Run } from './state.ts'
import { asked, insideWord, NOBODY, ownerOf, type Question } from './translate.ts'

/** How an ICMP error goes on: the ends of the packet that it quotes, and its own addresses. */
export interface ErrorTranslated {
  readonly quoted: Place
  readonly inner: Ends
  readonly src: number
  readonly dst: number
}

/** An error that nothing can be made of is dropped silently (RFC 5508, REQ-3 to REQ-5); none touches a mapping. */
export function translateError(run: Run, p: Packet): OrCause<ErrorTranslated> {
  const { config } = run
  const quotation = new Packet()
  if (icmpChecksumIsWrong(p) || !loadQuoted(p, quotation)) return 'malformed'
  const q = quotedQuestion(quotation)
  if (!q) return 'malformed'
  const place = { ...placeOf(quotation), ip: quotation.l3Offset - p.start }
  const transport = place.ip + quotation.headerLength
  const quoted = { ...place, transport, end: quotation.end - p.start }
  const incoming = config.publics.has(p.dst.d)
  if (!insideWord(config, p.src.d)) {
    if (!incoming || q.src !== p.dst.d) return 'elsewhere'
    return andThen(senderOf(run, q), (inner) =>
      typeof inner === 'string' ? inner : { quoted, inner, src: p.src.d, dst: inner.src },
    )
  }
  return andThen(receiverOf(run, q), (inner) => {
    if (typeof inner === 'string') return inner
    const out = { quoted, inner, src: inner.dst, dst: p.dst.d }
    if (!incoming) return out
    // To another inside host, which knows the quoted packet by its own ends.
    return andThen(senderOf(run, { ...q, ...inner }), (both) =>
      typeof both === 'string' ? both : { ...out, inner: both, dst: both.src },
    )
  })
}

/** Undefined where the quotation does not show whose packet it was. */
function quotedQuestion(p: Packet): Question | undefined {
  const { ipProtocol: protocol } = p
  if (p.kind !== NET_IPV4 || !isTranslated(protocol) || ipChecksumIsWrong(p)) return undefined
  if (p.fragmentOffset > 0) return undefined
  const hasPorts = protocol === PROTO_TCP || protocol === PROTO_UDP
  const shown = p.end - (p.l3Offset + p.headerLength)
  if (shown < (hasPorts ? 4 : 8)) return undefined
  const id = p.icmpId
  return {
    protocol,
    src: p.src.d,
    dst: p.dst.d,
    srcPort: hasPorts ? p.srcPort : id,
    dstPort: hasPorts ? p.dstPort : id,
    flags: 0,
    isRequest: false,
    nowUs: p.clockUs,
    owner: NOBODY,
    isNew: false,
  }
}

/** The quoted packet had been sent from a public end: whose is it? */
function senderOf(run: Run, q: Question): OrCause<Ends> {
  const { protocol, src, srcPort, dst, dstPort } = q
  return andThen(ownerOf(run, protocol, src, srcPort), (owner) => {
    if (owner === NOBODY) return 'unmapped'
    const host = run.state.hosts.at({ protocol, address: owner })
    const ask = asked(run, q, [dst, dstPort], srcPort, run.config.publics.get(src))
    return andThen(host.insideOf(ask), (port) => {
      if (port === undefined) return 'unmapped'
      return { src: owner, srcPort: port, dst, dstPort: protocol === PROTO_ICMP ? port : dstPort }
    })
  })
}

/** The quoted packet had been sent to an inside end: by which public end? */
function receiverOf(run: Run, q: Question): OrCause<Ends> {
  const { protocol, src, srcPort, dst, dstPort } = q
  const host = run.state.hosts.at({ protocol, address: dst })
  const ask = asked(run, q, [src, srcPort], dstPort)
  return andThen(host.endOf(ask), (end) => {
    if (end === undefined) return 'unmapped'
    const port = portOf(end)
    return {
      src,
      srcPort: protocol === PROTO_ICMP ? port : srcPort,
      dst: run.config.pool[addressOf(end)]!,
      dstPort: port,
    }
  })
}
