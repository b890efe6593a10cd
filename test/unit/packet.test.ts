import { describe, expect, it } from 'vitest'
import * as pk from '../../nf-apps/packet/index.ts'
import { build, Packet } from '../../nf-apps/packet/index.ts'

const A = '10.0.0.1'
const B = '192.168.7.9'
const A6 = '2001:db8::1'
const B6 = '2001:db8::2:0:0:9'

function parse(bytes: Uint8Array, linkType = pk.LINK_ETHERNET, wireLength = bytes.length): Packet {
  return new Packet().load(bytes, 0, bytes.length, linkType, wireLength, 5e15, 6e15, 7, 8)
}

function cause(bytes: Uint8Array, linkType = pk.LINK_ETHERNET, wireLength = bytes.length): string {
  return pk.malformedNames[parse(bytes, linkType, wireLength).malformed] ?? '?'
}

const web = build.tcp({ srcPort: 1234, dstPort: 80 }, 'GET /')
const web4 = build.ipv4({ src: A, dst: B, ttl: 61 }, web)
const web6 = build.ipv6({ src: A6, dst: B6, hopLimit: 33 }, web)

/** Bytes with some of them changed. */
function changed(bytes: Uint8Array, changes: Record<number, number>): Uint8Array {
  const copy = bytes.slice()
  for (const [at, value] of Object.entries(changes)) copy[Number(at)] = value
  return copy
}

describe('links', () => {
  const links = [
    pk.LINK_ETHERNET,
    pk.LINK_RAW,
    pk.LINK_RAW_BSD,
    pk.LINK_RAW_OPENBSD,
    pk.LINK_COOKED,
    pk.LINK_COOKED2,
    pk.LINK_NULL,
    pk.LINK_LOOP,
    pk.LINK_PPP,
    pk.LINK_CHDLC,
    pk.LINK_IPV4,
    pk.LINK_IPV6,
  ]
  it.each(links)('finds IPv4 and IPv6 over link type %i', (link) => {
    const p = parse(build.frame(link, web4), link)
    expect(p.malformed).toBe(pk.FINE)
    expect([p.kind, `${p.src}`, p.dstPort, p.payloadLength]).toEqual([pk.NET_IPV4, A, 80, 5])
    const p6 = parse(build.frame(link, web6), link)
    expect([p6.kind, `${p6.src}`, p6.dstPort, p6.ttl]).toEqual([pk.NET_IPV6, A6, 80, 33])
  })

  it('knows the source of a cooked packet, both ends of an Ethernet one, none of a raw one', () => {
    const macs = (p: Packet) => [p.srcMac, p.dstMac].map(pk.macText)
    const none = '00:00:00:00:00:00'
    const cooked = parse(build.frame(pk.LINK_COOKED, web4), pk.LINK_COOKED)
    expect(macs(cooked)).toEqual(['02:00:00:00:00:01', none])
    const ethernet = { src: 'fe:dc:ba:98:76:54', dst: '01:23:45:67:89:ab' }
    expect(macs(parse(build.ethernet(ethernet, web4)))).toEqual(Object.values(ethernet))
    expect(macs(parse(web4.bytes, pk.LINK_RAW))).toEqual([none, none])
  })

  it('takes the loopback family in either byte order', () => {
    const big = new Uint8Array([0, 0, 0, 30, ...web6.bytes])
    expect(parse(big, pk.LINK_NULL).kind).toBe(pk.NET_IPV6)
    const little = new Uint8Array([2, 0, 0, 0, ...web4.bytes])
    expect(parse(little, pk.LINK_LOOP).kind).toBe(pk.NET_IPV4)
  })

  it('finds IP below stacked tags and labels', () => {
    const stacked = build.vlan(100, build.vlan(7, web4), pk.ETHER_QINQ)
    const p = parse(build.ethernet({}, stacked))
    expect([p.vlanCount, p.vlan, p.innerVlan, p.etherType]).toEqual([2, 100, 7, pk.ETHER_IPV4])
    expect(p.dstPort).toBe(80)
    const old = build.vlan(9, build.mpls([3, 16, 99], web6), pk.ETHER_QINQ_OLD)
    const labelled = parse(build.ethernet({}, old))
    expect([labelled.vlan, labelled.kind, labelled.srcPort]).toEqual([9, pk.NET_IPV6, 1234])
  })

  it('finds IP in an 802.3 frame with a SNAP header, and nothing in another', () => {
    const snap = [0xaa, 0xaa, 3, 0, 0, 0, 8, 0, ...web4.bytes]
    const length = build.ethernet({}, { type: 300, bytes: new Uint8Array(snap), checksumAt: -1 })
    expect(parse(length).dstPort).toBe(80)
    const bridge = build.ethernet({}, { type: 38, bytes: new Uint8Array(60), checksumAt: -1 })
    const p = parse(bridge)
    expect([p.kind, p.etherType, p.malformed]).toEqual([pk.NET_NONE, 0, pk.FINE])
  })
})

