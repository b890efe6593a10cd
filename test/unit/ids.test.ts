import { gzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { compileTexts, refusalText } from '../../nf-apps/ids/index.ts'
import { build, TCP_ACK, TCP_SYN } from '../../nf-apps/packet/index.ts'
import { CLIENT, conversation, lines, SERVER, sids } from './ids-run.ts'

const { ethernet, icmp, ipv4, ipv4Fragments, ipv6, tcp, transport, udp } = build
const SECOND = 1_000_000

const rule = (ends: string, options: string, sid = 1) =>
  `alert ${ends} (msg:"x"; ${options} sid:${sid}; rev:2;)\n`
const datagram = (src: string, dst: string, payload = 'hi', srcPort = 1234, dstPort = 53) =>
  ethernet({}, ipv4({ src, dst }, udp({ srcPort, dstPort }, payload)))

describe('headers', () => {
  it.each([
    ['udp 10.0.0.0/8 any -> any any', true],
    ['udp !10.0.0.0/8 any -> any any', false],
    ['udp [10.0.0.0/8,!10.0.0.7] any -> any any', false],
    ['udp [192.0.2.0/24,10.0.0.1-10.0.0.9] any -> any any', true],
    ['udp $MINE any -> !$MINE 53', true],
    ['udp $OTHERS any -> any any', false],
    ['udp any 1234 -> any [1:52,54:]', false],
    ['udp any [1000:2000,!1500] -> any 53', true],
    ['udp any !1234 -> any any', false],
    ['udp 192.0.2.80 53 -> any any', false],
    ['udp 192.0.2.80 53 <> any any', true],
    ['tcp any any -> any any', false],
    ['ip any any -> any any', true],
  ])('%s: %s', async (ends, matches) => {
    const options = { var: ['MINE=[10.0.0.0/8]', 'OTHERS=!$MINE'] }
    const got = await sids(rule(ends, 'content:"hi";'), [datagram(CLIENT, SERVER)], options)
    expect(got).toEqual(matches ? [1] : [])
  })

  it('tries rules about addresses only once per flow and direction', async () => {
    const frames = [datagram(CLIENT, SERVER), datagram(CLIENT, SERVER)]
    frames.push(datagram(SERVER, CLIENT, 'ho', 53, 1234), datagram(SERVER, CLIENT, 'ho', 53, 1234))
    expect(await sids(rule('udp any any -> any any', ''), frames)).toEqual([1, 1])
  })
})

describe('what cannot be honoured is named, and left out whole', () => {
  it.each([
    ['alert udp any any -> any any (content:"a"; nosuch:1; sid:1;)', 'nosuch'],
    ['alert udp any any -> any any (content:"a|4|"; sid:1;)', 'content'],
    ['alert udp any any -> any any (content:"abc"; depth:2; sid:1;)', 'depth'],
    ['alert udp any any -> any any (content:"a"; offset:1; distance:1; sid:1;)', 'distance'],
    ['alert udp any any -> any any (depth:2; sid:1;)', 'depth'],
    ['alert udp any any -> any any (pcre:"/(a/"; sid:1;)', 'pcre'],
    ['alert udp any any -> any any (pcre:"/a/y"; sid:1;)', 'pcre'],
    ['alert udp any any -> any any (pcre:"/(?R)/"; sid:1;)', 'pcre'],
    ['alert udp any any -> any any (byte_test:9,>,1,0; sid:1;)', 'byte_test'],
    ['alert udp any any -> any any (byte_test:1,%,1,0; sid:1;)', 'byte_test'],
    [
      'alert udp any any -> any any (threshold:type both, track by_moon, count 1, seconds 1; sid:1;)',
      'threshold',
    ],
    ['alert udp any any -> any any (flow:sideways; sid:1;)', 'flow'],
    ['alert tcp any any -> any any (flow:to_client; content:"a"; http_uri; sid:1;)', 'flow'],
    ['alert udp any any -> any 99999 (sid:1;)', 'header'],
    ['alert udp $NOSUCH any -> any any (sid:1;)', 'header'],
    ['alert udp any any any any (sid:1;)', 'header'],
    ['alert udp any any -> any any (content:"a";)', 'sid'],
    ['alert quic any any -> any any (sid:1;)', 'header'],
  ])('%s', (text, option) => {
    const good = rule('udp any any -> any any', 'content:"b";', 2)
    const { signatures, refused } = compileTexts([
      { file: 'my.rules', text: `# x\n${text}\n${good}` },
    ])
    expect(signatures.map((s) => s.sid)).toEqual([2])
    expect(refused).toHaveLength(1)
    expect(refused[0]).toMatchObject({ file: 'my.rules', line: 2, option })
    expect(refusalText(refused[0]!)).toMatch(/^my\.rules:2: /)
  })

  it('a file without a rule that can be honoured is an error', async () => {
    const run = sids('alert udp any any -> any any (nosuch; sid:1;)\n', [])
    await expect(run).rejects.toMatchObject({ code: 'bad-input' })
  })

  it('rules that are commented out are taken in on request', () => {
    const text = `# ${rule('udp any any -> any any', 'content:"b";')}# just words (really)\n`
    expect(compileTexts([{ file: 'x', text }]).signatures).toHaveLength(0)
    expect(compileTexts([{ file: 'x', text }], { disabled: true }).signatures).toHaveLength(1)
  })
})

describe('thresholds, by packet time', () => {
  const pings = (n: number, src = CLIENT) =>
    Array.from({ length: n }, () => ethernet({}, ipv4({ src, dst: SERVER }, icmp({}, 'p'))))
  const raised = (options: string, n: number, gapUs: number) =>
    sids(rule('icmp any any -> any any', `itype:8; ${options}`), pings(n), {}, times(n, gapUs))
  const times = (n: number, gapUs: number) =>
    Array.from({ length: n }, (_, i) => SECOND + i * gapUs)
  it.each([
    ['threshold:type limit, track by_src, count 2, seconds 60;', 10, SECOND, 2],
    ['threshold:type threshold, track by_dst, count 3, seconds 60;', 10, SECOND, 3],
    ['threshold:type both, track by_src, count 3, seconds 60;', 10, SECOND, 1],
    ['threshold:type both, track by_rule, count 3, seconds 2;', 10, SECOND, 3],
    ['detection_filter:track by_src, count 4, seconds 60;', 10, SECOND, 6],
    ['detection_filter:track by_src, count 4, seconds 3;', 10, SECOND, 0],
  ])('%s', async (options, n, gapUs, alerts) => {
    expect(await raised(options, n, gapUs)).toHaveLength(alerts)
  })

  it('counts hosts apart', async () => {
    const text = rule(
      'icmp any any -> any any',
      'itype:8; threshold:type limit, track by_src, count 1, seconds 60;',
    )
    expect(await sids(text, [...pings(3), ...pings(3, '10.0.0.8')])).toHaveLength(2)
  })

  it('finds port scans and password guessing', async () => {
    const scan = Array.from({ length: 30 }, (_, i) =>
      ethernet({}, ipv4({ src: CLIENT, dst: SERVER }, tcp({ dstPort: i + 1, flags: TCP_SYN }))),
    )
    const login = (port: number) => conversation([['server', '530 no\r\n']], [port, 21])
    const guesses = [50000, 50001, 50002].flatMap(login)
    const options = { 'port-scan': '20/60', 'password-guessing': '3/60', format: 'fast' }
    const got = await lines(
      rule('udp any any -> any any', 'content:"x";'),
      [...scan, ...guesses],
      options,
    )
    expect(got.map((line) => /:1\] (.*?) \[\*\*\]/.exec(line)?.[1])).toEqual([
      'Port scan',
      'Password guessing: FTP',
    ])
  })
})

