import {
  f64,
  list,
  multiWriter,
  numberKey,
  singleWriter,
  stale,
  u32,
  untether,
} from '../../../actors/index.ts'
import { defineNF, forward } from '../../../nf-apps/index.ts'
import type { Oracle } from './oracle.ts'
import { CALLS_FIRST, readWalkPacket, SUSPENDED } from './walk-packet.ts'

/** How long a stale value may be old in a walk (ms of virtual time). */
export const WITHIN_MS = 20

export interface Ref {
  readonly oracle: Oracle
  /** Waits in virtual time: turns that are suspended. */
  readonly pause: (ms: number) => Promise<void>
  /** A packet's turn or an update has run. */
  readonly hasRun: (id: number, value: unknown) => void
  /** A handler calls an actor itself; answers whom to tell of the call's end. */
  readonly calls: (id: number, actor: string) => (value: unknown) => void
}

/** The walk that runs. One at a time, from its begin to its end; so all walks share one NF, whose code is warm. */
let current: Ref | undefined

export function walking(ref: Ref | undefined): void {
  current = ref
}

function ref(): Ref {
  if (!current) throw new Error('no walk is running')
  return current
}

const shape = { life: f64, log: list<number>('id') }

/** Their packets come by other slots than these, as a rule: flows are sent for, and go back on first access. */
const flowNumber = { ...numberKey, steered: true }

/** What stands in an actor's log before what has just been put there; 0: nothing. As a result it leaves little open. */
export function before({ log }: { readonly log: readonly number[] }): number {
  return log.at(-2) ?? 0
}

/** The actors of a walk: each logs what is done to it, and has the oracle look at every turn. */
function walkTypes() {
  const Single = singleWriter('single', shape, {
    size: stale((s) => ({ life: s.life, log: [...s.log] }), { withinMs: WITHIN_MS }),
  })
  const Multi = multiWriter('multi', shape, {
    append: (s, actor: string, by: number, id: number) => {
      const { oracle } = ref()
      oracle.turn(actor, s, id)
      if (by > 0) oracle.behindUpdates(actor, by, id)
      return before(s)
    },
    post: untether((s, x: { actor: string; by: number; id: number }) => {
      const { oracle, hasRun } = ref()
      oracle.turn(x.actor, s, x.id)
      oracle.inOrder(x.actor, x.by, x.id)
      hasRun(x.id, before(s))
    }),
    read: stale((s) => ({ life: s.life, log: [...s.log] }), { withinMs: WITHIN_MS }),
  })
  const Sum = multiWriter(
    'sum',
    { n: f64 },
    {
      add: untether(
        (s, x: number) => {
          s.n += x
        },
        { merge: (a, b) => a + b },
      ),
    },
  )
  const Flow = singleWriter('flow', { ...shape, seq: u32 })
  return {
    singles: Single.keyedBy(numberKey),
    multis: Multi.keyedBy(numberKey),
    sums: Sum.keyedBy(numberKey),
    flows: Flow.keyedBy(flowNumber),
  }
}

/** A packet of a walk says its flow, its place in it, its operation's id, and how the handler is to go about it. */
export const walkNF = defineNF('walk', {
  state: walkTypes(),
  onPacket(p, { flows, multis }) {
    const { flow, seq, id, way } = readWalkPacket(p)
    const { oracle, pause, hasRun, calls } = ref()
    const turn = () =>
      flows.with(flow, (s) => {
        oracle.turn(`flows/${flow}`, s, id)
        oracle.inOrder(`flows/${flow}`, 0, seq)
        hasRun(id, before(s))
        if (way !== SUSPENDED) return forward
        return pause(seq % 7).then(() => {
          oracle.stillTurn(`flows/${flow}`, s, id)
          return forward
        })
      })
    if (way !== CALLS_FIRST) return turn()
    // Something else is waited for before the flow's turn: order must hold all the same.
    const actor = `multis/${flow % 3}`
    const ended = calls(id + 1, actor)
    const append = multis.at(flow % 3).append(actor, 0, id + 1)
    const then = (result: number) => {
      ended(result)
      return turn()
    }
    return append instanceof Promise ? append.then(then) : then(append)
  },
})
