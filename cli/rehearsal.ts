import { setTimeout as delay, setImmediate as turn } from 'node:timers/promises'
import { singleWriter, u32 } from '../actors/index.ts'
import { MemoryHub, systemClock } from '../bus/index.ts'
import { SyntheticTraffic, syntheticDefaults } from '../loadgen/index.ts'
import { defineNF, forward } from '../nf-apps/index.ts'
import { steeringHash, symmetricFlow, symmetricFlowOf } from '../nf-apps/packet/index.ts'
import { SLOT_BITS } from '../placement/index.ts'
import type { Entered } from './enter.ts'
import { feed } from './feed.ts'
import type { Instance } from './instance.ts'
import { joinInstance, joinSource, type OnError } from './join.ts'

const Flow = singleWriter('rehearsed', { packets: u32 })

/** Stands for the NF, of which nothing runs before its first packet: its handlers may have effects. */
const counted = defineNF('rehearsal', {
  state: { flows: Flow.keyedBy(symmetricFlow) },
  onPacket(p, { flows }) {
    return flows.with(symmetricFlowOf(p), (flow) => {
      flow.packets++
      return forward
    })
  },
})

/** Enough for the engine to compile what each of them goes through, and to be through in half a second. */
const PACKETS = 20_000
const FLOWS = 8_000
const PART_MS = 200
const FLIPS = { flipsPerStep: 64, flipEveryMs: 1 }

/**
 * A scale-out within this process, by the memory bus, before it takes part in one: the engine compiles by what runs often, and an
 * instance that began cold would be some 50 ms late with its first packets and actors (`npm run bench -- scale-out`).
 */
export async function rehearse(onError: OnError): Promise<void> {
  const clock = systemClock()
  const hub = new MemoryHub({ clock })
  const settings = {
    nf: counted.name,
    options: {},
    placement: 'aligned',
    model: 'shared',
    slotBits: SLOT_BITS,
  } as const
  const common = (id: string) => ({ bus: hub.connect(), clock, id, nf: counted, settings, onError })
  const instances: Entered<Instance>[] = [await joinInstance(common('1'), undefined)]
  const source = await joinSource(common('source'), FLIPS)
  let joining: Promise<unknown> = Promise.resolve()
  const scaleTo = () => {
    joining = joinInstance(common('2'), undefined).then((second) => instances.push(second))
  }
  await feed(source.body, {
    hashOf: steeringHash,
    reader: new SyntheticTraffic({ ...syntheticDefaults, flows: FLOWS, packets: PACKETS }),
    total: PACKETS,
    scale: [1, 2],
    partMs: PART_MS,
    rate: 0,
    scaleTo,
    stopped: () => false,
    wait: (ms) => (ms > 0 ? delay(ms) : turn()),
    now: () => clock.now(),
  })
  await joining
  const { steerer } = source.body
  const isMoving = () => instances.some((one) => !one.body.member.space.moved)
  while (!steerer.settled || steerer.outstanding > 0 || isMoving()) await turn()
  for (const one of [source, ...instances]) one.stop()
}