describe('streams', () => {
  const text = rule('tcp any any -> any any', 'content:"ATTACK";')
  it('finds a pattern over segments, in and out of order, once', async () => {
    const frames = conversation([
      ['client', 'xxATT'],
      ['client', 'ACKxx'],
    ])
    expect(await sids(text, frames)).toEqual([1])
    const [first, second] = [frames[3]!, frames[5]!]
    const swapped = frames.with(3, second).with(5, first)
    expect(await sids(text, swapped)).toEqual([1])
  })

  it('picks up connections midstream unless told not to', async () => {
    const frames = conversation([['client', 'ATTACK']]).slice(3)
    const established = rule('tcp any any -> any any', 'flow:established; content:"ATTACK";')
    expect(await sids(established, frames)).toEqual([1])
    expect(await sids(established, frames, { 'no-midstream': true })).toEqual([])
  })

  it('stops reading a flow that a pass rule has matched', async () => {
    const pass = 'pass tcp any any -> any any (content:"friend"; sid:9;)\n'
    const frames = conversation([
      ['client', 'friend '.repeat(400)],
      ['client', 'ATTACK'],
    ])
    expect(await sids(pass + text, frames)).toEqual([])
  })
})

describe('packets inside packets', () => {
  const text = rule('udp any any -> any 53', 'content:"inner";')
  const inner = ipv4({ src: CLIENT, dst: SERVER }, udp({ dstPort: 53 }, 'inner '.repeat(20)))
  it('fragments', async () => {
    const part = udp({ dstPort: 53 }, 'inner '.repeat(20))
    const frames = ipv4Fragments({ src: CLIENT, dst: SERVER, id: 5 }, part, 32).map((f) =>
      ethernet({}, f),
    )
    expect(frames.length).toBeGreaterThan(2)
    expect(await sids(text, frames.reverse())).toEqual([1])
  })
  it.each([
    ['IP in IP', ethernet({}, ipv4({ src: '1.1.1.1', dst: '2.2.2.2' }, transport(4, inner.bytes)))],
    [
      'GRE',
      ethernet({}, ipv4({ src: '1.1.1.1', dst: '2.2.2.2' }, transport(47, gre(inner.bytes)))),
    ],
    ['in IPv6', ethernet({}, ipv6({ src: '::1', dst: '::2' }, transport(4, inner.bytes)))],
    ['Teredo', teredo([])],
    ['Teredo, behind the address of its sender', teredo([0, 0, 1, 2, 3, 4, 5, 6])],
  ])('%s', async (_, frame) => {
    expect(await sids(text, [frame])).toEqual([1])
  })
  it('no Teredo, though its port', async () => {
    expect(await sids(text, [teredo([1, 0])])).toEqual([])
    expect(await sids(text, [teredo([], 3545)])).toEqual([])
  })
})

