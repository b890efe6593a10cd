import * as fs from 'node:fs'
import * as os from 'node:os'
import * as path from 'node:path'
import { builtIn, type OptionValues } from '../../../nf-apps/index.ts'
import { expectEquivalent } from '../equivalent.ts'
import type { Faults } from './network.ts'

/** As rough as the walks of the protocol are. */
const FAULTS: Faults = { drop: 0.05, double: 0.05, late: 0.1 }

/** Rules that the packets of a script meet: on flags, on a flow's state, and on how many there are. */
const RULES = `alert tcp any any -> any 80 (msg:"a SYN"; flags:S; sid:1;)
alert udp any any -> any any (msg:"a datagram"; dsize:>100; sid:2;)
alert tcp any any -> any any (msg:"in a connection"; flow:established; sid:3;)
alert tcp any any -> any any (msg:"many"; threshold:type both,track by_src,count 3,seconds 60; sid:4;)
`

/** Options without which an NF would have nothing to do. */
function optionsOf(name: string): OptionValues {
  if (name === 'byte-quota') return { quota: '500' }
  return name === 'ids' ? { rules: [rulesFile()] } : {}
}

let rules: string | undefined

function rulesFile(): string {
  if (rules !== undefined) return rules
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'rehome-sim-'))
  process.once('exit', () => fs.rmSync(folder, { recursive: true }))
  rules = path.join(folder, 'walk.rules')
  fs.writeFileSync(rules, RULES)
  return rules
}

/**
 * A random script of packets, with instances that come and go and faults below the links: its result is to be that of
 * one instance without an actor runtime. Throws, with the shortest script that was found, if it is not.
 */
export async function runNF(name: string, seed: number): Promise<void> {
  const nf = builtIn.find((one) => one.name === name)
  if (!nf) throw new Error(`no NF is named ${name}`)
  await expectEquivalent(nf, {
    runs: 1,
    seed: seed | 0,
    faults: FAULTS,
    options: optionsOf(name),
  })
}
