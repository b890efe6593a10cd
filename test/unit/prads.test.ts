import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { OptionValues } from '../../nf-apps/index.ts'
import {
  build,
  LINK_ETHERNET,
  Packet,
  steeringHash,
  TCP_ACK,
  TCP_FIN,
  TCP_PSH,
  TCP_RST,
  TCP_SYN,
} from '../../nf-apps/packet/index.ts'
import { loadSignatures, prads } from '../../nf-apps/prads/index.ts'
import { Solo, soloRun } from '../kit/index.ts'

const { arp, ethernet, icmp, ipv4, ipv4Fragments, ipv6, tcp, udp, vlan } = build

const files: Record<string, string> = {
  'tcp-syn.fp': [
    '# a comment',
    'S44:64:1:60:M*,S,T,N,W*:.:Linux:new',
    '*:64:1:60:M*,S,T,N,W*:.:Linux:any window',
    '8192:128:1:52:M*,N,W8,N,N,S:.:Windows:7',
    'T4:64:1:44:M%536:.:@Odd:by MTU',
    '65535:64:1:44:M*,N,W*,N,N,T,S,E,E:LP:macOS:over IPv6',
  ].join('\n'),
  'tcp-synack.fp': '%8192:64:1:44:M*:A:Some:server\n',
  'tcp-fin.fp': '*:64:1:40:.:AFN:Some:end\n',
  'tcp-rst.fp': '0:64:1:40:.:K0A:Some:refusal\n',
  'tcp-stray-ack.fp': '*:64:1:0:.:A:Some:middle\n',
  'tcp-service.sig': [
    'ssh,v/OpenSSH/$2/protocol $1/,^SSH-([\\d.]+)-OpenSSH_(\\S+)',
    'bad line',
    'http,v/nginx/$1//,Server: nginx/(\\S+)',
    'http,v/Some web server///,^HTTP/1\\.[01] ',
    'odd,v/Odd///,no\\Kend',
  ].join('\n'),
  'tcp-clients.sig': 'http,v/$1///,User-Agent: ([^\\r\\n]*)\n',
  'udp-service.sig': 'domain,v/DNS///,^..\\x81\\x80\n',
  'mac.sig': '02:00:5E\tExample # a comment\n02:00:5F:10:00:00/28 Small\n',
  'mtu.sig': '1500,"Ethernet"\n',
}
let signatures = ''
beforeAll(() => {
  signatures = mkdtempSync(join(tmpdir(), 'prads-'))
  for (const [name, text] of Object.entries(files)) writeFileSync(join(signatures, name), text)
})
afterAll(() => rmSync(signatures, { recursive: true }))

const A = '10.0.0.7'
const B = '192.0.2.34'
/** MSS 1460, SACK, timestamp 720000 (2 hours), filler, scale 7. */
const linuxOptions = Uint8Array.from([
  2, 4, 5, 180, 4, 2, 8, 10, 0, 10, 252, 128, 0, 0, 0, 0, 1, 3, 3, 7,
])
const df = { dontFragment: true, id: 7 }

/** The result over these frames, one a second from 100 s on. */
async function run(
  frames: Uint8Array[],
  switches = 'M',
  report = 'assets',
  more: OptionValues = {},
): Promise<string[]> {
  const p = new Packet()
  function* packets() {
    for (const [i, frame] of frames.entries()) {
      const timeUs = (100 + i) * 1e6
      p.load(frame, 0, frame.length, LINK_ETHERNET, frame.length, timeUs, timeUs, i, 0)
      p.hash = steeringHash(p)
      yield p
    }
  }
  return soloRun(prads, packets(), { signatures, switches, report, ...more })
}
/** Without the header. */
const log = async (frames: Uint8Array[], switches?: string) =>
  (await run(frames, switches)).slice(1)

type Tcp = Parameters<typeof tcp>[0]
function segment(src: string, dst: string, fields: Tcp, payload = '', ttl = 64): Uint8Array {
  return ethernet({}, ipv4({ src, dst, ttl, ...df }, tcp(fields, payload)))
}
const there = { srcPort: 4000, dstPort: 80 }
const back = { srcPort: 80, dstPort: 4000 }

