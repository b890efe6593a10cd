import { describe, expect, it } from 'vitest'
import { build } from '../../nf-apps/packet/index.ts'
import { CLIENT, conversation, SERVER, sids } from './ids-run.ts'

const { ethernet, ipv4, tcp, udp } = build

/** Every name of an HTTP buffer, sticky or behind a content, with what it holds; others look elsewhere. */
const request = [
  'POST /a%20b?q HTTP/1.1',
  'Host: Ex.org:80',
  'User-Agent: Me',
  'Referer: from',
  'Accept: kinds',
  'Accept-Language: tongue',
  'Accept-Encoding: packing',
  'Connection: staying',
  'Content-Type: form',
  'Content-Length: 5',
  'Cookie: crumb',
]
const response = [
  'HTTP/1.0 302 Moved On',
  'Location: there',
  'Server: us',
  'Content-Type: page',
  'Set-Cookie: loaf',
  'Content-Length: 4',
]
const text = (lines: readonly string[], body: string) => `${lines.join('\r\n')}\r\n\r\n${body}`
const talk = conversation([
  ['client', text(request, 'hello')],
  ['server', text(response, 'body')],
])

const STICKY: readonly (readonly [string, string])[] = [
  ['http.uri', '/a b?q'],
  ['http.uri.raw', '/a%20b?q'],
  ['http.method', 'POST'],
  ['http.protocol', 'HTTP/1.1'],
  ['http_protocol', 'HTTP/1.0'],
  ['http.request_line', 'POST /a%20b?q HTTP/1.1'],
  ['http_request_line', 'POST /a'],
  ['http.response_line', '302 Moved'],
  ['http_response_line', 'Moved On'],
  ['http.header', 'Referer: from'],
  ['http.header.raw', 'Host: Ex.org:80'],
  ['http.header_names', '|0d 0a|Location|0d 0a|'],
  ['http_header_names', '|0d 0a|Referer|0d 0a|'],
  ['http.start', 'POST /a%20b?q HTTP/1.1|0d 0a|Host'],
  ['http_start', '302 Moved On|0d 0a|Location'],
  ['http.cookie', 'loaf'],
  ['http.request_body', 'hello'],
  ['http.response_body', 'body'],
  ['http_server_body', 'body'],
  ['http.stat_code', '302'],
  ['http.stat_msg', 'Moved On'],
  ['http.user_agent', 'Me'],
  ['http.host', 'ex.org'],
  ['http.host.raw', 'Ex.org:80'],
  ['http.referer', 'from'],
  ['http_referer', 'from'],
  ['http.accept', 'kinds'],
  ['http_accept', 'kinds'],
  ['http.accept_lang', 'tongue'],
  ['http_accept_lang', 'tongue'],
  ['http.accept_enc', 'packing'],
  ['http_accept_enc', 'packing'],
  ['http.connection', 'staying'],
  ['http_connection', 'staying'],
  ['http.content_type', 'form'],
  ['http_content_type', 'page'],
  ['http.content_len', '5'],
  ['http_content_len', '4'],
  ['http.location', 'there'],
  ['http.server', 'us'],
  ['file_data', 'body'],
  ['file.data', 'hello'],
]
const MODIFIERS: readonly (readonly [string, string])[] = [
  ['http_host', 'ex.org'],
  ['http_raw_host', 'Ex.org:80'],
]

const rule = (options: string, sid: number, protocol = 'http') =>
  `alert ${protocol} any any -> any any (${options} sid:${sid};)\n`

describe('buffers of HTTP', () => {
  it.each(STICKY)('%s holds "%s" and nothing else', async (name, content) => {
    const yes = rule(`${name}; content:"${content}";`, 1)
    const no = rule(`${name}; content:"${content}zz";`, 2)
    expect(await sids(yes + no, talk)).toEqual([1])
  })
  it.each(MODIFIERS)('%s behind "%s"', async (name, content) => {
    const yes = rule(`content:"${content}"; ${name};`, 1)
    const no = rule(`content:"POST"; ${name};`, 2)
    expect(await sids(yes + no, talk)).toEqual([1])
  })
})

describe('names that other options have as well', () => {
  const ends = { src: CLIENT, dst: SERVER }
  const syn = ethernet({}, ipv4(ends, tcp({ flags: 2, seq: 5, ack: 6, window: 512 })))
  it.each([
    ['tcp.flags:S;', 'tcp.flags:A;'],
    ['tcp.seq:5;', 'tcp.seq:6;'],
    ['tcp.ack:6;', 'tcp.ack:5;'],
    ['tcp.window:512;', 'tcp.window:!512;'],
  ])('%s not %s', async (yes, no) => {
    expect(await sids(rule(yes, 1, 'tcp') + rule(no, 2, 'tcp'), [syn])).toEqual([1])
  })

  it('ipopts finds the options of the IP header', async () => {
    const plain = ipv4(ends, udp({}, 'x'))
    const header = plain.bytes.slice(0, 20)
    header[0] = 0x46
    header[3] = plain.bytes.length + 4
    const routed = { ...plain, bytes: Buffer.concat([header, RECORD_ROUTE, plain.bytes.slice(20)]) }
    const rules = rule('ipopts:rr;', 1, 'ip') + rule('ipopts:ts;', 2, 'ip')
    expect(await sids(rules, [ethernet({}, routed), ethernet({}, plain)])).toEqual([1])
  })

  it('what is only said of a rule changes nothing', async () => {
    const said = 'reference:url,x.org; metadata:policy x; target:src_ip; service:http; priority:1;'
    const frames = [ethernet({}, ipv4(ends, udp({}, 'x')))]
    const yes = rule(`content:"x"; ${said}`, 1, 'udp')
    expect(await sids(yes + rule(`content:"y"; ${said}`, 2, 'udp'), frames)).toEqual([1])
  })
})
/** Kind 7, three bytes, and the end of the list. */
const RECORD_ROUTE = Uint8Array.of(7, 3, 4, 0)
