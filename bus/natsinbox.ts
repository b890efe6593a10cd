/**
 * Frames are handed on for so long in one turn of the event loop (ms), and the last one is ended. A client of a bus hands over all that one
 * look at its socket brought, up to 2 MiB, and meanwhile no timer runs and nothing is sent. It is a time and not a number
 * of bytes: 64 KiB of actors that move took 1 ms on one machine and 5 on another.
 */
const TURN_MS = 1

/**
 * Frames between a bus and their listener, in their order: at once for the first millisecond of a turn of the event loop, the rest
 * in the next ones. It holds no more than the windows of the links that send here.
 */
export class Inbox {
  private readonly onFrame: (frame: Uint8Array) => void
  private frames: Uint8Array[] = []
  private at = 0
  /** When this turn is to end. */
  private until = 0
  private turning = false
  private stopped = false
  private readonly onTurn = (): void => this.turn()

  /** `onFrame` does not throw. */
  constructor(onFrame: (frame: Uint8Array) => void) {
    this.onFrame = onFrame
  }

  put(frame: Uint8Array): void {
    if (this.stopped) return
    // What the loop does before the next turn is none of this one's time.
    if (!this.turning) this.begin()
    if (this.at === this.frames.length && this.mayGoOn()) this.onFrame(frame)
    else this.frames.push(frame)
  }

  /** Before the first frame that comes in a turn of the loop, or is left of the one before. */
  private begin(): void {
    this.until = performance.now() + TURN_MS
    this.turning = true
    setImmediate(this.onTurn)
  }

  private mayGoOn(): boolean {
    return performance.now() < this.until
  }

  private turn(): void {
    this.turning = false
    if (this.at === this.frames.length) return
    this.begin()
    do this.onFrame(this.frames[this.at++]!)
    while (this.at < this.frames.length && this.mayGoOn() && !this.stopped)
    if (this.at === this.frames.length) this.empty()
  }

  /** Nothing is handed on any more. */
  stop(): void {
    this.stopped = true
    this.empty()
  }

  private empty(): void {
    this.frames = []
    this.at = 0
  }
}
