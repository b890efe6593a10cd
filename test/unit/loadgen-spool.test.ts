import { execFileSync, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { gzipSync } from 'node:zlib'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import {
  type CaptureFile,
  CaptureRecord,
  countPackets,
  openCapture,
  spool,
} from '../../loadgen/index.ts'
import { PCAP_US, pcapBytes } from './loadgen-fixtures.ts'

const PACKETS = 2_000
/** Some 400 KB that do not compress away, so that a stream of them comes in many pieces. */
const capture = pcapBytes(
  { littleEndian: true, magic: PCAP_US, linkType: 1 },
  Array.from({ length: PACKETS }, (_, i) => {
    const bytes = Uint8Array.from(
      { length: 200 },
      (_, at) => Math.imul(i * 200 + at, 0x9e3779b1) >>> 24,
    )
    return { bytes, wireLength: 200, seconds: i, fraction: 0 }
  }),
)

let folder: string
let temporary: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'rehome-test-'))
  temporary = join(folder, 'temporary')
  mkdirSync(temporary)
  vi.stubEnv('TMPDIR', temporary)
})
afterEach(() => {
  vi.restoreAllMocks()
  expect(readdirSync(temporary)).toEqual([])
})
afterAll(() => {
  vi.unstubAllEnvs()
  rmSync(folder, { recursive: true })
})

function written(bytes: Uint8Array): string {
  const path = join(folder, 'capture')
  writeFileSync(path, bytes)
  return path
}

function standardInput(...chunks: Uint8Array[]): void {
  vi.spyOn(process, 'stdin', 'get').mockReturnValue(
    Object.assign(Readable.from(chunks), { isTTY: false }) as typeof process.stdin,
  )
}

function packetsOf(file: CaptureFile): { packets: number; problems: string[] } {
  const reader = openCapture(file)
  const record = new CaptureRecord()
  let packets = 0
  for (; reader.next(record); packets++) expect(record.timeUs).toBe(packets * 1e6)
  const problems = Object.entries(reader.problems).flatMap(([name, n]) => (n > 0 ? [name] : []))
  reader.close()
  file.close()
  return { packets, problems }
}

const all = { packets: PACKETS, problems: [] }

describe('spool', () => {
  it('opens a plain file where it lies', async () => {
    expect(packetsOf(await spool(written(capture)))).toEqual(all)
  })

  it('inflates gzip, also of several members', async () => {
    const half = capture.length >> 1
    const members = [gzipSync(capture.subarray(0, half)), gzipSync(capture.subarray(half))]
    expect(packetsOf(await spool(written(gzipSync(capture))))).toEqual(all)
    expect(packetsOf(await spool(written(Buffer.concat(members))))).toEqual(all)
  })

  it('leaves gzip to be spooled when a capture is opened by its path', () => {
    expect(() => openCapture(written(gzipSync(capture)))).toThrow(/has to be spooled first/)
  })

  it('can be read by several readers at once', async () => {
    const file = await spool(written(gzipSync(capture)))
    expect(countPackets(file)).toBe(PACKETS)
    const [first, second] = [openCapture(file), openCapture(file)]
    const [a, b] = [new CaptureRecord(), new CaptureRecord()]
    for (let i = 0; i < PACKETS; i++) {
      expect(first.next(a) && second.next(b)).toBe(true)
      expect(b.timeUs).toBe(a.timeUs)
    }
    file.close()
  })

  it('keeps what a gzip holds that is cut off', async () => {
    const zipped = gzipSync(capture)
    const seen = packetsOf(await spool(written(zipped.subarray(0, zipped.length >> 1))))
    expect(seen.packets).toBeGreaterThan(PACKETS / 4)
    expect(seen.packets).toBeLessThan(PACKETS)
    expect(seen.problems).toEqual(['truncated'])
  })

  it('keeps what a gzip holds before a damage, and counts it', async () => {
    const zipped = gzipSync(capture)
    zipped.fill(0xff, zipped.length >> 1)
    const seen = packetsOf(await spool(written(zipped)))
    expect(seen.packets).toBeGreaterThan(PACKETS / 4)
    expect(seen.packets).toBeLessThan(PACKETS)
    expect(seen.problems).toContain('bad-gzip')
  })

  it('takes standard input, plain or compressed, in any pieces', async () => {
    const zipped = gzipSync(capture)
    for (const bytes of [capture, zipped])
      for (const cuts of [[], [1], [1, 2], [2, 9, 5_000, 5_001]]) {
        standardInput(...[0, ...cuts].map((cut, i) => bytes.subarray(cut, cuts[i])))
        expect(packetsOf(await spool('-'))).toEqual(all)
      }
  })

  it('takes a pipe by its name', async () => {
    const path = join(folder, 'pipe')
    execFileSync('mkfifo', [path])
    const writer = spawn('sh', ['-c', `cat "$0" > "$1"`, written(capture), path])
    expect(packetsOf(await spool(path))).toEqual(all)
    writer.kill()
  })

  it('refuses in one line what is no capture or cannot be spooled', async () => {
    standardInput(Buffer.from('x'))
    const file = await spool('-')
    expect(() => openCapture(file)).toThrow('standard input is no capture: it starts like neither')
    file.close()
    standardInput()
    const empty = await spool('-')
    expect(() => openCapture(empty)).toThrow('standard input is no capture: it is empty')
    empty.close()
    await expect(spool(join(folder, 'absent'))).rejects.toThrow(/cannot read .*: no such file/)
    await expect(spool(folder)).rejects.toThrow(/it is a directory/)
    vi.stubEnv('TMPDIR', join(folder, 'absent'))
    standardInput(capture)
    await expect(spool('-')).rejects.toThrow(/cannot spool standard input: no such file/)
    vi.stubEnv('TMPDIR', temporary)
  })

  it('does not wait for a terminal', async () => {
    vi.spyOn(process, 'stdin', 'get').mockReturnValue(
      Object.assign(Readable.from([]), { isTTY: true }) as typeof process.stdin,
    )
    await expect(spool('-')).rejects.toThrow(/standard input is a terminal/)
  })
})
