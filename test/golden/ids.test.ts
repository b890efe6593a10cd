import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { compileTexts } from '../../nf-apps/ids/index.ts'
import { idsPeer } from '../kit/index.ts'

const { communityAgreement, communityCaptures, ruleTest, ruleTests, summary } = idsPeer
const data = join(fileURLToPath(new URL('../..', import.meta.url)), '../shared/data')
const tests = ruleTests(join(data, 'rules'))
const captures = communityCaptures(data)
const rules = join(data, 'community.rules')
if (tests.length === 0) console.log(`not compared: no rule tests in ${data}`)
if (captures.length === 0) console.log(`not compared: no alerts of Suricata in ${data}`)

describe.runIf(tests.length > 0)('published rule tests', () => {
  it.each(tests)('%s: the same rules as often', async (name) => {
    expect(await ruleTest(join(data, 'rules', name))).toEqual([])
  })
})

describe.runIf(captures.length > 0)('community rules beside Suricata', () => {
  it('raises what Suricata raises, and little else', async () => {
    const all = []
    for (const name of captures) all.push(await communityAgreement(data, name))
    const { total, recallBySid, extraBySid } = summary(all)
    const theirs = total.common + total.missing
    expect(theirs).toBeGreaterThan(500)
    expect(total.common / theirs).toBeGreaterThanOrEqual(0.95)
    expect(total.extra / theirs).toBeLessThanOrEqual(0.05)
    expect(recallBySid).toBeGreaterThanOrEqual(0.95)
    expect(extraBySid).toBeLessThanOrEqual(0.05)
  })
})

describe.runIf(existsSync(rules))('community.rules', () => {
  it('loads 97 of 100 rules, and names the others', () => {
    const text = readFileSync(rules, 'latin1')
    const { signatures, refused } = compileTexts([{ file: 'x.rules', text }], { disabled: true })
    expect(signatures.length / (signatures.length + refused.length)).toBeGreaterThan(0.97)
    for (const { line, option, reason } of refused) {
      expect(line).toBeGreaterThan(0)
      expect(option).not.toBe('')
      expect(reason).not.toBe('')
    }
  })
})
