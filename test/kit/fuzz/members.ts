import {
  f64,
  list,
  multiWriter,
  numberKey,
  singleWriter,
  stale,
  untether,
} from '../../../actors/index.ts'
import { PROTOCOL_VERSION, RehomeError } from '../../../bus/index.ts'
import { Instance, Source } from '../../../cli/index.ts'
import { CaptureRecord, type Random } from '../../../loadgen/index.ts'
import { defineNF, forward, type Handles } from '../../../nf-apps/index.ts'
import { build, LINK_ETHERNET, Packet, steeringHash } from '../../../nf-apps/packet/index.ts'
import {
  decodeView,
  emptyView,
  encodeView,
  type Member,
  movesDue,
  rebalanced,
  type View,
  withLeaving,
  withMember,
  without,
} from '../../../placement/index.ts'
import { SimClock } from '../sim/clock.ts'
import { mutateBytes, pick } from './mutate.ts'
import type { Block, Target } from './run.ts'

const SLOT_BITS = 4

const shape = { n: f64, log: list<number>('id') }
const note = (s: { n: number; log: number[] }, x: number) => {
  s.n++
  s.log = [...s.log.slice(-8), x]
}
const chat = defineNF('chat', {
  state: {
    singles: singleWriter('single', shape, {
      n: stale((s) => s.n, { withinMs: 5 }),
    }).keyedBy(numberKey),
    multis: multiWriter('multi', shape, {
      append: (s, x: number) => {
        note(s, x)
        return s.n
      },
      post: untether((s, x: number) => note(s, x), { merge: (a, b) => a + b }),
      read: stale((s) => s.log, { withinMs: 5 }),
    }).keyedBy(numberKey),
  },
  onPacket(p, { singles }) {
    return singles.with(p.srcPort & 7, (s) => {
      note(s, p.index)
      return forward
    })
  },
})
type Chat = Handles<typeof chat.state>

const info = (id: string, role: Member['role']) => ({
  id,
  role,
  protocol: PROTOCOL_VERSION,
  schema: 'chat',
})

/** Two instances and a source that talk; frames to the first one also come once more, a little wrong. */
class Conversation implements Block {
  private readonly clock = new SimClock()
  private readonly random: Random
  private readonly one: Instance
  private readonly other: Instance
  private readonly source: Source
  private view: View
  private settled = new Map<number, number>()
  private readonly frames: Uint8Array[] = []
  private packets = 0

  constructor(random: Random) {
    this.random = random
    const nf = chat
    const settings = { types: nf.state, slotBits: SLOT_BITS }
    this.one = new Instance('one', nf, undefined, this.ports(1), settings)
    this.other = new Instance('other', nf, undefined, this.ports(2), settings)
    this.source = new Source(nf, this.ports(3), settings, {
      wallMs: () => 0,
      flipsPerStep: 4,
      flipEveryMs: 1,
    })
    let view = emptyView(SLOT_BITS)
    view = withMember(view, info('one', 'instance'), this.settled)
    view = withMember(view, info('other', 'instance'), this.settled)
    this.view = withMember(view, info('source', 'steerer'), this.settled)
    this.show()
  }

  private ports(self: number) {
    return {
      self,
      clock: this.clock,
      transmit: (to: number, frame: Uint8Array) => this.carry(to, new Uint8Array(frame)),
      wantView: () => {},
      onSettled: (epoch: number) => void this.settled.set(self, epoch),
      onLeft: () => {},
      // What a wrong message says is told and goes no further.
      onError: () => {},
      wallMs: () => 0,
    }
  }
  private get bodies() {
    return [this.one, this.other, this.source]
  }
  private show(): void {
    for (const body of this.bodies) body.member.onView(this.view)
  }

  private carry(to: number, frame: Uint8Array): void {
    if (to === 1) {
      if (this.frames.length < 64) this.frames.push(frame)
      else this.frames[this.random.below(64)] = frame
    }
    this.clock.after(0.1, () => this.bodies[to - 1]?.member.receive(frame))
  }

  once(): boolean {
    this.talk()
    if (this.frames.length === 0) return true
    const frame = this.wrongFrame()
    this.one.member.receive(frame)
    this.pass(this.random.unit())
    return looksLikeAFrame(frame)
  }

  private wrongFrame(): Uint8Array {
    const { random } = this
    let frame = new Uint8Array(pick(this.frames, random))
    const head = random.below(4) === 0
    if (frame.length <= HEAD || head) mutateBytes(frame, 3, Math.min(frame.length, HEAD), random)
    else mutateBytes(frame, HEAD, frame.length, random)
    if (random.below(16) === 0) frame = frame.slice(0, random.below(frame.length))
    return frame
  }