describe('IP', () => {
  it('bounds the payload by the length of IP, not by the padding of the frame', () => {
    const bytes = build.ethernet({}, web4)
    const p = parse(new Uint8Array([...bytes, 0, 0, 0, 0, 0, 0]))
    expect([p.payloadLength, p.malformed]).toEqual([5, pk.FINE])
  })

  it('tells what was captured from what was sent', () => {
    const bytes = build.ethernet({}, build.ipv4({ src: A, dst: B }, build.tcp({}, 'x'.repeat(500))))
    const p = parse(bytes.subarray(0, 96), pk.LINK_ETHERNET, bytes.length)
    expect(p.malformed).toBe(pk.FINE)
    expect([p.payloadLength, p.payloadWireLength, p.length]).toEqual([42, 500, 554])
  })

  it('takes a length of 0 as the rest of the packet (segmentation offload)', () => {
    const p = parse(build.ethernet({}, { ...web4, bytes: changed(web4.bytes, { 2: 0, 3: 0 }) }))
    expect([p.totalLength, p.payloadLength, p.malformed]).toEqual([45, 5, pk.FINE])
    const p6 = parse(changed(web6.bytes, { 4: 0, 5: 0 }), pk.LINK_RAW)
    expect([p6.totalLength, p6.payloadLength, p6.malformed]).toEqual([65, 5, pk.FINE])
  })

  it('steps over the options of IPv4 and of TCP', () => {
    const tcp = build.tcp({ options: new Uint8Array([2, 4, 5, 180, 1]) }, 'hello')
    const p = parse(build.ipv4({ src: A, dst: B, options: new Uint8Array(5) }, tcp).bytes, 101)
    expect([p.headerLength, p.tcpHeaderLength, p.payloadLength]).toEqual([28, 28, 5])
    expect([p.tcpOptionsOffset, p.payloadOffset]).toEqual([48, 56])
  })

  it('walks the extension headers of IPv6', () => {
    const extensions = [
      { type: pk.PROTO_HOP_BY_HOP },
      { type: pk.PROTO_ROUTING, body: new Uint8Array(20) },
      { type: pk.PROTO_AH, body: new Uint8Array(22) },
      { type: pk.PROTO_DESTINATION, body: new Uint8Array(14) },
    ]
    const p = parse(build.ipv6({ src: A6, dst: B6, extensions }, web).bytes, pk.LINK_RAW)
    expect([p.ipProtocol, p.headerLength, p.dstPort]).toEqual([pk.PROTO_TCP, 40 + 72, 80])
    expect([p.payloadLength, p.malformed]).toEqual([5, pk.FINE])
  })

  it('ends at "no next header" and at what is encrypted', () => {
    for (const protocol of [pk.PROTO_NONE, pk.PROTO_ESP]) {
      const p = parse(
        build.ipv6({ src: A6, dst: B6 }, build.transport(protocol, 'abcd')).bytes,
        pk.LINK_RAW,
      )
      expect([p.ipProtocol, p.payloadLength, p.malformed]).toEqual([protocol, 4, pk.FINE])
    }
  })

  it('knows a fragment of either family, and ports of the first only', () => {
    const datagram = build.udp({ srcPort: 5, dstPort: 6 }, 'x'.repeat(100))
    const pieces = [
      build.ipv4Fragments({ src: A, dst: B, id: 77 }, datagram, 48),
      build.ipv6Fragments({ src: A6, dst: B6 }, datagram, 48, 0xfedc_ba98),
    ]
    for (const [family, parts] of pieces.entries()) {
      const seen = parts.map(({ bytes }) => {
        const p = parse(bytes, pk.LINK_RAW)
        expect([p.isFragment, p.malformed]).toEqual([true, pk.FINE])
        expect(p.ipId).toBe([77, 0xfedc_ba98][family])
        return [p.fragmentOffset, p.moreFragments, p.l4Offset >= 0, p.dstPort, p.payloadLength]
      })
      expect(seen).toEqual([
        [0, true, true, 6, 40],
        [48, true, false, 0, 48],
        [96, false, false, 0, 12],
      ])
    }
  })

  it('does not look for headers in the middle of a datagram, whose beginning may have some', () => {
    const destination = new Uint8Array(64)
    destination[0] = pk.PROTO_UDP
    const part = build.transport(pk.PROTO_DESTINATION, destination)
    const pieces = build.ipv6Fragments({ src: A6, dst: B6 }, part, 32, 1)
    const [first, second] = pieces.map(({ bytes }) => parse(bytes, pk.LINK_RAW))
    expect([first?.ipProtocol, second?.ipProtocol]).toEqual([pk.PROTO_UDP, pk.PROTO_DESTINATION])
    expect([second?.l4Offset, second?.payloadOffset, second?.malformed]).toEqual([-1, 48, pk.FINE])
    expect(pk.steeringHash(second!)).toBe(pk.steeringHash(first!))
  })

  it('takes a fragment header that cuts nothing for no fragment (RFC 6946)', () => {
    const [whole] = build.ipv6Fragments({ src: A6, dst: B6 }, web, 1000, 1)
    whole!.bytes[43]! |= 6 // reserved bits
    const p = parse(whole!.bytes, pk.LINK_RAW)
    expect([p.isFragment, p.dstPort, p.ipId]).toEqual([false, 80, 1])
  })
})

