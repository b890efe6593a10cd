import { RehomeError } from '../../bus/index.ts'
import { Ip } from '../packet/index.ts'
import { Unsupported } from './rules.ts'

/** Whether an address is in a set; undefined instead of a set is any address. */
export type NetSet = (ip: Ip) => boolean
/** A bit for each of the 65,536 ports; undefined instead is any port. */
export type PortSet = Uint8Array

/** Variables a rule may use where the operator gives none: the names that rule sets count on. */
const DEFAULTS: Readonly<Record<string, string>> = {
  HOME_NET: 'any',
  EXTERNAL_NET: 'any',
  HTTP_SERVERS: '$HOME_NET',
  SMTP_SERVERS: '$HOME_NET',
  SQL_SERVERS: '$HOME_NET',
  DNS_SERVERS: '$HOME_NET',
  TELNET_SERVERS: '$HOME_NET',
  SSH_SERVERS: '$HOME_NET',
  FTP_SERVERS: '$HOME_NET',
  SIP_SERVERS: '$HOME_NET',
  SNMP_SERVERS: '$HOME_NET',
  DC_SERVERS: '$HOME_NET',
  MODBUS_SERVER: '$HOME_NET',
  MODBUS_CLIENT: '$HOME_NET',
  ENIP_SERVER: '$HOME_NET',
  ENIP_CLIENT: '$HOME_NET',
  DNP3_SERVER: '$HOME_NET',
  DNP3_CLIENT: '$HOME_NET',
  AIM_SERVERS: '$EXTERNAL_NET',
  HTTP_PORTS: '[80,81,591,3128,8000,8008,8080,8081,8088,8888]',
  SHELLCODE_PORTS: '!80',
  ORACLE_PORTS: '1521',
  SSH_PORTS: '22',
  FTP_PORTS: '21',
  SIP_PORTS: '[5060,5061]',
  DNP3_PORTS: '20000',
  MODBUS_PORTS: '502',
  FILE_DATA_PORTS: '[$HTTP_PORTS,110,143]',
  GTP_PORTS: '[2123,2152,3386]',
  GENEVE_PORTS: '6081',
  VXLAN_PORTS: '4789',
  TEREDO_PORTS: '3544',
}

/** How deep variables may name each other, and lists stand in lists: no rule set goes beyond 4. */
const NESTING_MAX = 16

/** Addresses and ports as rule headers write them, with the operator's variables. */
export class Variables {
  private readonly values: Map<string, string>
  private readonly nets = new Map<string, NetSet | undefined>()
  private readonly ports = new Map<string, PortSet | undefined>()

  /** `given` are texts of the form NAME=value. */
  constructor(given: readonly string[] = []) {
    this.values = new Map(Object.entries(DEFAULTS))
    for (const text of given) {
      const at = text.indexOf('=')
      if (at < 1 || at === text.length - 1) {
        throw new RehomeError('bad-argument', `--var ${text}: the form is NAME=value`)
      }
      this.values.set(
        text.slice(0, at).replace(/^\$/, ''),
        text.slice(at + 1).replaceAll(/\s/g, ''),
      )
    }
    // They may name each other, so all are there first.
    for (const text of given) this.check(text)
  }

  /** A mistake is told where it was made, not by the first rule that uses it. */
  private check(text: string): void {
    const name = `$${text.slice(0, text.indexOf('=')).replace(/^\$/, '')}`
    const wrong = [() => this.net(name), () => this.port(name)].map(mistakeOf)
    if (wrong.includes(undefined)) return
    throw new RehomeError('bad-argument', `--var ${text}: ${[...new Set(wrong)].join('; ')}`)
  }

  net(text: string): NetSet | undefined {
    if (!this.nets.has(text)) this.nets.set(text, this.parseNet(text, 0))
    return this.nets.get(text)
  }

  port(text: string): PortSet | undefined {
    if (!this.ports.has(text)) {
      const set = new Uint8Array(65536)
      const any = this.fillPorts(text, set, 0)
      this.ports.set(text, any ? undefined : set)
    }
    return this.ports.get(text)
  }

  private value(name: string, depth: number): string {
    const value = this.values.get(name)
    if (value === undefined) throw new Unsupported('header', `variable $${name} is not given`)
    if (depth > NESTING_MAX) throw new Unsupported('header', `$${name} names itself`)
    return value
  }

  private parseNet(text: string, depth: number): NetSet | undefined {
    if (text === 'any') return undefined
    if (text.startsWith('$')) return this.parseNet(this.value(text.slice(1), depth), depth + 1)
    if (text.startsWith('!')) {
      const not = this.parseNet(text.slice(1), depth + 1)
      if (not === undefined) throw new Unsupported('header', `${text}: no address is left`)
      return (ip) => !not(ip)
    }
    if (!text.startsWith('[')) return parseRange(text)
    const yes: NetSet[] = []
    const no: NetSet[] = []
    for (const part of listParts(text, depth)) {
      const negated = part.startsWith('!')
      const set = this.parseNet(negated ? part.slice(1) : part, depth + 1)
      if (negated && set === undefined) throw new Unsupported('header', `${part}: no address left`)
      if (set === undefined) yes.push(() => true)
      else (negated ? no : yes).push(set)
    }
    return (ip) => (yes.length === 0 || yes.some((in_) => in_(ip))) && !no.some((in_) => in_(ip))
  }