describe('output', () => {
  const text = rule('udp any any -> any any', 'content:"hi"; classtype:misc-attack; priority:7;')
  const at = [Date.UTC(2020, 1, 3, 4, 5, 6) * 1000 + 78]
  it('eve.json', async () => {
    const [line] = await lines(text, [datagram(CLIENT, SERVER)], {}, at)
    expect(JSON.parse(line!)).toMatchObject({
      timestamp: '2020-02-03T04:05:06.000078+0000',
      pcap_cnt: 1,
      event_type: 'alert',
      src_ip: CLIENT,
      src_port: 1234,
      dest_ip: SERVER,
      dest_port: 53,
      proto: 'UDP',
      alert: { action: 'allowed', gid: 1, signature_id: 1, rev: 2, signature: 'x', severity: 7 },
    })
  })
  it('fast.log', async () => {
    const [line] = await lines(text, [datagram(CLIENT, SERVER)], { format: 'fast' }, at)
    expect(line).toBe(
      '02/03/2020-04:05:06.000078  [**] [1:1:2] x [**] [Classification: Other attack] ' +
        `[Priority: 7] {UDP} ${CLIENT}:1234 -> ${SERVER}:53`,
    )
  })
  it('hosts, and the rules that were refused', async () => {
    const [host] = await lines(text, [datagram(CLIENT, SERVER)], { format: 'hosts' })
    expect(JSON.parse(host!)).toEqual({ ip: CLIENT, alerts: 1, first_pcap_cnt: 1, severity: 7 })
    const bad = `${text}alert udp any any -> any any (nosuch; sid:2;)\n`
    const listed = await lines(bad, [], { format: 'rules' })
    expect(listed[0]).toMatch(/test\.rules:2: nosuch: /)
    expect(listed[1]).toMatch(/^1 rules loaded, 1 refused/)
  })
})

function teredo(front: readonly number[], dstPort = 3544): Uint8Array {
  const six = ipv6({ src: '2001::1', dst: '2001::2' }, udp({ dstPort: 53 }, 'inner'))
  const payload = Uint8Array.from([...front, ...six.bytes])
  return ethernet({}, ipv4({ src: '1.1.1.1', dst: '2.2.2.2' }, udp({ dstPort }, payload)))
}

function gre(bytes: Uint8Array): Uint8Array {
  return Uint8Array.from([0, 0, 8, 0, ...bytes])
}

