import { f64, list, multiWriter, untether } from '../../actors/index.ts'
import { defineNF, forward } from '../nf.ts'
import { ip, TCP_ACK, TCP_SYN } from '../packet/index.ts'

/** What packets of a host say together: their number, and the first and last of their times (µs). */
interface Seen {
  readonly packets: number
  readonly firstUs: number
  readonly lastUs: number
}

/** Ports kept for a host: the lowest ones, so that which they are does not depend on who told first. */
const PORTS_MAX = 64

const Asset = multiWriter(
  'asset',
  { packets: f64, firstUs: f64, lastUs: f64, ports: list<number>('port') },
  {
    seen: untether(
      (s, { packets, firstUs, lastUs }: Seen) => {
        s.firstUs = s.packets === 0 ? firstUs : Math.min(s.firstUs, firstUs)
        s.lastUs = Math.max(s.lastUs, lastUs)
        s.packets += packets
      },
      {
        merge: (a, b) => ({
          packets: a.packets + b.packets,
          firstUs: Math.min(a.firstUs, b.firstUs),
          lastUs: Math.max(a.lastUs, b.lastUs),
        }),
      },
    ),
    serves: untether((s, port: number) => {
      if (s.ports.includes(port)) return
      s.ports = [...s.ports, port].sort((a, b) => a - b).slice(0, PORTS_MAX)
    }),
  },
)

/** Which hosts there are, since when, and on which TCP ports they answer. (`prads` says what they run.) */
export const assetMonitor = defineNF('asset-monitor', {
  summary: 'hosts, when they were seen, and the TCP ports on which they answer',
  state: { assets: Asset.keyedBy(ip) },
  onPacket(p, { assets }) {
    if (p.l3Offset < 0) return forward
    const { timeUs } = p
    const asset = assets.at(p.src)
    asset.seen({ packets: 1, firstUs: timeUs, lastUs: timeUs })
    const opening = TCP_SYN | TCP_ACK
    if ((p.flags & opening) === opening) asset.serves(p.srcPort)
    return forward
  },
  async result({ assets }) {
    const all = await assets.all()
    return all
      .map(
        ({ key, state: s }) =>
          `${key} packets ${s.packets} first ${s.firstUs} last ${s.lastUs} ports ${s.ports.join(',') || '-'}`,
      )
      .sort()
  },
})
