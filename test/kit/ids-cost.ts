import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ids } from '../../nf-apps/ids/index.ts'
import type { Packet } from '../../nf-apps/packet/index.ts'
import { packetsOf } from './prads-agreement.ts'
import { Solo } from './solo.ts'

/** What rules cost: CPU time per packet with one rule, with 300 and with all, rounds taking turns, the best of each. */
const ROUNDS = 7
const CAPTURES = ['12_gnutella', '17_many_protocols', '18_tls2', '21_smtp_ssh_zeek']

export interface Cost {
  readonly name: string
  readonly micros: readonly [number, number, number]
}

export async function costs(data: string): Promise<Cost[]> {
  const folder = mkdtempSync(join(tmpdir(), 'ids-cost-'))
  try {
    const sets = ruleSets(data).map((rules, i) => {
      const file = join(folder, `${i}.rules`)
      writeFileSync(file, rules.join('\n'), 'latin1')
      return file
    })
    const results: Cost[] = []
    for (const name of CAPTURES) results.push(await cost(data, name, sets))
    return results
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** One that never matches; each eleventh or so of all; all. */
function ruleSets(data: string): string[][] {
  const all = readFileSync(join(data, 'community.rules'), 'latin1')
    .split('\n')
    .map((line) => line.replace(/^#\s*/, ''))
    .filter((line) => line.startsWith('alert '))
  const step = all.length / 300
  const some = Array.from({ length: 300 }, (_, i) => all[Math.floor(i * step)]!)
  return [['alert tcp any any -> any any (content:"no such text"; sid:1;)'], some, all]
}

async function cost(data: string, name: string, sets: readonly string[]): Promise<Cost> {
  const packets: Packet[] = []
  for (const p of packetsOf(join(data, 'pcaps', `${name}.pcap`))) packets.push(p.retain())
  const envs = sets.map((file) => ids.setup({ rules: [file] }))
  const best = sets.map(() => Number.POSITIVE_INFINITY)
  for (let round = 0; round < ROUNDS; round++) {
    for (const [i, env] of envs.entries()) {
      const solo = new Solo({ ...ids, setup: () => env })
      const before = process.cpuUsage()
      for (const p of packets) {
        const verdict = solo.packet(p)
        if (verdict instanceof Promise) await verdict
      }
      const micros = process.cpuUsage(before).user / packets.length
      best[i] = Math.min(best[i]!, micros)
    }
  }
  return { name, micros: [best[0]!, best[1]!, best[2]!] }
}
