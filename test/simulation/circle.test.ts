import { expect, it } from 'vitest'
import { RehomeError } from '../../bus/index.ts'
import { f64, numberKey, singleWriter } from '../../index.ts'
import { defineNF, forward } from '../../nf-apps/index.ts'
import { inMacrotask, type SimNode, simCluster } from '../kit/index.ts'

const Box = singleWriter('box', { n: f64 })
const nf = defineNF('circle', {
  state: { boxes: Box.keyedBy(numberKey) },
  onPacket: () => forward,
})
interface Boxes {
  with(key: number, turn: (s: { n: number }) => unknown): Promise<unknown>
}

it.each([1, 3])('turns that wait in a circle end in a typed error, on %i instances', (instances) =>
  inMacrotask(() => {
    const cluster = simCluster({ seed: 1, nf: () => nf, spread: true }, instances)
    const boxesOf = (node: SimNode) => node.entered!.body.member.space.handles.boxes as Boxes
    const pause = () => new Promise<void>((go) => cluster.clock.after(5, go))
    /** Each turn holds its own actor and wants the next one's. */
    const ends = [0, 1, 2].map((key) => {
      const boxes = boxesOf(cluster.nodes[key % instances]!)
      const turn = async (s: { n: number }) => {
        await pause()
        await boxes.with((key + 1) % 3, (other) => ++other.n)
        s.n += 10
      }
      return Promise.resolve(boxes.with(key, turn)).then(
        () => 'ended',
        (error) => error,
      )
    })
    const ended = cluster.settle(Promise.all(ends), 'every turn ends')
    const errors = ended.filter((end) => end !== 'ended')
    expect(errors.length).toBeGreaterThan(0)
    for (const error of errors) {
      expect(error).toBeInstanceOf(RehomeError)
      expect(error).toMatchObject({ code: 'timeout', outcome: 'definite' })
    }
    // Nobody is stuck: each actor has its next turn.
    const boxes = boxesOf(cluster.nodes[0]!)
    const all = Promise.all([0, 1, 2].map((key) => boxes.with(key, (s) => ++s.n)))
    cluster.settle(all, 'later turns')
  }),
)

it('each turn waits for the same time, whenever it began', () =>
  inMacrotask(() => {
    const cluster = simCluster({ seed: 1, nf: () => nf, spread: true }, 1)
    const { clock } = cluster
    const boxes = cluster.nodes[0]!.entered!.body.member.space.handles.boxes as Boxes
    const after = (ms: number) => new Promise<void>((go) => clock.after(ms, go))
    void boxes.with(0, () => after(60_000))
    const waits = [0, 7_000, 7_050, 21_000].map(async (ms) => {
      await after(ms)
      const since = clock.now()
      await Promise.resolve(boxes.with(0, (s) => ++s.n)).catch(() => {})
      return clock.now() - since
    })
    for (const waited of cluster.settle(Promise.all(waits), 'every turn ends')) {
      expect(waited).toBeGreaterThanOrEqual(30_000)
      expect(waited).toBeLessThan(30_200)
    }
  }))
