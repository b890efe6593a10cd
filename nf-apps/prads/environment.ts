import { RehomeError } from '../../actors/index.ts'
import type { OptionValues } from '../nf.ts'
import { Ip, type Packet, type Subnet, subnet } from '../packet/index.ts'
import { Examination, tagOf } from './detect.ts'
import type { Host } from './host-key.ts'
import { type ReportKind, reportKind } from './report.ts'
import { loadSignatures, type Signatures } from './signatures.ts'
import { parseSwitches } from './switches.ts'

/** What an instance has besides its actors; none of it changes with the packets. */
export class Environment {
  readonly signatures: Signatures
  readonly switches: number
  readonly report: ReportKind
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
    this.examination = new Examination(this.signatures)
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
