import { f64, multiWriter, untether } from '../../actors/index.ts'
import { defineNF, drop } from '../nf.ts'

const add = (a: number, b: number) => a + b

const Tally = multiWriter(
  'tally',
  { packets: f64 },
  {
    add: untether(
      (s, n: number) => {
        s.packets += n
      },
      { merge: add },
    ),
  },
)

/** Counts and drops every packet: the least that an NF with state can do. */
export const sink = defineNF('sink', {
  summary: 'counts and drops every packet',
  state: { tally: Tally.only() },
  onPacket(_packet, { tally }) {
    tally.add(1)
    return drop
  },
  async result({ tally }) {
    const state = await tally.lookup('only')
    return [`packets ${state?.packets ?? 0}`]
  },
})
