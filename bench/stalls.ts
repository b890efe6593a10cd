import { openSync, readSync } from 'node:fs'

/** The longest time between two looks at the clock (ms), and what the thread did in it. */
export interface Stall {
  readonly ms: number
  /** It ran, what the collector does on it included. Both are 0 where the system does not tell. */
  readonly ranMs: number
  /** It was to run, and others had the processors. */
  readonly waitedMs: number
}

const NONE: Stall = { ms: 0, ranMs: 0, waitedMs: 0 }
const EVERY_MS = 1

/** Looks at the clock each millisecond, and tells the longest stall since it was last asked. */
export class Stalls {
  private longest = NONE
  private at = performance.now()
  private readonly times = new Times()

  constructor() {
    setInterval(() => this.look(), EVERY_MS)
  }

  private look(): void {
    const { at, times } = this
    const { ranMs, waitedMs } = times
    this.at = performance.now()
    times.read()
    const ms = this.at - at
    if (ms <= this.longest.ms) return
    this.longest = { ms, ranMs: times.ranMs - ranMs, waitedMs: times.waitedMs - waitedMs }
  }

  /** `forget`: the next stall is counted from now on. */
  tell(forget: boolean): Stall {
    this.look()
    const { longest } = this
    if (forget) this.longest = NONE
    return longest
  }
}

/** Of this process's main thread since its start, as Linux tells: how long it ran, and how long it waited for a processor. */
class Times {
  ranMs = 0
  waitedMs = 0
  private readonly file = opened(`/proc/self/task/${process.pid}/schedstat`)
  private readonly bytes = Buffer.alloc(64)

  constructor() {
    this.read()
  }

  read(): void {
    if (this.file < 0) return
    const length = readSync(this.file, this.bytes, 0, this.bytes.length, 0)
    const [ran = '', waited = ''] = this.bytes.toString('latin1', 0, length).split(' ')
    this.ranMs = Number(ran) / 1e6
    this.waitedMs = Number(waited) / 1e6
  }
}

function opened(path: string): number {
  try {
    return openSync(path, 'r')
  } catch {
    return -1 // no Linux
  }
}
