import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { CaptureRecord, openCapture, PcapWriter } from '../../loadgen/index.ts'
import { LINK_ETHERNET } from '../../nf-apps/packet/index.ts'

/**
 * Packets a second of the IDS on one instance beside Suricata's in one thread: the same capture, the same rules,
 * alerts alone as output. Both start, compile the rules and end in each run; what that takes is what a short capture
 * takes, and is subtracted from what the same capture takes many times over.
 */
export interface Speed {
  readonly name: string
  /** Packets a second of wall clock, and of processor time. */
  readonly wall: number
  readonly cpu: number
  readonly alerts: number
}
export interface Speeds {
  readonly packets: number
  readonly all: readonly Speed[]
  /** Why there is no peer; empty if there is one. */
  readonly missing: string
}

const CAPTURES = ['12_gnutella', '17_many_protocols', '18_tls2', '21_smtp_ssh_zeek']
const LOOPS = 12
const ROUNDS = 2
const ROUNDS_MAX = 5
/** Between two rounds of the captures: longer than any flow lives. */
const GAP_US = 3 * 3600 * 1e6

interface Cost {
  wall: number
  cpu: number
}

export function speeds(data: string): Speeds {
  const root = process.env.REHOME_SURICATA ?? ''
  const missing = peerMissing(root)
  const folder = mkdtempSync(
    join(missing === '' && root !== '' ? join(root, 'tmp') : tmpdir(), 'i'),
  )
  try {
    const once = writeCapture(data, 1, join(folder, 'once.pcap'))
    const packets = writeCapture(data, LOOPS, join(folder, 'many.pcap')) - once
    writeFileSync(join(folder, 'all.rules'), allRules(data), 'latin1')
    const programs = [{ name: 'rehome', command: ours }]
    if (missing === '') programs.push({ name: 'suricata', command: suricataOf(root) })
    const all = sideBySide(programs, folder, packets)
    return { packets, all, missing }
  } finally {
    rmSync(folder, { recursive: true })
  }
}

type Command = (folder: string, capture: string, out: string) => readonly string[]

interface Program {
  readonly name: string
  readonly command: Command
}

/**
 * Programs take turns, and the least that each capture took them counts. Others have the processor too: where the long
 * capture was through before the short one, the wall clock says nothing yet, and another round is run.
 */
function sideBySide(programs: readonly Program[], folder: string, packets: number): Speed[] {
  const runs = programs.map((program) => new Runs(program, folder))
  const isOpen = () => runs.some((r) => !(r.of('wall') > 0 && r.of('cpu') > 0))
  for (let round = 0; round < ROUNDS || (round < ROUNDS_MAX && isOpen()); round++) {
    for (const each of runs) each.round()
  }
  return runs.map((r) => {
    const [wall, cpu] = [packets / r.of('wall'), packets / r.of('cpu')]
    return { name: r.program.name, wall, cpu, alerts: r.alerts }
  })
}

class Runs {
  readonly program: Program
  alerts = 0
  private readonly folder: string
  private readonly once: Cost = { wall: Number.POSITIVE_INFINITY, cpu: Number.POSITIVE_INFINITY }
  private readonly many: Cost = { ...this.once }

  constructor(program: Program, folder: string) {
    this.program = program
    this.folder = folder
  }

  round(): void {
    this.run('once', this.once)
    this.run('many', this.many)
  }

  private run(capture: string, least: Cost): void {
    const out = join(this.folder, 'out')
    mkdirSync(out)
    const { wall, cpu } = timed(this.program.command(this.folder, `${capture}.pcap`, out))
    least.wall = Math.min(least.wall, wall)
    least.cpu = Math.min(least.cpu, cpu)
    this.alerts = alertsIn(out)
    rmSync(out, { recursive: true })
  }

  /** Seconds that the packets alone have taken. */
  of(what: keyof Cost): number {
    return this.many[what] - this.once[what]
  }
}