describe('ARP and ICMP', () => {
  it('reads who has and who tells', () => {
    const senderMac = '02:aa:00:00:00:01'
    const arp = build.arp({ operation: pk.ARP_REPLY, senderMac, senderIp: A, targetIp: B })
    const p = parse(build.ethernet({}, build.vlan(5, arp)))
    expect([p.kind, p.arpOperation, `${p.src}`, `${p.dst}`]).toEqual([pk.NET_ARP, 2, A, B])
    expect([pk.macText(p.arpSenderMac), p.arpTargetMac, p.vlan]).toEqual([senderMac, 0, 5])
  })

  it('reads the identifier of queries, of both families', () => {
    const echo = { id: 0x1234, sequence: 9 }
    for (const part of [
      build.ipv4({ src: A, dst: B }, build.icmp(echo, 'ping')),
      build.ipv6({ src: A6, dst: B6 }, build.icmpv6({ ...echo, type: 129 }, 'ping')),
    ]) {
      const p = parse(part.bytes, pk.LINK_RAW)
      expect([p.icmpId, p.icmpSequence, p.payloadLength]).toEqual([0x1234, 9, 4])
      expect(pk.isIcmpError(p)).toBe(false)
    }
  })

  it('reads the packet that an error quotes, however little of it', () => {
    const quote = web4.bytes.subarray(0, 28)
    const error = build.ipv4({ src: B, dst: A }, build.icmp({ type: 3, code: 1 }, quote))
    const inner = new Packet()
    const p = parse(error.bytes, pk.LINK_RAW)
    expect(pk.loadQuoted(p, inner)).toBe(true)
    expect([`${inner.src}`, `${inner.dst}`, inner.srcPort, inner.dstPort]).toEqual([A, B, 1234, 80])
    expect([inner.l4Offset, inner.l3Offset, p.icmpId]).toEqual([-1, 28, 0])
    const echo = build.ipv4({ src: B, dst: A }, build.icmp({}, quote))
    expect(pk.loadQuoted(parse(echo.bytes, pk.LINK_RAW), inner)).toBe(false)
    const six = build.ipv6({ src: B6, dst: A6 }, build.icmpv6({ type: 1 }, web6.bytes))
    expect(pk.loadQuoted(parse(six.bytes, pk.LINK_RAW), inner)).toBe(true)
    expect(pk.symmetricFlowOf(inner).dstPort).toBe(80)
  })
})

