import type { Clock } from './port.ts'

/** Longer timers are watchmen, not work under way: they do not keep the process from ending. */
const WORK_MS_MAX = 1000

/** The wall clock tells whole ms: so many are seen to begin, each within this time of a look (ms), unless that takes too long. */
const SIGHTS = 3
const SIGHT_MS = 0.02
const LOOK_MS_MAX = 100

/**
 * The wall clock's time at 0 of `performance.now()`. The engine has one, `performance.timeOrigin`, but reads the two clocks at different moments
 * of its start: it was 1.0 to 3.5 ms late, by another amount in each process and thread, and latencies between two of them were off by the difference.
 * Whole ms are never ahead of the clock, so the greatest difference is that of a moment at which one began.
 */
function originMs(): number {
  let origin = Number.NEGATIVE_INFINITY
  let seen = 0
  let [wall, now] = [Date.now(), performance.now()]
  for (const end = now + LOOK_MS_MAX; seen < SIGHTS && now < end; ) {
    const [wallBefore, before] = [wall, now]
    wall = Date.now() // first: whoever is kept waiting between the two looks sees too little, not too much
    now = performance.now()
    if (wall !== wallBefore && now - before < SIGHT_MS) seen++
    origin = Math.max(origin, wall - now)
  }
  return origin
}

const ORIGIN_MS = originMs()

/** Milliseconds since 1970, finer than Date: the same in all processes and threads of a machine. */
export const wallMs = (): number => ORIGIN_MS + performance.now()

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
