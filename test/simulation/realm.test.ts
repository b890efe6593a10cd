import { expect, it } from 'vitest'
import { expectEquivalent, NotEquivalent, nfRealms } from '../kit/index.ts'

const stateOutside = new URL('./nfs/state-outside.ts', import.meta.url)

it('state in a module that the NF imports shows: each instance loads it for itself', async () => {
  const error = await expectEquivalent(stateOutside).catch((e) => e)
  expect(error).toBeInstanceOf(NotEquivalent)
  console.log(error.message)
  expect(error.script.length).toBeLessThanOrEqual(8)
})

it('realms are handed out once each, and a module without an NF is refused', async () => {
  const next = await nfRealms(stateOutside, 2)
  const [a, b] = [next(), next()]
  expect(a.name).toBe(b.name)
  expect(a.onPacket).not.toBe(b.onPacket)
  expect(next).toThrow('load more realms')
  const total = new URL('./nfs/total.ts', import.meta.url)
  await expect(nfRealms(total, 1)).rejects.toThrow('exports no NF')
})