describe('malformed packets', () => {
  const e4 = build.ethernet({}, web4)
  const raw6 = web6.bytes
  const extended = (type: number, count: number) => {
    const extensions = Array.from({ length: count }, () => ({ type }))
    return build.ipv6({ src: A6, dst: B6, extensions }, web).bytes
  }
  const udp = build.ipv4({ src: A, dst: B }, build.udp({}, 'abc')).bytes
  const arp = build.ethernet({}, build.arp({ senderIp: A, targetIp: B }))
  let tags = web4
  for (let i = 0; i < 17; i++) tags = build.vlan(i, tags)

  const cases: [string, Uint8Array, number?][] = [
    ['unknown-link-type', e4, 105],
    ['link-truncated', e4.subarray(0, 13)],
    ['link-truncated', build.ethernet({}, build.vlan(3, web4)).subarray(0, 17)],
    ['link-truncated', build.ethernet({}, build.mpls([1, 2], web4)).subarray(0, 20)],
    ['link-truncated', new Uint8Array(15), pk.LINK_COOKED],
    ['link-truncated', new Uint8Array(19), pk.LINK_COOKED2],
    ['link-truncated', new Uint8Array(3), pk.LINK_NULL],
    ['too-many-tags', build.ethernet({}, tags)],
    ['too-many-tags', build.ethernet({}, build.mpls(new Array<number>(17).fill(5), web4))],
    ['ip-truncated', e4.subarray(0, 33)],
    ['ip-truncated', new Uint8Array(0), pk.LINK_RAW],
    ['ip-truncated', raw6.subarray(0, 39), pk.LINK_RAW],
    ['ip-truncated', changed(web4.bytes, { 0: 0x4f, 3: 60 }), pk.LINK_RAW],
    ['ip-version', changed(e4, { 14: 0x65 })],
    ['ip-version', changed(raw6, { 0: 0x50 }), pk.LINK_RAW],
    ['ip-header-length', changed(e4, { 14: 0x44 })],
    ['ip-total-length', changed(e4, { 17: 19 })],
    ['ip-beyond-wire', changed(e4, { 16: 4 })],
    ['ip-beyond-wire', changed(raw6, { 4: 1 }), pk.LINK_RAW],
    ['ipv6-extension-truncated', changed(extended(0, 1), { 41: 99 }), pk.LINK_RAW],
    ['ipv6-extension-chain', extended(60, 33), pk.LINK_RAW],
    ['tcp-truncated', changed(e4, { 17: 39 })],
    ['tcp-truncated', changed(e4, { 46: 0xf0 })],
    ['tcp-header-length', changed(e4, { 46: 0x40 })],
    ['udp-truncated', changed(udp, { 3: 27 }), pk.LINK_RAW],
    ['udp-length', changed(udp, { 25: 7 }), pk.LINK_RAW],
    ['udp-length', changed(udp, { 25: 12 }), pk.LINK_RAW],
    [
      'icmp-truncated',
      build.ipv4({ src: A, dst: B }, build.transport(1, '1234567')).bytes,
      pk.LINK_RAW,
    ],
    ['arp-truncated', arp.subarray(0, 21)],
    ['arp-truncated', arp.subarray(0, 41)],
    ['arp-format', changed(arp, { 18: 8 })],
    ['fine', extended(60, 32), pk.LINK_RAW],
  ]
  it.each(cases)('%s', (name, bytes, link) => {
    expect(cause(bytes, link)).toBe(name)
  })

  it('has a case for every cause', () => {
    expect(new Set(cases.map(([name]) => name))).toEqual(new Set(pk.malformedNames))
  })

  it('leaves nothing of the packet before', () => {
    const stump = e4.subarray(0, 5)
    const load = (p: Packet) => p.load(stump, 0, 5, pk.LINK_ETHERNET, 5, 1, 2, 3, 4)
    const twice = (part: build.Part) => build.ethernet({}, build.vlan(4, build.vlan(5, part)))
    const cut = [
      ...build.ipv4Fragments({ src: A, dst: B, id: 9 }, web, 16),
      ...build.ipv6Fragments({ src: A6, dst: B6 }, web, 16, 9),
    ]
    for (const bytes of [arp, ...[web6, web4, ...cut].map(twice)]) {
      expect(load(parse(bytes))).toEqual(load(new Packet()))
    }
  })
})

