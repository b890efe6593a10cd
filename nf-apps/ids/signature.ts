import type { NET_IPV4, NET_IPV6, Packet } from '../packet/index.ts'
import type { BufferName } from './buffers.ts'
import type { NetSet, PortSet } from './nets.ts'
import type { Matcher } from './payload.ts'

/** A rule, compiled. */
export interface Signature {
  /** Position among the loaded rules. */
  readonly number: number
  readonly sid: number
  readonly gid: number
  readonly rev: number
  readonly message: string
  readonly classtype: string
  readonly category: string
  readonly priority: number
  readonly action: Action
  readonly references: readonly string[]
  readonly metadata: readonly string[]

  readonly protocol: Protocol
  /** Of packets of this version of IP alone. */
  readonly family: typeof NET_IPV4 | typeof NET_IPV6 | undefined
  readonly source: NetSet | undefined
  readonly destination: NetSet | undefined
  readonly sourcePorts: PortSet | undefined
  readonly destinationPorts: PortSet | undefined
  readonly bothWays: boolean

  readonly flow: FlowTest
  readonly tests: readonly PacketTest[]
  /** On the packet's payload or the stream. */
  readonly payload: readonly Matcher[]
  readonly payloadOn: PayloadOn
  readonly buffers: readonly BufferTest[]
  readonly flowbits: readonly FlowbitTest[]
  readonly flowbitActions: readonly FlowbitAction[]
  readonly threshold: Threshold | undefined
  readonly noAlert: boolean
  /** Tested once per flow and direction: a rule about addresses only. */
  readonly onlyAddresses: boolean
}

export type Action = 'alert' | 'log' | 'pass' | 'drop' | 'reject'
export type Protocol = 'ip' | 'tcp' | 'udp' | 'icmp' | 'http'

export interface FlowTest {
  readonly direction: 'to_server' | 'to_client' | undefined
  readonly established: boolean | undefined
  /** Matches only what the stream, or only what the packet, holds. */
  readonly stream: 'only' | 'no' | undefined
  readonly fragment: 'only' | 'no' | undefined
}

export type PacketTest = (p: Packet) => boolean

/** Which bytes payload options see: of TCP the stream, the packet, or either. */
export interface PayloadOn {
  readonly packet: boolean
  readonly stream: boolean
}

export interface BufferTest {
  readonly buffer: BufferName
  readonly matchers: readonly Matcher[]
}

/** Whether one (or `all`) of the names is set, or is not. */
export interface FlowbitTest {
  readonly set: boolean
  readonly all: boolean
  readonly names: readonly string[]
}
export interface FlowbitAction {
  readonly action: 'set' | 'unset' | 'toggle'
  readonly names: readonly string[]
}

export interface Threshold {
  readonly type: 'limit' | 'threshold' | 'both' | 'detection_filter'
  readonly track: 'by_src' | 'by_dst' | 'by_both' | 'by_rule' | 'by_flow'
  readonly count: number
  readonly seconds: number
  /** What is counted: each event, or each source port, destination port or target (address and port) once. */
  readonly unique: 'no' | 'src_port' | 'dst_port' | 'target'
}

/** To the server, to the client, or either: which packets a signature can ever match. */
export type Direction = 0 | 1
export const TO_SERVER: Direction = 0
export const TO_CLIENT: Direction = 1
