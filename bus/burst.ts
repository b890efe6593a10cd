import type { Link } from './link.ts'
import type { Clock } from './port.ts'

/**
 * What may wait for a frame that goes anyway waits this long, and until it is this much: a frame costs both ends, and the bus
 * between them, as much as some dozens of packets, and slots that flip one by one would have five each.
 */
const PATIENCE_MS = 4
const PATIENCE_BYTES = 512

/** Links in whose open frames something has been written since the last flush. */
export class Burst {
  private readonly clock: Clock
  private readonly close: (link: Link) => void
  private readonly links: Link[] = []
  private count = 0
  private patience: { cancel(): void } | undefined = undefined
  private readonly onPatience = (): void => {
    this.patience = undefined
    for (let i = 0; i < this.count; i++) this.links[i]!.isPatient = false
    this.flush()
  }

  constructor(clock: Clock, close: (link: Link) => void) {
    this.clock = clock
    this.close = close
  }

  add(link: Link): void {
    if (link.listed) return
    link.listed = true
    this.links[this.count++] = link
  }

  /** Closes their frames; those in which all may wait, with what comes next, in some ms at the latest. */
  flush(): void {
    let kept = 0
    for (let i = 0; i < this.count; i++) {
      const link = this.links[i]!
      if (link.isPatient && link.open && link.openBytes < PATIENCE_BYTES) {
        this.links[kept++] = link
        continue
      }
      link.listed = false
      if (link.open) this.close(link)
    }
    this.count = kept
    if (kept > 0) this.patience ??= this.clock.after(PATIENCE_MS, this.onPatience)
  }

  stop(): void {
    this.patience?.cancel()
  }
}
