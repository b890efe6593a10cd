import type { NatsConnection } from 'nats'

/** Calls of one frame: some 16 KiB, which measured best. */
const BATCH_CALLS = 1024

/** Calls batched by hand, as an expert would who needs an echo and nothing else. */
export class BatchedEcho {
  private readonly nc: NatsConnection
  private readonly waiting: ((value: number) => void)[] = []
  private readonly free: number[] = []
  private bytes = Buffer.allocUnsafeSlow(BATCH_CALLS * 16)
  private view = new DataView(this.bytes.buffer)
  private count = 0
  private set = false

  constructor(nc: NatsConnection) {
    this.nc = nc
    nc.subscribe('replies', { callback: (_error, m) => this.onReplies(m.data) })
  }

  call(key: number): Promise<number> {
    return new Promise((resolve) => {
      const id = this.free.pop() ?? this.waiting.length
      this.waiting[id] = resolve
      const at = this.count++ * 16
      this.view.setUint32(at, id, true)
      this.view.setFloat64(at + 4, key, true)
      this.view.setUint32(at + 12, 1, true)
      if (this.count === BATCH_CALLS) this.flush()
      else if (!this.set) {
        this.set = true
        setImmediate(() => {
          this.set = false
          this.flush()
        })
      }
    })
  }

  private flush(): void {
    if (this.count === 0) return
    this.nc.publish('batch', this.bytes.subarray(0, this.count * 16))
    this.bytes = Buffer.allocUnsafeSlow(BATCH_CALLS * 16) // nats.js keeps what it was given
    this.view = new DataView(this.bytes.buffer)
    this.count = 0
  }

  private onReplies(data: Uint8Array): void {
    const view = new DataView(data.buffer, data.byteOffset, data.length)
    for (let at = 0; at < data.length; at += 12) {
      const id = view.getUint32(at, true)
      this.free.push(id)
      this.waiting[id]!(view.getFloat64(at + 4, true))
    }
  }
}

/** The other end: adds what each call says, and answers the sum. */
export function serveBatches(nc: NatsConnection): void {
  let n = 0
  nc.subscribe('batch', {
    callback: (_error, m) => {
      // Each call 16 bytes: its number, then an actor's key, then what to add. Each reply 12.
      const calls = new DataView(m.data.buffer, m.data.byteOffset, m.data.length)
      const reply = Buffer.allocUnsafeSlow((m.data.length / 16) * 12)
      const out = new DataView(reply.buffer)
      for (let at = 0, to = 0; at < m.data.length; at += 16, to += 12) {
        n += calls.getUint32(at + 12, true)
        out.setUint32(to, calls.getUint32(at, true), true)
        out.setFloat64(to + 4, n, true)
      }
      nc.publish('replies', reply)
    },
  })
}
