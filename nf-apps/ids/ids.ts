import { andThen, type MaybePromise } from '../../actors/index.ts'
import { defineNF, forward } from '../nf.ts'
import { type Packet, symmetricFlowOf } from '../packet/index.ts'
import { Environment } from './environment.ts'
import { carried, innerFlowOf } from './inner.ts'
import { found, notes, report, tell } from './report.ts'
import { type IdsActors, idsActors } from './state.ts'

/**
 * Theory of operation
 *
 * An intrusion detection system with the rules of Snort and the judgement of Suricata. Each packet takes one turn of
 * its flow (`flows`, one writer): there its payload joins the stream, acknowledged bytes are read as HTTP where they
 * are, and rules are tried on packet, stream and message. Which rules can match at all is found in one pass over
 * the bytes (`rule-set.ts`). All that a rule remembers of a flow (flowbits, streams) is the flow actor's state.
 *
 * A hit that nothing holds back goes to the log of its packets (`alerts`). One with a threshold says nothing by
 * itself: it goes to the tracker of its rule and host (`trackers`), home somewhere, fed by all instances in any
 * order; only when all are there are they put in the order of the packets' indexes and counted in packet time. So
 * the alerts are the same on one instance and on many. Hosts that alerts are about add up in `malicious`; a flow
 * that a pass rule lets through is in the `whitelist` and costs no more than its turn.
 *
 * One packet: 10.0.0.7:40112 > 10.0.0.80:80, index 9, the ACK of a 200 OK. Its flow is established, here. The ACK
 * covers the server's 512 bytes; they are HTTP, a response to the GET of index 4: the rules of that direction whose
 * contents occur in its status, headers or body are tried on the whole message, and one asks for flowbit `probe`,
 * which the request had set at index 6. It matches; its detection_filter counts by source, so the alert (9,
 * 10.0.0.80 > 10.0.0.7, the rule's number) goes to that rule's tracker of 10.0.0.80, and the packet on its way.
 */
export const ids = defineNF('ids', {
  summary: 'Intrusion detection by Snort rules, with alerts as Suricata writes them',
  options: {
    rules: { type: 'string', multiple: true, value: 'FILE', help: 'rule file (Snort 2 rules)' },
    'all-rules': { type: 'boolean', help: 'also rules that are commented out' },
    var: {
      type: 'string',
      multiple: true,
      value: 'NAME=VALUE',
      help: 'variable, such as HOME_NET',
    },
    classification: {
      type: 'string',
      value: 'FILE',
      help: 'classtypes, their texts and priorities',
    },
    midstream: {
      type: 'boolean',
      help: 'go on with connections whose beginning was not seen (the default)',
    },
    'no-midstream': { type: 'boolean', help: 'only connections whose handshake was seen' },
    'port-scan': {
      type: 'string',
      value: 'COUNT/SECONDS',
      help: 'alert on sources that try so many',
    },
    'password-guessing': {
      type: 'string',
      value: 'COUNT/SECONDS',
      help: 'alert on so many wrong passwords between two hosts',
    },
    format: { type: 'string', value: 'KIND', help: 'eve (default), fast, hosts or rules' },
  },
  state: idsActors,
  setup: (options) => new Environment(options),
  rehearses: true,

  onPacket(p, state, env) {
    env.announce(state.configuration)
    return andThen(inspect(p, 0, state, env), () => forward)
  },

  result: (state, env) => report(state, env),
  isLog: ({ format }) => format === 'eve' || format === 'fast',
  found: (state, env) => found(state, env),
  notes: (state, env) => notes(state, env),
})

/** A packet's turn in its flow; then that of what it carries, if it is a tunnel's or completes a datagram. */
function inspect(p: Packet, depth: number, state: IdsActors, env: Environment): MaybePromise<void> {
  const key = depth === 0 ? symmetricFlowOf(p) : innerFlowOf(p)
  const fromSource = key.forward
  const turn = state.flows.with(key, (flow) => {
    const hits = env.engine.inspect(p, flow, fromSource)
    const whole = p.isFragment ? env.engine.defragment(p, flow) : undefined
    return { hits, whole, losses: env.engine.takeLosses() }
  })
  return andThen(turn, ({ hits, whole, losses }) => {
    if (hits.length > 0) tell(p, hits, state)
    if (losses) state.losses.add(losses)
    const inner = whole ?? carried(p, depth)
    if (inner) return inspect(inner, depth + 1, state, env)
  })
}
