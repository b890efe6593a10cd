import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Router, type RouterPort, toWire } from '../../loadgen/index.ts'
import {
  build,
  checksum,
  Ip,
  LINK_ETHERNET,
  macAt,
  Packet,
  PROTO_TCP,
  PROTO_UDP,
  Subnet,
  sumPseudoHeader,
  TCP_ACK,
  TCP_FIN,
} from '../../nf-apps/packet/index.ts'

function load(bytes: Uint8Array): Packet {
  return new Packet().load(bytes, 0, bytes.length, LINK_ETHERNET, bytes.length, 0, 0, 0, 0)
}

/** Whether the transport checksum is right, computed anew. */
function isRight(p: Packet): boolean {
  const end = p.l3Offset + (p.src.v4 ? p.totalLength : p.end - p.l3Offset)
  const pseudo = sumPseudoHeader(p.src, p.dst, p.ipProtocol, end - p.l4Offset)
  return checksum(p.bytes, p.l4Offset, end, pseudo) === 0
}

/** The frame as a machine's own kernel hands it out: its checksum is that of the pseudo header. */
function unfinished(frame: Uint8Array): { frame: Uint8Array; sumStart: number; sumAt: number } {
  const own = frame.slice()
  const p = load(own)
  const sumAt = p.l4Offset + (p.ipProtocol === PROTO_TCP ? 16 : 6)
  const sum = sumPseudoHeader(p.src, p.dst, p.ipProtocol, own.length - p.l4Offset)
  const folded = ~checksum(new Uint8Array(0), 0, 0, sum) & 0xffff
  own[sumAt] = folded >>> 8
  own[sumAt + 1] = folded
  return { frame: own, sumStart: p.l4Offset, sumAt }
}

const families = fc.constantFrom('10.0.0.1', 'fd00::1')
const packet = (part: build.Part, src: string, dst: string) =>
  build.ethernet(
    {},
    src.includes(':') ? build.ipv6({ src, dst }, part) : build.ipv4({ src, dst }, part),
  )
const other = (ip: string) => ip.replace(/1$/, '2')

describe('frames as a wire has them', () => {
  it('get the checksum that was left to the hardware', () => {
    const ways = [build.tcp, build.udp]
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 99 }), families, fc.nat(1), (payload, src, way) => {
        const whole = packet(ways[way]!({}, payload), src, other(src))
        const { frame, sumStart, sumAt } = unfinished(whole)
        const seen: Uint8Array[] = []
        const offload = { needsChecksum: true, sumStart, sumAt, kind: 0, segmentBytes: 0 }
        toWire(frame, 0, frame.length, offload, (b, start, end) => seen.push(b.slice(start, end)))
        expect(seen).toEqual([whole])
      }),
    )
  })

  it('are cut as the hardware would, and hold the same bytes', () => {
    const sizes = fc.integer({ min: 1, max: 20_000 })
    const cases = fc.tuple(sizes, fc.integer({ min: 536, max: 1460 }), families, fc.boolean())
    fc.assert(
      fc.property(cases, ([size, segmentBytes, src, tcp]) => {
        const payload = Uint8Array.from({ length: size }, (_, i) => i * 7)
        const fields = { seq: 0xffff_fff0, flags: TCP_ACK | TCP_FIN, options: new Uint8Array(12) }
        const part = tcp ? build.tcp(fields, payload) : build.udp({}, payload)
        const { frame, sumStart, sumAt } = unfinished(packet(part, src, other(src)))
        const kind = !tcp ? 5 : src.includes(':') ? 4 : 1
        const got = new Uint8Array(size)
        let at = 0
        let seq = fields.seq
        const offload = { needsChecksum: true, sumStart, sumAt, kind, segmentBytes }
        toWire(frame, 0, frame.length, offload, (bytes, start, end) => {
          const p = load(bytes.slice(start, end))
          expect(p.malformed).toBe(0)
          expect(p.payloadLength).toBeLessThanOrEqual(segmentBytes)
          expect(isRight(p)).toBe(true)
          if (tcp) expect(p.seq).toBe(seq)
          seq = (seq + p.payloadLength) >>> 0
          const last = at + p.payloadLength === size
          if (tcp) expect((p.flags & TCP_FIN) !== 0).toBe(last)
          got.set(p.bytes.subarray(p.payloadOffset, p.payloadOffset + p.payloadLength), at)
          at += p.payloadLength
        })
        expect(Buffer.compare(got, payload)).toBe(0)
      }),
      { numRuns: 30 },
    )
  })
})

