import { ids } from './ids/index.ts'
import { nat } from './nat/index.ts'
import type { NF } from './nf.ts'
import { prads } from './prads/index.ts'
import { assetMonitor } from './samples/asset-monitor.ts'
import { byteQuota } from './samples/byte-quota.ts'
import { echo } from './samples/echo.ts'
import { hostCounter } from './samples/host-counter.ts'
import { reassembly } from './samples/reassembly.ts'
import { sink } from './samples/sink.ts'
import { subnetQuota } from './samples/subnet-quota.ts'
import { tcpTracker } from './samples/tcp-tracker.ts'
import { udpCounters } from './samples/udp-counters.ts'

export * from './nf.ts'
export { byteQuota, echo, hostCounter, ids, nat, prads, reassembly, sink, tcpTracker }

/** The NFs that `rehome run` knows by name. */
export const builtIn: readonly NF[] = [
  prads,
  ids,
  nat,
  hostCounter,
  byteQuota,
  tcpTracker,
  subnetQuota,
  udpCounters,
  reassembly,
  assetMonitor,
  echo,
  sink,
]
