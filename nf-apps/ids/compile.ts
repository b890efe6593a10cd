import { NET_IPV4, NET_IPV6 } from '../packet/index.ts'
import { BUFFERS, type BufferName, MODIFIERS, STICKY } from './buffers.ts'
import type { Classification } from './classification.ts'
import type { Variables } from './nets.ts'
import { PACKET_OPTIONS, parseThreshold } from './packet-options.ts'
import type { Content, Matcher, Pcre } from './payload.ts'
import * as parse from './payload-options.ts'
import { known, type Refusal, type Rule, type RuleOption, Unsupported } from './rules.ts'
import type {
  Action,
  FlowbitAction,
  FlowbitTest,
  FlowTest,
  PacketTest,
  PayloadOn,
  Protocol,
  Signature,
  Threshold,
} from './signature.ts'

/** Rules to signatures: each option does its part of a `Builder`, whose sum is checked at the end. */

export interface Compiled {
  readonly signatures: Signature[]
  readonly refused: Refusal[]
}

export function compileRules(
  rules: readonly Rule[],
  variables: Variables,
  classification: Classification,
): Compiled {
  const signatures: Signature[] = []
  const refused: Refusal[] = []
  const seen = new Map<string, Rule>()
  for (const rule of rules) {
    const builder = new Builder(rule, variables, classification)
    try {
      const signature = builder.build(signatures.length)
      const id = `${signature.gid}:${signature.sid}`
      const twin = seen.get(id)
      if (twin) throw new Unsupported('sid', `${id} stands in ${twin.file}:${twin.line} as well`)
      seen.set(id, rule)
      signatures.push(signature)
    } catch (error) {
      if (!(error instanceof Unsupported)) throw error
      const { file, line } = rule
      refused.push({ file, line, sid: builder.sid, option: error.option, reason: error.message })
    }
  }
  return { signatures, refused }
}

/** What the payload options of a list are about: a buffer, or the payload itself. */
type Place = BufferName | 'payload'

interface Placed {
  readonly matcher: Matcher
  place: Place
}

class Builder {
  sid = 0
  gid = 1
  rev = 0
  message = ''
  classtype = ''
  priority: number | undefined
  noAlert = false
  onlyFlow = true
  references: string[] = []
  metadata: string[] = []
  flow: { -readonly [K in keyof FlowTest]: FlowTest[K] } = {
    direction: undefined,
    established: undefined,
    stream: undefined,
    fragment: undefined,
  }
  threshold: Threshold | undefined
  readonly tests: PacketTest[] = []
  readonly flowbits: FlowbitTest[] = []
  readonly flowbitActions: FlowbitAction[] = []
  /** Of options that look at headers: their rule is never about addresses only. */
  hasPacketOption = false
  /** The rule is about packets, so its payload is the packet's. */
  needsPacket = false

  private readonly placed: Placed[] = []
  private sticky: Place | undefined
  private readonly rule: Rule
  private readonly variables: Variables
  private readonly classification: Classification

  constructor(rule: Rule, variables: Variables, classification: Classification) {
    this.rule = rule
    this.variables = variables
    this.classification = classification
    const sid = rule.options.find((option) => option.name === 'sid')
    this.sid = Number(sid?.value ?? 0) || 0
  }

  build(number: number): Signature {
    const { rule, variables } = this
    for (const option of rule.options) this.apply(option)
    if (this.sid <= 0) throw new Unsupported('sid', 'it is missing')
    const { payload, buffers } = this.lists()
    const { protocol, family, only } = protocolOf(rule.protocol)
    this.implyDirection(buffers.map((b) => b.buffer))
    const net = (text: string) => variables.net(text.replaceAll(/\s/g, ''))
    const port = (text: string) => variables.port(text.replaceAll(/\s/g, ''))
    const { priority, category } = this.classified()
    return {
      number,
      sid: this.sid,
      gid: this.gid,
      rev: this.rev,
      message: this.message,
      classtype: this.classtype,
      category,
      priority,
      action: actionOf(rule.action),
      references: this.references,
      metadata: this.metadata,
      protocol,
      family,
      source: net(rule.source),
      destination: net(rule.destination),
      sourcePorts: port(rule.sourcePorts),
      destinationPorts: port(rule.destinationPorts),
      bothWays: rule.bothWays,
      flow: this.flow,
      tests: this.tests,
      payload,
      payloadOn: this.payloadOn(only, payload),
      buffers,
      flowbits: this.flowbits,
      flowbitActions: this.flowbitActions,
      threshold: this.threshold,
      noAlert: this.noAlert,
      onlyAddresses:
        !this.hasPacketOption &&
        payload.length === 0 &&
        buffers.length === 0 &&
        protocol !== 'http',
    }
  }

