import { f64, Space, singleWriter, u32 } from '../actors/index.ts'
import { ByteReader, ByteWriter, PROTOCOL_VERSION, systemClock } from '../bus/index.ts'
import { Intake } from '../loadgen/index.ts'
import { defineNF, forward, type Handles } from '../nf-apps/index.ts'
import { type Packet, symmetricFlow, symmetricFlowOf } from '../nf-apps/packet/index.ts'
import { firstView, SLOT_BITS, type View } from '../placement/index.ts'

const Flow = singleWriter('flow', { packets: u32, bytes: f64 })

/** Counts each flow's packets and bytes, and nothing else. */
export const flowCounter = defineNF('flow-counter', {
  state: { flows: Flow.keyedBy(symmetricFlow) },
  onPacket(p, { flows }) {
    if (p.l3Offset < 0) return forward
    return flows.with(symmetricFlowOf(p), (flow) => {
      flow.packets++
      flow.bytes += p.wireLength
      return forward
    })
  },
})

const noOutput = { emit: () => {} }

/** The steerer that the batches are from; what goes back to it is written and forgotten. */
const STEERER = 2

/** An instance's actor space and intake as `Instance` wires them, without links: all slots and all actors are home. */
export class SoloInstance {
  readonly space: Space
  readonly intake: Intake
  readonly view: View
  readonly handles: Handles<typeof flowCounter.state>

  constructor() {
    const clock = systemClock()
    const w = new ByteWriter(64 * 1024)
    const out = {
      begin: () => {
        w.pos = 0
        return w
      },
      end: () => {},
      creditLeft: () => 1,
      consumed: () => {},
    }
    const slotBits = SLOT_BITS
    const space = new Space({ self: 1, types: flowCounter.state, out, clock, slotBits })
    const handles = space.handles as Handles<typeof flowCounter.state>
    this.space = space
    this.handles = handles
    this.intake = new Intake({
      out,
      clock,
      slotBits,
      handler: (packet, output) => flowCounter.onPacket(packet, handles, undefined, output),
      onError: (_packet, error) => {
        throw error
      },
      onPacketTime: (us) => {
        space.packetUs = us
      },
      pressed: () => space.pressed,
      foresee: (hashes, count) => space.foresee(hashes, count),
      onFlipped: (slot) => space.follow(slot),
      wake: () => {},
      wallMs: () => performance.timeOrigin + performance.now(),
    })
    const member = { id: 'solo', role: 'instance' as const, protocol: PROTOCOL_VERSION, schema: '' }
    this.view = firstView(member)
    space.onView(this.view)
  }

  /** A packet to the NF's handler alone, past the intake. */
  onPacket(packet: Packet): void {
    flowCounter.onPacket(packet, this.handles, undefined, noOutput)
  }

  /** Batches as a steerer's link delivers them: from their bytes to the verdicts that go back. */
  take(batches: readonly Uint8Array[]): number {
    const { stats } = this.intake
    const before = stats.packets
    for (const batch of batches) this.intake.onPackets(STEERER, new ByteReader(batch))
    return stats.packets - before
  }
}
