import { describe, expect, it } from 'vitest'
import {
  build,
  flow,
  flowOf,
  Ip,
  LINK_ETHERNET,
  LINK_RAW,
  mac,
  Packet,
  port,
  Subnet,
  steeringHash,
  subnet,
  symmetricFlow,
  symmetricFlowOf,
} from '../../nf-apps/packet/index.ts'

describe('addresses', () => {
  // RFC 5952: sections 1, 2 and 4, and their edge cases.
  const texts: [string, string][] = [
    ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['2001:0db8::0001', '2001:db8::1'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['2001:0:0:1:0:0:0:1', '2001:0:0:1::1'],
    ['2001:DB8::A', '2001:db8::a'],
    ['0:0:0:0:0:0:0:0', '::'],
    ['0:0:0:0:0:0:0:1', '::1'],
    ['1:0:0:0:0:0:0:0', '1::'],
    ['fe80:0:0:0:0:0:0:0', 'fe80::'],
    ['1:2:3:4:5:6:7::', '1:2:3:4:5:6:7:0'],
    ['::2:3:4:5:6:7:8', '0:2:3:4:5:6:7:8'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['::ffff:c000:201', '192.0.2.1'],
    ['64:ff9b::192.0.2.33', '64:ff9b::c000:221'],
    ['255.255.255.255', '255.255.255.255'],
    ['0.0.0.0', '0.0.0.0'],
  ]
  it.each(texts)('%s is written %s', (text, canonical) => {
    expect(`${Ip.parse(text)}`).toBe(canonical)
  })

  const wrong = [
    '',
    '1.2.3',
    '1.2.3.4.5',
    '1.2.3.256',
    '01.2.3.4',
    '1.2.3.4 ',
    ':',
    ':::',
    '1::2::3',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '1:2:3:4:5:6:7:8::',
    '12345::',
    'g::',
    '1.2.3.4::',
    '::1.2.3',
    'fe80::1%eth0',
  ]
  it.each(wrong)('"%s" is none', (text) => {
    expect(() => Ip.parse(text)).toThrow('is no IP address')
  })

  it('compare as numbers', () => {
    const order = ['::', '0.0.0.1', '128.0.0.0', '2001:db8::', '2001:db8::1', 'ff00::']
    const ips = order.map((text) => Ip.parse(text))
    expect(
      [...ips]
        .reverse()
        .sort((x, y) => x.compare(y))
        .map(String),
    ).toEqual(order)
  })
})

describe('keys', () => {
  const web = build.tcp({ srcPort: 40000, dstPort: 443 })
  const packet = (src: string, dst: string, part = web) =>
    new Packet().load(build.ipv4({ src, dst }, part).bytes, 0, 99, LINK_RAW, 99, 0, 0, 0, 0)

  it('are written for people', () => {
    const p = packet('192.168.0.9', '10.0.0.1')
    expect(flow.text(flowOf(p))).toBe('tcp 192.168.0.9:40000 > 10.0.0.1:443')
    const key = symmetricFlowOf(p)
    expect(key.forward).toBe(false)
    key.vlan = 12
    expect(symmetricFlow.text(key)).toBe('tcp 10.0.0.1:443 > 192.168.0.9:40000 vlan 12')
    expect(port.text({ protocol: 17, port: 53 })).toBe('udp/53')
    expect(mac.text(0x02_0000_0000_0a)).toBe('02:00:00:00:00:0a')
  })

  it('have no VLAN but what the NF gives them, packet by packet', () => {
    const p = packet('192.168.0.9', '10.0.0.1')
    for (const of of [flowOf, symmetricFlowOf]) {
      of(p).vlan = 12
      expect(of(p).vlan).toBe(0)
    }
  })

  it('of a symmetric flow are one key either way round', () => {
    const p = packet('192.168.0.9', '10.0.0.1')
    const words = [new Uint32Array(10), new Uint32Array(10)] as const
    symmetricFlow.write(flowOf(p), words[0])
    symmetricFlow.write(symmetricFlowOf(p), words[1])
    expect(words[0]).toEqual(words[1])
  })

  it('tell other protocols apart by EtherType and MAC addresses', () => {
    const other = { type: 0x88cc, bytes: new Uint8Array(46), checksumAt: -1 }
    const bytes = build.ethernet({ src: '02:00:00:00:00:01', dst: '01:80:c2:00:00:0e' }, other)
    const p = new Packet().load(bytes, 0, 60, LINK_ETHERNET, 60, 0, 0, 0, 0)
    expect(flow.text(flowOf(p))).toBe('35020 [::200:0:1]:0 > [::180:c200:e]:0')
    expect(symmetricFlow.write(symmetricFlowOf(p), new Uint32Array(10))).toBe(steeringHash(p))
  })

  it('mask the bits behind a prefix', () => {
    expect(`${subnet.parse('10.255.255.255/9')}`).toBe('10.128.0.0/9')
    expect(`${subnet.parse('2001:db8:ffff::1/33')}`).toBe('2001:db8:8000::/33')
    expect(`${subnet.parse('::ffff:ffff:ffff:ffff/0')}`).toBe('::/0')
    expect(`${subnet.parse('1.2.3.4/32')}`).toBe('1.2.3.4/32')
    const net = new Subnet(Ip.parse('10.1.0.0'), 16)
    const inside = ['10.1.2.3', '10.2.0.0', '::a01:203'].map((ip) => net.contains(Ip.parse(ip)))
    expect(inside).toEqual([true, false, false])
  })

  const wrong: [{ parse(text: string): unknown }, string][] = [
    [flow, 'tcp 10.0.0.1:99999 > 10.0.0.2:1'],
    [flow, 'tcp 10.0.0.1:1 10.0.0.2:1'],
    [flow, 'tcp 10.0.0.1 > 10.0.0.2:1'],
    [flow, 'carp 10.0.0.1:1 > 10.0.0.2:1'],
    [flow, 'tcp 10.0.0.1:1 > 10.0.0.2:1 vlan 4096'],
    [flow, 'tcp 2001::1:1 > 10.0.0.2:1'],
    [port, 'tcp'],
    [port, 'tcp/65536'],
    [subnet, '10.0.0.0'],
    [subnet, '10.0.0.0/33'],
    [subnet, '::/129'],
    [mac, '2:0:0:0:0:1'],
  ]
  it.each(wrong)('%# are not read from "%s"', (type, text) => {
    expect(() => type.parse(text)).toThrow(/" is no /)
  })
})