  private apply(option: RuleOption): void {
    const { name, value } = option
    const packet = known(PACKET_OPTIONS, name)
    if (packet) {
      this.tests.push(packet(value ?? ''))
      this.hasPacketOption = true
      if (name === 'dsize' || name === 'flags' || name === 'tcp.flags') this.needsPacket = true
      return
    }
    if (MODIFIERS.has(name) && value === undefined && this.lastContent(name).place !== undefined) {
      this.modifyBuffer(name as BufferName)
      return
    }
    const sticky = known(STICKY, name)
    if (sticky !== undefined) {
      this.sticky = sticky
      return
    }
    const apply = known(OPTIONS, name)
    if (!apply) throw new Unsupported(name, 'this option is not supported')
    apply(this, value ?? '')
  }

  private modifyBuffer(name: BufferName): void {
    this.lastContent(name).place = name
  }

  /** The content that a modifier is about. */
  lastContent(option: string): Placed & { matcher: Content } {
    for (let i = this.placed.length - 1; i >= 0; i--) {
      const placed = this.placed[i]!
      if (placed.matcher.kind === 'content') return placed as Placed & { matcher: Content }
    }
    throw new Unsupported(option, 'there is no content before it')
  }

  place(matcher: Matcher, wanted?: Place): void {
    const place = this.sticky ?? wanted ?? (this.goesOn(matcher) ? this.lastPlace() : 'payload')
    if (this.sticky !== undefined && wanted !== undefined && wanted !== this.sticky) {
      throw new Unsupported('pcre', 'its flag names another buffer')
    }
    this.placed.push({ matcher, place })
  }

  /** A relative number option goes on where the last payload option looked. */
  private goesOn(m: Matcher): boolean {
    return m.kind !== 'content' && m.kind !== 'pcre' && isRelative(m)
  }

  private lastPlace(): Place {
    return this.placed[this.placed.length - 1]?.place ?? 'payload'
  }

  replaceLastContent(option: string, change: (c: Content) => Content): void {
    const placed = this.lastContent(option)
    const at = this.placed.indexOf(placed)
    this.placed[at] = { matcher: change(placed.matcher), place: placed.place }
  }

  resetBuffer(): void {
    this.sticky = undefined
  }

  private lists(): Pick<Signature, 'payload' | 'buffers'> {
    const byPlace = new Map<Place, Matcher[]>()
    for (const { matcher, place } of this.placed) {
      const list = byPlace.get(place)
      if (list) list.push(matcher)
      else byPlace.set(place, [matcher])
    }
    for (const list of byPlace.values()) finishList(list)
    const payload = byPlace.get('payload') ?? []
    byPlace.delete('payload')
    const buffers = [...byPlace].map(([buffer, matchers]) => ({
      buffer: buffer as BufferName,
      matchers,
    }))
    return { payload, buffers }
  }

  /** Buffers of one side only make the rule one of that direction. */
  private implyDirection(buffers: readonly BufferName[]): void {
    let toServer = true
    let toClient = true
    for (const name of buffers) {
      toServer &&= BUFFERS[name].toServer
      toClient &&= BUFFERS[name].toClient
    }
    const { direction } = this.flow
    if ((direction === 'to_server' && !toServer) || (direction === 'to_client' && !toClient)) {
      throw new Unsupported('flow', `its buffers are not in what goes ${direction}`)
    }
    if (!toServer && !toClient) throw new Unsupported('header', 'buffers of both directions in one')
    if (toServer !== toClient) this.flow.direction = toServer ? 'to_server' : 'to_client'
  }

