import { wallMs } from '../bus/index.ts'
import type { Source } from '../cli/index.ts'
import { CaptureRecord, SyntheticTraffic, syntheticDefaults } from '../loadgen/index.ts'
import { Packet, steeringHash } from '../nf-apps/packet/index.ts'

/** Verdicts that are kept, each of a batch. */
const VERDICTS_MAX = 1 << 21

/** Latencies of the packets that were due in a window of time. */
export interface Window {
  readonly fromMs: number
  readonly packets: number
  readonly p50: number
  readonly p99: number
}

/** What came of packets, batch by batch, by when the first of the batch was due: no latency is told too low by that. */
export class Verdicts {
  private readonly dueMs = new Float64Array(VERDICTS_MAX)
  private readonly us = new Float64Array(VERDICTS_MAX)
  private readonly packets = new Uint32Array(VERDICTS_MAX)
  private count = 0

  note(dueMs: number, packets: number): void {
    if (this.count === VERDICTS_MAX) throw new Error('the bench took longer than was foreseen')
    this.dueMs[this.count] = dueMs
    this.us[this.count] = (wallMs() - dueMs) * 1000
    this.packets[this.count++] = packets
  }

  /** By windows of `widthMs`, of what was due from `fromMs` to `toMs`. */
  windows(fromMs: number, toMs: number, widthMs: number): Window[] {
    const found = new Map<number, number[]>()
    for (let i = 0; i < this.count; i++) {
      const due = this.dueMs[i]!
      if (due < fromMs || due >= toMs) continue
      const at = Math.floor((due - fromMs) / widthMs)
      const window = found.get(at)
      if (window) window.push(i)
      else found.set(at, [i])
    }
    return [...found].map(([at, verdicts]) => {
      verdicts.sort((a, b) => this.us[a]! - this.us[b]!)
      const packets = verdicts.reduce((n, i) => n + this.packets[i]!, 0)
      const p50 = this.percentile(verdicts, packets, 0.5)
      const p99 = this.percentile(verdicts, packets, 0.99)
      return { fromMs: fromMs + at * widthMs, packets, p50, p99 }
    })
  }

  private percentile(sorted: readonly number[], packets: number, part: number): number {
    let left = packets * part
    for (const i of sorted) {
      left -= this.packets[i]!
      if (left <= 0) return this.us[i]!
    }
    return 0
  }
}

/** Offers packets at a steady rate, each due at its own time whether or not the one before is through. */
export class Load {
  offered = 0
  /** When the packet that is being offered was due (wall clock, ms). */
  dueMs = 0
  private readonly traffic: SyntheticTraffic
  private readonly record = new CaptureRecord()
  private readonly packet = new Packet()
  private perMs = 0
  private startMs = 0
  private since = 0
  private hash = 0
  private refused = false

  constructor(flows: number) {
    const settings = { ...syntheticDefaults, flows, packets: 1e9, payload: [0, 0] as const }
    this.traffic = new SyntheticTraffic(settings)
  }

  /** From now on at this rate; Infinity: as fast as they go. */
  begin(perSecond: number): void {
    this.startMs = wallMs()
    this.perMs = perSecond / 1000
    this.since = 0
  }

  /** Offers what is due by now, or a burst of what is always due. */
  step(source: Source): void {
    for (let n = 0; n < BURST_MAX; n++) {
      const due = this.startMs + this.since / this.perMs
      if (due > wallMs()) break
      if (!this.refused) this.make()
      this.dueMs = this.perMs === Number.POSITIVE_INFINITY ? wallMs() : due
      this.refused = !source.steerer.offer(this.record, this.hash)
      if (this.refused) break
      this.offered++
      this.since++
    }
    source.steerer.flush()
    source.member.wake()
  }

  private make(): void {
    const { record, packet } = this
    this.traffic.next(record)
    const { bytes, start, end, linkType, wireLength, timeUs } = record
    packet.load(bytes, start, end, linkType, wireLength, timeUs, 0, 0, 0)
    this.hash = steeringHash(packet)
  }
}

/** Packets offered between two looks at what has come in. */
const BURST_MAX = 256
