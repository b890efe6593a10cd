/** What bad input gets: one line that says what is wrong, and exit code 2; or the run goes on and counts it. */
import { mkdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { findNatsServer } from '../../bus/index.ts'
import { Random } from '../../loadgen/index.ts'
import { cut, newFile, Running, rehome, run, sample } from './rehome.ts'

/** A directory of signatures with one file of that text. */
function signatures(file: string, text: string): string {
  const dir = newFile('signatures')
  mkdirSync(dir)
  writeFileSync(join(dir, file), text)
  return dir
}

function written(name: string, bytes: string | Uint8Array): string {
  const path = newFile(name)
  writeFileSync(path, bytes)
  return path
}

const good = ['--pcap', sample, '--bus', 'memory']
const silent = 'nats://127.0.0.1:1' // a port that nobody listens on

/** Arguments, and what the line has to name. */
const mistakes: Record<string, [args: string[], line: RegExp]> = {
  'no command of that name': [['fly'], /no command 'fly'/],
  'no NF': [['run'], /which NF/],
  'unknown NF': [['run', 'firewall', ...good], /no NF 'firewall'; there are prads, /],
  'two NFs': [['run', 'prads', 'sink', ...good], /not also 'sink'/],
  'unknown option': [['run', 'sink', '--fast', ...good], /'--fast'/],
  'an option without its value': [['run', 'sink', '--pcap'], /--pcap/],
  'a value that looks like an option': [['run', 'sink', ...good, '--rate', '-5'], /--rate/],
  'no packets': [['run', 'sink'], /--pcap FILE, --synthetic SETTINGS or --interface NAME/],
  'packets from two sides': [['run', 'sink', ...good, '--synthetic', 'flows=1'], /not from both/],
  'scale 0': [['run', 'sink', ...good, '--scale', '0'], /--scale .*1,2,3,1.*'0'/],
  'scale of too many': [['run', 'sink', ...good, '--scale', '1,65'], /1 to 64/],
  'rate of no number': [['run', 'sink', ...good, '--rate', 'fast'], /--rate .*'fast'/],
  'unknown model': [['run', 'sink', ...good, '--model', 'none'], /shared or local-only/],
  'unknown log level': [['run', 'sink', ...good, '--log', 'loud'], /--log .*'loud'/],
  'synthetic traffic of nothing': [['run', 'sink', '--synthetic', 'flows=x'], /flows takes .*/],
  'a quota of no number': [['run', 'byte-quota', ...good, '--quota', 'much'], /--quota .*'much'/],
  'unknown switch': [['run', 'prads', ...good, '--switches', 'MZ'], /--switches: 'Z'/],
  'no such file': [['run', 'sink', '--pcap', '/no/such/file'], /\/no\/such\/file: no such file/],
  'an empty file': [['run', 'sink', '--pcap', written('empty', '')], /no capture: it is empty/],
  'no capture': [
    ['run', 'sink', '--pcap', written('text', 'not packets')],
    /text is no capture: it starts like neither pcap nor pcapng/,
  ],
  'a result that cannot be written': [
    ['run', 'sink', ...good, '--out', '/no/such/out'],
    /cannot write \/no\/such\/out/,
  ],
  'an --out-pcap that cannot be written': [
    ['run', 'echo', '--pcap', sample, '--bus', 'memory', '--out-pcap', '/no/such/out.pcap'],
    /--out-pcap: cannot write \/no\/such\/out\.pcap/,
  ],
  'no such signatures': [['run', 'prads', ...good, '--signatures', '/no/sig'], /\/no\/sig/],
  'a signature that is none': [
    ['run', 'prads', ...good, '--signatures', signatures('tcp-syn.fp', '# ours\nlinux\n')],
    /tcp-syn\.fp:2: expected window:ttl:/,
  ],
  'no NATS server at the URL': [
    ['run', 'sink', '--pcap', sample, '--bus', 'nats', '--nats', silent],
    /no NATS server answers at nats:\/\/127\.0\.0\.1:1 .*nats-server -js/,
  ],
  'an instance without a server': [
    ['instance', '--nats', silent, '--cluster', 'c'],
    /no NATS server/,
  ],
  'an instance of no cluster': [['instance', '--nats', silent], /--cluster is missing/],
  'scale to no number': [['scale', 'up', '--nats', silent, '--cluster', 'c'], /how many instances/],
}

describe.concurrent('mistakes get one line and exit code 2', () => {
  it.each(Object.entries(mistakes))('%s', async (_name, [args, line]) => {
    const { code, stdout, stderr } = await rehome(...args)
    expect(stderr).toMatch(line)
    expect(stderr).toMatch(/^rehome: [^\n]+\n$/)
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
  })

  it.runIf(findNatsServer())('a bad signature is told before any process is started', async () => {
    const bad = signatures('tcp-synack.fp', 'x\n')
    const args = ['--pcap', sample, '--bus', 'nats', '--signatures', bad]
    const { code, stdout, stderr } = await rehome('run', 'prads', ...args)
    expect(stderr).toMatch(/^rehome: .*tcp-synack\.fp:1: expected [^\n]+\n$/)
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
  })

  it('something that listens and is no NATS server', async () => {
    const server = createServer((socket) => {
      socket.on('error', () => {})
      socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const address = server.address()
    const port = typeof address === 'object' ? address?.port : undefined
    const nats = ['--bus', 'nats', '--nats', `nats://127.0.0.1:${port}`]
    const { code, stderr } = await rehome('run', 'sink', '--pcap', sample, ...nats)
    server.close()
    expect(stderr).toMatch(/^rehome: [^\n]+\n$/)
    expect(code).toBe(2)
  })

  it('no nats-server where one is asked for', async () => {
    // Where PATH does not lead: what lies in Debian's usual place is found all the same.
    const env = { PATH: '/nonexistent', NATS_URL: undefined }
    const running = new Running(['run', 'sink', '--pcap', sample, '--bus', 'nats', '--json'], env)
    const { code, stderr } = await running.ended
    const found = ['/usr/sbin', '/usr/local/sbin'].some((dir) => findNatsServer()?.startsWith(dir))
    if (found) expect(code).toBe(0)
    else {
      expect(stderr).toMatch(/^rehome: there is no nats-server [^\n]+\n$/)
      expect(code).toBe(2)
    }
  })
})

describe('damaged captures are read as far as they go', () => {
  const whole = cut(sample, 1_500)

  it('a capture that ends in the middle of a packet', async () => {
    const broken = written('half.pcap', readFileSync(whole))
    truncateSync(broken, readFileSync(whole).length - 20)
    const { report, out } = await run('host-counter', '--pcap', broken, '--bus', 'memory')
    expect(report).toMatchObject({ dropped: 0, errors: 0 })
    expect(report.packets).toBeGreaterThanOrEqual(1_499)
    expect(out).toMatch(new RegExp(`^packets ${report.packets}$`, 'm'))
  })

  it('random bytes in every other packet: counted, and the run goes on', async () => {
    const bytes = new Uint8Array(readFileSync(whole))
    const view = new DataView(bytes.buffer)
    const random = new Random(1)
    let at = 24
    for (let i = 0; at + 16 <= bytes.length; i++) {
      const length = view.getUint32(at + 8, true)
      for (let n = i % 2 === 0 ? 4 : 0; n > 0; n--) {
        bytes[at + 16 + (random.u32() % Math.min(length, 60))] = random.u32() & 0xff
      }
      at += 16 + length
    }
    const noisy = written('noise.pcap', bytes)
    const one = await run('prads', '--pcap', noisy, '--bus', 'memory', '--scale', '1')
    expect(one.report).toMatchObject({ packets: 1_500, dropped: 0, errors: 0 })
    expect(one.report.malformed).toBeGreaterThan(0)
    const many = await run('prads', '--pcap', noisy, '--bus', 'memory', '--scale', '1,2,3,1')
    expect(many.report).toMatchObject({ packets: 1_500, dropped: 0, errors: 0 })
    expect(many.out === one.out).toBe(true)
  })

  it('a link type that is unknown', async () => {
    const bytes = new Uint8Array(readFileSync(whole))
    new DataView(bytes.buffer).setUint32(20, 147, true)
    const odd = written('link.pcap', bytes)
    const { report } = await run('host-counter', '--pcap', odd, '--bus', 'memory')
    expect(report).toMatchObject({ packets: 1_500, malformed: 1_500, dropped: 0, errors: 0 })
  })
})
