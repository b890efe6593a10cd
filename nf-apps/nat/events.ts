import { Ip, PROTO_ICMP, PROTO_TCP, PROTO_UDP } from '../packet/index.ts'
import { addressOf, portOf } from './keys.ts'

/** What a packet has made of a session; a mapping that just runs out is told by none. */
export type News = 'new' | 'closed'

/** News of one inside end, the public end that stands for it, and a remote end. */
export interface Told {
  readonly news: News
  readonly protocol: number
  readonly inside: number
  readonly end: number
  readonly remote: number
}

const PROTOCOLS: Record<number, string> = {
  [PROTO_TCP]: 'tcp',
  [PROTO_UDP]: 'udp',
  [PROTO_ICMP]: 'icmp',
}

const text = (end: number) => `${Ip.v4(addressOf(end))}:${portOf(end)}`

/** "new udp 10.0.0.7:5000 as 192.0.2.1:5000 to 198.51.100.1:53" */
export const lineOf = ({ news, protocol, inside, end, remote }: Told): string =>
  `${news} ${PROTOCOLS[protocol]} ${text(inside)} as ${text(end)} to ${text(remote)}`
