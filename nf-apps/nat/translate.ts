import { andThen, type MaybePromise } from '../../actors/index.ts'
import { FlowKey, Ip, PROTO_ICMP } from '../packet/index.ts'
import { isInside, type NatConfig, pairedIndex, rangeOf } from './config.ts'
import type { Told } from './events.ts'
import type { Answer, Asked, AskedOut, Need, Offer, Translation } from './host.ts'
import { type Address, addressOf, endOf, portOf } from './keys.ts'
import type { Taken } from './pool.ts'
import type { Ends } from './rewrite.ts'
import type { OrCause, Run } from './state.ts'

/** What is to be translated: a packet's ends, or those of one that is quoted. */
export interface Question extends Ends {
  readonly protocol: number
  readonly flags: number
  /** ICMP that asks, not answers. */
  readonly isRequest: boolean
  /** The inside host that its public destination stood for, or NOBODY. */
  readonly owner: number
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

/** The ends that a packet goes on with. Between two inside hosts, by a public address, both sides are translated. */
export function translate(run: Run, q: Question): OrCause<Translated> {
  const { config } = run
  const incoming = config.isPublic.has(q.dst)
  if (!insideWord(config, q.src)) return incoming ? inwards(run, q) : 'elsewhere'
  if (incoming && q.protocol === PROTO_ICMP) return 'unmapped'
  return andThen(outwards(run, q), (t) => {
    if (typeof t === 'string') return t
    const out = { ...q, src: t.address, srcPort: t.port }
    if (q.protocol === PROTO_ICMP) out.dstPort = t.port
    const told = toldOf(
      t,
      q,
      endOf(q.src, q.srcPort),
      endOf(t.address, t.port),
      endOf(q.dst, q.dstPort),
    )
    if (!incoming) return { ends: out, leaseUs: t.leaseUs, told }
    return andThen(inwards(run, out), (back) => {
      if (typeof back === 'string') return back
      const leaseUs = Math.min(t.leaseUs, back.leaseUs)
      return { ends: back.ends, leaseUs, told: [...told, ...back.told] }
    })
  })
}

function toldOf(
  { news }: Translation,
  { protocol }: Question,
  inside: number,
  end: number,
  remote: number,
): Told[] {
  return news ? [{ news, protocol, inside, end, remote }] : []
}

export function asked(config: NatConfig, q: Question, remote: number, remotePort: number): Asked {
  return {
    protocol: q.protocol,
    remote,
    remotePort: q.protocol === PROTO_ICMP ? 0 : remotePort,
    flags: q.flags,
    nowUs: q.nowUs,
    filtering: config.filtering,
    timeouts: config.timeouts,
  }
}

// ---- from inside ----

function outwards(run: Run, q: Question): OrCause<Translation> {
  const { config } = run
  const host = { protocol: q.protocol, address: q.src }
  const ask: AskedOut = {
    ...asked(config, q, q.dst, q.dstPort),
    port: q.srcPort,
    address: config.pool[pairedIndex(config, q.src)]!,
    keepPort: config.keepPorts,
    asked: 'nothing',
    wanted: [],
  }
  return andThen(claim(run, host, ask), (answer) =>
    answer === 'same' || answer === 'any' ? obtain(run, host, ask, answer) : answer,
  )
}

/**
 * Asks a host, and chooses where it offers ports: one whose way back is steered where the way out is. That is of the remote
 * end that opens the mapping; others use it as it is.
 */
function claim(run: Run, host: Address, ask: AskedOut): MaybePromise<Exclude<Answer, Offer>> {
  return andThen(run.state.hosts.at(host).outbound(ask), (answer) => {
    if (typeof answer === 'string' || 'port' in answer) return answer
    const { ends, isAll } = answer
    const near = ends.filter((end) => run.output.steersAlike(wayBack(ask, end)))
    if (near.length === 0 && !isAll) return 'any'
    return claim(run, host, { ...ask, wanted: near.length > 0 ? near : ends })
  })
}

const back = new FlowKey()

function wayBack({ protocol, remote, remotePort }: Asked, end: number): FlowKey {
  const port = portOf(end)
  back.src.set(0, 0, 0xffff, remote)
  back.dst.set(0, 0, 0xffff, addressOf(end))
  back.srcPort = protocol === PROTO_ICMP ? port : remotePort
  back.dstPort = port
  back.protocol = protocol
  return back
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
    const address = config.pool[(start + i) % config.pool.length]!
    const got = await fetchPorts(run, host, address, ask, need === 'same')
    if (!got && need === 'any') i++ // this public address has none: better another one than none
    const answer = await claim(run, host, { ...ask, asked: need })
    if (typeof answer !== 'string' || answer === 'refused') return answer
    need = answer
  }
  return 'exhausted'
}

