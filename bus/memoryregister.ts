import type { FaultPlan, RegisterFault, RegisterOp } from './faults.ts'
import type { Clock, Entry, Register } from './port.ts'

/** Values that a name has had, oldest first; undefined where it was removed. */
type Past = (Entry | undefined)[]
/** Enough of them to answer stale. */
const PAST_MAX = 16

interface Watcher {
  readonly prefix: string
  readonly onChange: (name: string, entry: Entry | undefined) => void
  /** Changes under way to it: a delay may hold them all up, but they come in order. */
  readonly notices: (() => void)[]
  stopped: boolean
}

/** The register itself, held by the hub; each bus has its own door to it. */
export interface HeldRegister {
  readonly entries: Map<string, Past>
  readonly watchers: Set<Watcher>
  revision: number
  /** Operations that wait for the hub to come back. */
  readonly waiting: (() => void)[]
  away: boolean
}

const NO_FAULT: RegisterFault = {}

export class MemoryRegister implements Register {
  private readonly held: HeldRegister
  private readonly clock: Clock
  private readonly faults: FaultPlan
  private readonly own = new Set<Watcher>()

  constructor(held: HeldRegister, clock: Clock, faults: FaultPlan) {
    this.held = held
    this.clock = clock
    this.faults = faults
  }

  get(name: string): Promise<Entry | undefined> {
    return this.run('get', name, (fault) => {
      const past = this.held.entries.get(name) ?? []
      return past[Math.max(0, past.length - 1 - (fault.stale ?? 0))]
    })
  }

  put(name: string, value: Uint8Array, expected: number): Promise<number | undefined> {
    const bytes = value.slice()
    return this.run('put', name, () => {
      const present = this.held.entries.get(name)?.at(-1)
      if ((present?.revision ?? 0) !== expected) return undefined
      return this.change(name, bytes)
    })
  }

  async set(name: string, value: Uint8Array): Promise<void> {
    const bytes = value.slice()
    await this.run('set', name, () => this.change(name, bytes))
  }

  async remove(name: string): Promise<void> {
    await this.run('remove', name, () => {
      if (this.held.entries.get(name)?.at(-1)) this.change(name, undefined)
    })
  }

  async watch(
    prefix: string,
    onChange: (name: string, entry: Entry | undefined) => void,
  ): Promise<{ stop(): void }> {
    const watcher: Watcher = { prefix, onChange, notices: [], stopped: false }
    this.own.add(watcher)
    await this.run('get', prefix, () => {
      this.held.watchers.add(watcher)
      for (const [name, past] of this.held.entries) {
        const entry = past.at(-1)
        if (entry && name.startsWith(prefix)) onChange(name, entry)
      }
    })
    return { stop: () => this.stopWatcher(watcher) }
  }

  stop(): void {
    for (const watcher of this.own) this.stopWatcher(watcher)
  }

  private stopWatcher(watcher: Watcher): void {
    watcher.stopped = true
    this.own.delete(watcher)
    this.held.watchers.delete(watcher)
  }

  private change(name: string, value: Uint8Array | undefined): number {
    const { held } = this
    const revision = ++held.revision
    const past = held.entries.get(name) ?? []
    const entry = value ? { value, revision } : undefined
    past.push(entry)
    if (past.length > PAST_MAX) past.shift()
    held.entries.set(name, past)
    for (const watcher of held.watchers)
      if (name.startsWith(watcher.prefix)) this.notify(watcher, name, entry)
    return revision
  }

  private notify(watcher: Watcher, name: string, entry: Entry | undefined): void {
    const { before = 0 } = this.faults.register?.('notice', name) ?? NO_FAULT
    watcher.notices.push(() => watcher.onChange(name, entry))
    this.defer(before, () => {
      const next = watcher.notices.shift()
      if (!watcher.stopped) next?.()
    })
  }

  private run<T>(op: RegisterOp, name: string, act: (fault: RegisterFault) => T): Promise<T> {
    const fault = this.faults.register?.(op, name) ?? NO_FAULT
    return new Promise((resolve) => {
      const attempt = (): void => {
        if (this.held.away) {
          this.held.waiting.push(attempt)
          return
        }
        const result = act(fault)
        this.defer(fault.after ?? 0, () => resolve(result))
      }
      this.defer(fault.before ?? 0, attempt)
    })
  }

  private defer(ms: number, run: () => void): void {
    if (ms > 0) this.clock.after(ms, run)
    else this.clock.soon(run)
  }
}
