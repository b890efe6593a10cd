/**
 * The bus as the rest of Rehome sees it: frames to numbered members, and one small register of named
 * values with compare-and-set for the view. Two implementations pass the same conformance suite: memory and NATS.
 *
 * The bus may lose, double, delay and reorder frames; links (link.ts) put that right.
 */

/**
 * One life of one member of a cluster, numbered by the view when it joins and never used again.
 * The number is the incarnation: a process that comes back gets a new one, so frames of its former
 * life can be told apart. 0 names nobody.
 */
export type MemberNo = number

export interface Bus {
  /** Takes frames for `no`. At most one listener a member; `stop` ends it. */
  listen(no: MemberNo, onFrame: (frame: Uint8Array) => void): Promise<{ stop(): void }>
  /**
   * Hands a frame over for delivery; never throws for a lost connection and never blocks. The bytes belong to
   * the bus and the sender's link from now on and are not changed any more (nats.js keeps a reference until its flush).
   */
  publish(to: MemberNo, frame: Uint8Array): void
  /** Pushes out what `publish` gathered, at the end of a burst. */
  flush(): void
  /** Called when the connection is back after a loss: frames in between may be gone, so links resend. */
  onReconnect(listener: () => void): void
  readonly register: Register
  /** Delivers what is under way within a bound, then ends. */
  close(): Promise<void>
}

/** A value in the register with the revision to compare against. Revision 0: the name is absent. */
export interface Entry {
  readonly value: Uint8Array
  readonly revision: number
}

/**
 * Named values with compare-and-set (a JetStream key-value bucket on NATS). `get` may answer with an outdated value
 * (KV gives no read-your-writes); only `put`'s comparison is to be relied on.
 */
export interface Register {
  get(name: string): Promise<Entry | undefined>
  /** Writes if the revision still is `expected` (0: if absent). Answers the new revision, or undefined when it lost. */
  put(name: string, value: Uint8Array, expected: number): Promise<number | undefined>
  /** Writes without comparing: for values with one writer, such as a member's own reports. */
  set(name: string, value: Uint8Array): Promise<void>
  remove(name: string): Promise<void>
  /** Present values under `prefix`, then each change; a removed name comes with undefined. */
  watch(
    prefix: string,
    onChange: (name: string, entry: Entry | undefined) => void,
  ): Promise<{ stop(): void }>
}

/** Time and deferral, handed in so that the simulator can own them. Milliseconds, monotonic. */
export interface Clock {
  now(): number
  /** Runs once after `ms`; the handle cancels it. */
  after(ms: number, run: () => void): { cancel(): void }
  /** Runs at the end of the current burst (`setImmediate` on a real clock). */
  soon(run: () => void): void
}
