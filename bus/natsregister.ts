import { setTimeout as delay } from 'node:timers/promises'
import {
  ErrorCode,
  type JetStreamClient,
  type KV,
  type KvEntry,
  type NatsConnection,
  NatsError,
  nuid,
} from 'nats'
import { RehomeError } from './errors.ts'
import type { Entry, Register } from './port.ts'

/** One request; a server that restarts loses it, so it is tried again rather than waited for long. */
const REQUEST_MS = 1_000
/** How long an operation is tried through a restart of the server. */
const RETRY_MS_MAX = 20_000
const RETRY_PAUSE_MS = 50
const WRONG_LAST_SEQUENCE = 10071
const encoder = new TextEncoder()

/**
 * The register in a JetStream key-value bucket. The comparison of `put` is the server's own
 * ("expected last sequence of the subject"), so it holds whoever writes.
 */
export class NatsRegister implements Register {
  private readonly js: JetStreamClient
  private readonly bucket: string
  private readonly kv: KV
  private readonly onError: (e: unknown) => void
  private readonly watches = new Set<Watch>()
  /** Writes without comparison go one after the other per name, or a late retry would undo a newer one. */
  private readonly lastWrite = new Map<string, Promise<void>>()
  /** Operations under way, to be tried again at once when the connection is back. */
  private readonly underWay = new Set<() => void>()
  private closed = false

  private constructor(js: JetStreamClient, bucket: string, kv: KV, onError: (e: unknown) => void) {
    this.js = js
    this.bucket = bucket
    this.kv = kv
    this.onError = onError
  }

  static async open(
    nc: NatsConnection,
    cluster: string,
    onError: (e: unknown) => void,
  ): Promise<NatsRegister> {
    const js = nc.jetstream({ timeout: REQUEST_MS })
    const bucket = `rehome_${cluster}`
    // A server that has JetStream may still be reading its store; one that has none says so at once.
    const patience = nc.info?.jetstream ? RETRY_MS_MAX : 0
    const open = () => js.views.kv(bucket, { history: 1, timeout: REQUEST_MS })
    const kv = await persist(open, () => false, patience).catch((e: unknown) => {
      throw new RehomeError(
        'bus-unavailable',
        `the NATS server at ${nc.getServer()} has no JetStream to keep the view in: ` +
          `start it with "nats-server -js" (${text(e)})`,
      )
    })
    return new NatsRegister(js, bucket, kv, onError)
  }

  async get(name: string): Promise<Entry | undefined> {
    const entry = await this.persist('read', name, () => this.kv.get(encodeName(name)))
    return entry ? present(entry) : undefined
  }

  async put(name: string, value: Uint8Array, expected: number): Promise<number | undefined> {
    // One id for all tries: if the server has taken an earlier one whose answer was lost, it answers
    // with that one's revision instead of comparing again.
    const id = nuid.next()
    const attempt = async (last: number): Promise<number | undefined> => {
      try {
        return await this.write(name, value, id, last)
      } catch (e) {
        if (!isWrongSequence(e)) throw e
        return undefined
      }
    }
    return this.persist('write', name, async () => {
      const revision = await attempt(expected)
      if (revision !== undefined || expected !== 0) return revision
      // A removed name is absent too, but its removal has a revision.
      const last = await this.kv.get(encodeName(name))
      return last && !present(last) ? attempt(last.revision) : undefined
    })
  }

  set(name: string, value: Uint8Array): Promise<void> {
    const bytes = value.slice()
    return this.inTurn(name, async () => {
      const id = nuid.next()
      await this.persist('write', name, () => this.write(name, bytes, id, undefined))
    })
  }

  remove(name: string): Promise<void> {
    return this.inTurn(name, () =>
      this.persist('remove', name, () => this.kv.delete(encodeName(name))),
    )
  }

  async watch(
    prefix: string,
    onChange: (name: string, entry: Entry | undefined) => void,
  ): Promise<{ stop(): void }> {
    const watch = new Watch(this.kv, prefix, onChange, this.onError)
    this.watches.add(watch)
    await watch.start()
    return {
      stop: () => {
        this.watches.delete(watch)
        watch.stop()
      },
    }
  }

  /** The connection is back: consumers may be gone with the server's former life. */
  renew(): void {
    for (const watch of this.watches) watch.renew()
    for (const giveUp of this.underWay) giveUp()
  }

  close(): void {
    this.closed = true
    for (const watch of this.watches) watch.stop()
    for (const giveUp of this.underWay) giveUp()
  }

  private async write(
    name: string,
    value: Uint8Array,
    id: string,
    last: number | undefined,
  ): Promise<number> {
    const ack = await this.js.publish(`$KV.${this.bucket}.${encodeName(name)}`, value, {
      msgID: id,
      timeout: REQUEST_MS,
      ...(last === undefined ? {} : { expect: { lastSubjectSequence: last } }),
    })
    return ack.seq
  }

  private async inTurn(name: string, write: () => Promise<void>): Promise<void> {
    const before = this.lastWrite.get(name)
    const mine = (async () => {
      await before?.catch(() => {})
      await write()
    })()
    this.lastWrite.set(name, mine)
    try {
      await mine
    } finally {
      if (this.lastWrite.get(name) === mine) this.lastWrite.delete(name)
    }
  }

