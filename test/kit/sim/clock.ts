import type { Clock } from '../../../bus/index.ts'

interface Event {
  readonly at: number
  readonly order: number
  run: (() => void) | undefined
}

/** Virtual time: events run in the order of their times, those of one time in the order they were made. */
export class SimClock implements Clock {
  private time = 0
  private made = 0
  private readonly heap: Event[] = []

  now(): number {
    return this.time
  }

  after(ms: number, run: () => void): { cancel(): void } {
    const event: Event = { at: this.time + Math.max(0, ms), order: this.made++, run }
    this.push(event)
    return {
      cancel: () => {
        event.run = undefined
      },
    }
  }

  soon(run: () => void): void {
    this.push({ at: this.time, order: this.made++, run })
  }

  /** Runs the next event; false if there is none. */
  step(): boolean {
    for (;;) {
      const event = this.pop()
      if (!event) return false
      if (!event.run) continue
      this.time = event.at
      event.run()
      return true
    }
  }

  private push(event: Event): void {
    const { heap } = this
    let i = heap.length
    heap.push(event)
    while (i > 0) {
      const parent = (i - 1) >> 1
      if (isBefore(heap[parent]!, event)) break
      heap[i] = heap[parent]!
      i = parent
    }
    heap[i] = event
  }

  private pop(): Event | undefined {
    const { heap } = this
    const first = heap[0]
    const last = heap.pop()
    if (!first || !last || heap.length === 0) return first
    let i = 0
    for (;;) {
      let child = 2 * i + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++
      if (isBefore(last, heap[child]!)) break
      heap[i] = heap[child]!
      i = child
    }
    heap[i] = last
    return first
  }
}

function isBefore(a: Event, b: Event): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order)
}
