import { f64, multiWriter, singleWriter, stale, u8, u32, untether } from '../../actors/index.ts'
import { defineNF, drop, forward } from '../nf.ts'
import { symmetricFlow, symmetricFlowOf } from '../packet/index.ts'

const SYN = 0x02
const RST = 0x04
const FIN = 0x01
const ACK = 0x10

/** Where a connection stands. A segment of a connection that nobody opened is refused. */
const CLOSED = 0
const OPENING = 1
const OPEN = 2
const CLOSING = 3
/** Both sides have said FIN: what is still on its way, the last ACK above all, may pass. */
const OVER = 4
/** Sides that have said FIN, by the direction of the key that both directions share. */
const FORTH = 1
const BACK = 2
const BOTH = FORTH | BACK
/** A closed connection is kept as long as segments of it may still be on their way (µs). */
const LINGER_US = 60e6
const IDLE_US = 3600e6

const Connection = singleWriter(
  'connection',
  { stage: u8, closedSides: u8, packets: u32, lastUs: f64 },
  {},
  {
    due: (s) => s.lastUs + (s.stage === OPEN ? IDLE_US : LINGER_US),
    expire: () => true,
  },
)

const Totals = multiWriter(
  'totals',
  { opened: u32, closed: u32, reset: u32, refused: u32 },
  {
    opened: untether((s) => {
      s.opened++
    }),
    closed: untether((s) => {
      s.closed++
    }),
    reset: untether((s) => {
      s.reset++
    }),
    refused: untether((s) => {
      s.refused++
    }),
    refusals: stale((s) => s.refused, { withinMs: 100 }),
  },
)

/** Follows TCP connections and drops segments that belong to none. */
export const tcpTracker = defineNF('tcp-tracker', {
  summary: 'follows TCP connections, drops segments that belong to none',
  state: { connections: Connection.keyedBy(symmetricFlow), totals: Totals.only() },
  onPacket(p, { connections, totals }) {
    if (!p.hasTcp) return forward
    const key = symmetricFlowOf(p)
    const side = key.forward ? FORTH : BACK
    const { flags, timeUs } = p
    return connections.with(key, (c) => {
      c.lastUs = timeUs
      c.packets++
      if (flags & RST) {
        if (c.stage !== CLOSED && c.stage !== OVER) totals.reset()
        c.stage = CLOSED
      } else if (flags & SYN && !(flags & ACK)) {
        if (c.stage === CLOSED || c.stage === OVER) {
          c.stage = OPENING
          c.closedSides = 0
        }
      } else if (c.stage === CLOSED) {
        totals.refused()
        return drop
      } else if (c.stage === OPENING && flags & ACK && !(flags & SYN)) {
        c.stage = OPEN
        totals.opened()
      }
      if (flags & FIN && c.stage !== CLOSED && c.stage !== OVER) {
        c.closedSides |= side
        c.stage = c.closedSides === BOTH ? OVER : CLOSING
        if (c.stage === OVER) totals.closed()
      }
      return forward
    })
  },
  async result({ connections, totals }) {
    const open = (await connections.all())
      .map(({ key, state: s }) => `${symmetricFlow.text(key)} stage ${s.stage} ${s.packets}`)
      .sort()
    const t = await totals.lookup('only')
    const counts = t ?? { opened: 0, closed: 0, reset: 0, refused: 0 }
    return [
      `opened ${counts.opened} closed ${counts.closed} reset ${counts.reset} refused ${counts.refused}`,
      ...open,
    ]
  },
})
