import { expect, it } from 'vitest'
import { f64, hashWords, type KeyType, multiWriter } from '../../index.ts'
import { defineNF, forward } from '../../nf-apps/index.ts'
import { inMacrotask, type SimNode, simCluster } from '../kit/index.ts'

/** A key of so many words, all of which its number is told by. */
const longKey = (words: number): KeyType<number> => ({
  words,
  name: `long-${words}`,
  write(key, out) {
    out.fill(key, 0, words)
    return hashWords(out, words)
  },
  read: (from, at) => from[at]!,
  text: String,
  parse: Number,
})
const Sum = multiWriter('sum', { n: f64 }, { add: (s, x: number) => (s.n += x) })

interface Sums {
  at(key: number): { add(x: number): number | Promise<number> }
}
const KEYS = 300

it.each([15, 60, 250])('calls of actors whose keys are %i words long come as they were', (words) =>
  inMacrotask(() => {
    const nf = defineNF('sums', {
      state: { sums: Sum.keyedBy(longKey(words)) },
      onPacket: () => forward,
    })
    const cluster = simCluster({ seed: words, nf: () => nf, spread: true }, 2)
    cluster.pass(1000)
    const [from] = cluster.nodes as [SimNode]
    const sums = from.entered!.body.member.space.handles.sums as Sums
    for (let round = 1; round <= 8; round++) {
      const answers = Array.from({ length: KEYS }, (_, key) =>
        Promise.resolve(sums.at(key).add(key)),
      )
      const values = cluster.settle(Promise.all(answers), 'all are answered')
      expect(values).toEqual(Array.from({ length: KEYS }, (_, key) => round * key))
    }
  }),
)
