import type { MemberNo } from '../../../bus/index.ts'
import type { View } from '../../../placement/index.ts'
import { type Inside, part, replace } from './inside.ts'
import type { MutantOf } from './mutants.ts'
import { askedForWhileFenced, endedUnheard } from './scenarios.ts'

const bias = { crashes: 2, model: 'shared' } as const
/** So long that operations go on while crashes are noticed and recovered from. */
const LONG = { ...bias, crashes: 3, spanMs: 3600, ops: 400, keys: 2, joins: 5 } as const
const nothing = () => () => undefined

/** What a crash adds: recovery.ts, and the steerer's part for those who waited for a dead receiver. */
export const crashMutants: readonly MutantOf[] = [
  {
    name: 'report-unfenced',
    rule: 'crash: a survivor reports only when it has the FENCEs of all',
    race: 'STATE on its way between two survivors is told by neither, and the actor is made afresh beside it',
    bias,
    leaveOut: ({ recovery, member }) =>
      replace(recovery, 'proceed', (original: () => void) => () => {
        const fences = part(recovery, 'fences') as Map<MemberNo, number>
        for (const { no } of member.view?.members ?? []) {
          fences.set(no, Number(Reflect.get(recovery, 'crash')))
        }
        original()
      }),
  },
  {
    name: 'give-unfrozen',
    rule: 'crash: until all have RECOVERED no actor leaves its home',
    race: 'it goes between FENCE and REPORT: on its way, it is told by neither, and made afresh beside it',
    scenario: askedForWhileFenced,
    leaveOut: ({ core }) =>
      Object.defineProperty(core, 'frozen', { get: () => false, set: () => {} }),
  },
  {
    name: 'keep-entries',
    rule: 'crash: directories that survived are made anew too',
    race: 'an entry of a move whose order died on its way waits for a state that is still with the home before',
    bias,
    leaveOut: ({ slots }) => replace(part(slots, 'entries'), 'drop', nothing),
  },
  {
    name: 'serve-no-more',
    rule: 'crash: requests that wait are served again',
    race: 'an ACQUIRE that died with the slot owner is waited for for ever',
    bias,
    leaveOut: ({ recovery }) => replace(recovery, 'serveAgain', nothing),
  },
  {
    name: 'keep-void',
    rule: 'crash: orders and moves behind a break are void',
    race: 'an order about an activation that died with its home is held for ever',
    bias,
    leaveOut: ({ homes }) => replace(homes, 'dropVoid', nothing),
  },
  {
    name: 'give-to-the-dead',
    rule: 'crash: an actor that was to go to the dead one stays',
    race: 'it is sent to nobody after its home has reported it',
    bias: LONG,
    leaveOut: ({ homes }) => replace(homes, 'dropOrdersToDead', nothing),
  },
  {
    name: 'keep-tombs',
    rule: 'crash: tombstones that were reported are forgotten',
    race: 'the REMOVED died with the slot owner, and its answer is waited for for ever',
    bias,
    leaveOut: ({ homes }) => replace(homes, 'forgetTombs', nothing),
  },
  {
    name: 'numbers-again',
    rule: 'crash: numbers of a slot go on behind all that are reported',
    race: 'a fresh token counts from 0: two activations of one number, and a removal ends the wrong one',
    scenario: endedUnheard,
    leaveOut: ({ slots }) => replace(slots, 'countFrom', nothing),
  },
  {
    name: 'believe-the-old',
    rule: 'crash: what was said of an activation before it is not believed behind it',
    race: 'a REMOVED that was passed on late ends the new activation that has its number',
    bias,
    leaveOut: ({ core }) => replace(core, 'isOld', () => () => false),
  },
  {
    name: 'hold-for-the-dead',
    rule: 'crash: who waits for a dead receiver gets its DRAINED from the one before, or the steerer',
    race: 'packets are kept for a DRAINED that nobody sends',
    bias,
    leaveOut: ({ steerer }) => {
      if (steerer) replace(steerer, 'mendFlips', nothing)
    },
  },
  {
    name: 'overtake-behind-the-dead',
    rule: 'crash: a flip away from a dead receiver waits for the one before it',
    race: "a flow's packets that are still suspended there are overtaken",
    bias,
    leaveOut: ({ steerer }) => {
      if (steerer) replace(steerer, 'flipFromDead', nothing)
    },
  },
  {
    name: 'keep-stale-token',
    rule: 'crash: a token that the view denies is dropped',
    race: 'the owner to be died before it PULLed; the next one makes a token beside the old one',
    bias: { ...bias, crashes: 3, slotBits: 1, joins: 5, spanMs: 150 },
    leaveOut: ({ slots }: Inside) =>
      replace(slots, 'adopt', (original: (view: View) => boolean) => (view) => {
        const before = slots.state.slice()
        const fresh = original(view)
        before.forEach((state, slot) => {
          if (state >= 2 && slots.state[slot] === 0) slots.state[slot] = state
        })
        return fresh
      }),
  },
]
