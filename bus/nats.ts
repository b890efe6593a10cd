import { setTimeout as delay } from 'node:timers/promises'
import { connect, Events, type NatsConnection, nuid, type Subscription } from 'nats'
import { RehomeError } from './errors.ts'
import { Inbox } from './natsinbox.ts'
import { encodeCluster, NatsRegister } from './natsregister.ts'
import type { Bus, MemberNo, Register } from './port.ts'

/** One server's time to answer a connection. */
const CONNECT_MS = 2_000
const RECONNECT_PAUSE_MS = 50
/** A server that hangs is noticed after two of them without an answer. */
const PING_MS = 5_000
const SUBSCRIBE_MS_MAX = 2_000
const DRAIN_MS_MAX = 2_000

export interface NatsBusOptions {
  /** URLs, nats://host:port. */
  readonly servers: string | readonly string[]
  /** Clusters of different names on one server do not see each other. */
  readonly cluster: string
  /** Of the connection, for the server's operator. */
  readonly name: string
  /** Told of errors that a listener threw; else they are process warnings. They never end the bus. */
  readonly onError?: (e: unknown) => void
}

/** The bus on NATS: a subject per member, the register in a JetStream bucket. It reconnects for ever. */
export class NatsBus implements Bus {
  readonly register: Register
  private readonly nc: NatsConnection
  private readonly ownRegister: NatsRegister | undefined
  private readonly onError: (e: unknown) => void
  /** Of this cluster's members, all but their number. */
  private readonly prefix: string
  private readonly subjects = new Map<MemberNo, string>()
  private readonly subscriptions = new Map<MemberNo, Subscription>()
  private readonly reconnectListeners: (() => void)[] = []
  private connected = true
  private closed = false
  /** Frames given up since there was no connection; links send them again. */
  lost = 0

  private constructor(
    nc: NatsConnection,
    register: Register | NatsRegister,
    prefix: string,
    onError: (e: unknown) => void,
  ) {
    this.nc = nc
    this.register = register
    this.ownRegister = register instanceof NatsRegister ? register : undefined
    this.prefix = prefix
    this.onError = onError
    void this.followStatus()
  }

  static async connect(options: NatsBusOptions): Promise<NatsBus> {
    const onError = options.onError ?? warn
    const cluster = encodeCluster(options.cluster)
    const nc = await dial(options, cluster)
    try {
      const register = await NatsRegister.open(nc, cluster, onError)
      return new NatsBus(nc, register, `rehome.${cluster}.`, onError)
    } catch (e) {
      await nc.close()
      throw e
    }
  }

  /**
   * A bus of this process alone, by the same connection and with a register of its own: what is sent goes to the server and
   * back. It lasts as long as the connection.
   */
  loop(register: Register): Bus {
    return new NatsBus(this.nc, register, `${this.prefix}${nuid.next()}.`, this.onError)
  }

  async listen(no: MemberNo, onFrame: (frame: Uint8Array) => void): Promise<{ stop(): void }> {
    if (this.closed) throw new RehomeError('closed', 'the bus has been closed')
    if (this.subscriptions.has(no))
      throw new RehomeError('bad-argument', `somebody listens for member ${no} already`, { no })
    const inbox = new Inbox((frame) => {
      try {
        onFrame(frame)
      } catch (thrown) {
        // An error that left the client's callback would end the connection's reading loop.
        this.onError(thrown)
      }
    })
    const subscription = this.nc.subscribe(this.subjectOf(no), {
      callback: (e, message) => {
        if (e) this.onError(e)
        else inbox.put(message.data)
      },
    })
    this.subscriptions.set(no, subscription)
    // The server knows it by then. If the connection is lost meanwhile, subscribing is repeated with it.
    await within(SUBSCRIBE_MS_MAX, this.nc.flush())
    const stop = () => {
      inbox.stop()
      this.stopListening(no, subscription)
    }
    return { stop }
  }

  private stopListening(no: MemberNo, subscription: Subscription): void {
    if (this.subscriptions.get(no) !== subscription) return
    this.subscriptions.delete(no)
    if (!this.closed) subscription.unsubscribe()
  }

  publish(to: MemberNo, frame: Uint8Array): void {
    // Without a connection the client would keep frames in memory, only to drop them when it dials.
    if (!this.connected || this.closed) {
      this.lost++
      return
    }
    try {
      this.nc.publish(this.subjectOf(to), frame)
    } catch {
      this.lost++
    }
  }

  /** The client sends what was published at the end of the current run of code, or at 32 KiB. */
  flush(): void {}

  onReconnect(listener: () => void): void {
    this.reconnectListeners.push(listener)
  }

  async close(): Promise<void> {
    if (this.closed) return
    this.closed = true
    // The connection is not this one's to close.
    if (!this.ownRegister) return
    this.ownRegister.close()
    if (this.connected) await within(DRAIN_MS_MAX, this.nc.drain())
    await within(DRAIN_MS_MAX, this.nc.close())
  }

  private subjectOf(no: MemberNo): string {
    let subject = this.subjects.get(no)
    if (subject === undefined) {
      subject = this.prefix + no
      this.subjects.set(no, subject)
    }
    return subject
  }

  private async followStatus(): Promise<void> {
    for await (const status of this.nc.status()) {
      if (status.type === Events.Disconnect) this.connected = false
      else if (status.type === Events.Reconnect) this.reconnected()
    }
    if (this.closed) return
    this.connected = false
    const why = await this.nc.closed()
    const message = `the connection to NATS has ended for good: ${why?.message ?? 'no reason given'}`
    this.onError(new RehomeError('bus-unavailable', message))
  }

  private reconnected(): void {
    this.connected = true
    if (this.closed) return
    this.ownRegister?.renew()
    for (const listener of this.reconnectListeners) {
      try {
        listener()
      } catch (e) {
        this.onError(e)
      }
    }
  }
}

async function dial(options: NatsBusOptions, cluster: string): Promise<NatsConnection> {
  const servers = typeof options.servers === 'string' ? [options.servers] : [...options.servers]
  try {
    return await connect({
      servers,
      name: options.name,
      // Replies of this cluster alone: whoever subscribes to _INBOX.> would see those of all.
      inboxPrefix: `rehome-inbox.${cluster}`,
      maxReconnectAttempts: -1,
      ignoreAuthErrorAbort: true,
      reconnectTimeWait: RECONNECT_PAUSE_MS,
      reconnectJitter: RECONNECT_PAUSE_MS,
      timeout: CONNECT_MS,
      pingInterval: PING_MS,
      // A trace of who called costs more than the call.
      noAsyncTraces: true,
    })
  } catch (e) {
    const why = e instanceof Error ? e.message : String(e)
    throw new RehomeError(
      'bus-unavailable',
      `no NATS server answers at ${servers.join(', ')} (${why}): ` +
        'start one with "nats-server -js", or name another',
      { servers: servers.join(',') },
    )
  }
}

/** Waits for `work`, whatever becomes of it, but not longer than that. */
async function within(ms: number, work: Promise<unknown>): Promise<void> {
  const stop = new AbortController()
  const late = delay(ms, undefined, { signal: stop.signal })
  await Promise.race([work, late]).catch(() => {})
  stop.abort()
  await late.catch(() => {})
}

function warn(e: unknown): void {
  process.emitWarning(e instanceof Error ? e : String(e), 'RehomeBusWarning')
}