const IN = 0x02_00_00_00_00_10
const OUT = 0x02_00_00_00_00_20
const HOST = 0x02_00_00_00_00_01
const PEER = 0x02_00_00_00_00_02

class Room {
  readonly sent: [Uint8Array[], Uint8Array[]] = [[], []]
  nowMs = 1_000
  readonly router: Router

  constructor(own: readonly string[] = ['192.0.2.9', 'fd00::9']) {
    const port = (i: 0 | 1, mac: number, address: string): RouterPort => ({
      name: `port${i}`,
      mac,
      mtu: i === 0 ? 1500 : 1000,
      addresses: [Ip.parse(address)],
      send: (frame) => void this.sent[i].push(frame.slice()),
    })
    this.router = new Router({
      ports: [port(0, IN, '10.0.0.254'), port(1, OUT, '192.0.2.1')],
      routes: [
        { port: 1, net: new Subnet(Ip.parse('0.0.0.0'), 0), gateway: Ip.parse('192.0.2.254').d },
        { port: 0, net: new Subnet(Ip.parse('10.0.0.0'), 8), gateway: 0 },
        { port: 1, net: new Subnet(Ip.parse('192.0.2.0'), 24), gateway: 0 },
      ],
      own: own.map(Ip.parse),
      nowMs: () => this.nowMs,
    })
    this.sent[1].length = 0 // what is announced at the start
  }

  take(port: 0 | 1, frame: Uint8Array): boolean {
    return this.router.take(port, frame, 0, frame.length)
  }
  /** Takes and clears what was sent by a port. */
  out(port: 0 | 1): Packet[] {
    return this.sent[port].splice(0).map(load)
  }
}

const fields = (dst = '198.51.100.7') => ({ src: '10.0.0.1', dst })
const datagram = (size = 10) => build.udp({}, new Uint8Array(size))

