import { setTimeout as delay, setImmediate as turn } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { singleWriter, u32 } from '../actors/index.ts'
import { MemoryHub, systemClock } from '../bus/index.ts'
import { SyntheticTraffic, syntheticDefaults } from '../loadgen/index.ts'
import { defineNF, forward, type NF, steeringOf } from '../nf-apps/index.ts'
import { symmetricFlow, symmetricFlowOf } from '../nf-apps/packet/index.ts'
import { SLOT_BITS } from '../placement/index.ts'
import type { Entered } from './enter.ts'
import { feed } from './feed.ts'
import type { Instance } from './instance.ts'
import { joinInstance, joinSource, type OnError } from './join.ts'
import type { ClusterSettings } from './settings.ts'

const Flow = singleWriter('rehearsed', { packets: u32 })

/** What every instance rehearses: nothing of it is the user's. */
const counted = defineNF('rehearsal', {
  state: { flows: Flow.keyedBy(symmetricFlow) },
  onPacket(p, { flows }) {
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
const PART_MS = 200
const FLIPS = { flipsPerStep: 64, flipEveryMs: 1 }
/** A slow NF is not rehearsed to the end: who scales out waits for it. */
const MS_MAX = 5_000

interface Rehearsed {
  readonly nf: NF
  readonly settings: ClusterSettings
}

/**
 * The engine collects the whole heap when this much has come on top of what lived after the last time. It counts the bytes of frames and
 * of records' pages, but goes by the heap, which is small: so an instance with a million actors had twenty full collections in the
 * nine seconds of a scale-out, and with this one. It is the most that the engine chooses by itself.
 */
const HEAP_GROWS_PERCENT = 300

/**
 * A scale-out within this process, by the memory bus, before it takes part in one: the engine compiles by what runs often, and an
 * instance that began cold would be some 50 ms late with its first packets and actors (`npm run bench -- scale-out`), and
 * a few hundred where its NF has much code. So an NF that `rehearses` is run too, over actors and an environment that are
 * thrown away.
 */
export async function rehearse(onError: OnError, own?: Rehearsed): Promise<void> {
  setFlagsFromString(`--heap-growing-percent=${HEAP_GROWS_PERCENT}`)
  await scaleOut(standIn, PACKETS, onError)
  if (!own?.nf.rehearses) return
  // What it cannot do here, such as without a store, it is told by its own packets.
  await scaleOut(
    { ...own, settings: { ...own.settings, model: 'shared' } },
    PACKETS_OF_NF,
    () => {},
  )
}

async function scaleOut(
  { nf, settings }: Rehearsed,
  total: number,
  onError: OnError,
): Promise<void> {
  const clock = systemClock()
  const hub = new MemoryHub({ clock })
  const env = nf.setup(settings.options)
  const common = (id: string) => ({ bus: hub.connect(), clock, id, nf, settings, onError })
  const instances: Entered<Instance>[] = [await joinInstance(common('1'), env)]
  const source = await joinSource(common('source'), FLIPS)
  let joining: Promise<unknown> = Promise.resolve()
  const scaleTo = () => {
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
    scale: [1, 2],
    partMs: PART_MS,
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
}