describe('stacks', () => {
  it('are known by their SYN: window by MSS, options, distance, link and uptime', async () => {
    const syn = { ...there, flags: TCP_SYN, window: 64240, seq: 5, options: linuxOptions }
    expect(await log([segment(A, B, syn, '', 60)])).toEqual([
      '10.0.0.7,0,4000,6,SYN,[S44:60:1:60:M1460,S,T,N,W7:.:Linux:new:link:Ethernet:uptime:2hrs],4,100',
    ])
  })

  it('are logged once for each signature, and once as unknown', async () => {
    const syn = { ...there, flags: TCP_SYN, seq: 5, options: linuxOptions }
    const windows = [64240, 1000, 64240, 1001, 64240].map((window) =>
      segment(A, B, { ...syn, window }),
    )
    const odd = [1, 2].map((window) => segment(A, B, { ...there, flags: TCP_SYN, seq: 5, window }))
    const lines = await log([...windows, ...odd])
    expect(lines.map((line) => line.split('[')[1]?.split(':')[0])).toEqual(['S44', '1000', '1'])
  })

  it('are told their host when that changes something: the first in a second, of least index, and again after a minute', () => {
    const solo = new Solo(prads, { signatures })
    const { assets } = solo.state
    const { at } = assets
    let notes = 0
    Object.assign(assets, {
      at: (host: Parameters<typeof at>[0]) => {
        notes++
        return at(host)
      },
    })
    const p = new Packet()
    /** A connection's first packet; how many notes it causes. */
    const syn = (srcPort: number, seconds: number, index: number): number => {
      const fields = { ...there, srcPort, flags: TCP_SYN, seq: 5, options: linuxOptions }
      const frame = segment(A, B, fields)
      const us = seconds * 1e6
      p.load(frame, 0, frame.length, LINK_ETHERNET, frame.length, us, us, index, 0)
      p.hash = steeringHash(p)
      const before = notes
      void solo.packet(p)
      return notes - before
    }
    expect([syn(1, 100, 9), syn(2, 100, 10), syn(3, 101, 11), syn(4, 101, 12)]).toEqual([
      1, 0, 1, 0,
    ])
    expect([syn(5, 101, 3), syn(6, 101, 4)]).toEqual([1, 0])
    expect([syn(7, 160, 20), syn(8, 160, 21), syn(9, 161, 22)]).toEqual([1, 0, 1])
    expect(assets.lookup({ ip: p.src, vlan: 0 })).toMatchObject({ firstSeen: 100, lastSeen: 161 })
  })

  it('by SYN-ACK, FIN, RST and stray ACK, each by its own file', async () => {
    const mss = Uint8Array.from([2, 4, 5, 180])
    const frames = [
      segment(A, B, { ...there, flags: TCP_SYN, seq: 5, window: 1 }),
      segment(B, A, {
        ...back,
        flags: TCP_SYN | TCP_ACK,
        seq: 9,
        ack: 6,
        window: 16384,
        options: mss,
      }),
      segment(A, B, { ...there, flags: TCP_ACK, seq: 6, ack: 10, window: 77 }),
      segment(A, B, { ...there, flags: TCP_FIN | TCP_ACK, seq: 6, ack: 10, window: 78 }),
      segment(B, A, { ...back, flags: TCP_RST | TCP_ACK, seq: 0, ack: 7, window: 0 }),
    ]
    expect(await log(frames, 'MA')).toEqual([
      '10.0.0.7,0,4000,6,SYN,[1:64:1:40:.:.:unknown:unknown],0,100',
      '192.0.2.34,0,80,6,SYNACK,[16384:64:1:44:M1460:A:Some:server:link:Ethernet],0,101',
      '10.0.0.7,0,4000,6,ACK,[77:64:1:0:.:A:Some:middle],0,102',
      '10.0.0.7,0,4000,6,FIN,[78:64:1:40:.:AFN:Some:end],0,103',
      '192.0.2.34,0,80,6,RST,[0:64:1:40:.:K0A:Some:refusal],0,104',
    ])
    expect(await log(frames, 'XF')).toHaveLength(1)
  })

  it('over IPv6, with flow label and options behind the end', async () => {
    const options = Uint8Array.from([
      2, 4, 5, 160, 1, 3, 3, 6, 1, 1, 8, 10, 0, 0, 0, 9, 0, 0, 0, 0, 4, 2, 0, 0,
    ])
    const syn = tcp({ ...there, flags: TCP_SYN, seq: 1, window: 65535, options })
    const frame = ethernet({}, ipv6({ src: '2001:db8::1', dst: '2001:db8::2' }, syn))
    frame[17] = 9
    expect(await log([frame])).toEqual([
      '2001:db8::1,0,4000,6,SYN,[65535:64:1:44:M1440,N,W6,N,N,T,S,E,E:PL:macOS:over IPv6:link:unknown-1480:uptime:0hrs],0,100',
    ])
  })

  it('a packet that may be fragmented is tried again as one that may not', async () => {
    const syn = tcp({ ...there, flags: TCP_SYN, seq: 5, window: 64240, options: linuxOptions })
    const [line] = await log([ethernet({}, ipv4({ src: A, dst: B, id: 7 }, syn))])
    expect(line).toContain('[S44:64:1:60:M1460,S,T,N,W7:.:Linux:new:')
  })

  it('by UDP and ICMP where asked', async () => {
    const frames = [
      ethernet({}, ipv4({ src: A, dst: B, ...df, ttl: 61 }, udp({ dstPort: 9 }, '12345'))),
      ethernet({}, ipv4({ src: B, dst: A, id: 0 }, icmp({ id: 1 }, '12345678'))),
    ]
    expect(await log(frames)).toEqual([])
    expect(await log(frames, 'ui')).toEqual([
      '10.0.0.7,0,0,17,UDP,[20:64:1:0:64:0:I:unknown:unknown],3,100',
      '192.0.2.34,0,0,1,ICMP,[8:8:0:64:0:0:36:0:0:ZI:unknown:unknown],0,101',
    ])
  })
})

