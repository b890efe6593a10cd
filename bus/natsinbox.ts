/**
 * Bytes handed on in one turn of the event loop: a millisecond of work if they are moves of actors. A client of a bus hands over
 * all that one look at its socket brought, up to 2 MiB, and meanwhile no timer runs and nothing is sent.
 */
const TURN_BYTES = 64 * 1024

/**
 * Frames between a bus and their listener, in their order: at once as long as little has come in this turn of the event loop, the rest
 * in the next ones. It holds no more than the windows of the links that send here.
 */
export class Inbox {
  private readonly onFrame: (frame: Uint8Array) => void
  private frames: Uint8Array[] = []
  private at = 0
  private left = TURN_BYTES
  private turning = false
  private stopped = false
  private readonly onTurn = (): void => this.turn()

  /** `onFrame` does not throw. */
  constructor(onFrame: (frame: Uint8Array) => void) {
    this.onFrame = onFrame
  }

  put(frame: Uint8Array): void {
    if (this.stopped) return
    if (this.left > 0 && this.at === this.frames.length) this.handOn(frame)
    else this.frames.push(frame)
    this.soon()
  }

  private handOn(frame: Uint8Array): void {
    this.left -= frame.length
    this.onFrame(frame)
  }

  private soon(): void {
    if (this.turning) return
    this.turning = true
    setImmediate(this.onTurn)
  }

  private turn(): void {
    this.turning = false
    this.left = TURN_BYTES
    while (this.at < this.frames.length && this.left > 0 && !this.stopped) {
      this.handOn(this.frames[this.at++]!)
    }
    if (this.at < this.frames.length) this.soon()
    else if (this.at > 0) this.empty()
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
