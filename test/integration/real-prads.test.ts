/**
 * The command beside real prads, on the sample, with the same signatures and switches, on a cluster that scales.
 * (test/golden/prads.test.ts compares the NF alone, on many captures.)
 */
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { pradsPeer } from '../kit/index.ts'
import { newFile, run, sample } from './rehome.ts'

const { modes, program, systemSignatures } = pradsPeer
const comparable = existsSync(program) && existsSync(systemSignatures)
if (!comparable) console.log(`not compared: no ${program} or no ${systemSignatures}`)

/** Each line that differs, with its reason: there are none (the kinds that could be: nf-apps/prads/DIFFERENCES.md). */
const reasons: ReadonlyMap<string, string> = new Map()

/** At most this share of real prads's lines may differ, whatever their reasons. */
const SHARE_MAX = 0.02

it.runIf(comparable).each(['default', 'full'] as const)('%s: the same assets', async (mode) => {
  const log = newFile('asset.log')
  const user = process.getuid?.() === 0 ? ['-u', 'root', '-g', 'root'] : []
  execFileSync(program, [...user, modes[mode], '-r', sample, '-l', log], { stdio: 'ignore' })
  const own = ['--signatures', systemSignatures, '--switches', modes[mode].slice(1)]
  const cluster = ['--bus', 'memory', '--scale', '1,2,3,1']
  const { out } = await run('prads', '--pcap', sample, ...own, ...cluster)
  // The first line names the columns.
  const theirs = readFileSync(log, 'utf8').trimEnd().split('\n').slice(1)
  const ours = out.trimEnd().split('\n').slice(1)
  expect(theirs.length).toBeGreaterThan(50)
  const differing = [...without(theirs, ours), ...without(ours, theirs)]
  console.log(
    `${mode}: ${theirs.length} lines of prads, ${ours.length} of ours, ${differing.length} differ`,
  )
  expect(differing.filter((line) => !reasons.has(line))).toEqual([])
  expect(differing.length / theirs.length).toBeLessThanOrEqual(SHARE_MAX)
})

/** As multisets: what `lines` have more of than `others`. */
function without(lines: readonly string[], others: readonly string[]): string[] {
  const left = new Map<string, number>()
  for (const line of others) left.set(line, (left.get(line) ?? 0) + 1)
  return lines.filter((line) => {
    const n = left.get(line) ?? 0
    left.set(line, n - 1)
    return n <= 0
  })
}