describe('services and clients', () => {
  const open = [
    segment(A, B, { ...there, flags: TCP_SYN, seq: 5 }),
    segment(B, A, { ...back, flags: TCP_SYN | TCP_ACK, seq: 9, ack: 6 }),
  ]
  const ask = (text: string) => segment(A, B, { ...there, flags: TCP_ACK | TCP_PSH, ack: 1 }, text)
  const answer = (text: string) => segment(B, A, { ...back, flags: TCP_ACK, ack: 1 }, text)
  const offers = async (frames: Uint8Array[], switches = 'M') =>
    (await log([...open, ...frames], switches)).filter((line) => /CLIENT|SERVER/.test(line))

  it('are known by their payload, in the order of the file', async () => {
    const frames = [
      ask('GET / HTTP/1.1\r\nUser-Agent: curl/8.1\r\n\r\n'),
      answer('HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\n\r\n'),
    ]
    expect(await offers(frames)).toEqual([
      '10.0.0.7,0,80,6,CLIENT,[http:curl/8.1],0,102',
      '192.0.2.34,0,80,6,SERVER,[http:nginx 1.22.1],0,103',
    ])
    expect(await offers(frames, 'XSKT')).toHaveLength(1)
  })

  it('by their port until the payload says more, and then once more', async () => {
    const frames = [
      ask('something unknown'),
      ask('GET / HTTP/1.1\r\nUser-Agent: curl/8.1\r\n\r\n'),
      ask('GET / HTTP/1.1\r\nUser-Agent: other\r\n\r\n'),
      answer('short'),
      answer('not so short'),
    ]
    expect(await offers(frames)).toEqual([
      '10.0.0.7,0,80,6,CLIENT,[unknown:@www],0,102',
      '10.0.0.7,0,80,6,CLIENT,[http:curl/8.1],0,103',
      '192.0.2.34,0,80,6,SERVER,[unknown:@www],0,106',
    ])
  })

  it('another application is logged when it has been seen 202 times on end', async () => {
    const flow = (port: number, agent: string) => [
      segment(A, B, { srcPort: port, dstPort: 8000, flags: TCP_SYN, seq: 5 }),
      segment(A, B, { srcPort: port, dstPort: 8000, ack: 1 }, `User-Agent: ${agent}\r\n`),
    ]
    const frames = (others: number) => [
      ...flow(999, 'first'),
      ...Array.from({ length: others }, (_, i) => flow(1000 + i, 'second')).flat(),
    ]
    expect(await offers(frames(201))).toHaveLength(1)
    const [, changed] = await offers(frames(202))
    expect(changed).toBe('10.0.0.7,0,8000,6,CLIENT,[http:second],0,507')
  })

  it('a SYN-ACK without its SYN turns the connection round', async () => {
    const frames = [open[1]!, ask('User-Agent: curl/8.1\r\n'), answer('Server: nginx/1\r\n')]
    const lines = (await log(frames)).filter((line) => !line.includes('SYN'))
    expect(lines.map((line) => line.split(',')[4])).toEqual(['CLIENT', 'SERVER'])
  })

  it('over UDP: by payload, and by port when both have spoken', async () => {
    const packet = (src: string, dst: string, srcPort: number, dstPort: number, text: string) =>
      ethernet({}, ipv4({ src, dst, ...df }, udp({ srcPort, dstPort }, text)))
    const frames = [
      packet(A, B, 5000, 53, 'question'),
      ethernet(
        {},
        ipv4(
          { src: B, dst: A, ...df },
          udp({ srcPort: 53, dstPort: 5000 }, Uint8Array.of(0, 1, 0x81, 0x80, 0)),
        ),
      ),
      packet(A, B, 5001, 123, 'question'),
      packet(B, A, 123, 5001, 'answer'),
      packet(A, B, 5001, 123, 'question'),
    ]
    expect(await log(frames)).toEqual([
      '10.0.0.7,0,53,17,CLIENT,[unknown:@domain],0,100',
      '192.0.2.34,0,53,17,SERVER,[domain:DNS],0,101',
      '192.0.2.34,0,123,17,SERVER,[unknown:@ntp],0,103',
      '10.0.0.7,0,123,17,CLIENT,[unknown:@ntp],0,104',
    ])
  })
})

