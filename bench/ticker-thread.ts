/** The thread of a `Ticker`: tells it that so many ms are over, again and again, each time with the time. */
import { parentPort, workerData } from 'node:worker_threads'
import { wallMs } from '../bus/index.ts'

const nothing = new Int32Array(new SharedArrayBuffer(4))
for (;;) {
  Atomics.wait(nothing, 0, 0, Number(workerData))
  parentPort?.postMessage(wallMs())
}
