import type { Source } from '../../../cli/index.ts'
import { CaptureRecord, Random } from '../../../loadgen/index.ts'
import { build, LINK_ETHERNET, Packet, steeringHash } from '../../../nf-apps/packet/index.ts'
import { encodeOrder, type Operation, operations } from './history.ts'

/** Few enough that operations meet, many enough that instances share them. */
const FLOWS = 96
const KEYS = 24
/** Packets without their verdicts: a cluster that is harmed gets no more than it can work off in a second or two. */
const UNDERWAY_MAX = 512
/** Packets offered at once when sending has fallen behind. */
const BURST_MAX = 256
const TICK_MS = 4

const WEIGHTS: Partial<Record<Operation, number>> = {
  packet: 20,
  append: 12,
  post: 14,
  add: 10,
  read: 10,
  peek: 3,
  remove: 1,
  with: 12,
  suspended: 3,
  ifPresent: 3,
  size: 6,
  lookup: 3,
  end: 2,
}

/** The packets of a soak, drawn from its seed. */
export class Traffic {
  sent = 0
  /** The last packet of each flow. */
  readonly flows = new Map<string, number>()
  private readonly source: Source
  private readonly random: Random
  private readonly draw: Operation[]
  private readonly record = new CaptureRecord()
  private readonly packet = new Packet()
  private next: { flow: number; seq: number; hash: number } | undefined

  constructor(source: Source, seed: number) {
    this.source = source
    this.random = new Random(seed + 1)
    this.draw = operations.flatMap((op) => new Array<Operation>(WEIGHTS[op] ?? 0).fill(op))
  }

  /** Sends at that rate until told to stop; what is refused for want of credit waits. */
  async send(rate: number, stop: () => boolean, onTick: () => void): Promise<void> {
    const { steerer, member } = this.source
    let owed = 0
    let last = performance.now()
    while (!stop()) {
      const now = performance.now()
      owed = Math.min(BURST_MAX, owed + ((now - last) * rate) / 1000)
      last = now
      while (owed >= 1 && this.underWay < UNDERWAY_MAX && this.offer()) owed--
      steerer.flush()
      member.wake()
      onTick()
      await new Promise((go) => setTimeout(go, TICK_MS))
    }
  }

  private get underWay(): number {
    const { index, forwarded, dropped, lost } = this.source.steerer
    return index - forwarded - dropped - lost
  }

  private offer(): boolean {
    const next = this.next ?? this.make()
    this.next = next
    if (!this.source.steerer.offer(this.record, next.hash)) return false
    this.flows.set(`flows/${next.flow}`, next.seq)
    this.sent++
    this.next = undefined
    return true
  }

  private make(): { flow: number; seq: number; hash: number } {
    const { random, record } = this
    const flow = random.below(FLOWS)
    const seq = (this.flows.get(`flows/${flow}`) ?? 0) + 1
    const op = operations.indexOf(this.draw[random.below(this.draw.length)]!)
    const id = 2 * (this.sent + 1)
    const payload = encodeOrder({
      op,
      key: random.below(KEYS),
      flow,
      seq,
      id,
      x: 1 + random.below(9),
      waits: random.unit() < 0.5,
    })
    const udp = build.udp({ srcPort: 1000 + flow * 17, dstPort: 53 }, payload)
    const ends = { src: '10.0.0.1', dst: `10.0.0.${flow + 2}` }
    const bytes = build.ethernet({}, build.ipv4(ends, udp))
    record.bytes = bytes
    record.start = 0
    record.end = bytes.length
    record.wireLength = bytes.length
    record.linkType = LINK_ETHERNET
    record.timeUs = performance.now() * 1000
    this.packet.load(bytes, 0, bytes.length, LINK_ETHERNET, bytes.length, record.timeUs, 0, 0, 0)
    return { flow, seq, hash: steeringHash(this.packet) }
  }

  /** Every packet has its verdict. */
  async drained(): Promise<void> {
    const { steerer, member } = this.source
    while (steerer.outstanding > 0) {
      steerer.flush()
      member.wake()
      await new Promise((go) => setTimeout(go, 10))
    }
  }
}