const reply = (senderMac: string, operation = 2) =>
  ethernet({}, arp({ operation, senderMac, senderIp: A, targetIp: B }))

describe('hosts', () => {
  it('by ARP replies: the vendor, and each change of address', async () => {
    const one = '02:00:5e:00:00:01'
    const two = '06:00:00:00:00:02'
    expect(await log([reply(one, 1), reply(one), reply(one), reply(two), reply(one)])).toEqual([
      '10.0.0.7,0,0,0,ARP,[02:00:5E:00:00:01,(Example)],0,101',
      '10.0.0.7,0,0,0,ARP,[06:00:00:00:00:02,(Example)],0,103',
      '10.0.0.7,0,0,0,ARP,[02:00:5E:00:00:01,(Example)],0,104',
    ])
    expect(await log([reply(one)], '')).toEqual([])
  })

  it('a tag is logged with its priority; two tags are not looked behind', async () => {
    const syn = ipv4({ src: A, dst: B, ...df }, tcp({ ...there, flags: TCP_SYN, window: 9 }))
    const tagged = ethernet({}, vlan(0x2007, syn))
    expect((await log([tagged]))[0]).toMatch(/^10\.0\.0\.7,8199,4000,6,SYN,/)
    expect(await log([ethernet({}, vlan(7, vlan(8, syn)))])).toEqual([])
  })

  it('a changed address is worth a warning', async () => {
    const frames = [reply('02:00:5e:00:00:01'), reply('06:00:00:00:00:02')]
    expect(await run(frames, 'M', 'warnings')).toEqual([
      'ACHTUNG! MAC changed! : 02:00:5e:00:00:01 -> 06:00:00:00:00:02 (10.0.0.7)',
    ])
  })

  it('of the networks asked for alone, connections all the same', async () => {
    const frames = [
      segment(A, B, { ...there, flags: TCP_SYN, window: 9 }),
      segment(B, A, { ...back, flags: TCP_SYN | TCP_ACK, ack: 1, window: 9 }),
      reply('02:00:5e:00:00:01'),
    ]
    const ofNets = async (nets: string) => (await run(frames, 'M', 'assets', { nets })).length - 1
    expect(await ofNets('10.0.0.0/8,2001:db8::/32')).toBe(2)
    expect(await ofNets('192.0.2.0/24')).toBe(1)
    expect(await run(frames, 'M', 'connections', { nets: '::/0' })).toHaveLength(2)
  })

  it('in two VLANs are two, if one says so', async () => {
    const frames = [7, 8].map((id) =>
      ethernet(
        {},
        vlan(id, ipv4({ src: A, dst: B, ...df }, tcp({ ...there, flags: TCP_SYN, window: 9 }))),
      ),
    )
    expect(await log(frames)).toHaveLength(1)
    const apart = await run(frames, 'M', 'assets', { 'by-vlan': true })
    expect(apart.slice(1).map((line) => line.split(',')[1])).toEqual(['7', '8'])
  })

  it('JSON has one object for each, by address', async () => {
    const frames = [
      segment(B, A, { ...there, flags: TCP_SYN, window: 64240, seq: 5, options: linuxOptions }),
      reply('02:00:5e:00:00:01'),
    ]
    const [first, second, ...none] = (await run(frames, 'M', 'json')).map((line) =>
      JSON.parse(line),
    )
    expect(none).toEqual([])
    expect(first).toMatchObject({ ip: A, macs: [{ vendor: 'Example' }], firstSeen: 101 })
    expect(second).toMatchObject({
      ip: B,
      stacks: [{ os: 'Linux', detail: 'new', uptimeHours: 2 }],
    })
  })
})

