import { f64, multiWriter, numberKey, singleWriter, u32, untether } from '../actors/index.ts'
import { defineNF, forward } from '../nf-apps/index.ts'

const add = (a: number, b: number) => a + b

const Counter = multiWriter(
  'counter',
  { n: f64 },
  {
    addAndGet: (s, x: number) => {
      s.n += x
      return s.n
    },
    add: untether(
      (s, x: number) => {
        s.n += x
      },
      { merge: add },
    ),
  },
)
const Flow = singleWriter('flow', { packets: u32, bytes: f64 })

/** Counters that calls go to in turns. */
export const KEYS = 1024

/** Actors by number, to call and to move. */
export const counters = defineNF('counters', {
  state: { counters: Counter.keyedBy(numberKey), flows: Flow.keyedBy(numberKey) },
  onPacket: () => forward,
})