describe('a packet that waits', () => {
  it('is independent of the bytes and objects it came in', () => {
    const bytes = build.ethernet({}, web4)
    const buffer = new Uint8Array(200)
    buffer.set(bytes, 50)
    const p = new Packet().load(buffer, 50, 50 + bytes.length, 1, 70, 5e15, 6e15, 7, 0xffff_fff0)
    const kept = p.retain()
    buffer.fill(0)
    p.load(buffer, 0, 20, pk.LINK_ETHERNET, 20, 1, 2, 3, 4)
    expect([`${kept.src}`, kept.srcPort, kept.ttl, kept.payloadLength]).toEqual([A, 1234, 61, 5])
    const stamped = [kept.timeUs, kept.clockUs, kept.index, kept.hash, kept.wireLength]
    expect(stamped).toEqual([5e15, 6e15, 7, 0xffff_fff0, 70])
    expect(kept.bytes.length).toBe(bytes.length)
  })
})

describe('checksums', () => {
  it('agree with the example of RFC 1071', () => {
    const bytes = Uint8Array.of(0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7)
    expect(pk.checksum(bytes, 0, 8)).toBe(~0xddf2 & 0xffff)
  })

  it('agree with the example of RFC 1624', () => {
    expect(pk.updateChecksum(0xdd2f, 0x5555, 0x3285)).toBe(0x0000)
    // A carry that makes another one.
    expect(pk.updateChecksum(0x0000, 0x0001, 0x0002)).toBe(0xfffe)
  })

  it('agree with packets from elsewhere', () => {
    // The header that is worked through in most textbooks: 172.16.10.99 to 172.16.10.12.
    const header = Uint8Array.from(Buffer.from('4500003c1c4640004006b1e6ac100a63ac100a0c', 'hex'))
    expect(pk.checksum(header, 0, 20)).toBe(0)
  })

  it('stand right in what is built', () => {
    for (const part of [web, build.udp({}, 'odd'), build.icmpv6({}, 'xyz')]) {
      const six = build.ipv6({ src: A6, dst: B6 }, part).bytes
      const p = parse(six, pk.LINK_RAW)
      const pseudo = pk.sumPseudoHeader(p.src, p.dst, part.type, part.bytes.length)
      expect(pk.checksum(six, 40, six.length, pseudo)).toBe(0)
    }
  })
})