describe('a router around an NF', () => {
  it('answers for the addresses of the NF on the outer line, and for no others', () => {
    const room = new Room()
    const ask = (targetIp: string) =>
      build.ethernet(
        { src: PEER, dst: 0xffff_ffff_ffff },
        build.arp({ senderMac: PEER, senderIp: '192.0.2.7', targetIp }),
      )
    expect(room.take(1, ask('192.0.2.9'))).toBe(false)
    const [answer] = room.out(1)
    expect(answer?.dstMac).toBe(PEER)
    expect(macAt(answer!.bytes, 14 + 8)).toBe(OUT)
    room.take(1, ask('192.0.2.1'))
    room.take(0, ask('192.0.2.9'))
    expect([room.out(0), room.out(1)]).toEqual([[], []])
  })

  it('answers neighbour discovery for them', () => {
    const room = new Room()
    const ask = (target: string, hopLimit = 255) => {
      const t = Ip.parse(target)
      const payload = new Uint8Array(16)
      new DataView(payload.buffer).setUint32(0, t.a)
      new DataView(payload.buffer).setUint32(12, t.d)
      const part = build.icmpv6({ type: 135 }, payload)
      return build.ethernet(
        { src: PEER, dst: 0x3333_ff00_0009 },
        build.ipv6({ src: 'fd00::7', dst: 'ff02::1:ff00:9', hopLimit }, part),
      )
    }
    expect(room.take(1, ask('fd00::9'))).toBe(false)
    const [answer] = room.out(1)
    expect(`${answer?.src} ${answer?.dst}`).toBe('fd00::9 fd00::7')
    expect(answer && isRight(answer)).toBe(true)
    expect(macAt(answer!.bytes, answer!.bytes.length - 6)).toBe(OUT)
    room.take(1, ask('fd00::8'))
    room.take(1, ask('fd00::9', 64)) // from beyond the line
    expect(room.out(1)).toEqual([])
  })

  it('takes what is sent to it, one hop older, and leaves the rest to others', () => {
    const room = new Room()
    const sentTo = (dst: number, to?: string) =>
      build.ethernet({ src: HOST, dst }, build.ipv4(fields(to), datagram()))
    const frame = sentTo(IN)
    expect(room.take(0, frame)).toBe(true)
    const p = load(frame)
    expect(p.ttl).toBe(63)
    expect(checksum(frame, 14, 34)).toBe(0)
    expect(room.take(0, sentTo(HOST))).toBe(false)
    expect(room.take(0, sentTo(0xffff_ffff_ffff))).toBe(false)
    expect(room.take(0, sentTo(IN, '10.0.0.254'))).toBe(false)
    expect(room.take(0, sentTo(IN, '192.0.2.1'))).toBe(false)
    expect(room.router.counts.ignored).toBe(4)
  })

  it('tells the sender of a packet whose time is over, or that does not fit the next line', () => {
    const room = new Room()
    const old = build.ipv4({ ...fields(), ttl: 1 }, datagram())
    expect(room.take(0, build.ethernet({ src: HOST, dst: IN }, old))).toBe(false)
    const big = build.ipv4({ ...fields(), dontFragment: true }, datagram(1200))
    expect(room.take(0, build.ethernet({ src: HOST, dst: IN }, big))).toBe(false)
    const told = room.out(0)
    expect(told.map((p) => `${p.src} ${p.dst} ${p.icmpType}`)).toEqual([
      '10.0.0.254 10.0.0.1 11',
      '10.0.0.254 10.0.0.1 3',
    ])
    expect(told.map((p) => p.dstMac)).toEqual([HOST, HOST])
  })

  it('asks for the next hop once, and sends in order what waited', () => {
    const room = new Room()
    const send = (size: number) =>
      room.router.send(
        build.ethernet({}, build.ipv4({ src: '192.0.2.9', dst: '198.51.100.7' }, datagram(size))),
      )
    send(1)
    send(2)
    const asked = room.out(1)
    expect(asked.length).toBe(1)
    expect(Ip.v4(new DataView(asked[0]!.bytes.buffer).getUint32(14 + 24)).toString()).toBe(
      '192.0.2.254',
    )
    const answer = {
      operation: 2,
      senderMac: PEER,
      senderIp: '192.0.2.254',
      targetMac: OUT,
      targetIp: '192.0.2.1',
    }
    room.take(1, build.ethernet({ src: PEER, dst: OUT }, build.arp(answer)))
    send(3)
    const went = room.out(1)
    expect(went.map((p) => p.payloadLength)).toEqual([1, 2, 3])
    expect(went.every((p) => p.dstMac === PEER && p.srcMac === OUT)).toBe(true)
  })

  it('gives up a next hop that is silent, and counts its packets', () => {
    const room = new Room()
    for (let i = 0; i < 100; i++) {
      room.nowMs += 100
      room.router.send(
        build.ethernet({}, build.ipv4({ src: '192.0.2.9', dst: '192.0.2.7' }, datagram())),
      )
    }
    expect(room.router.unanswered).toBeGreaterThan(0)
    expect(room.out(1).length).toBeLessThanOrEqual(11)
  })

  it('sends by the longest prefix, and fragments what may be', () => {
    const room = new Room()
    const reply = {
      operation: 2,
      senderMac: PEER,
      targetMac: OUT,
      targetIp: '192.0.2.1',
      senderIp: '192.0.2.7',
    }
    const whole = build.ipv4({ src: '192.0.2.9', dst: '192.0.2.7', id: 5 }, datagram(2_000))
    room.router.send(build.ethernet({}, whole))
    room.take(1, build.ethernet({ src: PEER, dst: OUT }, build.arp(reply)))
    const pieces = room.out(1).filter((p) => p.ipProtocol === PROTO_UDP)
    expect(pieces.map((p) => p.fragmentOffset)).toEqual([0, 976, 1952])
    expect(pieces.every((p) => checksum(p.bytes, 14, 34) === 0)).toBe(true)
    const body = pieces.flatMap((p) => [...p.bytes.subarray(34)])
    expect(Uint8Array.from(body)).toEqual(whole.bytes.subarray(20))
    room.router.send(
      build.ethernet({}, build.ipv4({ src: '8.8.8.8', dst: '10.1.1.1' }, datagram())),
    )
    expect(room.out(0).length).toBe(1) // the question for 10.1.1.1
  })

  it('takes any bytes', () => {
    const room = new Room()
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 120 }), fc.nat(3), (bytes, kind) => {
        const types = [0x0800, 0x0806, 0x86dd, 0x8100]
        const part = { type: types[kind]!, bytes, checksumAt: -1 }
        const frame = build.ethernet({ dst: OUT }, part)
        room.take(1, frame)
        room.router.send(frame)
      }),
    )
  })
})
