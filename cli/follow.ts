import { setTimeout as delay } from 'node:timers/promises'

/** Least time between two looks at a log (ms): as somebody who watches it would look. */
const LOOK_MS = 1_000
/** A look reads all of the log, so one that takes long makes the next one later: this many times its own time. */
const REST = 3

export interface Following {
  /** Shows what `lines`, the log as it is now, has beyond what was shown. */
  gains(lines: readonly string[]): void
  /** Resolves once no look is under way any more. */
  stop(): Promise<void>
}

/** Shows the lines of a log once each, as it gains them. */
export function follow(
  read: () => Promise<readonly string[]>,
  show: (lines: readonly string[]) => void,
): Following {
  const shown = new Map<string, number>()
  const end = new AbortController()
  const gains = (lines: readonly string[]) => {
    const now = new Map<string, number>()
    const fresh = lines.filter((line) => {
      const times = (now.get(line) ?? 0) + 1
      now.set(line, times)
      if (times <= (shown.get(line) ?? 0)) return false
      shown.set(line, times)
      return true
    })
    if (fresh.length > 0) show(fresh)
  }
  const look = async () => {
    const start = performance.now()
    // What cannot be read just now, for an instance has died, is there at the next look.
    const lines = await read().catch(() => [])
    if (!end.signal.aborted) gains(lines)
    return Math.max(LOOK_MS, REST * (performance.now() - start))
  }
  const go = async () => {
    for (let rest = LOOK_MS; !end.signal.aborted; rest = await look()) {
      await delay(rest, undefined, { signal: end.signal, ref: false }).catch(() => {})
    }
  }
  const going = go()
  const stop = () => {
    end.abort()
    return going
  }
  return { gains, stop }
}
