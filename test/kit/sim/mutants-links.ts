import type { ByteReader, MemberNo } from '../../../bus/index.ts'
import { Instance } from '../../../cli/index.ts'
import { method, part, replace } from './inside.ts'
import type { MutantOf } from './mutants.ts'
import { leaverUnseen, lostGrant, newcomerUnseen } from './scenarios.ts'

interface LinkInside {
  readonly expected: number
}
type TakeEarly = (link: LinkInside, frame: Uint8Array, seq: number) => void
type Bare = (link: LinkInside, flags: number) => void
type Deliver = [link: LinkInside, frame: Uint8Array, epoch: number]

/** Bytes of a frame without messages, as bus/frame.ts has it. */
const HEADER_BYTES = 48

/** Rules 13, 15 to 18: steering, leaving, links. */
export const linkMutants: readonly MutantOf[] = [
  {
    name: 'no-hold',
    rule: "13: the new receiver keeps a slot's packets until DRAINED",
    race: 'packets of a flow overtake those that still wait at the old receiver',
    leaveOut: ({ intake }) => {
      type Flip = (kind: 'mark' | 'hold', steerer: MemberNo, r: ByteReader) => void
      if (!intake) return
      replace(intake, 'onFlip', (original: Flip) => (kind, steerer, r) => {
        if (kind === 'mark') original(kind, steerer, r)
      })
    },
  },
  {
    name: 'drained-early',
    rule: '13: DRAINED goes when nothing of the slot is suspended',
    race: 'packets of a flow overtake a suspended one',
    leaveOut: ({ intake }) => {
      type Through = (flip: { kind: string }, key: number) => boolean
      if (!intake) return
      replace(intake, 'isThrough', (original: Through) => (flip, key) => {
        return flip.kind === 'mark' || original(flip, key)
      })
    },
  },
  {
    name: 'one-queue-for-steerers',
    rule: '13: flips of several steerers do not wait for each other',
    race: "one steerer's HOLD stands before another's MARK, here and there: they wait in a circle",
    bias: { sources: 2 },
    leaveOut: ({ intake }) => {
      if (intake) replace(intake, 'keyOf', () => (_steerer: MemberNo, slot: number) => slot)
    },
  },
  {
    name: 'drained-for-all',
    rule: '13: DRAINED names the steerer whose flip it ends',
    race: "another steerer's flip of the same number ends too early",
    bias: { sources: 2 },
    leaveOut: ({ intake }) => {
      if (!intake) return
      const drained = part(intake, 'drained')
      const bare = (original: (key: string) => unknown) => (key: string) =>
        original(key.split(' ')[1] ?? key)
      replace(drained, 'add', bare)
      replace(drained, 'delete', bare)
    },
  },
  {
    name: 'mark-first',
    rule: '13: what is gathered for the old receiver goes before its MARK',
    race: 'it comes behind MARK, when the new receiver has begun with the packets after it',
    leaveOut: ({ body }) => {
      type Send = (to: MemberNo, anyway?: boolean) => boolean
      if (body instanceof Instance) return
      replace(body.steerer, 'send', (original: Send) => (to, anyway) => anyway || original(to))
    },
  },
  {
    name: 'bye-too-early',
    rule: '15: empty means no ACQUIREs, tombstones, outboxes or held packets either',
    race: 'the leaver is gone while an actor is on its way to it',
    leaveOut: ({ space, slots }) => {
      Object.defineProperty(space, 'empty', { get: () => space.actors === 0 && slots.empty })
    },
  },
  {
    name: 'steerer-lets-go',
    rule: '15: BYE is answered when nothing more will be sent to the leaver',
    race: 'packets that were gathered for the leaver, or a MARK, find nobody',
    leaveOut: ({ body }) => {
      body.letsGo = () => true
    },
  },
  {
    name: 'bye-ok-unseen',
    rule: '15: a BYE is answered with the view that it was said in',
    race: 'whoever still goes by an older view sends to the leaver, which is gone',
    scenario: leaverUnseen,
    leaveOut: ({ member }) => {
      const byes = part(member, 'byes') as Map<MemberNo, number>
      replace(member, 'answerByes', (original: () => void) => () => {
        for (const no of byes.keys()) byes.set(no, 0)
        original()
      })
    },
  },
  {
    name: 'bye-unheard',
    rule: '15: a leaver waits for the view that it has heard of, and says BYE to who is new there',
    race: 'what it has sent to a newcomer is lost on the way, and nobody is left who would send it again',
    scenario: newcomerUnseen,
    leaveOut: ({ member }) =>
      replace(member, 'sayBye', (original: () => void) => () => {
        const heard = Reflect.get(member, 'wanted') as number
        Reflect.set(member, 'wanted', 0)
        original()
        Reflect.set(member, 'wanted', heard)
      }),
  },
  {
    name: 'deliver-twice',
    rule: '16: receiving state lives as long as the incarnation: a frame is delivered once',
    race: 'a frame that was doubled, or sent again for want of its acknowledgement',
    leaveOut: ({ links }) => {
      const deliver = method<Deliver, void>(links, 'deliver')
      replace(links, 'takeEarly', (original: TakeEarly) => (link, frame, seq) => {
        if (seq < link.expected) deliver(link, frame, 0)
        original(link, frame, seq)
      })
    },
  },
  {
    name: 'no-resend',
    rule: '16: what is not acknowledged is sent again',
    race: 'a frame is lost, and all that it held waits for ever',
    leaveOut: ({ links }) => replace(part(links, 'transmission'), 'resend', () => () => {}),
  },
  {
    name: 'as-they-come',
    rule: '17: one sequence per link',
    race: 'a frame that overtakes others is delivered before them',
    leaveOut: ({ links }) => {
      const deliver = method<Deliver, void>(links, 'deliver')
      replace(links, 'takeEarly', (original: TakeEarly) => (link, frame, seq) => {
        const early = part(link, 'early') as Map<number, Uint8Array>
        if (seq < link.expected || early.has(seq)) return original(link, frame, seq)
        original(link, frame.subarray(0, HEADER_BYTES), seq)
        deliver(link, frame, 0)
      })
    },
  },
  {
    name: 'no-credit-back',
    rule: '18: credit returns on consumption',
    race: 'a sender waits for credit that its receiver has long had room for',
    leaveOut: ({ links }) => replace(links, 'consumed', () => () => {}),
  },
  {
    name: 'no-probes',
    rule: '18: who is short of credit asks for it again',
    race: 'the frame with the grant is lost, and nothing else is under way that would bring it',
    scenario: lostGrant,
    leaveOut: ({ links }) =>
      replace(part(links, 'transmission'), 'bare', (original: Bare) => (link, flags) => {
        if (flags === 0) original(link, flags)
      }),
  },
]
