import { f64, multiWriter, singleWriter, stale, u32, untether } from '../../actors/index.ts'
import { defineNF, forward } from '../nf.ts'
import { ip, symmetricFlow, symmetricFlowOf } from '../packet/index.ts'

const add = (a: number, b: number) => a + b

const Flow = singleWriter('flow', { packets: u32, bytes: f64 })

const Counter = multiWriter(
  'counter',
  { n: f64 },
  {
    incAndGet: (s) => ++s.n,
    inc: untether(
      (s, x: number) => {
        s.n += x
      },
      { merge: add },
    ),
    get: stale((s) => s.n, { withinMs: 100 }),
  },
)

/** Counts packets and bytes of each flow, bytes of each host, and all packets. */
export const hostCounter = defineNF('host-counter', {
  summary: 'packets and bytes by flow, bytes by host',
  state: {
    flows: Flow.keyedBy(symmetricFlow),
    perHost: Counter.keyedBy(ip),
    total: Counter.only(),
  },
  onPacket(p, { flows, perHost, total }) {
    total.inc(1)
    if (p.l3Offset < 0) return forward
    perHost.at(p.src).inc(p.wireLength)
    return flows.with(symmetricFlowOf(p), (flow) => {
      flow.packets++
      flow.bytes += p.wireLength
      return forward
    })
  },
  async result({ flows, perHost, total }) {
    const byFlow = (await flows.all()).map(
      ({ key, state }) => `flow ${symmetricFlow.text(key)} ${state.packets} ${state.bytes}`,
    )
    const byHost = (await perHost.all()).map(({ key, state }) => `host ${key} ${state.n}`)
    const all = await total.lookup('only')
    return [`packets ${all?.n ?? 0}`, ...byFlow.sort(), ...byHost.sort()]
  },
})
