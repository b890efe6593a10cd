import { describe, expect, it } from 'vitest'
import { singleWriter, u32 } from '../../actors/index.ts'
import { rehearse } from '../../cli/index.ts'
import { defineNF, forward, type NFDefinition, type Verdict } from '../../nf-apps/index.ts'
import { symmetricFlow, symmetricFlowOf } from '../../nf-apps/packet/index.ts'
import { SLOT_BITS } from '../../placement/index.ts'

const state = { flows: singleWriter('flow', { packets: u32 }).keyedBy(symmetricFlow) }
type Definition = NFDefinition<typeof state, number>

/** Rehearses an NF, whose state counts its flows' packets; what its handler was given, and what was told as an error. */
async function rehearsed(
  more: Pick<Definition, 'rehearses'>,
  verdict: () => Verdict | Promise<Verdict>,
) {
  const seen = { setups: 0, envs: new Set<number>(), packets: 0, errors: 0 }
  const nf = defineNF('rehearsed-here', {
    ...more,
    state,
    setup: () => ++seen.setups,
    onPacket(p, { flows }, env) {
      seen.envs.add(env)
      seen.packets++
      return flows.with(symmetricFlowOf(p), (flow) => {
        flow.packets++
        return verdict()
      })
    },
  })
  nf.setup({}) // the instance's own
  const settings = {
    nf: nf.name,
    options: {},
    placement: 'spread',
    model: 'remote-only',
    slotBits: SLOT_BITS,
  } as const
  await rehearse(() => void seen.errors++, undefined, { nf, settings })
  return seen
}

describe('a rehearsal', () => {
  it('runs nothing of an NF that does not say that it may', async () => {
    expect(await rehearsed({}, () => forward)).toEqual({
      setups: 1,
      envs: new Set(),
      packets: 0,
      errors: 0,
    })
  })

  it('runs an NF that does over an environment of its own', async () => {
    const seen = await rehearsed({ rehearses: true }, () => forward)
    expect(seen).toMatchObject({ setups: 2, envs: new Set([2]), errors: 0 })
    expect(seen.packets).toBeGreaterThan(10_000)
  })

  it('tells nothing of packets that nobody sent', async () => {
    const seen = await rehearsed({ rehearses: true }, () => {
      throw new Error('not my packet')
    })
    expect(seen.packets).toBeGreaterThan(10_000)
    expect(seen.errors).toBe(0)
  })

  it('ends where the NF waits for ever', async () => {
    const seen = await rehearsed({ rehearses: true }, () => new Promise(() => {}))
    expect(seen.packets).toBeGreaterThan(0)
  })
})
