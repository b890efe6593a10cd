import { type Clock, type Entry, type Register, RehomeError } from '../../bus/index.ts'

interface Timer {
  readonly at: number
  readonly run: () => void
}

/** A clock whose time passes only in `run`. */
export class FakeClock implements Clock {
  private time = 0
  private readonly timers = new Set<Timer>()

  now(): number {
    return this.time
  }
  after(ms: number, run: () => void): { cancel(): void } {
    const timer = { at: this.time + ms, run }
    this.timers.add(timer)
    return { cancel: () => void this.timers.delete(timer) }
  }
  soon(run: () => void): void {
    this.after(0, run)
  }

  /** Lets time pass until `done` holds: true; or until `ms` have passed or nothing is left to happen. */
  async run(done: () => boolean, ms: number): Promise<boolean> {
    const end = this.time + ms
    for (;;) {
      await settle()
      if (done()) return true
      const next = this.earliest()
      if (!next || next.at > end) {
        this.time = end
        return false
      }
      this.timers.delete(next)
      this.time = Math.max(this.time, next.at)
      next.run()
    }
  }

  private earliest(): Timer | undefined {
    let first: Timer | undefined
    for (const timer of this.timers) if (!first || timer.at < first.at) first = timer
    return first
  }
}

/** Lets every promise that can go on do so. */
function settle(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve)
  })
}

export interface RegisterFaults {
  /** Longest way there, and back. */
  delayMs: number
  /** How old the answer of a `get` may be. */
  staleMs: number
  /** Part of the requests that fail, before or after they took effect. */
  failing: number
}

interface Version {
  readonly at: number
  readonly entry: Entry | undefined
}

/**
 * A register under a fake clock that takes its time, answers with outdated values and fails, as a replicated one does.
 * Its comparisons hold, and each watch sees the changes in order.
 */
export class FakeRegister implements Register {
  readonly faults: RegisterFaults
  private readonly clock: Clock
  private readonly random: () => number
  private readonly history = new Map<string, Version[]>()
  private readonly watches = new Set<(name: string, entry: Entry | undefined) => void>()
  private revision = 0

  constructor(clock: Clock, random: () => number, faults: RegisterFaults) {
    this.clock = clock
    this.random = random
    this.faults = faults
  }

  /** What is there in truth. */
  newest(name: string): Entry | undefined {
    return this.history.get(name)?.at(-1)?.entry
  }

  get(name: string): Promise<Entry | undefined> {
    return this.request(() => {
      const seen = this.clock.now() - this.random() * this.faults.staleMs
      return this.history.get(name)?.findLast((v) => v.at <= seen)?.entry
    })
  }
  put(name: string, value: Uint8Array, expected: number): Promise<number | undefined> {
    return this.request(() => {
      if ((this.newest(name)?.revision ?? 0) !== expected) return undefined
      return this.write(name, value)
    })
  }
  set(name: string, value: Uint8Array): Promise<void> {
    return this.request(() => {
      this.write(name, value)
    })
  }
  remove(name: string): Promise<void> {
    return this.request(() => {
      this.write(name, undefined)
    })
  }
  watch(
    prefix: string,
    onChange: (name: string, entry: Entry | undefined) => void,
  ): Promise<{ stop(): void }> {
    let stopped = false
    let last = 0
    const tell = (name: string, entry: Entry | undefined) => {
      if (!name.startsWith(prefix)) return
      last = Math.max(last, this.clock.now() + this.delay())
      this.clock.after(last - this.clock.now(), () => {
        if (!stopped) onChange(name, entry)
      })
    }
    return this.request(() => {
      for (const [name, versions] of this.history) {
        const entry = versions.at(-1)?.entry
        if (entry) tell(name, entry)
      }
      this.watches.add(tell)
      return {
        stop: () => {
          stopped = true
          this.watches.delete(tell)
        },
      }
    })
  }

  private write(name: string, value: Uint8Array | undefined): number {
    const entry = value && { value: value.slice(), revision: ++this.revision }
    const versions = this.history.get(name) ?? []
    versions.push({ at: this.clock.now(), entry })
    this.history.set(name, versions)
    for (const tell of this.watches) tell(name, entry)
    return this.revision
  }

  private delay(): number {
    return this.random() * this.faults.delayMs
  }
  private wait(): Promise<void> {
    return new Promise((resolve) => {
      this.clock.after(this.delay(), resolve)
    })
  }
  private async request<T>(take: () => T): Promise<T> {
    await this.wait()
    this.mayFail()
    const answer = take()
    await this.wait()
    this.mayFail()
    return answer
  }
  private mayFail(): void {
    if (this.random() < this.faults.failing)
      throw new RehomeError('bus-unavailable', 'the fake register failed', {}, 'indefinite')
  }
}