  private talk(): void {
    const { random } = this
    const body = random.below(2) === 0 ? this.one : this.other
    const { singles, multis } = body.member.space.handles as Chat
    const key = random.below(8)
    const how = random.below(9)
    const quiet = (work: () => unknown) => {
      try {
        const done = work()
        if (done instanceof Promise) done.catch(() => {})
      } catch (error) {
        if (!(error instanceof RehomeError)) throw error
      }
    }
    if (how === 0) quiet(() => singles.with(key, (s) => note(s, key)))
    else if (how === 1) quiet(() => singles.remove(key))
    else if (how === 2) quiet(() => singles.at(key).n())
    else if (how === 3) quiet(() => multis.at(key).append(key))
    else if (how === 4) quiet(() => multis.at(key).post(key))
    else if (how === 5) quiet(() => multis.at(key).read())
    else if (how === 6) quiet(() => multis.lookup(key))
    else if (how === 7) quiet(() => multis.remove(key))
    else this.send()
    if (random.below(200) === 0) this.rebalance()
  }

  private send(): void {
    const record = new CaptureRecord()
    const udp = build.udp({ srcPort: this.random.below(64), dstPort: 53 }, 'x')
    const bytes = build.ethernet({}, build.ipv4({ src: '10.0.0.1', dst: '10.0.0.2' }, udp))
    record.bytes = bytes
    record.end = record.wireLength = bytes.length
    record.linkType = LINK_ETHERNET
    record.timeUs = ++this.packets
    const p = new Packet().load(bytes, 0, bytes.length, LINK_ETHERNET, bytes.length, 0, 0, 0, 0)
    this.source.steerer.offer(record, steeringHash(p))
    this.source.steerer.flush()
    this.source.member.wake()
  }

  private rebalance(): void {
    const next = rebalanced(this.view, this.settled)
    if (!next) return
    this.view = next
    this.show()
  }

  private pass(ms: number): void {
    let over = false
    this.clock.after(ms, () => {
      over = true
    })
    while (!over) this.clock.step()
  }

  async settle(): Promise<void> {
    await undefined // what has been answered goes on
  }

  async end(): Promise<void> {
    this.pass(500)
    // It lives: it can still be asked.
    if (this.one.report().no !== 1) throw new Error('it does not know who it is')
    const held = this.one.member.links.held()
    if (held > HELD_BYTES_MAX) throw new Error(`it holds ${held} bytes of frames`)
  }
}
const HEAD = 48
/** Two peers' windows, and what forged members may leave behind. */
const HELD_BYTES_MAX = 64 << 20

/** What any reader of frames looks at first. */
function looksLikeAFrame(frame: Uint8Array): boolean {
  if (frame.length < HEAD) return false
  const view = new DataView(frame.buffer, frame.byteOffset, frame.length)
  const ours = view.getUint16(0, true) === 0x4852 && frame[2] === PROTOCOL_VERSION
  return ours && view.getUint32(16, true) === frame.length
}

/** A view that random joins, leaves and reports have made. */
function anyView(random: Random): { view: View; settled: Map<number, number> } {
  let view = emptyView(2 + random.below(6))
  const settled = new Map<number, number>()
  for (let n = 2 + random.below(12); n > 0; n--) {
    const some = view.members[random.below(Math.max(1, view.members.length))]
    const how = random.below(8)
    if (how < 4 || !some) {
      const role = random.below(6) === 0 ? 'steerer' : 'instance'
      view = withMember(view, info(`m${view.nextNo}`, role), settled)
    } else if (how === 4) view = withLeaving(view, some.no, settled) ?? view
    else if (how === 5) view = without(view, some.no, settled) ?? view
    else settled.set(some.no, view.epoch)
    view = rebalanced(view, settled) ?? view
  }
  return { view, settled }
}

/** Decoded, it is a view that the next ones can follow. */
function viewBlock(random: Random): Block {
  return {
    once() {
      const { view, settled } = anyView(random)
      const owner = view.owner.slice()
      const holder = view.holder.slice()
      const since = view.since.slice()
      const nos = [...view.members.map((m) => m.no), 0, view.nextNo]
      const change = random.below(6)
      const slot = random.below(owner.length)
      if (change === 0) owner[slot] = pick(nos, random)
      if (change === 1) holder[slot] = pick(nos, random)
      if (change === 2) since[slot] = random.below(view.epoch + 2)
      const bytes = encodeView({ ...fieldsOf(view), owner, holder, since })
      if (change === 3) mutateBytes(bytes, 0, bytes.length, random)
      try {
        const read = decodeView(bytes)
        const next = withMember(read, info('next', 'instance'), settled)
        for (const m of read.members) without(next, m.no, settled)
        if (movesDue(next) < 0) throw new Error('fewer than no slots are to move')
        return true
      } catch (error) {
        if (error instanceof RehomeError) return false
        throw error
      }
    },
  }
}

function fieldsOf({ epoch, slotBits, members, nextNo, crash }: View) {
  return { epoch, slotBits, members, nextNo, crash }
}

export const memberTargets: readonly Target[] = [
  { name: 'frames', block: 5_000, begin: (random) => new Conversation(random) },
  { name: 'views', block: 10_000, begin: viewBlock },
]
