/** Who is dead is noticed in time, and nobody else is taken for dead. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { defineNF } from '../../index.ts'
import { inMacrotask, type SimCluster, simCluster } from '../kit/index.ts'

const nf = defineNF('idle', { state: {}, onPacket: () => 1 })

/** Frames of all are lost, or some; the register answers. */
const lossy = (drop: number) => ({ drop, double: 0, late: 0 })

function membersSeen(cluster: SimCluster): number[] {
  return cluster.alive.map((n) => n.entered!.body.member.view!.members.length)
}

describe('heartbeats', () => {
  it('show a death after 3 s, and a little for the view', async () => {
    const ms = await inMacrotask(() => {
      const cluster = simCluster({ seed: 7, nf: () => nf }, 4)
      cluster.pass(1000)
      const died = cluster.clock.now()
      cluster.crash(cluster.nodes[1]!)
      cluster.until(() => membersSeen(cluster).every((n) => n === 4), 'all know of it')
      return cluster.clock.now() - died
    })
    expect(ms).toBeGreaterThan(2_700)
    expect(ms).toBeLessThan(3_300)
  })

  it('accuse nobody while frames are lost, all or some, for a while or for long', async () => {
    const drop = fc.oneof(fc.constant(1), fc.double({ min: 0, max: 0.3, noNaN: true }))
    await fc.assert(
      fc.asyncProperty(fc.nat(), fc.integer({ min: 2, max: 5 }), drop, async (seed, n, lost) => {
        const left = await inMacrotask(() => {
          const cluster = simCluster({ seed, nf: () => nf }, n)
          cluster.network.faults = lossy(lost)
          cluster.pass(20_000)
          cluster.heal()
          cluster.pass(5_000)
          return membersSeen(cluster)
        })
        expect(left).toEqual(Array(n).fill(n + 1))
      }),
      { numRuns: 30 },
    )
  })

  it('show deaths of neighbours one after the other', async () => {
    await inMacrotask(() => {
      const cluster = simCluster({ seed: 3, nf: () => nf }, 5)
      for (const at of [1, 2, 3]) cluster.crash(cluster.nodes[at]!)
      cluster.until(() => membersSeen(cluster).every((n) => n === 3), 'all know of all', 11_000)
    })
  })
})
