import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import * as pk from '../../nf-apps/packet/index.ts'
import { build, Ip, Packet } from '../../nf-apps/packet/index.ts'

const word = fc.integer({ min: 0, max: 0xffff_ffff })
const half = fc.integer({ min: 0, max: 0xffff })
const byte = fc.integer({ min: 0, max: 255 })
const v4 = word.map(Ip.v4)
const v6 = fc.tuple(word, word, word, word).map((w) => new Ip(...w))
const vlanId = fc.integer({ min: 0, max: 0xfff })
const payload = fc.uint8Array({ maxLength: 64 })

const tcpFields = fc.record({
  srcPort: half,
  dstPort: half,
  seq: word,
  ack: word,
  flags: byte,
  window: half,
  urgent: half,
  options: fc.uint8Array({ maxLength: 40 }),
})
const ports = fc.record({ srcPort: half, dstPort: half })
const query = fc.record({ id: half, sequence: half })
const tags = fc.array(vlanId, { maxLength: 3 })
const extensionTypes = [pk.PROTO_HOP_BY_HOP, pk.PROTO_ROUTING, pk.PROTO_AH, pk.PROTO_DESTINATION]
const extensions = fc.array(
  fc.record({ type: fc.constantFrom(...extensionTypes), body: fc.uint8Array({ maxLength: 30 }) }),
  { maxLength: 5 },
)
const links = [
  pk.LINK_ETHERNET,
  pk.LINK_RAW,
  pk.LINK_COOKED,
  pk.LINK_COOKED2,
  pk.LINK_NULL,
  pk.LINK_LOOP,
]

function load(bytes: Uint8Array, link = pk.LINK_ETHERNET, p = new Packet()): Packet {
  return p.load(bytes, 0, bytes.length, link, bytes.length, 0, 0, 0, 0)
}

const families = fc.oneof(
  fc.record({
    family: fc.constant(4 as const),
    src: v4,
    dst: v4,
    ttl: byte,
    tos: byte,
    id: half,
    dontFragment: fc.boolean(),
    options: fc.uint8Array({ maxLength: 40 }),
  }),
  fc.record({
    family: fc.constant(6 as const),
    src: v6,
    dst: v6,
    hopLimit: byte,
    trafficClass: byte,
    extensions,
  }),
)
/** Now and then a host that talks to itself. */
const network = fc
  .tuple(families, fc.nat(7))
  .map(([net, n]): Network => (n === 0 ? { ...net, dst: net.src } : net))
type Network = typeof families extends fc.Arbitrary<infer T> ? T : never

function wrap(net: Network, part: build.Part): build.Part {
  return net.family === 4 ? build.ipv4(net, part) : build.ipv6(net, part)
}

describe('what is built is read', () => {
  it('TCP over IP over any link', () => {
    fc.assert(
      fc.property(
        network,
        tcpFields,
        payload,
        tags,
        fc.constantFrom(...links),
        (net, tcp, data, ids, link) => {
          const tagged = link === pk.LINK_ETHERNET || link === pk.LINK_COOKED ? ids : []
          const part = tagged.reduceRight(
            (inner, id) => build.vlan(id, inner),
            wrap(net, build.tcp(tcp, data)),
          )
          const p = load(build.frame(link, part), link)
          expect(p.malformed).toBe(pk.FINE)
          expectNetwork(p, net)
          const { srcPort, dstPort, seq, ack, flags, window, urgent } = p
          const { options, ...fields } = tcp
          expect({ srcPort, dstPort, seq, ack, flags, window, urgent }).toEqual(fields)
          const optionBytes = p.bytes.subarray(p.tcpOptionsOffset, p.payloadOffset)
          expect(optionBytes.subarray(0, options.length)).toEqual(options)
          expect(p.bytes.slice(p.payloadOffset, p.payloadEnd)).toEqual(data)
          expect([p.vlanCount, p.vlan, p.innerVlan]).toEqual([
            tagged.length,
            tagged[0] ?? 0,
            tagged[1] ?? 0,
          ])
        },
      ),
    )
  })

  function expectNetwork(p: Packet, net: Network): void {
    expect([p.src.equals(net.src), p.dst.equals(net.dst)]).toEqual([true, true])
    if (net.family === 4) {
      expect([p.ttl, p.tos, p.ipId]).toEqual([net.ttl, net.tos, net.id])
      expect(p.dontFragment).toBe(net.dontFragment)
    } else expect([p.ttl, p.tos]).toEqual([net.hopLimit, net.trafficClass])
  }

  it('UDP and ICMP queries', () => {
    fc.assert(
      fc.property(network, ports, query, payload, (net, udp, icmp, data) => {
        const p = load(build.ethernet({}, wrap(net, build.udp(udp, data))))
        const { srcPort, dstPort, payloadLength, malformed } = p
        expect({ srcPort, dstPort }).toEqual(udp)
        expect([payloadLength, p.udpLength, malformed]).toEqual([data.length, data.length + 8, 0])
        const echo = net.family === 4 ? build.icmp(icmp, data) : build.icmpv6(icmp, data)
        load(build.ethernet({}, wrap(net, echo)), pk.LINK_ETHERNET, p)
        expect([p.icmpId, p.icmpSequence, p.payloadLength, p.malformed]).toEqual([
          icmp.id,
          icmp.sequence,
          data.length,
          0,
        ])
      }),
    )
  })
})

