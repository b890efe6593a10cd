import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  type CaptureProblems,
  type CaptureReader,
  CaptureRecord,
  captureProblems,
  countPackets,
  looped,
  memoryFile,
  openCapture,
  PcapWriter,
} from '../../loadgen/index.ts'
import { PCAP_MODIFIED, PCAP_NS, PCAP_US, PcapNgFixture, pcapBytes } from './loadgen-fixtures.ts'

interface Seen {
  bytes: string
  wireLength: number
  timeUs: number
  linkType: number
}

function readAll(reader: CaptureReader): Seen[] {
  const record = new CaptureRecord()
  const seen: Seen[] = []
  while (reader.next(record)) {
    const bytes = Buffer.from(record.bytes.subarray(record.start, record.end)).toString('latin1')
    const { wireLength, timeUs, linkType } = record
    seen.push({ bytes, wireLength, timeUs, linkType })
  }
  expect(reader.next(record)).toBe(false)
  return seen
}

const read = (bytes: Uint8Array): Seen[] => readAll(openCapture(memoryFile(bytes)))
const texts = (bytes: Uint8Array): string[] => read(bytes).map((packet) => packet.bytes)
const bytesOf = (text: string): Uint8Array => Buffer.from(text, 'latin1')

/** The packets that a broken capture still gives, and what its reader counted. */
function broken(bytes: Uint8Array): { packets: string[]; problems: Partial<CaptureProblems> } {
  const reader = openCapture(memoryFile(bytes))
  const packets = readAll(reader).map((packet) => packet.bytes)
  const counted = Object.entries(reader.problems).filter(([, n]) => n > 0)
  return { packets, problems: Object.fromEntries(counted) }
}

const form = { littleEndian: true, magic: PCAP_US, linkType: 1 }
const packet = (text: string, seconds = 1_700_000_000, fraction = 5) => ({
  bytes: bytesOf(text),
  wireLength: text.length,
  seconds,
  fraction,
})

describe('pcap', () => {
  for (const littleEndian of [true, false])
    for (const [name, magic, timeUs] of [
      ['µs', PCAP_US, 1_700_000_000_123_456],
      ['ns', PCAP_NS, 1_700_000_000_000_000 + 123.456],
      ['modified', PCAP_MODIFIED, 1_700_000_000_123_456],
    ] as const)
      it(`is read: ${name}, ${littleEndian ? 'little' : 'big'}-endian`, () => {
        const bytes = pcapBytes({ littleEndian, magic, linkType: 113 }, [
          { bytes: bytesOf('cut'), wireLength: 1_500, seconds: 1_700_000_000, fraction: 123_456 },
          packet('second'),
        ])
        const [first, second] = read(bytes)
        expect(first).toEqual({ bytes: 'cut', wireLength: 1_500, timeUs, linkType: 113 })
        expect(second?.bytes).toBe('second')
      })

  it('carries the number of any link type', () => {
    for (const linkType of [0, 1, 12, 14, 101, 108, 113, 127, 228, 276, 65_535])
      expect(read(pcapBytes({ ...form, linkType }, [packet('x')]))[0]?.linkType).toBe(linkType)
  })

  it('takes the link type without the length of the frame check sequence beside it', () => {
    expect(read(pcapBytes({ ...form, linkType: 0x5400_0001 }, [packet('x')]))[0]?.linkType).toBe(1)
  })

  it('hands out no more of a packet than the snap length, as libpcap does', () => {
    const bytes = pcapBytes({ ...form, snapLength: 3 }, [packet('abcdef'), packet('xy')])
    expect(texts(bytes)).toEqual(['abc', 'xy'])
    expect(texts(pcapBytes({ ...form, snapLength: 0 }, [packet('abcdef')]))).toEqual(['abcdef'])
  })

  it('takes the lengths of a 2.3 file in either order', () => {
    const one = { ...packet('abc'), wireLength: 100 }
    const bytes = Buffer.from(pcapBytes({ ...form, version: [2, 3] }, [one, one]))
    bytes.writeUInt32LE(100, 24 + 8)
    bytes.writeUInt32LE(3, 24 + 12)
    expect(read(bytes).map((p) => [p.bytes, p.wireLength])).toEqual([
      ['abc', 100],
      ['abc', 100],
    ])
  })

  it('ends at a record that the file cuts off', () => {
    const whole = pcapBytes(form, [packet('first'), packet('second')])
    for (const cut of [1, 3, 6, 7, 21])
      expect(broken(whole.subarray(0, whole.length - cut))).toEqual({
        packets: ['first'],
        problems: { truncated: 1 },
      })
    expect(broken(whole.subarray(0, whole.length - 22))).toEqual({
      packets: ['first'],
      problems: {},
    })
  })

  it('ends at a length over the limit', () => {
    const bytes = Buffer.from(pcapBytes(form, [packet('first'), packet('second'), packet('third')]))
    bytes.writeUInt32LE(262_145, 24 + 16 + 5 + 8)
    expect(broken(bytes)).toEqual({ packets: ['first'], problems: { oversized: 1 } })
  })

  it('takes a packet of the greatest length, and packets across the pieces it reads in', () => {
    const packets = Array.from({ length: 40 }, (_, i) => ({
      ...packet(String.fromCharCode(65 + (i % 26)).repeat(262_144 - i * 4_001)),
    }))
    expect(texts(pcapBytes(form, packets))).toEqual(
      packets.map((p) => Buffer.from(p.bytes).toString('latin1')),
    )
  })
})