/** Wall clock and processor time, in s, of a command with all that it starts. */
function timed(command: readonly string[]): Cost {
  const script = 'TIMEFORMAT="%R %U %S"; time "$@" >/dev/null 2>&1'
  const { stderr, status } = spawnSync('bash', ['-c', script, 'timed', ...command], {
    encoding: 'utf8',
  })
  const [wall, user, system] = stderr.trim().split('\n').at(-1)!.split(' ').map(Number)
  if (status !== 0) throw new Error(`${command.join(' ')} ended with ${status}`)
  return { wall: wall!, cpu: user! + system! }
}

const ours: Command = (folder, capture, out) => {
  const main = join(dirname(fileURLToPath(import.meta.url)), '../../cli/main.js')
  const files = ['--rules', join(folder, 'all.rules'), '--pcap', join(folder, capture)]
  const how = ['--scale', '1', '--bus', 'memory', '--json', '--out', join(out, 'eve.json')]
  return [process.execPath, main, 'run', 'ids', ...files, ...how]
}

/** In its tree, where there is one: as it runs where the system has no package of it. */
function suricataOf(root: string): Command {
  return (folder, capture, out) => {
    const inside = (path: string): string => path.slice(root.length)
    writeFileSync(join(folder, 'suricata.yaml'), configuration(root))
    const place = root === '' ? [] : ['chroot', root]
    const file = (name: string): string => inside(join(folder, name))
    const input = ['-c', file('suricata.yaml'), '-S', file('all.rules'), '-r', file(capture)]
    const how = ['-l', inside(out), '-k', 'none', '--runmode', 'single']
    return [...place, 'suricata', ...input, ...how, '--set', 'stream.midstream=true']
  }
}

/** The stock configuration with all addresses at home and outside, and alerts as the only output. */
function configuration(root: string): string {
  const stock = readFileSync(join(root === '' ? '/' : root, 'etc/suricata/suricata.yaml'), 'utf8')
  const nets = stock
    .replace(/^ {4}HOME_NET: .*$/m, '    HOME_NET: "any"')
    .replace(/^ {4}EXTERNAL_NET: .*$/m, '    EXTERNAL_NET: "any"')
  const types = nets.indexOf('      types:\n        - alert:')
  const end = nets.indexOf('\n  # ', types)
  return `${nets.slice(0, types)}      types:\n        - alert:\n${nets.slice(end)}`
}

function peerMissing(root: string): string {
  const installed =
    root === ''
      ? spawnSync('suricata', ['-V'], { stdio: 'ignore' }).status === 0
      : existsSync(join(root, 'usr/bin/suricata'))
  if (installed) return ''
  return (
    'no suricata on the PATH; as root, where Debian has no package of it: ' +
    'debootstrap --variant=minbase --include=suricata trixie DIR, then REHOME_SURICATA=DIR'
  )
}

function alertsIn(out: string): number {
  const text = execFileSync('cat', [join(out, 'eve.json')], { maxBuffer: 1 << 30 }).toString(
    'latin1',
  )
  return text.split('"event_type":"alert"').length - 1
}

function allRules(data: string): string {
  const text = readFileSync(join(data, 'community.rules'), 'latin1')
  return text.replaceAll(/^#\s*(?=alert )/gm, '')
}

/** The captures one after the other, so many times; returns how many packets that makes. */
function writeCapture(data: string, loops: number, path: string): number {
  const writer = new PcapWriter(path, { linkType: LINK_ETHERNET })
  const record = new CaptureRecord()
  let packets = 0
  let beginUs = 1_600_000_000 * 1e6
  for (let loop = 0; loop < loops; loop++) {
    for (const name of CAPTURES) {
      const reader = openCapture(join(data, 'pcaps', `${name}.pcap`))
      let firstUs: number | undefined
      let lastUs = beginUs
      while (reader.next(record)) {
        firstUs ??= record.timeUs
        record.timeUs += beginUs - firstUs
        lastUs = Math.max(lastUs, record.timeUs)
        writer.write(record)
        packets++
      }
      reader.close()
      beginUs = lastUs + GAP_US
    }
  }
  writer.close()
  return packets
}
