import * as timers from 'node:timers'
import v8 from 'node:v8'

/**
 * Runs what promises have queued, now, so that a simulated event and all it causes are one step of a loop
 * without `await`. V8 keeps this function for its own tests; it must be called from a macrotask.
 */
export const runMicrotasks: () => void = make()

function make(): () => void {
  v8.setFlagsFromString('--allow-natives-syntax')
  try {
    return new Function('%PerformMicrotaskCheckpoint()') as () => void
  } finally {
    v8.setFlagsFromString('--no-allow-natives-syntax')
  }
}

/** Runs `work` in a macrotask of its own, where `runMicrotasks` works. */
export function inMacrotask<T>(work: () => T): Promise<T> {
  return new Promise((resolve, reject) => {
    timers.setImmediate(() => {
      try {
        resolve(work())
      } catch (error) {
        reject(error)
      }
    })
  })
}