describe('pcapng', () => {
  const ng = () => new PcapNgFixture().section()

  for (const littleEndian of [true, false])
    it(`is read with each kind of packet block, ${littleEndian ? 'little' : 'big'}-endian`, () => {
      const bytes = new PcapNgFixture()
        .section(littleEndian)
        .interface({ linkType: 1 })
        .interface({ linkType: 276, snapLength: 4 })
        .enhanced(1, 1_700_000_000_123_456n, bytesOf('cooked'), 60)
        .old(0, 1_700_000_001_000_000n, bytesOf('old'), 61)
        .simple(bytesOf('simple'))
        .bytes()
      expect(read(bytes)).toEqual([
        { bytes: 'cooked', wireLength: 60, timeUs: 1_700_000_000_123_456, linkType: 276 },
        { bytes: 'old', wireLength: 61, timeUs: 1_700_000_001_000_000, linkType: 1 },
        { bytes: 'simple', wireLength: 6, timeUs: 1_700_000_001_000_000, linkType: 1 },
      ])
    })

  it('cuts a simple packet at the snap length of its interface', () => {
    const bytes = ng().interface({ linkType: 1, snapLength: 3 }).simple(bytesOf('abc'), 9).bytes()
    expect(read(bytes)[0]).toMatchObject({ bytes: 'abc', wireLength: 9 })
  })

  it('takes sections of either byte order, each with its own interfaces', () => {
    const bytes = ng()
      .interface({ linkType: 1 })
      .enhanced(0, 1n, bytesOf('a'))
      .section(false)
      .interface({ linkType: 101 })
      .interface({ linkType: 108 })
      .enhanced(0, 2n, bytesOf('b'))
      .enhanced(1, 3n, bytesOf('c'))
      .section(true)
      .interface({ linkType: 0 })
      .enhanced(0, 4n, bytesOf('d'))
      .bytes()
    expect(read(bytes).map((p) => [p.bytes, p.linkType, p.timeUs])).toEqual([
      ['a', 1, 1],
      ['b', 101, 2],
      ['c', 108, 3],
      ['d', 0, 4],
    ])
  })

  const seconds = 1_700_000_000n
  for (const [name, resolution, units] of [
    ['seconds', 0, seconds],
    ['ms', 3, seconds * 1_000n],
    ['µs', 6, seconds * 1_000_000n],
    ['ns', 9, seconds * 1_000_000_000n],
    ['ps, as far as 64 bits reach', 12, 18_000_000n * 1_000_000_000_000n],
    ['2^-10 s', 0x80 | 10, seconds << 10n],
    ['2^-32 s', 0x80 | 32, seconds << 32n],
  ] as const)
    it(`takes times in ${name}`, () => {
      const bytes = ng().interface({ linkType: 1, resolution }).enhanced(0, units, bytesOf('x'))
      expect(read(bytes.bytes())[0]?.timeUs).toBe(
        resolution === 12 ? 18_000_000_000_000 : 1_700_000_000_000_000,
      )
    })

  it('keeps a ns time to a quarter of a microsecond, all that a double has', () => {
    for (const ns of [1_700_000_000_123_456_789n, 1_700_000_000_999_999_999n, 1_001n]) {
      const bytes = ng().interface({ linkType: 1, resolution: 9 }).enhanced(0, ns, bytesOf('x'))
      expect(read(bytes.bytes())[0]?.timeUs).toBe(Number(ns / 1000n) + Number(ns % 1000n) / 1000)
    }
  })

  it('adds the time offset of an interface', () => {
    for (const littleEndian of [true, false])
      for (const [offsetSeconds, timeUs] of [
        [1_700_000_000n, 1_700_000_000_000_007],
        [-3n, -2_999_993],
      ] as const) {
        const bytes = new PcapNgFixture()
          .section(littleEndian)
          .interface({ linkType: 1, offsetSeconds })
          .enhanced(0, 7n, bytesOf('x'))
        expect(read(bytes.bytes())[0]?.timeUs).toBe(timeUs)
      }
  })

  it('passes over blocks it does not know, small and of many megabytes', () => {
    const bytes = ng()
      .block(5, bytesOf('statistics..'))
      .interface({ linkType: 1 })
      .block(0x0bad0bad, new Uint8Array(0))
      .enhanced(0, 1n, bytesOf('a'))
      .block(10, new Uint8Array(5_000_000))
      .enhanced(0, 2n, bytesOf('b'))
      .bytes()
    expect(texts(bytes)).toEqual(['a', 'b'])
  })

  const described = () => ng().interface({ linkType: 1 }).enhanced(0, 1n, bytesOf('a'))
  const tail = (fixture: PcapNgFixture) => fixture.enhanced(0, 2n, bytesOf('b')).bytes()
  const lengths = (length: number, trailer: number) => {
    const block = Buffer.alloc(32)
    block.writeUInt32LE(5, 0)
    block.writeUInt32LE(length, 4)
    block.writeUInt32LE(trailer, 28)
    return block
  }
  for (const [what, fixture, packets, problems] of [
    ['an unknown interface', described().enhanced(1, 1n, bytesOf('x')), 2, { 'bad-interface': 1 }],
    ['a simple one before any', ng().simple(bytesOf('x')), 0, { 'bad-interface': 2 }],
    ['a short interface block', ng().block(1, bytesOf('four')), 0, { 'bad-interface': 2 }],
    ['a short enhanced block', described().block(6, new Uint8Array(16)), 2, { 'bad-packet': 1 }],
    ['a short old block', described().block(2, new Uint8Array(16)), 2, { 'bad-packet': 1 }],
    ['a short simple block', described().block(3, new Uint8Array(0)), 2, { 'bad-packet': 1 }],
    ['too much captured', described().simple(bytesOf('x'), 5), 2, { 'bad-packet': 1 }],
    ['too much by far', described().simple(bytesOf('x'), 300_000), 2, { oversized: 1 }],
    [
      'a packet over the limit',
      described().enhanced(0, 1n, new Uint8Array(262_145)),
      2,
      { oversized: 1 },
    ],
    [
      'a packet over a megabyte',
      described().enhanced(0, 1n, new Uint8Array(1 << 21)),
      2,
      { oversized: 1 },
    ],
    ['a length of 8', described().raw(lengths(8, 8)), 1, { 'bad-block': 1 }],
    ['a length of 0', described().raw(lengths(0, 0)), 1, { 'bad-block': 1 }],
    ['an odd length', described().raw(lengths(31, 31)), 1, { 'bad-block': 1 }],
    ['another trailer', described().raw(lengths(32, 28)), 1, { 'bad-block': 1 }],
    ['a length beyond all', described().raw(lengths(0xfffffffc, 32)), 1, { 'bad-block': 1 }],
    ['a length beyond the end', described().raw(lengths(1_000_000, 32)), 1, { truncated: 1 }],
    ['a section of a later version', described().section(true, 2), 1, { 'bad-section': 1 }],
  ] as const)
    it(`counts what is wrong and goes on where it can: ${what}`, () => {
      const seen = broken(tail(fixture))
      expect(seen.problems).toEqual(problems)
      expect(seen.packets).toEqual(['a', 'b'].slice(0, packets))
    })

  it('ignores options that do not fit their block', () => {
    const body = Buffer.alloc(16)
    body.writeUInt16LE(1, 0)
    body.writeUInt16LE(9, 8)
    body.writeUInt16LE(500, 10)
    const bytes = ng().block(1, body).enhanced(0, 1n, bytesOf('a')).bytes()
    expect(broken(bytes)).toEqual({ packets: ['a'], problems: { 'bad-options': 1 } })
  })

  it('ends at a block that the file cuts off', () => {
    const whole = tail(described())
    for (const cut of [1, 4, 20, 40])
      expect(broken(whole.subarray(0, whole.length - cut))).toEqual({
        packets: ['a'],
        problems: { truncated: 1 },
      })
  })
})

