/** Counters of all links of one member, from the start. Messages are counted by kind. */
export class LinkStats {
  framesOut = 0
  framesIn = 0
  /** Frames without messages: acknowledgements, grants and probes. */
  bareOut = 0
  bytesOut = 0
  bytesIn = 0
  readonly messagesOut = new Float64Array(256)
  readonly messagesIn = new Float64Array(256)
  resent = 0
  duplicates = 0
  /** Frames that came early and were kept. */
  gaps = 0
  /** Frames so early that they were dropped: the sender sends them again. */
  beyondWindow = 0
  malformed = 0
  refused = 0
  /** Credit-class messages that were begun without credit. */
  overdrawn = 0
  /** Messages that were begun and not ended. */
  abandoned = 0
  /** Messages to members that are dead. */
  toNobody = 0
  /** Malformed and refused ones by their cause. */
  readonly causes: Record<string, number> = {}

  cause(name: string): void {
    this.causes[name] = (this.causes[name] ?? 0) + 1
  }
}
