import { RehomeError } from './errors.ts'
import type { FaultPlan } from './faults.ts'
import { type HeldRegister, MemoryRegister } from './memoryregister.ts'
import type { Bus, Clock, MemberNo, Register } from './port.ts'

export interface MemoryHubOptions {
  readonly clock: Clock
  readonly faults?: FaultPlan
}

/**
 * A bus within one process: the embedded default, and the simulator's. It carries the same bytes as
 * NATS does and never calls back from within a call: all comes through the clock's `soon` or `after`.
 */
export class MemoryHub {
  private readonly clock: Clock
  private readonly faults: FaultPlan
  private readonly listeners = new Map<MemberNo, (frame: Uint8Array) => void>()
  private readonly register: HeldRegister
  private readonly buses = new Set<MemoryBus>()
  private targets: MemberNo[] = []
  private frames: Uint8Array[] = []
  private soonSet = false
  private away = false

  constructor(options: MemoryHubOptions) {
    this.clock = options.clock
    this.faults = options.faults ?? {}
    this.register = {
      entries: new Map(),
      watchers: new Set(),
      revision: 0,
      waiting: [],
      away: false,
    }
  }

  connect(): Bus {
    const register = new MemoryRegister(this.register, this.clock, this.faults)
    const bus: MemoryBus = new MemoryBus(this, register, () => this.buses.delete(bus))
    this.buses.add(bus)
    return bus
  }

  /** As if the server went away: frames are lost and the register waits, until `mend`. */
  cut(): void {
    this.away = true
    this.register.away = true
  }

  mend(): void {
    this.away = false
    this.register.away = false
    for (const run of this.register.waiting.splice(0)) run()
    for (const bus of [...this.buses]) this.clock.soon(() => bus.reconnected())
  }

  listen(no: MemberNo, onFrame: (frame: Uint8Array) => void): void {
    if (this.listeners.has(no))
      throw new RehomeError('bad-argument', `somebody listens for member ${no} already`, { no })
    this.listeners.set(no, onFrame)
  }

  unlisten(no: MemberNo): void {
    this.listeners.delete(no)
  }

  carry(from: MemberNo | undefined, to: MemberNo, frame: Uint8Array): void {
    if (this.away) return
    const plan = this.faults.frame
    if (!plan) {
      this.enqueue(to, frame)
      return
    }
    for (const ms of plan(from, to, frame)) {
      if (ms <= 0) this.enqueue(to, frame)
      else this.clock.after(ms, () => this.listeners.get(to)?.(frame))
    }
  }

  private enqueue(to: MemberNo, frame: Uint8Array): void {
    this.targets.push(to)
    this.frames.push(frame)
    if (this.soonSet) return
    this.soonSet = true
    this.clock.soon(this.deliver)
  }

  /** One batch; what is published meanwhile is the next, so that timers have their turn between. */
  private readonly deliver = (): void => {
    const { targets, frames } = this
    this.targets = []
    this.frames = []
    this.soonSet = false
    for (let i = 0; i < frames.length; i++) {
      try {
        this.listeners.get(targets[i]!)?.(frames[i]!)
      } catch (e) {
        // A failing listener takes nothing from the others, and its error is seen all the same.
        this.clock.soon(() => {
          throw e
        })
      }
    }
  }
}

class MemoryBus implements Bus {
  readonly register: Register
  private readonly hub: MemoryHub
  private readonly onClose: () => void
  private readonly numbers = new Set<MemberNo>()
  private readonly reconnectListeners: (() => void)[] = []
  private readonly ownRegister: MemoryRegister
  private closed = false

  constructor(hub: MemoryHub, register: MemoryRegister, onClose: () => void) {
    this.hub = hub
    this.register = register
    this.ownRegister = register
    this.onClose = onClose
  }

  async listen(no: MemberNo, onFrame: (frame: Uint8Array) => void): Promise<{ stop(): void }> {
    if (this.closed) throw new RehomeError('closed', 'the bus has been closed')
    this.hub.listen(no, onFrame)
    this.numbers.add(no)
    return { stop: () => this.stopListening(no) }
  }

  private stopListening(no: MemberNo): void {
    if (this.numbers.delete(no)) this.hub.unlisten(no)
  }

  publish(to: MemberNo, frame: Uint8Array): void {
    if (this.closed) return
    const [from] = this.numbers
    this.hub.carry(from, to, frame)
  }

  /** Nothing is held back. */
  flush(): void {}

  onReconnect(listener: () => void): void {
    this.reconnectListeners.push(listener)
  }

  reconnected(): void {
    if (!this.closed) for (const listener of this.reconnectListeners) listener()
  }

  async close(): Promise<void> {
    if (this.closed) return
    this.closed = true
    for (const no of [...this.numbers]) this.stopListening(no)
    this.ownRegister.stop()
    this.onClose()
  }
}
