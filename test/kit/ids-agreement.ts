import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { RehomeError } from '../../bus/index.ts'
import { ids } from '../../nf-apps/ids/index.ts'
import type { OptionValues } from '../../nf-apps/index.ts'
import { packetsOf } from './prads-agreement.ts'
import { soloRun } from './solo.ts'

/** Our alerts beside those that Suricata raised on the same capture with the same rules. */

/** An alert, by what is compared: rule and ends, whichever way round. */
type Alert = string

export interface Counts {
  readonly name: string
  readonly common: number
  readonly missing: number
  readonly extra: number
  /** By rule: how many of each. */
  readonly bySid: ReadonlyMap<number, Tally>
}
export interface Tally {
  common: number
  missing: number
  extra: number
}

/** As stored in the data, besides what eve.json has. */
interface Expected {
  readonly sid: number
  readonly gid?: number
  readonly src: string
  readonly sport: number | null
  readonly dst: string
  readonly dport: number | null
}

/** Rule tests: folders with rules, a capture and what Suricata makes of them. */
export function ruleTests(folder: string): string[] {
  return subfolders(folder).filter((name) => existsSync(join(folder, name, 'expected.json')))
}

/** By rule, what is expected and what comes, where the two differ. */
export async function ruleTest(folder: string): Promise<string[]> {
  const expected = JSON.parse(readFileSync(join(folder, 'expected.json'), 'utf8')) as {
    alerts: Expected[]
  }
  const want = count(expected.alerts.map((a) => `${a.gid ?? 1}:${a.sid}`))
  const lines = await run(join(folder, 'input.pcap'), join(folder, 'test.rules')).catch(silence)
  const got = count(lines.map((line) => `${line.alert.gid}:${line.alert.signature_id}`))
  const rules = [...new Set([...want.keys(), ...got.keys()])].sort()
  return rules
    .filter((rule) => want.get(rule) !== got.get(rule))
    .map((rule) => `${rule}: ${want.get(rule) ?? 0} expected, ${got.get(rule) ?? 0} raised`)
}

/** Of a file whose rules are all refused no alert comes. */
function silence(error: unknown): Line[] {
  if (error instanceof RehomeError) return []
  throw error
}

/** Captures that Suricata has run over with the community rules, all of them switched on. */
export function communityCaptures(data: string): string[] {
  const folder = join(data, 'suricata-community')
  if (!existsSync(folder) || !existsSync(join(data, 'community.rules'))) return []
  return readdirSync(folder)
    .filter((name) => name.endsWith('.json'))
    .map((name) => name.slice(0, -'.json'.length))
    .sort()
}

export async function communityAgreement(data: string, name: string): Promise<Counts> {
  const text = readFileSync(join(data, 'suricata-community', `${name}.json`), 'utf8')
  const theirs = (JSON.parse(text) as Expected[]).map((a) => [a.sid, theirAlert(a)] as const)
  const capture = join(data, 'pcaps', `${name}.pcap`)
  const lines = await run(capture, join(data, 'community.rules'), { 'all-rules': true })
  const ours = lines.map((line) => [line.alert.signature_id, ourAlert(line)] as const)
  return compare(name, theirs, ours)
}

export function compare(
  name: string,
  theirs: readonly (readonly [number, Alert])[],
  ours: readonly (readonly [number, Alert])[],
): Counts {
  const bySid = new Map<number, Tally>()
  const want = count(theirs.map(([, alert]) => alert))
  const got = count(ours.map(([, alert]) => alert))
  const all = new Map([...theirs, ...ours].map(([sid, alert]) => [alert, sid]))
  let [common, missing, extra] = [0, 0, 0]
  for (const [alert, sid] of all) {
    const w = want.get(alert) ?? 0
    const g = got.get(alert) ?? 0
    const tally = bySid.get(sid) ?? { common: 0, missing: 0, extra: 0 }
    bySid.set(sid, tally)
    tally.common += Math.min(w, g)
    tally.missing += Math.max(0, w - g)
    tally.extra += Math.max(0, g - w)
    common += Math.min(w, g)
    missing += Math.max(0, w - g)
    extra += Math.max(0, g - w)
  }
  return { name, common, missing, extra, bySid }
}

/** Sums, and the means over rules of how much was found and how much was right. */
export function summary(all: readonly Counts[]): {
  total: Counts
  recallBySid: number
  extraBySid: number
} {
  const bySid = new Map<number, Tally>()
  const total = { name: 'all', common: 0, missing: 0, extra: 0, bySid }
  for (const counts of all) {
    total.common += counts.common
    total.missing += counts.missing
    total.extra += counts.extra
    for (const [sid, t] of counts.bySid) {
      const sum = bySid.get(sid) ?? { common: 0, missing: 0, extra: 0 }
      bySid.set(sid, {
        common: sum.common + t.common,
        missing: sum.missing + t.missing,
        extra: sum.extra + t.extra,
      })
    }
  }
  const mean = (values: number[]) => values.reduce((a, b) => a + b, 0) / Math.max(1, values.length)
  const raised = [...bySid.values()].filter((t) => t.common + t.missing > 0)
  const recallBySid = mean(raised.map((t) => t.common / (t.common + t.missing)))
  const ours = [...bySid.values()].filter((t) => t.common + t.extra > 0)
  const extraBySid = mean(ours.map((t) => t.extra / (t.common + t.extra)))
  return { total, recallBySid, extraBySid }
}

/** What a line of eve.json has that is looked at here. */
interface Line {
  readonly src_ip: string
  readonly src_port?: number
  readonly dest_ip: string
  readonly dest_port?: number
  readonly alert: { readonly gid: number; readonly signature_id: number }
}

/** Compiling thousands of rules takes longer than most captures do, so it is done once for each file. */
const variants = new Map<string, typeof ids>()

async function run(capture: string, rules: string, options: OptionValues = {}): Promise<Line[]> {
  let variant = variants.get(rules)
  if (variant === undefined) {
    const env = ids.setup({ rules: [rules], ...options })
    variant = { ...ids, setup: () => env }
    variants.set(rules, variant)
  }
  const lines = await soloRun(variant, packetsOf(capture))
  return lines.map((line) => JSON.parse(line) as Line)
}

function theirAlert(a: Expected): Alert {
  return alertOf(a.sid, `${a.src} ${a.sport ?? ''}`, `${a.dst} ${a.dport ?? ''}`)
}

function ourAlert({ alert, src_ip, src_port, dest_ip, dest_port }: Line): Alert {
  const source = `${src_ip} ${src_port ?? ''}`
  return alertOf(alert.signature_id, source, `${dest_ip} ${dest_port ?? ''}`)
}

function alertOf(sid: number, one: string, other: string): Alert {
  return [sid, ...[one, other].sort()].join(' ')
}

function count(names: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>()
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1)
  return counts
}

function subfolders(folder: string): string[] {
  if (!existsSync(folder)) return []
  const entries = readdirSync(folder, { withFileTypes: true })
  return entries
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name)
    .sort()
}
