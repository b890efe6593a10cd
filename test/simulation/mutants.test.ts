import * as fs from 'node:fs'
import { describe, expect, it } from 'vitest'
import { isBroken, mutantNamed, mutants, SEEDS_MAX, untilCaught } from '../kit/index.ts'

const read = (name: string) => fs.readFileSync(new URL(name, import.meta.url), 'utf8')
const rowsOf = (text: string) =>
  text
    .split('\n')
    .filter((line) => line.startsWith('| ') && !line.startsWith('| rule '))
    .map((line) => line.split('|').map((cell) => cell.trim()))
const rows = rowsOf(read('../kit/MUTANTS.md'))

describe('the table of mutants', () => {
  it('has each mutant once, with its rule and race', () => {
    const told = rows.map(([, rule, race, name]) => ({ rule, race, name }))
    expect(told).toEqual(mutants.map(({ rule, race, name }) => ({ rule, race, name })))
  })

  it("is ARCHITECTURE.md's table of rules, one to one", () => {
    const [, section = ''] = read('../../ARCHITECTURE.md').split('\n## Rules\n')
    const told = rowsOf(section.split('\n## ')[0] ?? '').map(([, ...cells]) => cells.slice(0, 3))
    expect(told).toEqual(mutants.map(({ rule, race, name }) => [rule, race, name]))
  })

  it('says of each that it is seen', () => {
    for (const [, , , name, by = '', seeds] of rows) {
      expect(Number(seeds), name).toBeLessThanOrEqual(SEEDS_MAX)
      expect(by, name).not.toBe('nothing')
      expect(isBroken({ by }), name).toBe(false)
    }
  })

  it.each(['refuse-old-state', 'own-by-view', 'two-batches', 'no-hold', 'deliver-twice'])(
    '%s is seen again within some seeds',
    async (name) => {
      const mutant = mutantNamed(name)
      const caught = mutant && (await untilCaught(mutant, 40))
      expect(caught && !isBroken(caught)).toBe(true)
    },
  )
})
