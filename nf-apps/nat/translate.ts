import { andThen, type MaybePromise } from '../../actors/index.ts'
import { flowHash, Ip, PROTO_ICMP, PROTO_UDP, TCP_SYN, V4_MAPPED } from '../packet/index.ts'
import {
  type Asked,
  type AskedOut,
  type Need,
  NONE,
  type Packed,
  packed,
  packedOut,
  type Translation,
  translationOf,
} from './ask.ts'
import { isInside, type NatConfig, pairedIndex, rangeOf, rulesOf } from './config.ts'
import type { Told } from './events.ts'
import { LOW } from './host.ts'
import { type Address, addressOf, endOf, portOf } from './keys.ts'
import { BLOCK, type Taken } from './pool.ts'
import type { Ends } from './rewrite.ts'
import type { Run } from './state.ts'
import type { Cause } from './way.ts'

/** What is to be translated: a packet's ends, or those of one that is quoted. */
export interface Question extends Ends {
  readonly protocol: number
  readonly flags: number
  /** ICMP that asks, not answers. */
  readonly isRequest: boolean
  /** The inside host that its public destination stood for, or NOBODY. */
  readonly owner: number
  /** It may open a mapping: no way of its flow is known. */
  readonly isNew: boolean
  readonly nowUs: number
}
export interface Translated {
  readonly ends: Ends
  readonly leaseUs: number
  readonly told: readonly Told[]
}

/** No inside host has this address. */
export const NOBODY = 0

/** Rounds of asking hosts for ports; each asks others, or waits for those that another packet asks. */
const ROUNDS_MAX = 4096

const scratch = new Ip()
export const insideWord = (config: NatConfig, word: number): boolean =>
  isInside(config, scratch.set(0, 0, 0xffff, word))

/** What comes next, once a packet's translation is known. */
type Then<T> = (t: Translated | Cause) => MaybePromise<T>

/**
 * The ends that a packet goes on with. Between two inside hosts, by a public address, both sides are translated.
 * What comes next is handed in: so a packet that waits has one promise for all of its way.
 */
export function translate<T>(run: Run, q: Question, then: Then<T>): MaybePromise<T> {
  const { config } = run
  const incoming = config.publics.has(q.dst)
  if (!insideWord(config, q.src)) return incoming ? inwards(run, q, then) : then('elsewhere')
  if (incoming && q.protocol === PROTO_ICMP) return then('unmapped')
  return outwards(run, q, (t) => {
    if (typeof t === 'string') return then(t)
    const srcPort = portOf(t.end)
    const dstPort = q.protocol === PROTO_ICMP ? srcPort : q.dstPort
    const src = config.pool[addressOf(t.end)]!
    const ends = { src, srcPort, dst: q.dst, dstPort }
    const told = toldOf(
      run,
      t,
      q,
      endOf(q.src, q.srcPort),
      endOf(src, srcPort),
      endOf(q.dst, q.dstPort),
    )
    const leaseUs = t.isLeased ? q.nowUs + rulesOf(config.rules).timeouts.leaseUs : 0
    if (!incoming) return then({ ends, leaseUs, told })
    return inwards(run, { ...q, ...ends }, (back) => {
      if (typeof back === 'string') return then(back)
      // Neither host hears of what follows a SYN unless it is asked.
      const both = q.flags & TCP_SYN ? 0 : Math.min(leaseUs, back.leaseUs)
      return then({ ends: back.ends, leaseUs: both, told: [...told, ...back.told] })
    })
  })
}

const NOTHING: readonly Told[] = []

function toldOf(
  { output }: Run,
  { news }: Translation,
  { protocol }: Question,
  inside: number,
  end: number,
  remote: number,
): readonly Told[] {
  return news && output.takesEvents ? [{ news, protocol, inside, end, remote }] : NOTHING
}

/** What is asked about a packet to or from a remote end; `port` is the inside one, or `index` and `port` the public end. */
export function asked(
  { config, output }: Run,
  { protocol, flags, nowUs }: Question,
  [remote, remotePort]: readonly [number, number],
  port: number,
  index = 0,
): Packed {
  const isIcmp = protocol === PROTO_ICMP
  const ofRemote = { remote, remotePort: isIcmp ? 0 : remotePort }
  const { rules } = config
  return packed({
    protocol,
    ...ofRemote,
    flags,
    nowUs,
    lowUs: output.lowUs(),
    rules,
    port,
    index,
  })
}