describe('a file that is no capture gets one clear line', () => {
  let folder: string
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'rehome-test-'))
  })
  afterAll(() => rmSync(folder, { recursive: true }))

  const wrongs: [string, string | Uint8Array, RegExp][] = [
    ['text', 'Hello, world, this is a text file', /is no capture: it starts like neither/],
    ['nothing', '', /is no capture: it is empty/],
    ['three bytes', Uint8Array.of(0xd4, 0xc3, 0xb2), /is no capture/],
    ['half a header', pcapBytes(form, []).subarray(0, 20), /ends inside the pcap header/],
    ['version 1', pcapBytes({ ...form, version: [1, 9] }, []), /pcap version 1.9, not 2.x/],
    ['half a section', new PcapNgFixture().section().bytes().subarray(0, 20), /pcapng header/],
    ['no byte order', new PcapNgFixture().block(0x0a0d0d0a, Buffer.alloc(16)).bytes(), /pcapng/],
  ]
  for (const [name, content, message] of wrongs)
    it(name, () => {
      const path = join(folder, 'wrong')
      writeFileSync(path, content)
      expect(() => openCapture(path)).toThrow(message)
      expect(() => openCapture(path)).toThrow(
        expect.objectContaining({ name: 'RehomeError', code: 'bad-input' }),
      )
    })

  it('a path that leads to none', () => {
    expect(() => openCapture(join(folder, 'absent'))).toThrow(/cannot read .*: no such file/)
    expect(() => openCapture(folder)).toThrow(/cannot read .*: it is a directory/)
  })
})

