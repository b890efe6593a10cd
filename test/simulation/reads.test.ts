import { expect, it } from 'vitest'
import { f64, numberKey, singleWriter, stale } from '../../index.ts'
import { defineNF, forward } from '../../nf-apps/index.ts'
import { inMacrotask, type SimNode, simCluster } from '../kit/index.ts'

const Share = singleWriter(
  'share',
  { of: f64 },
  {
    part: stale(
      (s, whole: number) => {
        if (s.of === 0) throw new TypeError('a share of nothing')
        return whole / s.of
      },
      { withinMs: 10 },
    ),
  },
)
const nf = defineNF('reads', {
  state: { shares: Share.keyedBy(numberKey) },
  onPacket: () => forward,
})
interface Shares {
  at(key: number): { part(whole: number): number | Promise<number> }
}

it('a stale read that throws over an absent actor tells its caller, wherever its slot is', () =>
  inMacrotask(() => {
    const cluster = simCluster({ seed: 1, nf: () => nf, spread: true }, 2)
    const shares = (node: SimNode) => node.entered!.body.member.space.handles.shares as Shares
    // Of eight keys some are of slots of this instance, and some of the other's.
    for (let key = 0; key < 8; key++) {
      const read = async () => shares(cluster.nodes[0]!).at(key).part(1)
      const end = read().catch((error) => error)
      expect(cluster.settle(end, 'the read ends')).toEqual(new TypeError('a share of nothing'))
    }
  }))
