import { type ByteReader, type ByteWriter, RehomeError } from '../bus/index.ts'

/** Steps of 1/16 µs: 32 bits of them reach 268 s, and a longer latency counts as that. */
const STEPS_PER_US = 16
const STEPS_MAX = 0xffff_ffff
/** Buckets per power of two, so that a bucket is at most 1/128 of its value wide. */
const FINE_BITS = 7
const FINE = 1 << FINE_BITS
const BUCKETS = (32 - FINE_BITS) * FINE + FINE

/** In µs. */
export interface LatencySummary {
  p50: number
  p99: number
  p999: number
  max: number
}

/**
 * A histogram of latencies in log-linear buckets; a percentile read off is never too low and at most 1/128 too high.
 *
 * Why not the histogram of node:perf_hooks: it can be neither sent to another process nor filled from counts, and the
 * runner has to add up what its instances have measured. Here merging is adding counts. The tests hold its
 * percentiles against that library's.
 */
export class Latency {
  /** Recorded so far. */
  count = 0
  private maxUs = 0
  private readonly buckets = new Float64Array(BUCKETS)

  /** `n` packets that took so long. */
  record(us: number, n = 1): void {
    const steps = Math.min(Math.max(us * STEPS_PER_US, 0), STEPS_MAX)
    const bucket = bucketOf(steps >>> 0)
    this.buckets[bucket] = this.buckets[bucket]! + n
    this.count += n
    if (us > this.maxUs) this.maxUs = us
  }

  merge(other: Latency): void {
    for (let i = 0; i < BUCKETS; i++) this.buckets[i] = this.buckets[i]! + other.buckets[i]!
    this.count += other.count
    this.maxUs = Math.max(this.maxUs, other.maxUs)
  }

  /** What has been recorded since `earlier`, a histogram of this one's past. The maximum stays that of all. */
  since(earlier: Latency): Latency {
    const latency = new Latency()
    for (let i = 0; i < BUCKETS; i++) latency.buckets[i] = this.buckets[i]! - earlier.buckets[i]!
    latency.count = this.count - earlier.count
    latency.maxUs = this.maxUs
    return latency
  }

  /** The latency in µs that `percent` of all did not exceed; 0 when there are none. */
  percentile(percent: number): number {
    const rank = Math.max(1, Math.ceil((this.count * percent) / 100))
    let seen = 0
    for (let i = 0; i < BUCKETS; i++) {
      seen += this.buckets[i]!
      if (seen >= rank) return Math.min(upperEdgeUs(i), this.maxUs)
    }
    return this.maxUs
  }

  summary(): LatencySummary {
    return {
      p50: this.percentile(50),
      p99: this.percentile(99),
      p999: this.percentile(99.9),
      max: this.maxUs,
    }
  }

  reset(): void {
    this.buckets.fill(0)
    this.count = 0
    this.maxUs = 0
  }

  /** The filled buckets only: some hundred bytes as a rule. */
  encode(writer: ByteWriter): void {
    writer.f64(this.maxUs)
    writer.u16(this.buckets.reduce((filled, n) => (n > 0 ? filled + 1 : filled), 0))
    this.buckets.forEach((n, bucket) => {
      if (n === 0) return
      writer.u16(bucket)
      writer.f64(n)
    })
  }

  static decode(reader: ByteReader): Latency {
    const latency = new Latency()
    latency.maxUs = reader.f64()
    for (let filled = reader.u16(); filled > 0; filled--) {
      const bucket = reader.u16()
      const n = reader.f64()
      if (bucket >= BUCKETS || !(n > 0 && n <= Number.MAX_SAFE_INTEGER))
        throw new RehomeError('bad-frame', 'a latency histogram holds an impossible count')
      latency.buckets[bucket] = n
      latency.count += n
    }
    return latency
  }
}

/** Below 256 steps each has its own bucket; above, each power of two has 128. */
function bucketOf(steps: number): number {
  if (steps < 2 * FINE) return steps
  const drop = 31 - Math.clz32(steps) - FINE_BITS
  return drop * FINE + (steps >>> drop)
}

function upperEdgeUs(bucket: number): number {
  const drop = Math.max(0, (bucket >>> FINE_BITS) - 1)
  const fine = bucket - drop * FINE
  return ((fine + 1) * 2 ** drop) / STEPS_PER_US
}
