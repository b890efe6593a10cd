import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { CaptureRecord, openCapture, PcapWriter } from '../loadgen/index.ts'
import { prads } from '../nf-apps/index.ts'
import { LINK_ETHERNET, Packet, steeringHash } from '../nf-apps/packet/index.ts'
import { firstView } from '../placement/index.ts'
import type { BenchOptions, Row } from './bench.ts'
import { cpuNs, ratioOf, ratioOfValues, type Sample, wallNs } from './measure.ts'
import { Batches } from './packets.ts'
import { SoloInstance } from './solo-instance.ts'

const PROGRAM = '/usr/bin/prads'
const SIGNATURES = '/etc/prads'
/** Its default, and everything that it and ours know. */
const SWITCHES = ['M', 'MFRSAKUTtI']
/** The sample so many times on end, each later in packet time: so that reading signatures is a small part of it. */
const REPEATS = 12
const ROUNDS = 12

/** Packets/s of our PRADS in one instance ÷ real prads: same packets, signatures and switches. */
export async function besidePrads(o: BenchOptions): Promise<Row[]> {
  const sample = sampleCapture()
  if (!existsSync(PROGRAM) || !existsSync(SIGNATURES) || sample === undefined) {
    o.say(`hot-path: not beside real prads: it takes ${PROGRAM}, ${SIGNATURES} and the sample`)
    return []
  }
  const directory = mkdtempSync(join(tmpdir(), 'rehome-prads-'))
  try {
    const capture = new Repeated(sample, o.tiny ? 1 : REPEATS, directory)
    const rows: Row[] = []
    for (const letters of SWITCHES) rows.push(await compared(capture, letters, o))
    return rows
  } finally {
    rmSync(directory, { recursive: true })
  }
}

/** The capture as a file for the one, as batches for the other, and without packets: what only starting takes. */
class Repeated {
  readonly file: string
  readonly empty: string
  readonly batches: readonly Uint8Array[]
  readonly count: number

  constructor(sample: string, repeats: number, directory: string) {
    this.file = join(directory, 'repeated.pcap')
    this.empty = join(directory, 'empty.pcap')
    new PcapWriter(this.empty, { linkType: LINK_ETHERNET }).close()
    const writer = new PcapWriter(this.file, { linkType: LINK_ETHERNET })
    const batches = new Batches(
      firstView({ id: 'solo', role: 'instance', protocol: 1, schema: '' }),
    )
    const record = new CaptureRecord()
    const packet = new Packet()
    let count = 0
    let shiftUs = 0
    let lastUs = 0
    for (let n = 0; n < repeats; n++) {
      const reader = openCapture(sample)
      while (reader.next(record)) {
        if (n > 0 && shiftUs === 0) shiftUs = lastUs - record.timeUs
        record.timeUs += n * shiftUs
        lastUs = Math.max(lastUs, record.timeUs)
        writer.write(record)
        const { bytes, start, end, linkType, wireLength, timeUs } = record
        packet.load(bytes, start, end, linkType, wireLength, timeUs, timeUs, count++, 0)
        batches.add(record, steeringHash(packet))
      }
      reader.close()
    }
    writer.close()
    this.batches = batches.end()
    this.count = count
  }
}

async function compared(capture: Repeated, letters: string, o: BenchOptions): Promise<Row> {
  const { count } = capture
  const log = join(dirname(capture.file), 'asset.log')
  const ours: Sample[] = []
  const theirs: Sample[] = []
  let lines: string[] = []
  const end = performance.now() + o.seconds * 1000
  for (let round = 0; round <= ROUNDS; round++) {
    // Made anew each round: an environment remembers what it has told, to assets that are gone with the round before.
    const solo = new SoloInstance(prads, prads.setup({ signatures: SIGNATURES, switches: letters }))
    const cpu = process.cpuUsage()
    const from = performance.now()
    solo.take(capture.batches)
    const wallMs = performance.now() - from
    const { user, system } = process.cpuUsage(cpu)
    const whole = runReal(capture.file, letters, log)
    const start = runReal(capture.empty, letters, join(dirname(log), 'none.log'))
    lines = await solo.result()
    if (round === 0 && !o.tiny) continue // warms up
    ours.push({ count, wallMs, cpuMs: (user + system) / 1000 })
    const wall = whole.wallMs - start.wallMs
    theirs.push({ count, wallMs: wall, cpuMs: Math.max(1, whole.cpuMs - start.cpuMs) })
    if (o.tiny || (round > 4 && performance.now() > end)) break
  }
  const ratio = ratioOf(ours, theirs)
  const byCpu = ratioOfValues(ours.map((s, i) => theirs[i]!.cpuMs / s.cpuMs))
  const real = readFileSync(log, 'utf8').trimEnd().split('\n')
  const [common, most] = agreement(real.slice(1), lines.slice(1))
  return {
    what: `PRADS in one instance ÷ real prads -${letters}, ${count} packets`,
    value: ratio.mean,
    unit: '',
    ratio,
    goal: { least: 1 },
    samples: { instance: ours, prads: theirs },
    note: `by processor time ${byCpu.mean.toFixed(3)} ±${byCpu.half.toFixed(3)}; a packet: ${said(ours)}; prads, without its start, ${said(theirs)}; ${common} of ${most} asset lines agree`,
  }
}

const said = (s: readonly Sample[]) => `${wallNs(s).toFixed(0)} ns, cpu ${cpuNs(s).toFixed(0)}`

/** Real prads over a capture: the shell tells its processor time. */
function runReal(file: string, letters: string, log: string): { wallMs: number; cpuMs: number } {
  rmSync(log, { force: true }) // it would be appended to
  const user = process.getuid?.() === 0 ? '-u root -g root' : ''
  const script = `"$0" ${user} -${letters} -r "$1" -l "$2" >/dev/null 2>&1; times`
  const from = performance.now()
  const told = execFileSync('sh', ['-c', script, PROGRAM, file, log], { encoding: 'utf8' })
  const wallMs = performance.now() - from
  const children = told.trim().split('\n')[1] ?? ''
  const parts = [...children.matchAll(/(\d+)m([\d.]+)s/g)]
  const cpuMs = parts.reduce((sum, [, m, s]) => sum + (Number(m) * 60 + Number(s)) * 1000, 0)
  return { wallMs, cpuMs }
}

/** How many lines both have, and how many the longer log has. */
function agreement(theirs: readonly string[], ours: readonly string[]): [number, number] {
  const left = new Map<string, number>()
  for (const line of theirs) left.set(line, (left.get(line) ?? 0) + 1)
  let common = 0
  for (const line of ours) {
    const n = left.get(line) ?? 0
    if (n > 0) common++
    left.set(line, n - 1)
  }
  return [common, Math.max(theirs.length, ours.length)]
}

/** In the checkout, whether this runs from its sources or from what was built of them. */
function sampleCapture(): string | undefined {
  for (let at = dirname(fileURLToPath(import.meta.url)); ; at = dirname(at)) {
    const found = join(at, 'samples/office.pcap')
    if (existsSync(found)) return found
    if (at === dirname(at)) return undefined
  }
}
