import { Random } from '../../../loadgen/index.ts'

/** Something that reads bytes or texts from outside, and a source of inputs that are nearly right. */
export interface Target {
  readonly name: string
  /** Inputs of one block: each begins afresh, so that a failing one can be had again without those before it. */
  readonly block: number
  begin(random: Random): Block
}
export interface Block {
  /** One more input; true if it came past the first decoder. Throws what the product must not throw. */
  once(): boolean
  /** Lets what was begun go on; called every now and then. */
  settle?(): Promise<void>
  /** The block is over: what has come of it must still be there to be read. */
  end?(): Promise<void>
}

export interface FuzzOptions {
  readonly seed: number
  readonly count: number
  /** Milliseconds. */
  readonly now: () => number
  readonly until: number
  readonly heapMb: () => number
  /** Processor time that this process has had (s). */
  readonly cpu: () => number
  readonly onProgress?: (report: FuzzReport) => void
}
export interface FuzzReport {
  readonly target: string
  inputs: number
  passed: number
  seconds: number
  cpuSeconds: number
  slowestMs: number
  heapMb: number
  /** The seed and the number of inputs that fail, and why. */
  failure: { readonly seed: number; readonly count: number; readonly why: string } | undefined
}

/** Inputs between two breaths: what was begun goes on, and others get the processor. */
const BREATH = 256
/** No input of some kilobytes may take so long, also where others have the processor meanwhile (ms). */
const HANG_MS = 30_000
/** Nothing that a block leaves behind may make a process larger than this (MB). */
const HEAP_MB_MAX = 1_500

/** Feeds a target until its time or its count is over, or until something fails. */
export async function fuzz(target: Target, o: FuzzOptions): Promise<FuzzReport> {
  const began = o.now()
  const cpu = o.cpu()
  const report: FuzzReport = {
    target: target.name,
    inputs: 0,
    passed: 0,
    seconds: 0,
    cpuSeconds: 0,
    slowestMs: 0,
    heapMb: 0,
    failure: undefined,
  }
  for (let at = 0; report.inputs < o.count && o.now() < o.until && !report.failure; at++) {
    const inputs = Math.min(target.block, o.count - report.inputs)
    await runBlock(target, (o.seed + at) >>> 0, inputs, o, report)
    report.seconds = (o.now() - began) / 1000
    report.cpuSeconds = o.cpu() - cpu
    o.onProgress?.(report)
  }
  return report
}

async function runBlock(
  target: Target,
  seed: number,
  inputs: number,
  o: FuzzOptions,
  report: FuzzReport,
): Promise<void> {
  let count = 0
  try {
    const block = target.begin(new Random(seed))
    while (count < inputs && (count % BREATH !== 0 || o.now() < o.until)) {
      const start = o.now()
      count++
      if (block.once()) report.passed++
      report.inputs++
      const took = o.now() - start
      report.slowestMs = Math.max(report.slowestMs, took)
      if (took > HANG_MS) throw new Error(`an input took ${took.toFixed(0)} ms`)
      if (count % BREATH === 0) await block.settle?.()
    }
    await block.settle?.()
    await block.end?.()
    report.heapMb = Math.max(report.heapMb, o.heapMb())
    if (report.heapMb > HEAP_MB_MAX) throw new Error(`memory: ${report.heapMb.toFixed(0)} MB`)
  } catch (error) {
    const why = error instanceof Error ? (error.stack ?? error.message) : String(error)
    report.failure = { seed, count, why }
  }
}
