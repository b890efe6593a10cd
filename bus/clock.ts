import type { Clock } from './port.ts'

/** Longer timers are watchmen, not work under way: they do not keep the process from ending. */
const WORK_MS_MAX = 1000

/** The real clock: the one place where time comes from the machine. */
export function systemClock(): Clock {
  return {
    now: () => performance.now(),
    after(ms, run) {
      const timer = setTimeout(run, ms)
      if (ms > WORK_MS_MAX) timer.unref()
      return { cancel: () => clearTimeout(timer) }
    },
    soon: (run) => {
      setImmediate(run)
    },
  }
}
