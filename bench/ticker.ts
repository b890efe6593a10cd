import { Worker } from 'node:worker_threads'

/**
 * Tells the time in fractions of a millisecond, which Node's timers cannot, and takes no processor meanwhile: a source that
 * looked at the clock all the time would take a core from those that it measures.
 */
export class Ticker {
  private readonly thread: Worker
  private onTick = () => {}

  constructor(everyMs: number) {
    this.thread = new Worker(new URL('./ticker-thread.js', import.meta.url), {
      workerData: everyMs,
    })
    this.thread.on('message', () => this.onTick())
  }

  next(): Promise<void> {
    return new Promise((resolve) => {
      this.onTick = resolve
    })
  }

  async stop(): Promise<void> {
    await this.thread.terminate()
  }
}
