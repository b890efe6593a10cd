import { describe, expect, it } from 'vitest'
import { compileTexts } from '../../nf-apps/ids/index.ts'
import { build } from '../../nf-apps/packet/index.ts'
import { CLIENT, conversation, SERVER, sids } from './ids-run.ts'

const { ethernet, icmp, icmpv6, ipv4, ipv4Fragments, ipv6, tcp, udp } = build

/** Options of each kind with one that holds of the packet and one that does not. */
const PAYLOAD = 'Hello World, number 42; end'
const ends = { src: CLIENT, dst: SERVER, ttl: 61, id: 7777, tos: 8 }
const datagram = ethernet({}, ipv4(ends, udp({ srcPort: 1234, dstPort: 53 }, PAYLOAD)))

describe('options about a payload', () => {
  it.each([
    ['content:"World";', 'content:"world";'],
    ['content:"|57 6f|rld";', 'content:"|57 6f|Rld";'],
    ['content:"WORLD"; nocase;', 'content:"WORLDS"; nocase;'],
    ['content:!"Mars";', 'content:!"World";'],
    ['content:"World"; offset:6;', 'content:"World"; offset:7;'],
    ['content:"World"; depth:11;', 'content:"World"; depth:10;'],
    ['content:"World"; offset:4; depth:7;', 'content:"World"; offset:4; depth:6;'],
    [
      'content:"Hello"; content:"World"; distance:1;',
      'content:"Hello"; content:"World"; distance:2;',
    ],
    [
      'content:"o"; content:"r"; distance:0; within:2;',
      'content:"Hello"; content:"number"; within:6;',
    ],
    ['content:"Hello"; startswith;', 'content:"World"; startswith;'],
    ['content:"end"; endswith;', 'content:"42"; endswith;'],
    ['content:"World"; fast_pattern;', 'content:"World"; fast_pattern; content:"Mars";'],
    [
      'content:"World"; fast_pattern:only; content:"Hello"; depth:5;',
      'content:"Mars"; fast_pattern:only;',
    ],
    ['content:"World"; rawbytes;', 'content:"world"; rawbytes;'],
    ['pcre:"/w[o0]rld/i";', 'pcre:"/w[o0]rld/";'],
    ['pcre:!"/mars/i";', 'pcre:!"/WORLD/i";'],
    ['content:"World"; pcre:"/^, n/R";', 'content:"World"; pcre:"/^n/R";'],
    ['pcre:"/^Hello.World/A";', 'pcre:"/World/A";'],
    ['pcre:"/w o r l d/ix";', 'pcre:"/w\\ o/ix";'],
    ['pcre:"/(l)\\1/";', 'pcre:"/(o)\\1/";'],
    ['isdataat:26;', 'isdataat:27;'],
    ['isdataat:!27;', 'isdataat:!26;'],
    ['content:"42"; isdataat:5,relative;', 'content:"42"; isdataat:6,relative;'],
    ['byte_test:1,=,72,0;', 'byte_test:1,=,73,0;'],
    ['byte_test:2,>,0x4864,0;', 'byte_test:2,>,0x4865,0;'],
    ['byte_test:2,=,0x6548,0,little;', 'byte_test:2,=,0x6548,0,big;'],
    ['byte_test:1,!&,0x80,0;', 'byte_test:1,&,0x80,0;'],
    ['byte_test:1,^,1,0;', 'byte_test:1,^,72,0;'],
    [
      'content:"number "; byte_test:2,=,42,0,relative,string,dec;',
      'content:"number "; byte_test:2,>=,43,0,relative,string,dec;',
    ],
    ['byte_test:1,=,9,0,bitmask 0xf8;', 'byte_test:1,=,8,0,bitmask 0xf8;'],
    [
      'content:"number "; byte_jump:2,0,relative,string,dec,from_beginning,post_offset -36; content:"World"; distance:0;',
      'content:"number "; byte_jump:2,0,relative,string,dec,from_beginning,post_offset -35; content:"World"; within:5;',
    ],
    [
      'byte_jump:1,0,multiplier 0,post_offset 5; content:"World"; within:5;',
      'byte_jump:1,0; content:"World"; distance:0;',
    ],
    [
      'content:"number "; byte_extract:2,0,n,relative,string,dec; byte_test:1,>,n,2;',
      'content:"number "; byte_extract:2,0,n,relative,string,dec; byte_test:1,<,n,2;',
    ],
    [
      'byte_math:bytes 1, offset 0, oper -, rvalue 66, result r; content:"World"; offset:r;',
      'byte_math:bytes 1, offset 0, oper -, rvalue 65, result r; content:"World"; offset:r;',
    ],
    ['dsize:27;', 'dsize:26;'],
    ['dsize:>26;', 'dsize:<27;'],
    ['dsize:20<>30;', 'dsize:27<>30;'],
    ['bsize:27; content:"World";', 'bsize:>27; content:"World";'],
  ])('%s not %s', async (yes, no) => {
    expect(await alertsOf('udp', yes, no, [datagram])).toEqual([1])
  })
})