it('every problem that is counted has a line that says what was done', () => {
  const { problems } = openCapture(memoryFile(pcapBytes(form, [])))
  expect(Object.keys(problems)).toEqual(Object.keys(captureProblems))
})

describe('looped', () => {
  const bytes = pcapBytes(form, [
    packet('late', 10, 500),
    packet('early', 10, 100),
    packet('latest', 11, 0),
  ])

  it('repeats the packets and lets packet time go on', () => {
    const reader = looped(openCapture(memoryFile(bytes)), 3)
    const seen = readAll(reader)
    expect(seen.map((p) => p.bytes)).toEqual(Array(3).fill(['late', 'early', 'latest']).flat())
    const span = 11_000_000 - 10_000_100 + 1_000
    expect(seen.map((p) => p.timeUs)).toEqual(
      [0, 1, 2].flatMap((i) => [10_000_500, 10_000_100, 11_000_000].map((t) => t + i * span)),
    )
    reader.rewind()
    expect(readAll(reader)).toEqual(seen)
  })

  it('ends for a capture without packets, however often it is to be repeated', () => {
    const empty = openCapture(memoryFile(pcapBytes(form, [])))
    expect(readAll(looped(empty, Number.POSITIVE_INFINITY))).toEqual([])
  })
})

describe('files', () => {
  let folder: string
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'rehome-test-'))
  })
  afterAll(() => rmSync(folder, { recursive: true }))

  it('are written in µs and ns, and read again', () => {
    for (const [resolution, timeUs] of [
      ['us', 1_700_000_000_999_999],
      ['ns', 1_700_000_000_000_000 + 0.25],
    ] as const) {
      const path = join(folder, `${resolution}.pcap`)
      const writer = new PcapWriter(path, { linkType: 101, resolution })
      const record = new CaptureRecord()
      record.bytes = bytesOf('..packet..')
      Object.assign(record, { start: 2, end: 8, wireLength: 77, timeUs, linkType: 101 })
      writer.write(record)
      record.linkType = 1
      writer.write(record)
      writer.close()
      expect(writer.refused).toBe(1)
      const reader = openCapture(path)
      expect(readAll(reader)).toEqual([{ bytes: 'packet', wireLength: 77, timeUs, linkType: 101 }])
      reader.close()
    }
  })

  it('cannot be written where there is no folder', () => {
    const path = join(folder, 'absent', 'out.pcap')
    expect(() => new PcapWriter(path, { linkType: 1 })).toThrow(/cannot write .*out.pcap/)
  })

  it('are read up to the size they had when opened', () => {
    const path = join(folder, 'growing.pcap')
    writeFileSync(path, pcapBytes(form, [packet('a')]))
    const reader = openCapture(path)
    writeFileSync(path, pcapBytes(form, [packet('a'), packet('b')]))
    expect(readAll(reader).map((p) => p.bytes)).toEqual(['a'])
    reader.close()
  })
})

