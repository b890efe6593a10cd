/**
 * `npm run check:ids`: the published rule tests (or, alone, those in `--tests DIR`, folders of test.rules, input.pcap
 * and expected.json, what Suricata alerts), then our alerts beside Suricata's over the captures with the
 * community rules, rule by rule where they differ, and what 3,444 rules cost beside 300 of them. `--speed`: packets
 * a second beside Suricata's.
 */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { compileTexts, refusalText } from '../../nf-apps/ids/index.ts'
import { argumentsOf } from './arguments.ts'
import { beside } from './beside.ts'
import {
  type Counts,
  communityAgreement,
  communityCaptures,
  ruleTest,
  ruleTests,
  summary,
} from './ids-agreement.ts'
import { costs } from './ids-cost.ts'
import { speeds } from './ids-speed.ts'

const data = beside('shared/data')
let failed = false
const { values } = argumentsOf('check:ids', {
  options: { tests: { type: 'string' }, speed: { type: 'boolean' } },
})
if (values.speed) showSpeed()
else if (values.tests !== undefined) await checkRuleTests(values.tests, 0.95)
else {
  await checkRuleTests(join(data, 'rules'), 1)
  if (communityCaptures(data).length > 0) {
    checkLoading()
    await checkCaptures()
    await checkCost()
  } else console.log(`no alerts of Suricata in ${data}: nothing to compare`)
}
process.exitCode = failed ? 1 : 0

/** `least`: the part of the tests that must agree. */
async function checkRuleTests(folder: string, least: number): Promise<void> {
  const names = ruleTests(folder)
  if (names.length === 0) console.log(`no rule tests in ${folder}`)
  let agreed = 0
  for (const name of names) {
    const differences = await ruleTest(join(folder, name))
    if (differences.length === 0) agreed++
    else console.log(`${name}: ${differences.join('; ')}`)
  }
  if (agreed < least * names.length) failed = true
  if (names.length === 0) return
  const part = percent(agreed, names.length)
  console.log(`rule tests: ${agreed} of ${names.length} as Suricata, ${part}`)
}

function checkLoading(): void {
  const text = readFileSync(join(data, 'community.rules'), 'latin1')
  const loaded = compileTexts([{ file: 'community.rules', text }], { disabled: true })
  for (const refusal of loaded.refused) console.log(refusalText(refusal))
  const rules = loaded.signatures.length
  const all = rules + loaded.refused.length
  console.log(`community.rules: ${rules} of ${all} loaded, ${percent(rules, all)}`)
  if (rules < 0.97 * all) failed = true
}

async function checkCaptures(): Promise<void> {
  console.log(row('capture', 'common', 'missing', 'extra', 'recall', 'precision'))
  const results: Counts[] = []
  for (const name of communityCaptures(data)) {
    const counts = await communityAgreement(data, name)
    results.push(counts)
    printCounts(counts)
  }
  const { total, recallBySid, extraBySid } = summary(results)
  printCounts(total)
  console.log(`mean over sids: recall ${percent(recallBySid, 1)}, extra ${percent(extraBySid, 1)}`)
  for (const [sid, { missing, extra }] of total.bySid) {
    if (missing + extra > 0) console.log(`sid ${sid}: ${missing} missing, ${extra} extra`)
  }
  const theirs = total.common + total.missing
  if (total.common < 0.95 * theirs || total.extra > 0.05 * theirs) failed = true
  if (recallBySid < 0.95 || extraBySid > 0.05) failed = true
}

async function checkCost(): Promise<void> {
  console.log(row('µs of CPU a packet', '1 rule', '300', 'all', 'all ÷ 300'))
  for (const { name, micros } of await costs(data)) {
    const [one, some, all] = micros
    const ratio = (all / some).toFixed(2)
    console.log(row(name, one.toFixed(1), some.toFixed(1), all.toFixed(1), ratio))
  }
}

function showSpeed(): void {
  if (!existsSync(join(data, 'community.rules'))) {
    console.log(`no captures and rules in ${data}: nothing to measure`)
    return
  }
  const { packets, all, missing } = speeds(data)
  if (missing !== '') console.log(missing)
  console.log(row(`${packets} packets`, 'packets/s', 'of CPU', 'alerts'))
  for (const { name, wall, cpu, alerts } of all) {
    // On a machine that does much else the wall clock may say nothing.
    const rate = wall > 0 ? wall.toFixed(0) : 'too noisy'
    console.log(row(name, rate, cpu.toFixed(0), `${alerts}`))
  }
  const [ours, theirs] = all
  if (!ours || !theirs) return
  const ratio = (a: number, b: number) => (a > 0 && b > 0 ? (a / b).toFixed(2) : '–')
  console.log(row('ours ÷ theirs', ratio(ours.wall, theirs.wall), ratio(ours.cpu, theirs.cpu)))
}

function printCounts({ name, common, missing, extra }: Counts): void {
  const recall = percent(common, common + missing)
  console.log(
    row(name, `${common}`, `${missing}`, `${extra}`, recall, percent(common, common + extra)),
  )
}

function percent(part: number, whole: number): string {
  return whole === 0 ? '–' : `${((100 * part) / whole).toFixed(1)} %`
}

function row(first: string, ...cells: string[]): string {
  return first.padEnd(24) + cells.map((cell) => cell.padStart(11)).join('')
}
