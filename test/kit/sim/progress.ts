/** How often a run says how far it is (ms), where nobody watches. */
const LINE_MS = 60_000
/** Back to the line's begin, and what is on it goes. */
const ERASE = '\r\x1b[K'

/** Says how far a long run is: on a terminal in one line that is written over, else in a line a minute. */
export class Progress {
  private readonly total: number
  private readonly now: () => number
  private readonly began: number
  private saidAt: number

  constructor(total: number, now: () => number) {
    this.total = total
    this.now = now
    this.began = now()
    this.saidAt = this.began
  }

  /** So many seeds have been run, and none of them showed a violation: the first one would have ended all. */
  readonly seeds = (seeds: number): void => {
    const { isTTY } = process.stderr
    const now = this.now()
    if (!isTTY && now - this.saidAt < LINE_MS) return
    this.saidAt = now
    const rate = (seeds * 1000) / (now - this.began)
    const line = `${seeds} of ${this.total} seeds, ${rate.toFixed(0)} seeds/s, no violation`
    process.stderr.write(isTTY ? `${ERASE}${line}` : `${line}\n`)
  }

  end(): void {
    if (process.stderr.isTTY) process.stderr.write(ERASE)
  }
}