// ---- from inside ----

function outwards<T>(
  run: Run,
  q: Question,
  then: (t: Translation | Cause) => MaybePromise<T>,
): MaybePromise<T> {
  const { config } = run
  const { protocol } = q
  const host = { protocol, address: q.src }
  const index = pairedIndex(config, q.src)
  const wanted = q.isNew ? nearby(run, q, index) : NONE
  const ask: AskedOut = {
    protocol,
    remote: q.dst,
    remotePort: protocol === PROTO_ICMP ? 0 : q.dstPort,
    flags: q.flags,
    nowUs: q.nowUs,
    lowUs: run.output.lowUs(),
    rules: config.rules,
    port: q.srcPort,
    index,
    asked: 'nothing',
    wanted,
  }
  const learnt = (t: Translation | Cause) => {
    if (typeof t !== 'string') config.hints.learn(protocol, q.src, t.end)
    return then(t)
  }
  return claim(run, host, ask, (answer) =>
    answer === 'same' || answer === 'any'
      ? obtain(run, host, ask, answer).then(learnt)
      : learnt(answer),
  )
}

/**
 * Asks a host, and chooses where it offers ports: one whose way back is steered where the way out is. That is of the remote
 * end that opens the mapping; others use it as it is.
 */
function claim<T>(
  run: Run,
  host: Address,
  ask: AskedOut,
  then: (answer: Translation | Need | 'refused') => MaybePromise<T>,
): MaybePromise<T> {
  return andThen(run.state.hosts.at(host).outbound(packedOut(ask)), (answer) => {
    if (typeof answer === 'number') return then(translationOf(answer))
    if (typeof answer === 'string') return then(answer)
    const { ends, isAll } = answer
    const near = ends.filter((end) => run.output.steersAlike(wayBack(run, ask, end)))
    if (near.length === 0 && !isAll) return then('any')
    return claim(run, host, { ...ask, wanted: near.length > 0 ? near : ends }, then)
  })
}

/** Ports named with the first question: one of them is free, as a rule. */
const NEARBY = 4

/**
 * Ports in a block that is the host's as far as is known here, as good as others by the RFCs and steered back as they should be. Where
 * one is free still, the host need not offer its ports first.
 */
function nearby(run: Run, q: Question, index: number): readonly number[] {
  const { protocol, srcPort: port, dst: remote, dstPort: remotePort } = q
  const block = run.config.hints.blockOf(protocol, q.src)
  if (block === 0 || addressOf(block) !== index) return NONE
  if (protocol !== PROTO_ICMP && portOf(block) < LOW !== port < LOW) return NONE
  // UDP's parity is kept.
  const step = protocol === PROTO_UDP ? 2 : 1
  const from = port + step * remotePort
  const to = { protocol, remote, remotePort }
  const ends: number[] = []
  for (let i = 0; i < BLOCK && ends.length < NEARBY; i += step) {
    const end = block + ((from + i) % BLOCK)
    if (run.output.steersAlike(wayBack(run, to, end))) ends.push(end)
  }
  return ends
}

const backFrom = new Ip()
const backTo = new Ip()

/** What steers the answers of a remote end. */
function wayBack(
  { config }: Run,
  { protocol, remote, remotePort }: Pick<Asked, 'protocol' | 'remote' | 'remotePort'>,
  end: number,
): number {
  const port = portOf(end)
  backFrom.set(0, 0, V4_MAPPED, remote)
  backTo.set(0, 0, V4_MAPPED, config.pool[addressOf(end)]!)
  const fromPort = protocol === PROTO_ICMP ? port : remotePort
  return flowHash(backFrom, backTo, fromPort, port, protocol)
}

/** Gets ports for the host, and its answer with them. The rare way: once a block. */
async function obtain(
  run: Run,
  host: Address,
  ask: AskedOut,
  first: Need,
): Promise<Translation | 'refused' | 'exhausted'> {
  const { config } = run
  const start = pairedIndex(config, host.address)
  let need = first
  for (let i = 0; i < config.pool.length; ) {
    const index = (start + i) % config.pool.length
    const got = await fetchPorts(run, host, index, ask, need === 'same')
    if (!got && need === 'any') i++ // this public address has none: better another one than none
    const answer = await claim(run, host, { ...ask, asked: need }, (given) => given)
    if (typeof answer !== 'string' || answer === 'refused') return answer
    need = answer
  }
  return 'exhausted'
}

