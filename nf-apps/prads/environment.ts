import { RehomeError } from '../../actors/index.ts'
import type { NFOption, OptionValues } from '../nf.ts'
import { Ip, type Packet, type Subnet, subnet } from '../packet/index.ts'
import { Examination, tagOf } from './detect.ts'
import type { Host } from './host-key.ts'
import { type ReportKind, reportKind } from './report.ts'
import { loadSignatures, type Signatures } from './signatures.ts'
import { parseSwitches } from './switches.ts'
import { Told } from './told.ts'

/** What may be said of it on the command line. */
export const options = {
  signatures: {
    type: 'string',
    value: 'DIR',
    help: 'signature files in the formats of prads (default: a small set of our own)',
  },
  switches: {
    type: 'string',
    value: 'LETTERS',
    help: "what to look at, by prads's letters: FRMSAKUTIt, X clears; i, u: stacks by ICMP, UDP (default M)",
  },
  report: {
    type: 'string',
    value: 'KIND',
    help: 'assets (default), connections, statistics, warnings (changed MACs) or json',
  },
  nets: {
    type: 'string',
    value: 'NET,NET…',
    help: 'hosts of these networks alone, as 10.0.0.0/8,2001:db8::/32 (default: all)',
  },
  forget: {
    type: 'string',
    value: 'SECONDS',
    help: 'connections silent for so long leave memory and reports, their hosts do not (default: never)',
  },
  'by-vlan': { type: 'boolean', help: 'one address in two VLANs is two hosts' },
} as const satisfies Readonly<Record<string, NFOption>>

/** What an instance has besides its actors; no result depends on what changes of it with the packets. */
export class Environment {
  readonly signatures: Signatures
  readonly switches: number
  readonly report: ReportKind
  readonly told = new Told()
  readonly examination: Examination
  /** Seconds of silence after which a connection is forgotten; 0: never. */
  readonly forget: number
  /** Empty: all. */
  private readonly nets: readonly Subnet[]
  private readonly byVlan: boolean
  private readonly host: Host = { ip: new Ip(), vlan: 0 }

  constructor(options: OptionValues) {
    const text = (name: string) => (typeof options[name] === 'string' ? options[name] : undefined)
    this.signatures = loadSignatures(text('signatures'))
    this.switches = parseSwitches(text('switches') ?? 'M')
    this.report = reportKind(text('report') ?? 'assets')
    this.examination = new Examination(this.signatures, this.told)
    this.forget = wholeNumber('forget', text('forget') ?? '0')
    this.nets = (text('nets') ?? '').split(',').filter(Boolean).map(subnet.parse)
    this.byVlan = options['by-vlan'] === true
  }

  isOurs(address: Ip): boolean {
    return this.nets.length === 0 || this.nets.some((net) => net.contains(address))
  }

  /** The asset of an address; to be used at once, as the next call fills the same object. */
  hostOf(p: Packet, address: Ip): Host {
    this.host.ip = address
    this.host.vlan = this.byVlan ? tagOf(p) & 0xfff : 0
    return this.host
  }
}

function wholeNumber(option: string, text: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text)
  throw new RehomeError('bad-argument', `--${option}: a whole number, not '${text}'`)
}
