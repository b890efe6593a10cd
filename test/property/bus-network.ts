import { type ByteReader, type Clock, Links, type LinksOptions } from '../../bus/index.ts'

/** Time that stands still until `advance`; what is due at one time runs in the order it was asked for. */
export class VirtualClock implements Clock {
  private time = 0
  private order = 0
  private jobs: { at: number; order: number; run: () => void }[] = []

  now(): number {
    return this.time
  }
  after(ms: number, run: () => void): { cancel(): void } {
    const job = { at: this.time + Math.max(0, ms), order: this.order++, run }
    this.jobs.push(job)
    return {
      cancel: () => {
        this.jobs = this.jobs.filter((other) => other !== job)
      },
    }
  }
  soon(run: () => void): void {
    this.after(0, run)
  }
  get pending(): number {
    return this.jobs.length
  }
  advance(ms: number): void {
    const end = this.time + ms
    for (;;) {
      let next: (typeof this.jobs)[number] | undefined
      for (const job of this.jobs)
        if (
          job.at <= end &&
          (!next || job.at < next.at || (job.at === next.at && job.order < next.order))
        )
          next = job
      if (!next) break
      this.jobs.splice(this.jobs.indexOf(next), 1)
      this.time = Math.max(this.time, next.at)
      next.run()
    }
    this.time = end
  }
}

/** Numbers in [0, 1), the same for the same seed. */
export function random(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

export interface Weather {
  readonly seed: number
  readonly loss: number
  readonly doubling: number
  readonly delayMsMax: number
}

/** Members whose frames go through bad weather. */
export class Network {
  readonly clock = new VirtualClock()
  readonly members: Links[] = []
  weather: Weather
  private readonly dice: () => number

  constructor(weather: Weather) {
    this.weather = weather
    this.dice = random(weather.seed)
  }

  join(options: Omit<LinksOptions, 'clock' | 'transmit'>): Links {
    const links = new Links({
      ...options,
      clock: this.clock,
      transmit: (to, frame) => this.carry(to, frame),
    })
    this.members[options.self] = links
    return links
  }

  private carry(to: number, frame: Uint8Array): void {
    const { loss, doubling, delayMsMax } = this.weather
    const copies = this.dice() < loss ? 0 : this.dice() < doubling ? 2 : 1
    for (let i = 0; i < copies; i++)
      this.clock.after(this.dice() * delayMsMax, () => {
        this.members[to]?.receive(frame)
        this.members[to]?.flush()
      })
  }
}

/** What a message holds, as a string that two can be compared by. */
export function textOf(r: ByteReader): string {
  return Buffer.from(r.raw(r.left)).toString('latin1')
}