  private async persist<T>(what: string, name: string, attempt: () => Promise<T>): Promise<T> {
    try {
      return await persist(
        () => this.untilRenewed(attempt),
        (e) => this.closed || isHopeless(e),
        RETRY_MS_MAX,
      )
    } catch (e) {
      if (this.closed) throw new RehomeError('closed', 'the bus has been closed')
      const outcome = what === 'read' ? 'definite' : 'indefinite'
      const message = `the register could not ${what} "${name}": ${text(e)}`
      throw new RehomeError('bus-unavailable', message, { name }, outcome)
    }
  }

  /** An answer that was under way when the connection broke will not come: do not wait for it. */
  private untilRenewed<T>(attempt: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const giveUp = (): void => reject(new Error('the connection was renewed'))
      this.underWay.add(giveUp)
      attempt()
        .then(resolve, reject)
        .finally(() => this.underWay.delete(giveUp))
    })
  }
}

/** Follows the bucket's changes across reconnects and restarts: each revision of a name once. */
class Watch {
  private readonly kv: KV
  private readonly prefix: string
  private readonly onChange: (name: string, entry: Entry | undefined) => void
  private readonly onError: (e: unknown) => void
  private readonly seen = new Map<string, { revision: number; present: boolean }>()
  private changes: { stop(): void } | undefined = undefined
  private stopped = false

  constructor(
    kv: KV,
    prefix: string,
    onChange: (name: string, entry: Entry | undefined) => void,
    onError: (e: unknown) => void,
  ) {
    this.kv = kv
    this.prefix = prefix
    this.onChange = onChange
    this.onError = onError
  }

  /** Resolves when the values that were there have been told. */
  start(): Promise<void> {
    return new Promise((resolve) => void this.follow(resolve))
  }

  /** Reads all again on a new consumer; what has been told is not told again. */
  renew(): void {
    this.changes?.stop()
  }

  stop(): void {
    this.stopped = true
    this.changes?.stop()
  }

  private async follow(onRead: () => void): Promise<void> {
    while (!this.stopped) {
      try {
        const changes = await this.kv.watch({ initializedFn: onRead })
        this.changes = changes
        if (this.stopped) changes.stop()
        for await (const entry of changes) this.tell(entry)
      } catch {
        // The server is away or has lost the consumer; the next round reads all again.
      }
      if (!this.stopped) await delay(RETRY_PAUSE_MS)
    }
    onRead()
  }

  private tell(kvEntry: KvEntry): void {
    if (this.stopped) return
    const name = decodeName(kvEntry.key)
    if (!name?.startsWith(this.prefix)) return
    const before = this.seen.get(name)
    if (before && before.revision >= kvEntry.revision) return
    const entry = present(kvEntry)
    this.seen.set(name, { revision: kvEntry.revision, present: entry !== undefined })
    if (!entry && !before?.present) return
    try {
      this.onChange(name, entry)
    } catch (e) {
      this.onError(e)
    }
  }
}

function present(entry: KvEntry): Entry | undefined {
  if (entry.operation !== 'PUT') return undefined
  return { value: entry.value, revision: entry.revision }
}

async function persist<T>(
  attempt: () => Promise<T>,
  isFinal: (e: unknown) => boolean,
  patienceMs: number,
): Promise<T> {
  const end = performance.now() + patienceMs
  for (;;) {
    try {
      return await attempt()
    } catch (e) {
      if (isFinal(e) || performance.now() > end) throw e
    }
    await delay(RETRY_PAUSE_MS)
  }
}

/** What no server will ever take: a value that is too large, a key that cannot be. */
function isHopeless(e: unknown): boolean {
  if (!(e instanceof NatsError)) return e instanceof Error && e.message.startsWith('invalid key')
  return e.code === ErrorCode.MaxPayloadExceeded || e.code === ErrorCode.BadSubject
}

function isWrongSequence(e: unknown): boolean {
  return e instanceof NatsError && e.api_error?.err_code === WRONG_LAST_SEQUENCE
}

function text(e: unknown): string {
  return e instanceof Error ? e.message : String(e)
}

/** Any text as a key: what the server does not allow there becomes =XX, byte by byte. */
function encodeName(name: string): string {
  return escaped(name, /[^-/\w]/gu, '=')
}

/** Undefined for a key that none of us has written. */
function decodeName(key: string): string | undefined {
  try {
    return decodeURIComponent(key.replaceAll('=', '%'))
  } catch {
    return undefined
  }
}

/** Any text as part of a bucket's name and as one token of a subject. */
export function encodeCluster(name: string): string {
  return escaped(name, /[^-A-Za-z0-9]/gu, '_')
}

function escaped(name: string, unfit: RegExp, mark: string): string {
  return name.replace(unfit, (character) => {
    const bytes = [...encoder.encode(character)]
    return bytes.map((b) => mark + b.toString(16).toUpperCase().padStart(2, '0')).join('')
  })
}