describe('as Suricata judges', () => {
  const http = rule('http any any -> any any', '', 7)
  const talk = (request: string) => conversation([['client', request]])
  it('a rule about HTTP is about connections that speak it', async () => {
    expect(await sids(http, talk('EHLO there, this is no HTTP at all\r\n'))).toEqual([])
    const raised = await sids(http, talk('GET / HTTP/1.1\r\nHost: x\r\n\r\n'))
    expect(raised.length).toBeGreaterThan(1)
  })
  it('a request that a pass rule lets through does so from the next packet its way on', async () => {
    const pass = 'pass http any any -> any any (content:"/ok"; http_uri; sid:9;)\n'
    const frames = talk('GET /ok HTTP/1.1\r\nHost: x\r\n\r\n')
    expect(await sids(pass + http, frames)).toEqual([7])
    expect((await sids(pass.replace('/ok', '/no') + http, frames)).length).toBeGreaterThan(1)
  })
  it('a request that a pass rule lets through when its flow ends does so at once', async () => {
    const pass = 'pass http any any -> any any (content:"/ok"; http_uri; sid:9;)\n'
    const uri = rule('http any any -> any any', 'content:"/ok"; http_uri;', 7)
    const get = Buffer.from('GET /ok HTTP/1.1\r\nHost: x\r\n\r\n')
    const fields = { srcPort: 40000, dstPort: 80, seq: 1, ack: 1, window: 65000 }
    const frame = (flags: number, payload: Uint8Array) =>
      ethernet({}, ipv4({ src: SERVER, dst: CLIENT }, tcp({ ...fields, flags }, payload)))
    const alone = [frame(TCP_ACK, get)]
    expect(await sids(uri, alone)).toEqual([7])
    expect(await sids(pass + uri, alone)).toEqual([])
    // The next flow of the same ends is another matter.
    const syn = rule('tcp any any -> any any', 'flags:S;', 8)
    const next = [...alone, frame(TCP_SYN, new Uint8Array())]
    expect(await sids(pass + syn, next, {}, [1e9, 1e9 + 86_400e6])).toEqual([8])
  })
  it('what drops a connection is the last that is said of it', async () => {
    const drop = 'drop tcp any any -> any any (content:"bad"; sid:8;)\n'
    const frames = conversation([
      ['client', 'bad '.repeat(900)],
      ['client', 'bad '.repeat(900)],
    ])
    expect(await sids(drop, frames)).toEqual([8])
    expect((await sids(drop.replace('drop', 'alert'), frames)).length).toBeGreaterThan(1)
  })
  it('a connection that begins with its answer has its client on the other side', async () => {
    const answered = rule('tcp any 80 -> any any', 'flow:to_client; flags:SA;')
    expect(await sids(answered, talk('hello').slice(1))).toEqual([1])
  })
  it('gzip with a wrong checksum and a reserved flag is undone', async () => {
    const packed = gzipSync('secret text')
    packed[3] = 0x20
    packed[packed.length - 8]! ^= 1
    const answer = `HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: ${packed.length}\r\n\r\n`
    const frames = conversation([
      ['client', 'GET / HTTP/1.1\r\n\r\n'],
      ['server', answer + packed.toString('latin1')],
    ])
    expect(
      await sids(rule('http any any -> any any', 'file_data; content:"secret text";'), frames),
    ).toEqual([1])
  })
})

describe('mistakes that are told before anything runs', () => {
  it.each([
    ['HOME_NET', /--var HOME_NET: the form is NAME=value/],
    ['HOME_NET=10.0.0.0/99', /--var HOME_NET=10.0.0.0\/99: no prefix: '\/99'/],
    ['PORTS=70000', /--var PORTS=70000: .*70000/],
    ['A=$B', /--var A=\$B: variable \$B is not given$/],
    ['A=$A', /--var A=\$A: \$A names itself$/],
  ])('--var %s, also where no rule uses it', async (given, message) => {
    const any = rule('ip any any -> any any', '')
    await expect(lines(any, [], { var: [given] })).rejects.toThrow(message)
  })
  it.each([['A=[80,8080:8090]'], ['A=[10.0.0.0/8,!10.1.0.0/16]'], ['A=[$HOME_NET,192.0.2.1]']])(
    '--var %s is none',
    async (given) => {
      expect(await lines(rule('ip any any -> any any', ''), [], { var: [given] })).toEqual([])
    },
  )
  it('a file without a rule that is switched on', async () => {
    const off = `#${rule('ip any any -> any any', '')}`
    await expect(lines(off, [])).rejects.toThrow(/no rule is switched on/)
    expect(await lines(off, [], { 'all-rules': true })).toEqual([])
  })
})
