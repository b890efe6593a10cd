import { ids } from './ids/index.ts'
import { nat } from './nat/index.ts'
import type { NF } from './nf.ts'
import { prads } from './prads/index.ts'
import { byteQuota } from './samples/byte-quota.ts'
import { echo } from './samples/echo.ts'
import { hostCounter } from './samples/host-counter.ts'
import { sink } from './samples/sink.ts'
import { tcpTracker } from './samples/tcp-tracker.ts'

export * from './nf.ts'
export { byteQuota, echo, hostCounter, ids, nat, prads, sink, tcpTracker }

/** The NFs that `rehome run` knows by name. */
export const builtIn: readonly NF[] = [
  prads,
  ids,
  nat,
  hostCounter,
  byteQuota,
  tcpTracker,
  echo,
  sink,
]