async function fetchPorts(
  run: Run,
  host: Address,
  address: number,
  ask: AskedOut,
  only: boolean,
): Promise<boolean> {
  const { protocol } = host
  const { nowUs } = ask
  const pool = run.state.pools.at({ protocol, address })
  const [first, last] = rangeOf(run.config, protocol)
  const wanted = { host: host.address, port: ask.port, only, first, last, nowUs }
  for (let round = 0; round < ROUNDS_MAX; round++) {
    const taken = await pool.take(wanted)
    const { ports, tight, inquiries, again } = taken
    if (ports.length > 0) {
      const ends = ports.map((port) => endOf(address, port))
      await run.state.hosts.at(host).own(ends, tight, nowUs)
      await pool.settled(ports)
      return true
    }
    if (inquiries.length === 0 && !again) return false
    await inquire(run, { protocol, address }, taken, nowUs)
  }
  return false
}

/** Asks hosts for ports that they have and do not use. */
async function inquire(run: Run, at: Address, { inquiries }: Taken, nowUs: number): Promise<void> {
  const { protocol, address } = at
  const pool = run.state.pools.at(at)
  const each = inquiries.map(async (inquiry) => {
    const ends = inquiry.ports.map((port) => endOf(address, port))
    const owner = { protocol, address: inquiry.owner }
    const given = await run.state.hosts.at(owner).release(ends, nowUs)
    await pool.returned(inquiry, given.map(portOf))
  })
  await Promise.all(each)
}

// ---- from outside ----

function inwards(run: Run, q: Question): OrCause<Translated> {
  // Whoever pings a public address means the NAT itself, whatever the identifier.
  if (q.protocol === PROTO_ICMP && q.isRequest) return 'unmapped'
  return andThen(inwardsTo(run, q, q.owner), (t) => {
    if (t !== 'unmapped') return t
    // It has given the port back, or nobody was known. A host maps a port only while it is its own, so there was no wrong answer.
    return andThen(ownerOf(run, q.protocol, q.dst, q.dstPort), (owner) => inwardsTo(run, q, owner))
  })
}

function inwardsTo(run: Run, q: Question, owner: number): OrCause<Translated> {
  if (owner === NOBODY) return 'unmapped'
  const host = run.state.hosts.at({ protocol: q.protocol, address: owner })
  const end = endOf(q.dst, q.dstPort)
  const ask = asked(run.config, q, q.src, q.srcPort)
  return andThen(host.inbound(end, ask), (t) => {
    if (typeof t === 'string') return t
    const srcPort = q.protocol === PROTO_ICMP ? t.port : q.srcPort
    const ends = { src: q.src, srcPort, dst: owner, dstPort: t.port }
    const told = toldOf(t, q, endOf(owner, t.port), end, endOf(q.src, q.srcPort))
    return { ends, leaseUs: t.leaseUs, told }
  })
}

/** The inside host that a public port belongs to. */
export function ownerOf(run: Run, protocol: number, address: number, port: number) {
  return run.state.pools.at({ protocol, address }).ownerOf(port)
}