const captures = new URL('../../../shared/data/pcaps/', import.meta.url)
const present = existsSync(captures)
if (!present) console.log('No shared captures here: not read against tcpdump.')

describe.runIf(present)('real captures', () => {
  const names = present ? readdirSync(captures).filter((name) => name.endsWith('.pcap')) : []
  const tcpdump = hasProgram('tcpdump')
  if (!tcpdump) console.log('No tcpdump here: the captures are read but not compared.')
  const editcap = hasProgram('editcap')
  if (!editcap) console.log('No editcap here: the captures are not read as pcapng.')

  it.runIf(hasProgram('tshark'))('have the times and lengths that tshark reads', () => {
    const name = '22_mixed_vlan_mpls.pcap'
    const path = new URL(name, captures).pathname
    const fields = ['frame.time_epoch', 'frame.len', 'frame.cap_len'].flatMap((f) => ['-e', f])
    const lines = execFileSync('tshark', ['-r', path, '-T', 'fields', ...fields], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    const reader = openCapture(path)
    const ours = readAll(reader).map((p) => [p.timeUs, p.wireLength, p.bytes.length])
    reader.close()
    const theirs = lines
      .trim()
      .split('\n')
      .map((line) => line.split('\t').map(Number))
      .map(([time = 0, ...lengths]) => [Math.round(time * 1e6), ...lengths])
    expect(ours).toEqual(theirs)
  })

  for (const name of names) {
    const path = new URL(name, captures).pathname
    it(`${name}: as many packets as tcpdump reads`, () => {
      const packets = countPackets(path)
      expect(packets).toBeGreaterThan(0)
      if (tcpdump) expect(packets).toBe(tcpdumpCount(path))
    })

    it.runIf(editcap)(`${name}: the same packets as pcapng`, () => {
      const bytes = execFileSync('editcap', ['-F', 'pcapng', path, '-'], { maxBuffer: 1 << 28 })
      const reader = openCapture(memoryFile(readFileSync(path)))
      expect(read(bytes)).toEqual(readAll(reader))
    })
  }
})

function hasProgram(name: string): boolean {
  try {
    execFileSync(name, ['--version'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

function tcpdumpCount(path: string): number {
  const said = execFileSync('tcpdump', ['-r', path, '--count'], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  return Number(/(\d+) packets?/.exec(said)?.[1])
}
