import { setTimeout as delay, setImmediate as turn } from 'node:timers/promises'
import { f64, multiWriter, singleWriter, u32, untether } from '../actors/index.ts'
import { MemoryHub, type NatsBus, systemClock } from '../bus/index.ts'
import { SyntheticTraffic, syntheticDefaults } from '../loadgen/index.ts'
import { defineNF, forward, type NF, steeringOf } from '../nf-apps/index.ts'
import { ip, symmetricFlow, symmetricFlowOf } from '../nf-apps/packet/index.ts'
import { SLOT_BITS } from '../placement/index.ts'
import type { Entered } from './enter.ts'
import { feed } from './feed.ts'
import type { Instance } from './instance.ts'
import { joinInstance, joinSource, type OnError } from './join.ts'
import type { ClusterSettings } from './settings.ts'

const Flow = singleWriter('rehearsed', { packets: u32 })
const Host = multiWriter(
  'rehearsed-host',
  { packets: f64 },
  {
    add: untether(
      (s, n: number) => {
        s.packets += n
      },
      { merge: (a, b) => a + b },
    ),
  },
)

/** What every instance rehearses: nothing of it is the user's. Actors of both kinds, since code that knows one is made anew for two. */
const counted = defineNF('rehearsal', {
  state: { flows: Flow.keyedBy(symmetricFlow), hosts: Host.keyedBy(ip) },
  onPacket(p, { flows, hosts }) {
    hosts.at(p.src).add(1)
    return flows.with(symmetricFlowOf(p), (flow) => {
      flow.packets++
      return forward
    })
  },
})
const standIn: Rehearsed = {
  nf: counted,
  settings: {
    nf: counted.name,
    options: {},
    placement: 'aligned',
    model: 'shared',
    slotBits: SLOT_BITS,
  },
}

/** Enough for the engine to compile what each of them goes through, and to be through in half a second. */
const PACKETS = 20_000
/** Twice as many for an NF, whose own code is most of what there is to compile. */
const PACKETS_OF_NF = 40_000
const FLOWS = 8_000
/** Bytes, for NFs that look into packets. */
const PAYLOAD = [64, 512] as const

/** How instances become more, and how many slots flip at a time. */
interface Course {
  /** Instances in each part. */
  readonly scale: readonly number[]
  readonly partMs: number
  readonly flipsPerStep: number
}
/** By memory: short. */
const BRIEF: Course = { scale: [1, 2], partMs: 200, flipsPerStep: 64 }
/** By the cluster's bus: few flips at a time, since what each flip and each frame cause is to run often; so the packets go on for longer. */
const FINE: Course = { scale: [1, 2, 2, 2], partMs: 150, flipsPerStep: 16 }
/** A slow NF is not rehearsed to the end: who scales out waits for it. */
const MS_MAX = 5_000

interface Rehearsed {
  readonly nf: NF
  readonly settings: ClusterSettings
}

/**
 * Scale-outs within this process, before it takes part in one: the engine compiles by what runs often, and an
 * instance that began cold would be some 50 ms late with its first packets and actors (`npm run bench -- scale-out`), and
 * a few hundred where its NF has much code. So an NF that `rehearses` is run too, over actors and an environment that are
 * thrown away.
 *
 * There are two, by memory and then by the bus that the cluster uses, with members of their own: code that has met only one member of
 * a kind is thrown away at the second, and the client of the bus is as much code as a member is.
 */
export async function rehearse(onError: OnError, bus?: NatsBus, own?: Rehearsed): Promise<void> {
  await scaleOut(standIn, PACKETS, BRIEF, onError)
  if (bus) await scaleOut(standIn, PACKETS, FINE, onError, bus)
  if (!own?.nf.rehearses) return
  // What it cannot do here, such as without a store, it is told by its own packets.
  await scaleOut(
    { ...own, settings: { ...own.settings, model: 'shared' } },
    PACKETS_OF_NF,
    BRIEF,
    () => {},
  )
}

async function scaleOut(
  { nf, settings }: Rehearsed,
  total: number,
  { scale, partMs, flipsPerStep }: Course,
  onError: OnError,
  nats?: NatsBus,
): Promise<void> {
  const clock = systemClock()
  const hub = new MemoryHub({ clock })
  const loop = nats?.loop(hub.connect().register)
  const env = nf.setup(settings.options)
  const common = (id: string) => ({ bus: loop ?? hub.connect(), clock, id, nf, settings, onError })
  const instances: Entered<Instance>[] = [await joinInstance(common('1'), env)]
  const source = await joinSource(common('source'), { flipsPerStep, flipEveryMs: 1 })
  let joined = false
  let joining: Promise<unknown> = Promise.resolve()
  const scaleTo = () => {
    if (joined) return
    joined = true
    joining = joinInstance(common('2'), env).then((second) => instances.push(second))
  }
  const end = clock.now() + MS_MAX
  const isOver = () => clock.now() > end
  await feed(source.body, {
    hashOf: steeringOf(nf, env),
    reader: new SyntheticTraffic({
      ...syntheticDefaults,
      flows: FLOWS,
      packets: total,
      payload: PAYLOAD,
    }),
    total,
    scale,
    partMs,
    rate: 0,
    scaleTo,
    stopped: isOver,
    wait: (ms) => (ms > 0 ? delay(ms) : turn()),
    now: () => clock.now(),
  })
  await joining
  const { steerer } = source.body
  const isMoving = () => instances.some((one) => !one.body.member.space.moved)
  const isDue = () => !steerer.settled || steerer.outstanding > 0 || isMoving()
  while (isDue() && !isOver()) await turn()
  for (const one of [source, ...instances]) one.stop()
  await loop?.close()
}
