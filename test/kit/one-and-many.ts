import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { RunReport } from '../../cli/index.ts'
import { CaptureRecord, openCapture } from '../../loadgen/index.ts'
import { Ip, LINK_ETHERNET, Subnet } from '../../nf-apps/packet/index.ts'
import { command } from './lab-nat.ts'
import { checkNat, type Expected, type Seen, withCauses } from './nat-checker.ts'

// An NF as the command runs it over a capture, on one instance and on many: told by its results alone.

/** What a run left behind. */
export interface Outcome {
  /** What `--out` wrote. */
  readonly text: string
  /** What `--out-pcap` wrote: frames that the NF sent on. */
  readonly frames: readonly Omit<Seen, 'index'>[]
  readonly report: Pick<RunReport, 'dropped' | 'errors' | 'lost'>
}

export interface Comparison {
  /** Results of the run on many instances: lines, or packets that passed. */
  readonly results: number
  /** Those that one of the two runs has and the other has not. */
  readonly different: number
  /** What else is wrong, in words. */
  readonly faults: readonly string[]
}

/** An NF, how it is run, and what must be the same however many instances there are. */
export interface Subject {
  readonly nf: string
  readonly options: readonly string[]
  compare(capture: string, one: Outcome, many: Outcome): Comparison
}

/** Byte for byte. */
function sameBytes(_capture: string, one: Outcome, many: Outcome): Comparison {
  const [a, b] = [one, many].map(({ text }) => text.split('\n').slice(0, -1))
  const results = b!.length
  if (one.text === many.text) return { results, different: 0, faults: [] }
  const different = lacking(a!, b!) + lacking(b!, a!)
  const faults = different === 0 ? ['the same lines, not byte for byte'] : []
  return { results, different, faults }
}

/** How many of `lines`, as a multiset, `others` lacks. */
function lacking(lines: readonly string[], others: readonly string[]): number {
  const left = new Map<string, number>()
  for (const line of others) left.set(line, (left.get(line) ?? 0) + 1)
  let n = 0
  for (const line of lines) {
    const there = left.get(line) ?? 0
    if (there === 0) n++
    else left.set(line, there - 1)
  }
  return n
}

const PUBLIC = '192.0.2.1'
const inside = ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '100.64.0.0/10'].map((text) => {
  const [address = '', prefix] = text.split('/')
  return new Subnet(Ip.parse(address), Number(prefix))
})
const rules: Expected = {
  isInside: (word) => inside.some((net) => net.contains(Ip.v4(word))),
  isPublic: (word) => word === Ip.parse(PUBLIC).d,
  quietUs: 59e6,
  keptUs: 59e6,
}

/** Ports may differ: the same packets pass, as many are dropped for each cause, and mappings are consistent and exclusive. */
function sameMappings(capture: string, one: Outcome, many: Outcome): Comparison {
  const ins = framesOf(capture)
  const [a, b] = [withCauses(ins, one.frames), withCauses(ins, many.frames)]
  const [before, after] = [a, b].map((frames) => new Set(frames.map(({ index }) => index)))
  const faults = [...checkNat(ins, a, rules), ...checkNat(ins, b, rules)]
  if (one.text !== many.text) faults.push('packets are counted otherwise')
  const only = (a: Set<number>, b: Set<number>) => [...a].filter((index) => !b.has(index)).length
  const different = only(before!, after!) + only(after!, before!)
  return { results: after!.size, different, faults }
}

/** The Ethernet frames of a capture, by their index. */
function framesOf(path: string): Seen[] {
  const reader = openCapture(path)
  const record = new CaptureRecord()
  const seen: Seen[] = []
  for (let index = 0; reader.next(record); index++) {
    if (record.linkType !== LINK_ETHERNET) continue
    const bytes = new Uint8Array(record.bytes.subarray(record.start, record.end))
    seen.push({ index, us: record.timeUs, bytes })
  }
  reader.close()
  return seen
}

/** The NFs of which this is promised; PRADS and IDS with all that `data` and the system have for them. */
export function subjects(data: string): Subject[] {
  const [system, community] = ['/etc/prads', join(data, 'community.rules')]
  const signatures = existsSync(system) ? ['--signatures', system] : []
  const detectors = ['--port-scan', '5/60', '--password-guessing', '2/60']
  const all = existsSync(community) ? ['--rules', community, '--all-rules'] : []
  return [
    {
      nf: 'prads',
      options: ['--switches', 'MFRSAKUTtI', ...signatures],
      compare: sameBytes,
    },
    { nf: 'ids', options: [...all, ...detectors], compare: sameBytes },
    { nf: 'nat', options: ['--pool', PUBLIC], compare: sameMappings },
  ]
}

export function runOver({ nf, options }: Subject, capture: string, ...how: string[]): Outcome {
  const folder = mkdtempSync(join(tmpdir(), 'rehome-scale-'))
  try {
    const [out, pcap] = [join(folder, 'out'), join(folder, 'out.pcap')]
    const files = ['--json', '--out', out, '--out-pcap', pcap]
    const args = ['run', nf, '--pcap', capture, ...options, ...files, ...how]
    const json = execFileSync(process.execPath, [command, ...args], {
      stdio: ['ignore', 'pipe', 'inherit'],
      maxBuffer: 2 ** 28,
    }).toString()
    const report = JSON.parse(json) as RunReport
    return { text: readFileSync(out, 'utf8'), frames: framesOf(pcap), report }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Compares two runs, unless one of them says itself why it cannot be compared. */
export function judge(subject: Subject, capture: string, one: Outcome, many: Outcome): Comparison {
  const died = one.report.lost.instances + many.report.lost.instances
  // What they had is gone by right, so a difference would say nothing of the NF.
  if (died > 0) return unjudged(`${died} instances were silent for 3 s and taken for dead`)
  for (const { dropped, errors } of [one.report, many.report]) {
    if (dropped + errors > 0) {
      return unjudged(`${dropped} packets without a verdict, ${errors} errors`)
    }
  }
  return subject.compare(capture, one, many)
}

const unjudged = (why: string): Comparison => ({ results: 0, different: 0, faults: [why] })
