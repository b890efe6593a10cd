import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { prads } from '../../nf-apps/prads/index.ts'
import { pradsPeer, soloRun } from '../kit/index.ts'

const { agreement, captures, liveAgreement, packetsOf, program, systemSignatures } = pradsPeer
const root = fileURLToPath(new URL('../..', import.meta.url))
const data = join(root, '../shared/data')
const sample = join(root, 'samples/office.pcap')

const known = captures(data)
const comparable = known.length > 0 && existsSync(systemSignatures)
if (!comparable) console.log(`not compared: no stored logs in ${data}, or no ${systemSignatures}`)
const runnable = existsSync(program) && existsSync(systemSignatures) && existsSync(sample)
if (!runnable) console.log(`not compared: no ${program} to run over the sample`)

/**
 * Lines that differ, by capture; each is told in nf-apps/prads/DIFFERENCES.md. Real prads reads what memory holds behind a
 * packet that the capture cut: the urgent pointer of one, the options of another.
 */
const missing: Record<string, number> = { '15_fuzz': 1, '38_truncated_header': 1 }
const extra: Record<string, number> = { '15_fuzz': 1 }

describe.runIf(comparable)('the asset log beside that of real prads', () => {
  it.each(
    known.flatMap((capture) => (['default', 'full'] as const).map((mode) => [capture, mode] as const)),
  )('%s, %s', async (capture, mode: pradsPeer.Mode) => {
    const result = await agreement(data, capture, mode)
    expect(result.missing).toHaveLength(missing[capture] ?? 0)
    expect(result.extra).toHaveLength(extra[capture] ?? 0)
  })
})

describe.runIf(runnable)('the sample through real prads and through ours', () => {
  it.each(['default', 'full'] as const)('%s: no line differs', async (mode) => {
    const result = await liveAgreement(sample, mode)
    expect(result.theirs).toBeGreaterThan(50)
    expect(result).toMatchObject({ missing: [], extra: [] })
  })
})

describe.runIf(existsSync(sample))('with the signatures of our own', () => {
  it('the sample has its hosts, their systems and their services', async () => {
    const lines = await soloRun(prads, packetsOf(sample))
    expect(lines.length).toBeGreaterThan(700)
    for (const what of ['SYN,[S44:64:1:60:M1460,S,T,N,W10:.:Linux:', '[ssh:OpenSSH', '[http:nginx', '[smtp:']) {
      expect(lines.some((line) => line.includes(what))).toBe(true)
    }
    const unknown = lines.filter((line) => /,(SYN|SYNACK),.*:unknown:unknown/.test(line))
    const stacks = lines.filter((line) => /,(SYN|SYNACK),/.test(line))
    expect(unknown.length / stacks.length).toBeLessThan(0.5)
  })
})