async function fetchPorts(
  run: Run,
  host: Address,
  index: number,
  ask: AskedOut,
  only: boolean,
): Promise<boolean> {
  const { protocol } = host
  const { nowUs, lowUs } = ask
  const pool = run.state.pools.at({ protocol, address: run.config.pool[index]! })
  const [first, last] = rangeOf(run.config, protocol)
  const wanted = { host: host.address, port: ask.port, only, first, last, nowUs }
  for (let round = 0; round < ROUNDS_MAX; round++) {
    const taken = await pool.take(wanted)
    const { ports, tight, inquiries, isLast, again } = taken
    if (ports.length > 0) {
      const ends = ports.map((port) => endOf(index, port))
      await run.state.hosts.at(host).own(ends, tight, nowUs)
      await pool.settled(ports)
      return true
    }
    if (inquiries.length === 0 && !again) return false
    await inquire(run, protocol, index, taken, isLast ? nowUs : lowUs)
  }
  return false
}

/** Asks hosts for ports that they have and do not use. */
async function inquire(
  run: Run,
  protocol: number,
  index: number,
  { inquiries }: Taken,
  overUs: number,
): Promise<void> {
  const pool = run.state.pools.at({ protocol, address: run.config.pool[index]! })
  const each = inquiries.map(async (inquiry) => {
    const ends = inquiry.ports.map((port) => endOf(index, port))
    const owner = { protocol, address: inquiry.owner }
    const given = await run.state.hosts.at(owner).release(ends, overUs)
    await pool.returned(inquiry, given.map(portOf))
  })
  await Promise.all(each)
}

// ---- from outside ----

function inwards<T>(run: Run, q: Question, then: Then<T>): MaybePromise<T> {
  // Whoever pings a public address means the NAT itself, whatever the identifier.
  if (q.protocol === PROTO_ICMP && q.isRequest) return then('unmapped')
  const { hints, publics } = run.config
  const end = endOf(publics.get(q.dst)!, q.dstPort)
  const known = q.owner || hints.hostOf(q.protocol, end)
  return inwardsTo(run, q, known, (t) => {
    if (t !== 'unmapped') return then(t)
    // It has given the port back, or nobody was known. A host maps a port only while it is its own, so there was no wrong answer.
    return andThen(ownerOf(run, q.protocol, q.dst, q.dstPort), (owner) =>
      owner === known ? then(t) : inwardsTo(run, q, owner, then),
    )
  })
}

function inwardsTo<T>(run: Run, q: Question, owner: number, then: Then<T>): MaybePromise<T> {
  if (owner === NOBODY) return then('unmapped')
  const { config } = run
  const { protocol, nowUs } = q
  const host = run.state.hosts.at({ protocol, address: owner })
  const index = config.publics.get(q.dst)!
  return andThen(host.inbound(asked(run, q, [q.src, q.srcPort], q.dstPort, index)), (answer) => {
    if (typeof answer === 'string') return then(answer)
    const t = translationOf(answer)
    config.hints.learn(protocol, owner, endOf(index, q.dstPort))
    const srcPort = protocol === PROTO_ICMP ? t.end : q.srcPort
    const ends = { src: q.src, srcPort, dst: owner, dstPort: t.end }
    const [inside, outside] = [endOf(owner, t.end), endOf(q.dst, q.dstPort)]
    const told = toldOf(run, t, q, inside, outside, endOf(q.src, q.srcPort))
    const leaseUs = t.isLeased ? nowUs + rulesOf(config.rules).timeouts.leaseUs : 0
    return then({ ends, leaseUs, told })
  })
}

/** The inside host that a public port belongs to. */
export function ownerOf(run: Run, protocol: number, address: number, port: number) {
  return run.state.pools.at({ protocol, address }).ownerOf(port)
}

// ---- of what has gone its way ----

/** Tells the host of a packet that needs no answer: it went by a lease, from inside if `out`. */
export function tell(run: Run, q: Question, out: boolean, host: Address, port: number): void {
  const stub = run.state.hosts.at(host)
  const remote = out ? ([q.dst, q.dstPort] as const) : ([q.src, q.srcPort] as const)
  const ask = asked(run, q, remote, port)
  if (out) stub.heardOut(ask)
  else stub.heardIn(ask)
}
