import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CaptureRecord, openCapture } from '../../loadgen/index.ts'
import { Packet, steeringHash } from '../../nf-apps/packet/index.ts'
import { prads } from '../../nf-apps/prads/index.ts'
import { soloRun } from './solo.ts'

/** Ours beside the asset log that real prads wrote of the same capture. */
export interface Agreement {
  readonly capture: string
  readonly theirs: number
  readonly ours: number
  readonly common: number
  /** Lines of theirs that we lack, and the other way round. */
  readonly missing: string[]
  readonly extra: string[]
}

/** How the stored logs were made. */
export const modes = { default: '-M', full: '-MFRSAKUTtI' } as const
export type Mode = keyof typeof modes

export const program = '/usr/bin/prads'
export const systemSignatures = '/etc/prads'

/** The captures with a log of real prads, or none where the data are not there. */
export function captures(data: string): string[] {
  const logs = join(data, 'prads')
  if (!existsSync(logs)) return []
  return readdirSync(logs)
    .filter((name) => name.endsWith('.default.log'))
    .map((name) => name.replace('.default.log', ''))
    .sort()
}

export async function agreement(data: string, capture: string, mode: Mode): Promise<Agreement> {
  const stored = readFileSync(join(data, 'prads', `${capture}.${mode}.log`), 'utf8')
  const file = join(data, 'pcaps', `${capture}.pcap`)
  const ours = await soloRun(withSystemSignatures(mode), packetsOf(file))
  return compare(capture, stored.split('\n').slice(1, -1), ours.slice(1))
}

/** Runs real prads over a capture, and ours. */
export async function liveAgreement(file: string, mode: Mode): Promise<Agreement> {
  const directory = mkdtempSync(join(tmpdir(), 'prads-'))
  try {
    const log = join(directory, 'asset.log')
    const user = ['-u', 'root', '-g', 'root']
    execFileSync(program, [...user, modes[mode], '-r', file, '-l', log], { stdio: 'ignore' })
    const theirs = readFileSync(log, 'utf8').split('\n').slice(1, -1)
    const ours = await soloRun(withSystemSignatures(mode), packetsOf(file))
    return compare(file, theirs, ours.slice(1))
  } finally {
    rmSync(directory, { recursive: true })
  }
}

const variants = new Map<Mode, typeof prads>()

/** Reading 17,000 vendors takes longer than most captures do, so it is done once. */
function withSystemSignatures(mode: Mode): typeof prads {
  let variant = variants.get(mode)
  if (!variant) {
    const env = prads.setup({ signatures: systemSignatures, switches: modes[mode] })
    variant = { ...prads, setup: () => env }
    variants.set(mode, variant)
  }
  return variant
}

/** As multisets. */
function compare(capture: string, theirs: string[], ours: string[]): Agreement {
  const left = new Map<string, number>()
  for (const line of theirs) left.set(line, (left.get(line) ?? 0) + 1)
  const extra: string[] = []
  for (const line of ours) {
    const n = left.get(line) ?? 0
    if (n === 0) extra.push(line)
    else left.set(line, n - 1)
  }
  const missing = [...left].flatMap(([line, n]) => new Array<string>(n).fill(line))
  const common = ours.length - extra.length
  return { capture, theirs: theirs.length, ours: ours.length, common, missing, extra }
}

/** The packets of a capture, in one view that is filled anew for each. */
export function* packetsOf(file: string): Iterable<Packet> {
  const reader = openCapture(file)
  const record = new CaptureRecord()
  const p = new Packet()
  let clockUs = 0
  try {
    for (let index = 0; reader.next(record); index++) {
      const { bytes, start, end, linkType, wireLength, timeUs } = record
      clockUs = Math.max(clockUs, timeUs)
      p.load(bytes, start, end, linkType, wireLength, timeUs, clockUs, index, 0)
      p.hash = steeringHash(p)
      yield p
    }
  } finally {
    reader.close()
  }
}