describe('the steering hash', () => {
  const hash = (bytes: Uint8Array) => pk.steeringHash(load(bytes))
  const turned = (net: Network): Network => ({ ...net, src: net.dst, dst: net.src })

  it('is the same for both directions', () => {
    const ends = fc.constantFrom('tcp', 'udp', 'icmp', 'other')
    fc.assert(
      fc.property(network, ports, ends, (net, { srcPort, dstPort }, kind) => {
        const back = { srcPort: dstPort, dstPort: srcPort }
        const pairs: Record<string, [build.Part, build.Part]> = {
          tcp: [build.tcp({ srcPort, dstPort }), build.tcp(back)],
          udp: [build.udp({ srcPort, dstPort }), build.udp(back)],
          icmp:
            net.family === 4
              ? [build.icmp({ id: srcPort }), build.icmp({ id: srcPort, type: 0 })]
              : [build.icmpv6({ id: srcPort }), build.icmpv6({ id: srcPort, type: 129 })],
          other: [build.transport(47, 'abc'), build.transport(47, 'd')],
        }
        const [there, here] = pairs[kind]!
        const a = build.ethernet({}, wrap(net, there))
        const b = build.ethernet({}, build.vlan(3, wrap(turned(net), here)))
        expect(hash(b)).toBe(hash(a))
      }),
    )
  })

  it('is the same for all fragments of a datagram, either way', () => {
    fc.assert(
      fc.property(network, ports, fc.integer({ min: 1, max: 5 }), (net, udp, words) => {
        const part = build.udp(udp, 'x'.repeat(99))
        const cut = (n: Network) =>
          n.family === 4
            ? build.ipv4Fragments(n, part, words * 8)
            : build.ipv6Fragments(n, part, words * 8, 1)
        const all = [...cut(net), ...cut(turned(net))].map((f) => hash(build.ethernet({}, f)))
        expect(new Set(all).size).toBe(1)
      }),
    )
  })

  it('is the same for an ARP request and its answer', () => {
    fc.assert(
      fc.property(v4, v4, (senderIp, targetIp) => {
        const request = build.ethernet(
          { src: 1, dst: 0xffff_ffff_ffff },
          build.arp({ senderIp, targetIp }),
        )
        const answer = build.arp({ operation: 2, senderIp: targetIp, targetIp: senderIp })
        expect(hash(build.ethernet({ src: 2, dst: 1 }, answer))).toBe(hash(request))
      }),
    )
  })

  it('spreads flows that differ in one port evenly over the slots', () => {
    const slots = new Uint32Array(64)
    for (let srcPort = 1024; srcPort < 1024 + 6400; srcPort++) {
      const part = build.ipv4({ src: '10.0.0.1', dst: '10.0.0.2' }, build.tcp({ srcPort }))
      slots[hash(build.ethernet({}, part)) >>> 26]!++
    }
    // Binomial with mean 100 and deviation 10: five of these either way.
    expect(Math.min(...slots)).toBeGreaterThan(50)
    expect(Math.max(...slots)).toBeLessThan(150)
  })
})

/** Small and fast, so that a seed stands for thousands of packets. */
function randomOf(seed: number): (below: number) => number {
  let state = seed | 0
  return (below) => {
    state = (state + 0x9e3779b9) | 0
    let t = Math.imul(state ^ (state >>> 16), 0x21f0aaad)
    t = Math.imul(t ^ (t >>> 15), 0x735a2d97)
    return ((t ^ (t >>> 15)) >>> 0) % below
  }
}

const inner = new Packet()
const words = new Uint32Array(10)