  private payloadOn(only: Named['only'], payload: readonly Matcher[]): PayloadOn {
    const packet = only === 'packet' || this.needsPacket
    const stream = only === 'stream' || this.flow.stream === 'only'
    if (packet && stream) throw new Unsupported('flow', 'options about packets on a stream')
    if (packet || stream) return { packet, stream }
    if (this.flow.stream === 'no') return { packet: true, stream: false }
    const positioned = payload.some(
      (m) => m.kind === 'content' && (m.depth !== 0 || m.offset !== 0) && m.distance === undefined,
    )
    return { packet: positioned, stream: true }
  }

  private classified(): { priority: number; category: string } {
    const known = this.classification.get(this.classtype)
    return {
      priority: this.priority ?? known?.priority ?? 3,
      category: known?.category ?? '',
    }
  }
}

/** Tells each content and pcre whether a later option depends on where it matched, and sums up depth. */
function finishList(list: Matcher[]): void {
  let leader: Content | Pcre | undefined
  for (const m of list) {
    if (isRelative(m) && leader) leader.leads = true
    if (m.kind === 'content') {
      if (typeof m.depth === 'number' && m.depth !== 0 && typeof m.offset === 'number') {
        m.depth += m.offset
      }
      if (!m.fastPatternOnly) leader = m
    } else if (m.kind === 'pcre') leader = m
  }
}

function isRelative(m: Matcher): boolean {
  switch (m.kind) {
    case 'content':
      return m.distance !== undefined || m.within !== undefined
    case 'pcre':
    case 'isdataat':
      return m.relative
    case 'length':
      return false
    default:
      return m.field.relative
  }
}

/** What a header's protocol says: also which version of IP, and whether packets or the stream are looked at. */
interface Named {
  readonly protocol: Protocol
  readonly family?: Signature['family']
  readonly only?: 'packet' | 'stream'
}

const ipv4: Named = { protocol: 'ip', family: NET_IPV4 }
const ipv6: Named = { protocol: 'ip', family: NET_IPV6 }
const PROTOCOLS: Readonly<Record<string, Named>> = {
  ip: { protocol: 'ip' },
  ip4: ipv4,
  ipv4,
  ip6: ipv6,
  ipv6,
  tcp: { protocol: 'tcp' },
  'tcp-pkt': { protocol: 'tcp', only: 'packet' },
  'tcp-stream': { protocol: 'tcp', only: 'stream' },
  udp: { protocol: 'udp' },
  icmp: { protocol: 'icmp' },
  icmpv4: { protocol: 'icmp', family: NET_IPV4 },
  icmpv6: { protocol: 'icmp', family: NET_IPV6 },
  http: { protocol: 'http' },
}

function protocolOf(text: string): Named {
  const named = known(PROTOCOLS, text)
  if (!named) throw new Unsupported('header', `protocol '${text}' is not supported`)
  return named
}

function actionOf(text: string): Action {
  if (text === 'pass' || text === 'log' || text === 'alert') return text
  return text.startsWith('reject') ? 'reject' : 'drop'
}

type Apply = (b: Builder, value: string) => void

const ignored: Apply = () => {}
const unquoted = (value: string): string => value.replace(/^"([\s\S]*)"$/, '$1')
const contentNumber =
  (option: string, key: 'offset' | 'depth' | 'distance' | 'within'): Apply =>
  (b, value) => {
    const content = b.lastContent(option).matcher
    const relative = key === 'distance' || key === 'within'
    const others = relative ? [content.offset, content.depth] : [content.distance, content.within]
    if (others.some((other) => other !== 0 && other !== undefined)) {
      throw new Unsupported(option, 'offset or depth with distance or within on one content')
    }
    const number = parse.numberOrName(option, value)
    if (key === 'depth' && typeof number === 'number' && number < content.bytes.length) {
      throw new Unsupported(option, `${number} is less than the content's length`)
    }
    content[key] = number
  }

