import type { OptionValues } from '../../nf-apps/index.ts'
import { nat } from '../../nf-apps/nat/index.ts'
import {
  build,
  LINK_ETHERNET,
  Packet,
  PROTO_ICMP,
  PROTO_TCP,
  PROTO_UDP,
  steeringHash,
  TCP_ACK,
  TCP_FIN,
  TCP_RST,
  TCP_SYN,
} from '../../nf-apps/packet/index.ts'
import type { Seen } from './nat-checker.ts'
import { Solo } from './solo.ts'

/** What a NAT is run by: it takes a packet, and says its verdict once all it sent is in `emitted`. */
export interface Runner {
  packet(p: Packet): number | Promise<number>
  readonly emitted: readonly { index: number; bytes: Uint8Array }[]
}

/** A NAT with a record of what went in and out. Each packet enters once the one before has its verdict. */
export class Bench {
  readonly ins: Seen[] = []
  readonly runner: Runner
  readonly solo: Solo<typeof nat.state, ReturnType<typeof nat.setup>>
  us = 1_000_000_000

  constructor(options: OptionValues = {}) {
    this.solo = new Solo(nat, options)
    this.runner = this.solo
  }

  get outs(): Seen[] {
    const times = new Map(this.ins.map((i) => [i.index, i.us]))
    return this.runner.emitted.map((o) => ({ ...o, us: times.get(o.index) ?? 0 }))
  }

  /** Sends a frame into the NAT; answers the frames that come out for it. */
  async send(bytes: Uint8Array): Promise<Packet[]> {
    const index = this.ins.length
    const p = packetOf(bytes, this.us, index)
    this.ins.push({ index, us: this.us, bytes: bytes.slice() })
    const before = this.runner.emitted.length
    await this.runner.packet(p)
    return this.runner.emitted.slice(before).map((o) => packetOf(o.bytes, this.us, index))
  }

  /** The one frame that comes out, or undefined. */
  async one(bytes: Uint8Array): Promise<Packet | undefined> {
    const out = await this.send(bytes)
    if (out.length > 1) throw new Error(`${out.length} frames came out`)
    return out[0]
  }

  pass(seconds: number): void {
    this.us += seconds * 1e6
  }

  result(): Promise<string[]> {
    return this.solo.result()
  }

  async count(name: string): Promise<number> {
    const line = (await this.result()).find((l) => l.startsWith(`${name} `))
    return Number(line?.slice(name.length + 1))
  }
}

export function packetOf(bytes: Uint8Array, us: number, index: number): Packet {
  const p = new Packet()
  p.load(bytes, 0, bytes.length, LINK_ETHERNET, bytes.length, us, us, index, 0)
  p.hash = steeringHash(p)
  return p
}

/** "10.0.0.1:5000" */
export function end(text: string): { address: string; port: number } {
  const [address, port] = text.split(':')
  return { address: address ?? '', port: Number(port) }
}

export function udp(src: string, dst: string, payload = 'x'): Uint8Array {
  const [s, d] = [end(src), end(dst)]
  const part = build.udp({ srcPort: s.port, dstPort: d.port }, payload)
  return build.ethernet({}, build.ipv4({ src: s.address, dst: d.address }, part))
}

export function tcp(src: string, dst: string, flags: number, payload = ''): Uint8Array {
  const [s, d] = [end(src), end(dst)]
  const part = build.tcp({ srcPort: s.port, dstPort: d.port, flags, seq: 7, ack: 9 }, payload)
  return build.ethernet({}, build.ipv4({ src: s.address, dst: d.address }, part))
}

export function ping(src: string, dst: string, id: number, type = 8): Uint8Array {
  return build.ethernet({}, build.ipv4({ src, dst }, build.icmp({ type, id, sequence: 1 }, 'abc')))
}

export const srcOf = (p: Packet | undefined) => p && `${p.src}:${p.srcPort || p.icmpId}`
export const dstOf = (p: Packet | undefined) => p && `${p.dst}:${p.dstPort || p.icmpId}`

/** What a remote host answers to a packet that reached it; undefined: nothing. */
export function answerOf(p: Packet): Uint8Array | undefined {
  const { flags } = p
  const ends = { src: p.dst.clone(), dst: p.src.clone() }
  const ports = { srcPort: p.dstPort, dstPort: p.srcPort }
  const ip = (part: ReturnType<typeof build.udp>) => build.ethernet({}, build.ipv4(ends, part))
  if (p.ipProtocol === PROTO_UDP) return ip(build.udp(ports, 'answer'))
  if (p.ipProtocol === PROTO_ICMP) {
    return p.icmpType === 8
      ? ip(build.icmp({ type: 0, id: p.icmpId, sequence: 1 }, 'abc'))
      : undefined
  }
  if (p.ipProtocol !== PROTO_TCP || flags & TCP_RST) return undefined
  if (flags & TCP_SYN) return ip(build.tcp({ ...ports, flags: TCP_SYN | TCP_ACK }))
  if (flags & TCP_FIN) return ip(build.tcp({ ...ports, flags: TCP_FIN | TCP_ACK }))
  return p.payloadLength > 0 ? ip(build.tcp({ ...ports, flags: TCP_ACK }, 'answer')) : undefined
}

/** The closed loop: what leaves for outside is answered, and each answer enters after its cause has its verdict. */
export async function exchange(bench: Bench, bytes: Uint8Array): Promise<Packet[]> {
  const out = await bench.send(bytes)
  const back: Packet[] = []
  for (const p of out) {
    const answer = answerOf(p)
    if (answer) back.push(...(await bench.send(answer)))
  }
  return back
}
