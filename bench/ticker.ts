import { Worker } from 'node:worker_threads'

/**
 * Tells the time in fractions of a millisecond, which Node's timers cannot, and takes no processor meanwhile: a source that
 * looked at the clock all the time would take a core from those that it measures.
 */
export class Ticker {
  private readonly thread: Worker
  private onTick: (atMs: number) => void = () => {}

  constructor(everyMs: number) {
    this.thread = new Worker(new URL('./ticker-thread.js', import.meta.url), {
      workerData: everyMs,
    })
    this.thread.on('message', (atMs: number) => {
      const { onTick } = this
      this.onTick = () => {}
      onTick(atMs)
    })
  }

  /** Runs `run` at the next tick, once, with the wall clock's time (ms) of the tick. */
  next(run: (atMs: number) => void): void {
    this.onTick = run
  }

  async stop(): Promise<void> {
    await this.thread.terminate()
  }
}