describe('connections', () => {
  it('are logged as new and as they ended, fragments and ICMP joined', async () => {
    const echo = (src: string, dst: string, id: number, type: number) =>
      ethernet({}, ipv4({ src, dst }, icmp({ id, type })))
    const pieces = ipv4Fragments(
      { src: A, dst: B, id: 3 },
      udp({ srcPort: 7, dstPort: 9 }, 'x'.repeat(40)),
      32,
    )
    const frames = [
      segment(A, B, { ...there, flags: TCP_SYN }),
      segment(B, A, { ...back, flags: TCP_RST | TCP_ACK }),
      echo(A, B, 1, 8),
      echo(A, B, 2, 8),
      echo(B, A, 2, 0),
      ethernet({}, pieces[0]!),
      ethernet({}, ipv4({ src: B, dst: A }, udp({ srcPort: 9, dstPort: 7 }, 'y'))),
    ]
    const lines = await run(frames, 'M', 'connections')
    const rest = (line: string) => line.split('|').slice(3).join('|')
    expect(lines[0]).toBe(
      '100000000001|1970-01-01 00:01:40|1970-01-01 00:01:40|0|6|10.0.0.7|4000|192.0.2.34|80|1|20|0|0|2|0|[New]',
    )
    expect(lines.slice(3).map(rest)).toEqual([
      '1|6|10.0.0.7|4000|192.0.2.34|80|1|20|1|20|2|20|[ended]',
      '2|1|10.0.0.7|0|192.0.2.34|0|2|16|1|8|0|0|[expired]',
      '1|17|10.0.0.7|7|192.0.2.34|9|1|32|1|9|0|0|[expired]',
    ])
  })

  it('silent for long are forgotten where one says so: their hosts are not', async () => {
    const silence = Array.from({ length: 9 }, () => reply('02:00:5e:00:00:01'))
    const again = segment(A, B, { ...there, flags: TCP_ACK }, 'User-Agent: curl/8.1\r\n')
    const frames = [segment(A, B, { ...there, flags: TCP_SYN }), ...silence, again]
    const counts = async (forget: string) => [
      (await run(frames, 'XSt', 'connections', { forget })).length / 2,
      (await run(frames, 'XSt', 'assets', { forget })).length - 1,
    ]
    expect(await counts('0')).toEqual([1, 2])
    expect(await counts('11')).toEqual([1, 2])
    // Taken up in its midst: without a role.
    expect(await counts('5')).toEqual([1, 1])
    expect(() => prads.setup({ signatures, forget: 'x' })).toThrow('--forget: a whole number')
  })

  it('statistics count what each packet was', async () => {
    const frames = [
      segment(A, B, { ...there, flags: TCP_SYN }),
      ethernet({}, vlan(7, arp({ senderIp: A, targetIp: B }))),
      ethernet({}, { type: 0x88cc, bytes: new Uint8Array(46), checksumAt: -1 }),
    ]
    const text = (await run(frames, 'M', 'statistics')).join('\n')
    for (const [what, n] of Object.entries({
      libpcap: 3,
      VLAN: 1,
      ARP: 1,
      'IPv4 packets': 1,
      'Other link': 1,
      TCP: 1,
      sessions: 1,
    })) {
      expect(text).toMatch(new RegExp(`${what}.*: +${n}$`, 'm'))
    }
    expect(text).toContain('tcp-service.sig:2: expected service,v/name/version/misc/,expression')
    expect(text).toMatch(/tcp-service\.sig:5: the expression cannot be used: .*not supported/)
    const notes = await new Solo(prads, { signatures }).notes()
    expect(notes[0]).toBe('2 signature lines cannot be used')
    expect(notes[1]).toMatch(/tcp-service\.sig:2: expected service/)
  })
})

