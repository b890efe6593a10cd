import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { CaptureRecord, openCapture } from '../../loadgen/index.ts'
import { Ip, LINK_ETHERNET, Subnet } from '../../nf-apps/packet/index.ts'
import { command } from './lab-nat.ts'
import { checkNat, type Expected, type Seen, withCauses } from './nat-checker.ts'

// The NAT as the command runs it over a capture, on one instance and on many: told by input and output captures alone.

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

interface Run {
  /** What the NAT counts, by cause. */
  readonly counts: string
  readonly outs: readonly Seen[]
}

function run(capture: string, ins: readonly Seen[], ...how: readonly string[]): Run {
  const folder = mkdtempSync(join(tmpdir(), 'rehome-nat-'))
  try {
    const [out, pcap] = [join(folder, 'out'), join(folder, 'out.pcap')]
    const args = ['run', 'nat', '--pcap', capture, '--pool', PUBLIC, '--json', '--out', out]
    execFileSync(process.execPath, [command, ...args, '--out-pcap', pcap, ...how], {
      stdio: 'pipe',
    })
    return { counts: readFileSync(out, 'utf8'), outs: withCauses(ins, framesOf(pcap)) }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

export interface CaptureResult {
  readonly capture: string
  readonly how: string
  readonly packets: number
  readonly passed: number
  /** Packets that pass on one instance and not on many, or the other way. */
  readonly different: number
  readonly sameCounts: boolean
  /** What the checker found wrong. */
  readonly faults: readonly string[]
}

/** One instance against many, each way once. */
export function overCapture(
  capture: string,
  ways: readonly (readonly string[])[],
): CaptureResult[] {
  const ins = framesOf(capture)
  const one = run(capture, ins, '--scale', '1', '--bus', 'memory')
  const passed = new Set(one.outs.map((o) => o.index))
  return ways.map((how) => {
    const many = run(capture, ins, '--scale', '1,2,3,1', ...how)
    const now = new Set(many.outs.map((o) => o.index))
    const different = [...passed, ...now].filter((i) => passed.has(i) !== now.has(i)).length
    return {
      capture: basename(capture),
      how: how.join(' '),
      packets: ins.length,
      passed: now.size,
      different,
      sameCounts: many.counts === one.counts,
      faults: [...checkNat(ins, one.outs, rules), ...checkNat(ins, many.outs, rules)],
    }
  })
}
