import { andThen, type MaybePromise } from '../../actors/index.ts'
import { defineNF, forward, notUsed, type Verdict } from '../nf.ts'
import { NET_IPV4, type Packet, symmetricFlowOf } from '../packet/index.ts'
import { type FlowState, secondsOf, tagOf } from './detect.ts'
import { Environment, options } from './environment.ts'
import { begin, count } from './flow-count.ts'
import type { Host } from './host-key.ts'
import * as lanes from './lanes.ts'
import { reports } from './report.ts'
import {
  type PradsActors as Actors,
  CLIENT,
  type Evidence,
  HIGH,
  LOW,
  NO_ROLE,
  pradsActors,
  SERVER,
} from './state.ts'
import { LOOK_ARP } from './switches.ts'

/**
 * Theory of operation
 *
 * PRADS watches and never speaks: from what hosts send by themselves it learns which there are, what they run on and
 * what they serve. Each packet takes one turn of its connection (`flows`, one writer), which counts it, tells client
 * from server and remembers what of the two is settled, so that a payload is searched only until it has matched.
 * What a packet gives away goes as a note to the host that sent it (`assets`, many writers): a note waits for
 * nothing, is merged with others on its way, and may arrive in any order, from any instance.
 *
 * Hence nothing may depend on that order. Every piece of evidence carries its packet's index and time; the asset keeps
 * of each stack the sighting of least index, and of each port the sightings by index (`timeline.ts`). What is worth a
 * line — the first sighting, a better one, a change — is judged at the end, from the whole, by real prads's rules. So
 * the log is the same on one instance and on many, and that of real prads on one.
 *
 * One packet: 10.0.0.7:40112 > 93.184.216.34:80, SYN, index 41. Its flow is new, made here; the turn reads the
 * switches once, notes 10.0.0.7's side as the client's. The SYN's print is S10:64:1:60:M1460,S,T,N,W7:.; the first
 * signature of its bucket that fits says Linux. This instance has told of no such stack of 10.0.0.7 yet, so one
 * note goes to the asset 10.0.0.7, here or elsewhere: seen, and the stack, at index 41. It knows a SYN with this
 * signature from index 12, by another instance: nothing changes. Were this note overtaken by that one, neither would it.
 *
 * A side's presence is told once in each second of packet time, its stray ACKs when they show another stack, and what the
 * instance has told of the host already is not told again (`told.ts`): busy hosts cost their assets next to nothing.
 */
export const prads = defineNF('prads', {
  summary:
    'Passive asset detection: hosts, their systems, services and clients, as prads logs them',
  options,
  state: pradsActors,
  setup: (options) => new Environment(options),
  rehearses: true,

  onPacket(packet, state, env) {
    const p = lanes.mended(packet)
    const lane = lanes.laneOf(p)
    switch (lane) {
      case lanes.CONNECTION:
      case lanes.OPAQUE:
        return connection(p, p !== packet, lane === lanes.OPAQUE, state, env)
      case lanes.ARP:
        return arp(p, state, env)
      case lanes.TUNNEL:
        return tunnel(p, state, env)
      case lanes.GRE:
        state.statistics.count({ gre: 1, vlan: lanes.tagsOf(p) })
        tellPresence(p, env.hostOf(p, p.src), state, env)
        return forward
      default:
        state.statistics.count({ other: 1, vlan: lanes.tagsOf(p) })
        return forward
    }
  },

  result: (state, env) => reports[env.report](state, env.signatures),
  isLog: ({ report }) => report === 'assets' || report === 'warnings',
  notes: async (_, { signatures: { problems } }) =>
    notUsed('signature lines cannot be used', problems, '--report statistics has all'),
})

/** As configured for all; where that is not told, or cannot be had now, as this instance was started. */
function switches({ configuration }: Actors, env: Environment): MaybePromise<number> {
  const given = configuration.switches()
  if (!(given instanceof Promise)) return given ?? env.switches
  return given.then(
    (bits) => bits ?? env.switches,
    () => env.switches,
  )
}

function connection(
  p: Packet,
  apart: boolean,
  opaque: boolean,
  state: Actors,
  env: Environment,
): MaybePromise<Verdict> {
  const key = symmetricFlowOf(p)
  if (apart) key.vlan = lanes.APART
  const side = key.forward ? LOW : HIGH
  return state.flows.with(key, (flow, created) => {
    if (!created) return step(p, flow, side, side === flow.client ? CLIENT : SERVER, state, env)
    begin(p, flow, side, opaque)
    flow.forget = env.forget
    return andThen(switches(state, env), (given) => {
      flow.switches = given
      return step(p, flow, side, NO_ROLE, state, env)
    })
  })
}

/** One packet in its connection's turn: count it, look at it, tell its sender's asset what is new. */
function step(
  p: Packet,
  flow: FlowState,
  side: number,
  role: number,
  state: Actors,
  env: Environment,
): Verdict {
  const now = secondsOf(p)
  flow.last = now
  if (p.vlanCount > 0) flow.vlanPackets++
  const told = count(p, flow, side, now)
  if (!env.isOurs(p.src)) return forward
  // Real prads tracks such packets in IPv6 without taking note of their sender.
  if (flow.opaque && p.kind !== NET_IPV4) return forward
  const host = env.hostOf(p, p.src)
  const found = flow.opaque ? undefined : env.examination.examine(p, flow, side, role, host)
  if (found) tell(p, host, found, state, env)
  else if (!told) tellPresence(p, host, state, env)
  return forward
}

/** A reply to an ARP request, or one that nobody asked for, says which address a host has. */
function arp(p: Packet, state: Actors, env: Environment): MaybePromise<Verdict> {
  state.statistics.count({ arp: 1, vlan: lanes.tagsOf(p) })
  return andThen(switches(state, env), (given) => {
    const claim = lanes.arpReply(p)
    if (!claim || !(given & LOOK_ARP) || !env.isOurs(claim.ip)) return forward
    const value = { vlan: tagOf(p), mac: claim.mac }
    const seen = { index: p.index, seconds: secondsOf(p), value }
    tell(p, env.hostOf(p, claim.ip), [{ what: 'claim', ...seen }], state, env)
    return forward
  })
}

function tunnel(p: Packet, state: Actors, env: Environment): MaybePromise<Verdict> {
  const inner = lanes.within(p)
  const lane = lanes.laneOf(inner)
  const inside = lane === lanes.CONNECTION || lane === lanes.OPAQUE
  const count = { vlan: lanes.tagsOf(p), hollow: inside ? 0 : 1 }
  state.statistics.count(
    p.kind === NET_IPV4 ? { tunnels4: 1, ...count } : { tunnels6: 1, ...count },
  )
  return inside ? connection(inner, false, lane === lanes.OPAQUE, state, env) : forward
}

/** Evidence says that the host is there, too. */
function tell(p: Packet, host: Host, evidence: Evidence[], { assets }: Actors, env: Environment) {
  const now = secondsOf(p)
  env.told.isNewSecond(host, now)
  assets.at(host).note({ first: now, last: now, evidence })
}

function tellPresence(p: Packet, host: Host, { assets }: Actors, env: Environment) {
  const now = secondsOf(p)
  if (env.told.isNewSecond(host, now)) assets.at(host).note({ first: now, last: now, evidence: [] })
}