describe('what is wrong is told by file, line and what was expected', () => {
  const withSyn = (line: string) => {
    const directory = mkdtempSync(join(tmpdir(), 'prads-'))
    writeFileSync(join(directory, 'tcp-syn.fp'), `# first\n${line}\n`)
    try {
      return () => loadSignatures(directory)
    } finally {
      // Read before it goes.
      setImmediate(() => rmSync(directory, { recursive: true }))
    }
  }
  it.each([
    ['nonsense', 'expected window:ttl:df:size:options:quirks:OS:detail'],
    ['1:64:1:60:Q1:.:A:b', "unknown TCP option 'Q1'"],
    ['1:64:1:60:M1:@:A:b', "unknown quirk '@'"],
    ['%0:64:1:60:M1:.:A:b', "nothing is a multiple of 0: '%0'"],
    ['S:64:1:60:M1:.:A:b', "expected a number, not ''"],
  ])('%s', (line, what) => {
    expect(withSyn(line)).toThrow(
      new RegExp(`tcp-syn\\.fp:2: ${what.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}`),
    )
  })
  it('no directory, an unknown switch, an unknown report', () => {
    expect(() => loadSignatures('/nowhere')).toThrow('no directory of signatures: /nowhere')
    expect(() => prads.setup({ signatures, switches: 'Q' })).toThrow("--switches: 'Q' is none of")
    expect(() => prads.setup({ signatures, report: 'x' })).toThrow("--report: 'x' is none of")
  })
})

describe('makers of network cards', () => {
  it('lines that cannot be read are told, the others serve', () => {
    const directory = mkdtempSync(join(tmpdir(), 'prads-'))
    const bad = ['nobody', '02:00 ', '02:00:5/24 Short', '02:00:5E/25 Long', 'zz:00:00 No']
    writeFileSync(join(directory, 'mac.sig'), ['# first', ...bad, '02:00:60 Good'].join('\n'))
    const { vendors, problems } = loadSignatures(directory)
    rmSync(directory, { recursive: true })
    expect(vendors.vendor(0x020060000000)).toBe('Good')
    expect(problems).toEqual(
      bad.map((_, i) => `${join(directory, 'mac.sig')}:${i + 2}: expected ADDRESS[/BITS] VENDOR`),
    )
  })
  it('by whole octets and by bits', () => {
    const { vendors } = loadSignatures(signatures)
    expect(vendors.vendor(0x02005e123456)).toBe('Example')
    expect(vendors.vendor(0x02005f10ffff)).toBe('Small')
    expect(vendors.vendor(0x02005f2fffff)).toBe(undefined)
  })
})