  /** Sets the bits of the ports named; true if that is every port. */
  private fillPorts(text: string, into: PortSet, depth: number): boolean {
    if (text === 'any') {
      into.fill(1)
      return true
    }
    if (text.startsWith('$'))
      return this.fillPorts(this.value(text.slice(1), depth), into, depth + 1)
    if (text.startsWith('!')) {
      const not = new Uint8Array(65536)
      if (this.fillPorts(text.slice(1), not, depth + 1)) {
        throw new Unsupported('header', `${text}: no port is left`)
      }
      for (let i = 0; i < into.length; i++) into[i]! |= not[i]! ^ 1
      return false
    }
    if (text.startsWith('[')) return this.fillPortList(text, into, depth)
    const range = /^(\d*)(:?)(\d*)$/.exec(text)
    if (!range || text === '' || text === ':') throw new Unsupported('header', `no port: '${text}'`)
    const low = range[1] === '' ? 0 : Number(range[1])
    const high = range[2] === '' ? low : range[3] === '' ? 65535 : Number(range[3])
    if (high > 65535 || low > high) throw new Unsupported('header', `no port range: '${text}'`)
    into.fill(1, low, high + 1)
    return low === 0 && high === 65535
  }

  private fillPortList(text: string, into: PortSet, depth: number): boolean {
    const no = new Uint8Array(65536)
    let some = false
    let any = false
    let negated = false
    for (const part of listParts(text, depth)) {
      if (part.startsWith('!')) {
        this.fillPorts(part.slice(1), no, depth + 1)
        negated = true
      } else {
        any = this.fillPorts(part, into, depth + 1) || any
        some = true
      }
    }
    if (!some) into.fill(1)
    for (let i = 0; i < into.length; i++) into[i]! &= no[i]! ^ 1
    return any && !negated
  }
}

/** The parts of […], split at its own commas. */
function listParts(text: string, depth: number): string[] {
  if (depth > NESTING_MAX) throw new Unsupported('header', 'lists too deep in lists')
  if (!text.endsWith(']')) throw new Unsupported('header', `no list: '${text}'`)
  const parts: string[] = []
  let level = 0
  let part = ''
  for (const c of text.slice(1, -1)) {
    if (c === '[') level++
    if (c === ']') level--
    if (c === ',' && level === 0) {
      parts.push(part.trim())
      part = ''
    } else part += c
  }
  parts.push(part.trim())
  if (parts.includes('')) throw new Unsupported('header', `an empty place in '${text}'`)
  return parts
}

/** An address, a block (a.b.c.d/n, a.b.c.d/m.m.m.m) or a range a-b. */
function parseRange(text: string): NetSet {
  const slash = text.indexOf('/')
  const dash = text.indexOf('-')
  try {
    if (slash > 0) return block(text.slice(0, slash), text.slice(slash + 1))
    const low = Ip.parse(dash > 0 ? text.slice(0, dash) : text)
    const high = dash > 0 ? Ip.parse(text.slice(dash + 1)) : low
    if (low.compare(high) > 0 || low.v4 !== high.v4) throw new Unsupported('header', `'${text}'`)
    return (ip) => ip.v4 === low.v4 && ip.compare(low) >= 0 && ip.compare(high) <= 0
  } catch (error) {
    if (error instanceof Unsupported) throw error
    throw new Unsupported('header', `no address: '${text}'`)
  }
}

function block(address: string, prefix: string): NetSet {
  const base = Ip.parse(address)
  const bits = prefix.includes('.') ? maskBits(prefix) : Number(prefix)
  const top = base.v4 ? 32 : 128
  if (!Number.isInteger(bits) || prefix === '' || bits < 0 || bits > top) {
    throw new Unsupported('header', `no prefix: '/${prefix}'`)
  }
  const length = base.v4 ? bits + 96 : bits
  const mask = [0, 1, 2, 3].map((word) => wordMask(length - 32 * word)) as [
    number,
    number,
    number,
    number,
  ]
  const [a, b, c, d] = mask
  return (ip) =>
    ip.v4 === base.v4 &&
    ((ip.a ^ base.a) & a) === 0 &&
    ((ip.b ^ base.b) & b) === 0 &&
    ((ip.c ^ base.c) & c) === 0 &&
    ((ip.d ^ base.d) & d) === 0
}

function wordMask(bits: number): number {
  if (bits <= 0) return 0
  return bits >= 32 ? -1 : -1 << (32 - bits)
}

function maskBits(mask: string): number {
  const word = Ip.parse(mask).d
  const bits = Math.clz32(~word >>> 0)
  return wordMask(bits) >>> 0 === word ? bits : Number.NaN
}

function mistakeOf(parse: () => unknown): string | undefined {
  try {
    parse()
    return undefined
  } catch (error) {
    if (error instanceof Unsupported) return error.message
    throw error
  }
}