/** All that can be read of a packet: numbers, none of them NaN, so no byte that is not there. */
function readAll(p: Packet): number[] {
  const hash = pk.symmetricFlow.write(pk.symmetricFlowOf(p), words)
  const quoted = pk.loadQuoted(p, inner)
  const link = [p.malformed, p.kind, p.etherType, p.srcMac, p.dstMac, p.vlanCount, p.vlan]
  const net = [p.innerVlan, p.l3Offset, p.headerLength, p.totalLength, p.ipProtocol, p.tos, p.ttl]
  const cut = [p.fragmentOffset, p.fragmentHeaderOffset, p.ipId, +p.isFragment, +p.moreFragments]
  const arp = [p.arpOperation, p.arpSenderMac, p.arpTargetMac, p.l4Offset, p.srcPort, p.dstPort]
  const tcp = [p.seq, p.ack, p.flags, p.window, p.urgent, p.tcpHeaderLength, p.tcpOptionsOffset]
  const rest = [p.udpLength, p.icmpType, p.icmpCode, p.icmpId, p.icmpSequence, +p.dontFragment]
  const payload = [p.payloadOffset, p.payloadEnd, p.payloadLength, p.payloadWireLength]
  const other = [+quoted, inner.srcPort, ...words]
  return [hash, ...link, ...net, ...cut, ...arp, ...tcp, ...rest, ...payload, ...other]
}

describe('any bytes', () => {
  const packet = new Packet()
  const samples = sampleFrames()

  function sampleFrames(): { link: number; bytes: Uint8Array }[] {
    const four = { src: '10.0.0.1', dst: '10.0.0.2' }
    const six = {
      src: '2001:db8::1',
      dst: '2001:db8::2',
      extensions: extensionTypes.map((type) => ({ type })),
    }
    const parts = [
      build.tcp({ options: new Uint8Array(12) }, 'GET / HTTP/1.1'),
      build.udp({}, 'query'),
      build.icmp({ type: 3 }, build.ipv4(four, build.tcp()).bytes),
      build.icmpv6({ type: 1 }, build.ipv6(six, build.udp({}, 'abcdef')).bytes),
    ]
    const snap = [0xaa, 0xaa, 3, 0, 0, 0, 8, 0, ...build.ipv4(four, build.udp()).bytes]
    const nets = parts.flatMap((part) => [
      build.ipv4(four, part),
      build.ipv6(six, part),
      ...build.ipv4Fragments(four, part, 16),
      ...build.ipv6Fragments(six, part, 16, 5),
      build.vlan(5, build.vlan(6, build.ipv4(four, part))),
      build.mpls([1, 2, 3], build.ipv6(six, part)),
    ])
    const others = [
      build.arp({ senderIp: '10.0.0.1', targetIp: '10.0.0.2' }),
      { type: 100, bytes: Uint8Array.from(snap), checksumAt: -1 },
    ]
    return [...nets, ...others].flatMap((part) =>
      links.map((link) => ({ link, bytes: build.frame(link, part) })),
    )
  }

  /** A valid frame cut, with some bytes changed (rather the first ones), or noise. */
  function mutant(random: (below: number) => number): Uint8Array {
    if (random(8) === 0) return Uint8Array.from({ length: random(80) }, () => random(256))
    const bytes = samples[random(samples.length)]!.bytes.slice()
    for (let n = random(6); n > 0; n--) bytes[random(random(2) ? 40 : bytes.length)] = random(256)
    return random(3) === 0 ? bytes.subarray(0, random(bytes.length + 1)) : bytes
  }

  it('never throw, and are read inside the packet only', () => {
    fc.assert(
      fc.property(fc.integer(), (seed) => {
        const random = randomOf(seed)
        for (let i = 0; i < 2000; i++) once(random)
      }),
      { numRuns: 100 },
    )
  })

  it('includes a frame cut off anywhere', () => {
    for (const { link, bytes } of samples) {
      for (let end = 0; end <= bytes.length; end++) {
        soundly(bytes.subarray(0, end), link, bytes.length, end & 15)
      }
    }
  })

  function once(random: (below: number) => number): void {
    const bytes = mutant(random)
    const link = random(10) === 0 ? random(300) : links[random(links.length)]!
    soundly(bytes, link, bytes.length + (random(4) === 0 ? random(1000) : 0), random(16))
  }

  /** Read twice, within surroundings that differ, and look like IP: a byte from outside would show. */
  function soundly(bytes: Uint8Array, link: number, wire: number, start: number): void {
    const end = start + bytes.length
    const around = new Uint8Array(end + 64).fill(0x45)
    around.set(bytes, start)
    const first = readAll(packet.load(around, start, end, link, wire, 0, 0, 0, 0))
    const copy = new Uint8Array(end + (start & 1) * 64).fill(0x60)
    copy.set(bytes, start)
    const second = readAll(packet.load(copy, start, end, link, wire, 0, 0, 0, 0))
    const sound =
      first.every((value, i) => Number.isFinite(value) && value === second[i]) &&
      packet.payloadOffset >= start &&
      packet.payloadOffset <= packet.payloadEnd &&
      packet.payloadEnd <= end &&
      pk.steeringHash(packet) === first[0]
    if (!sound) expect({ bytes, link, wire, start, first }).toEqual({ second })
  }
})