describe('options about headers', () => {
  const ping = ethernet({}, ipv4(ends, icmp({ type: 8, code: 0, id: 678, sequence: 9 }, 'ping')))
  const syn = ethernet(
    {},
    ipv4(ends, tcp({ srcPort: 7, dstPort: 8, flags: 0x42, seq: 5, ack: 6, window: 512 })),
  )
  const [fragment] = ipv4Fragments({ ...ends }, udp({}, 'x'.repeat(64)), 32)
  const cut = ethernet({}, fragment!)
  const self = ethernet({}, ipv4({ src: CLIENT, dst: CLIENT }, udp({}, 'x')))
  it.each([
    ['udp', 'ttl:61;', 'ttl:<61;', datagram],
    ['udp', 'id:7777;', 'id:7;', datagram],
    ['udp', 'tos:8;', 'tos:!8;', datagram],
    ['ip', 'ip_proto:17;', 'ip_proto:!17;', datagram],
    ['ip', 'ip_proto:udp;', 'ip_proto:tcp;', datagram],
    ['ip', 'sameip;', 'sameip; ttl:0;', self],
    ['ip', 'fragbits:M;', 'fragbits:!M;', cut],
    ['ip', 'fragbits:M+;', 'fragbits:D*;', cut],
    ['ip', 'fragoffset:0; fragbits:M;', 'fragoffset:>0;', cut],
    ['icmp', 'itype:8;', 'itype:>8;', ping],
    ['icmp', 'icode:0;', 'icode:!0;', ping],
    ['icmp', 'icmp_id:678;', 'icmp_id:679;', ping],
    ['icmp', 'icmp_seq:9;', 'icmp_seq:8;', ping],
    ['tcp', 'flags:S,12;', 'flags:S;', syn],
    ['tcp', 'flags:S+;', 'flags:A+;', syn],
    ['tcp', 'flags:SA*;', 'flags:FR*;', syn],
    ['tcp', 'flags:!A;', 'flags:!S;', syn],
    ['tcp', 'seq:5;', 'seq:6;', syn],
    ['tcp', 'ack:6;', 'ack:5;', syn],
    ['tcp', 'window:512;', 'window:!512;', syn],
  ])('%s %s not %s', async (protocol, yes, no, frame) => {
    expect(await alertsOf(protocol, yes, no, [frame])).toEqual([1])
  })
})

describe('protocols of headers', () => {
  const echo = { type: 128, code: 0, id: 1, sequence: 1 }
  const six = { src: 'fd77::7', dst: 'fd77::80' }
  const frames = [
    ethernet({}, ipv4(ends, icmp({ type: 8, code: 0 }, 'ping'))),
    ethernet({}, ipv6(six, icmpv6(echo, 'ping'))),
  ]
  it.each([
    ['ip', [1, 2]],
    ['ip4', [1]],
    ['ipv4', [1]],
    ['ip6', [2]],
    ['ipv6', [2]],
    ['icmp', [1, 2]],
    ['icmpv4', [1]],
    ['icmpv6', [2]],
    ['udp', []],
  ])('%s', async (protocol, raised) => {
    const rule = (to: string, sid: number) => `alert ${protocol} any any -> ${to} any (sid:${sid};)`
    const written = `${rule(SERVER, 1)}\n${rule(six.dst, 2)}\n`
    expect(await sids(written, frames)).toEqual(raised)
  })

  it('refuses words that only an object has', () => {
    const words = ['content:"x"; constructor;', 'toString:1;', 'byte_test:1,=,1,0,valueOf;']
    const rules = words.map((word, i) => `alert ip any any -> any any (${word} sid:${i + 1};)`)
    const text = ['alert constructor any any -> any any (sid:9;)', ...rules].join('\n')
    expect(compileTexts([{ file: 'x.rules', text }], {}).refused).toHaveLength(4)
  })
})

