import { describe, expect, it } from 'vitest'
import { inMacrotask, isBroken, mutants, scenarios, untilCaught } from '../kit/index.ts'

describe('scenarios', () => {
  it.each(Object.keys(scenarios) as (keyof typeof scenarios)[])('%s passes', async (name) => {
    await inMacrotask(() => scenarios[name]())
  })

  it.each(mutants.filter(({ scenario }) => scenario))(
    'without rule $rule it does not',
    async (mutant) => {
      const caught = await untilCaught(mutant)
      expect(caught && !isBroken(caught)).toBe(true)
    },
  )
})
