import { f64, Space, singleWriter, u32 } from '../actors/index.ts'
import { ByteReader, ByteWriter, PROTOCOL_VERSION, systemClock, wallMs } from '../bus/index.ts'
import { Intake } from '../loadgen/index.ts'
import { defineNF, forward, type Handles, type NF, type StateMap } from '../nf-apps/index.ts'
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

export type FlowCounter = SoloInstance<typeof flowCounter.state, undefined>
export const counting = (): FlowCounter => new SoloInstance(flowCounter, undefined)

const noOutput = {
  emit() {},
  event() {},
  takesEvents: false,
  steersAlike: () => true,
  lowUs: () => 0,
}

const SELF = 1
/** The steerer that the batches are from; what goes back to it is written and forgotten. */
const STEERER = 2

/** An instance's actor space and intake as `Instance` wires them, without links: all slots and all actors are home. */
export class SoloInstance<S extends StateMap, E> {
  readonly space: Space
  readonly intake: Intake
  readonly view: View
  readonly handles: Handles<S>
  private readonly time = { us: 0 }
  private readonly nf: NF<S, E>
  private readonly env: E
  /** Messages to itself. */
  private own: { kind: number; payload: Uint8Array }[] = []

  constructor(nf: NF<S, E>, env: E) {
    this.nf = nf
    this.env = env
    const clock = systemClock()
    const w = new ByteWriter(64 * 1024)
    let to = SELF
    let sent = 0
    const begin = (member: number, kind: number) => {
      w.pos = 0
      to = member
      sent = kind
      return w
    }
    const out = {
      begin,
      beginPart: begin,
      beginFurther: () => undefined,
      openParts: () => undefined,
      end: () => {
        if (to === SELF) this.own.push({ kind: sent, payload: new Uint8Array(w.written()) })
      },
      creditLeft: () => 1,
      consumed: () => {},
    }
    const slotBits = SLOT_BITS
    const space = new Space({ self: SELF, types: nf.state, out, clock, slotBits })
    const { time } = this
    const handles = space.handlesAt(time) as Handles<S>
    this.space = space
    this.handles = handles
    this.intake = new Intake({
      out,
      clock,
      slotBits,
      handler: (packet, output) => {
        time.us = packet.clockUs
        return nf.onPacket(packet, handles, env, output)
      },
      onError: (_packet, error) => {
        throw error
      },
      pressed: () => space.pressed,
      receiverOf: () => SELF,
      isGone: () => false,
      foresees: () => space.foresees,
      foresee: (hashes, count) => space.foresee(hashes, count),
      onFlipped: (slot) => space.follow(slot),
      wake: () => {},
      wallMs,
    })
    const member = { id: 'solo', role: 'instance' as const, protocol: PROTOCOL_VERSION, schema: '' }
    this.view = firstView(member)
    space.onView(this.view)
  }

  /** A packet to the NF's handler alone, past the intake. */
  onPacket(packet: Packet): void {
    this.nf.onPacket(packet, this.handles, this.env, noOutput)
  }

  /** Batches as a steerer's link delivers them: from their bytes to the verdicts that go back. */
  take(batches: readonly Uint8Array[]): number {
    const { stats } = this.intake
    const before = stats.packets
    for (const batch of batches) this.intake.onPackets(STEERER, new ByteReader(batch))
    return stats.packets - before
  }

  /** The NF's result: its actors answer in messages, to itself. */
  async result(): Promise<string[]> {
    let open = true
    const result = this.nf.result(this.handles, this.env).finally(() => {
      open = false
    })
    while (open) {
      const own = this.own
      this.own = []
      for (const { kind, payload } of own) {
        this.space.onMessage(SELF, kind, new ByteReader(payload), this.view.epoch)
      }
      this.space.step()
      await new Promise(setImmediate)
    }
    return result
  }
}