describe('options about HTTP', () => {
  const request =
    'POST /A/../b%20c//x?q=%41 HTTP/1.1\r\nHost: Ex.org:80\r\nX-A:  one \r\nCookie: k=v\r\n' +
    'User-Agent: Me/1\r\nContent-Length: 5\r\n\r\nhello'
  const response =
    'HTTP/1.1 404 Not There\r\nServer: S\r\nSet-Cookie: s=1\r\nTransfer-Encoding: chunked\r\n\r\n' +
    '3\r\nbod\r\n1\r\ny\r\n0\r\n\r\n'
  const talk = conversation([
    ['client', request],
    ['server', response],
  ])
  it.each([
    ['content:"/b c/x?q=A"; http_uri;', 'content:"/b%20c"; http_uri;'],
    ['content:"/b%20c"; http_raw_uri;', 'content:"/b c"; http_raw_uri;'],
    ['content:"POST"; http_method;', 'content:"GET"; http_method;'],
    ['content:"X-A: one|0d 0a|"; http_header;', 'content:"k=v"; http_header;'],
    [
      'content:"X-A:  one "; http_raw_header; flow:to_server;',
      'content:"X-A: one"; http_raw_header; flow:to_server;',
    ],
    ['content:"k=v"; http_cookie; flow:to_server;', 'content:"s=1"; http_cookie; flow:to_server;'],
    ['content:"s=1"; http_cookie; flow:to_client;', 'content:"k=v"; http_cookie; flow:to_client;'],
    ['content:"hello"; http_client_body;', 'content:"body"; http_client_body;'],
    ['content:"404"; http_stat_code;', 'content:"200"; http_stat_code;'],
    ['content:"Not There"; http_stat_msg;', 'content:"OK"; http_stat_msg;'],
    ['content:"Me/1"; http_user_agent;', 'content:"one"; http_user_agent;'],
    ['http.host; content:"ex.org";', 'http.host; content:"other.org";'],
    [
      'file_data; content:"body"; depth:4; flow:to_client;',
      'file_data; content:"hello"; flow:to_client;',
    ],
    [
      'file_data; content:"body"; pkt_data; content:"404"; flow:to_client;',
      'file_data; content:"404"; flow:to_client;',
    ],
    ['http.uri; content:"/b c"; startswith;', 'http.uri; content:"x?q"; startswith;'],
    ['http.request_line; content:"HTTP/1.1"; endswith;', 'http.request_line; content:"HTTP/1.0";'],
    ['http.response_line; content:"404 Not";', 'http.response_line; content:"200";'],
    [
      'http.header_names; content:"|0d 0a|Host|0d 0a|"; startswith;',
      'http.header_names; content:"Via";',
    ],
    ['http.server; content:"S"; bsize:1;', 'http.server; content:"S"; bsize:2;'],
    ['uricontent:"/b C/x"; nocase;', 'uricontent:"/b C/x";'],
    ['urilen:10;', 'urilen:11;'],
    ['urilen:<99,raw;', 'urilen:10,raw;'],
    ['pcre:"/^\\/b c/U";', 'pcre:"/^\\/A/U";'],
    ['pcre:"/^\\/A/I";', 'pcre:"/^\\/b/I";'],
    ['pcre:"/^hello$/P";', 'pcre:"/body/P";'],
    ['pcre:"/X-A: one/H"; flow:to_server;', 'pcre:"/k=v/H"; flow:to_server;'],
    ['pcre:"/k=v/C"; flow:to_server;', 'pcre:"/s=1/C"; flow:to_server;'],
  ])('%s not %s', async (yes, no) => {
    expect(await alertsOf('tcp', yes, no, talk)).toEqual([1])
  })
})

describe('options about flows', () => {
  const talk = conversation([
    ['client', 'question'],
    ['server', 'answer'],
  ])
  it.each([
    ['content:"question"; flow:to_server;', 'content:"question"; flow:to_client;'],
    ['content:"answer"; flow:from_server,established;', 'content:"answer"; flow:from_client;'],
    ['flags:S; flow:not_established;', 'flags:S; flow:established;'],
    ['flags:S; flow:stateless;', 'flags:R; flow:stateless;'],
    ['content:"question"; flow:only_stream;', 'content:"question"; flow:only_stream,to_client;'],
    ['content:"answer"; flow:no_stream;', 'content:"question"; flow:no_stream,to_client;'],
  ])('%s not %s', async (yes, no) => {
    expect(await alertsOf('tcp', yes, no, talk)).toEqual([1])
  })

  it('flowbits are set, tested, unset and toggled, and go with the flow', async () => {
    const rules = [
      'content:"question"; flowbits:set,asked; flowbits:noalert; sid:1;',
      'content:"answer"; flowbits:isset,asked; sid:2;',
      'content:"answer"; flowbits:isnotset,asked; sid:3;',
      'content:"answer"; flowbits:isset,other|asked; flow:to_client; sid:4;',
      'content:"answer"; flowbits:isset,other&asked; sid:5;',
      'content:"question"; flowbits:toggle,odd; noalert; sid:6;',
      'content:"answer"; flowbits:isset,odd; flowbits:unset,odd; sid:7;',
    ]
    const text = rules.map((rule) => `alert tcp any any -> any any (${rule})`).join('\n')
    expect(await sids(text, talk)).toEqual([2, 4, 7])
  })
})

/** Sids raised by two rules: 1 is to match, 2 is not. */
async function alertsOf(
  protocol: string,
  yes: string,
  no: string,
  frames: readonly Uint8Array[],
): Promise<number[]> {
  const rule = (options: string, sid: number) =>
    `alert ${protocol} any any -> any any (msg:"x"; ${options} sid:${sid}; rev:1;)\n`
  return sids(rule(yes, 1) + rule(no, 2), frames)
}