const OPTIONS: Readonly<Record<string, Apply>> = {
  msg: (b, value) => {
    b.message = unquoted(value).replaceAll(/\\([";:\\])/g, '$1')
  },
  sid: (b, value) => {
    b.sid = parse.wholeNumber('sid', value)
  },
  gid: (b, value) => {
    b.gid = parse.wholeNumber('gid', value)
  },
  rev: (b, value) => {
    b.rev = parse.wholeNumber('rev', value)
  },
  classtype: (b, value) => {
    b.classtype = value
  },
  priority: (b, value) => {
    b.priority = parse.wholeNumber('priority', value)
  },
  reference: (b, value) => {
    b.references.push(value)
  },
  metadata: (b, value) => {
    b.metadata.push(value)
  },
  target: ignored,
  service: ignored,
  rawbytes: ignored,
  noalert: (b) => {
    b.noAlert = true
  },
  pkt_data: (b) => b.resetBuffer(),
  content: (b, value) => b.place(parse.parseContent('content', value)),
  uricontent: (b, value) => b.place(parse.parseContent('uricontent', value), 'http_uri'),
  nocase: (b) => b.replaceLastContent('nocase', parse.withoutCase),
  offset: contentNumber('offset', 'offset'),
  depth: contentNumber('depth', 'depth'),
  distance: contentNumber('distance', 'distance'),
  within: contentNumber('within', 'within'),
  startswith: (b) => {
    const content = b.lastContent('startswith').matcher
    content.depth = content.bytes.length
  },
  endswith: (b) => {
    b.lastContent('endswith').matcher.endsWith = true
  },
  fast_pattern: (b, value) => {
    const content = b.lastContent('fast_pattern').matcher
    if (!/^(only|\d+\s*,\s*\d+)?$/.test(value)) throw new Unsupported('fast_pattern', `'${value}'`)
    content.fastPattern = true
    content.fastPatternOnly = value === 'only'
  },
  pcre: (b, value) => {
    const { pcre, buffer } = parse.parsePcre(value)
    b.place(pcre, buffer as BufferName | undefined)
  },
  isdataat: (b, value) => b.place(parse.parseIsDataAt(value)),
  byte_test: (b, value) => b.place(parse.parseByteTest(value)),
  byte_jump: (b, value) => b.place(parse.parseByteJump(value)),
  byte_extract: (b, value) => b.place(parse.parseByteExtract(value)),
  byte_math: (b, value) => b.place(parse.parseByteMath(value)),
  bsize: (b, value) => b.place(parse.lengthTest('bsize', value)),
  urilen: (b, value) => {
    const [length, which = ''] = value.split(',').map((part) => part.trim())
    if (!/^(norm|raw)?$/.test(which)) throw new Unsupported('urilen', `'${which}'`)
    const raw = which === 'raw'
    b.place(parse.lengthTest('urilen', length!), raw ? 'http_raw_uri' : 'http_uri')
  },
  flow: (b, value) => applyFlow(b, value),
  flowbits: (b, value) => applyFlowbits(b, value),
  threshold: (b, value) => {
    b.threshold = parseThreshold('threshold', value)
  },
  detection_filter: (b, value) => {
    b.threshold = parseThreshold('detection_filter', value)
  },
}

function applyFlow(b: Builder, value: string): void {
  const { flow } = b
  b.hasPacketOption = true
  for (const word of value.split(',').map((part) => part.trim().toLowerCase())) {
    if (word === 'to_server' || word === 'from_client') flow.direction = 'to_server'
    else if (word === 'to_client' || word === 'from_server') flow.direction = 'to_client'
    else if (word === 'established') flow.established = true
    else if (word === 'not_established') flow.established = false
    else if (word === 'only_stream') flow.stream = 'only'
    else if (word === 'no_stream') flow.stream = 'no'
    else if (word === 'only_frag') flow.fragment = 'only'
    else if (word === 'no_frag') flow.fragment = 'no'
    else if (word !== 'stateless') throw new Unsupported('flow', `unknown word '${word}'`)
  }
}

function applyFlowbits(b: Builder, value: string): void {
  const [command, ...rest] = value.split(',').map((part) => part.trim())
  if (command === 'noalert') {
    b.noAlert = true
    return
  }
  const all = rest[0]?.includes('&') ?? false
  const names = (rest[0] ?? '').split(all ? '&' : '|').map((name) => name.trim())
  if (names.includes('') || rest.length > 1) {
    throw new Unsupported('flowbits', `'${value}' is not supported`)
  }
  if (command === 'isset' || command === 'isnotset') {
    b.hasPacketOption = true
    b.flowbits.push({ set: command === 'isset', all, names })
  } else if (command === 'set' || command === 'unset' || command === 'toggle') {
    if (command !== 'set') b.hasPacketOption = true
    b.flowbitActions.push({ action: command, names })
  } else throw new Unsupported('flowbits', `'${command}' is not supported`)
}
