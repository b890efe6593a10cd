import { type ByteReader, Kind, type MemberNo } from '../../../bus/index.ts'
import { DUE, HELD, type View } from '../../../placement/index.ts'
import {
  ACTIVATION,
  type ActorType,
  AFFAIR,
  ENTRY,
  HASH,
  HOME,
  type Inside,
  method,
  part,
  replace,
} from './inside.ts'
import type { MutantOf } from './mutants.ts'

interface Transfer {
  readonly number: number
  readonly to: MemberNo
  readonly request: number
}

/** Rules 1 to 9, 14: views, tokens, directories and moves. */
export const placementMutants: readonly MutantOf[] = [
  {
    name: 'refuse-old-state',
    rule: '1: only messages that need the slot owner are judged by epoch',
    race: 'STATE sent just before a view change is refused, and the actor is gone',
    leaveOut: ({ space, member }) =>
      replace(space, 'onMessage', (original: typeof space.onMessage) => (from, kind, r, epoch) => {
        if (kind !== Kind.STATE || epoch >= (member.view?.epoch ?? 0))
          original(from, kind, r, epoch)
      }),
  },
  {
    name: 'own-by-view',
    rule: '2: authority follows the token, not the view',
    race: 'the new owner decides from an empty directory while the old one still holds the token',
    leaveOut: ({ slots }) =>
      replace(slots, 'adopt', (original: (view: View) => boolean) => (view) => {
        const fresh = original(view)
        slots.state.forEach((state, slot) => {
          if (state === DUE) slots.state[slot] = HELD
        })
        Reflect.set(slots, 'due', 0)
        return fresh
      }),
  },
  {
    name: 'settle-early',
    rule: '2: a view moves only slots whose owner has reported holding them',
    race: 'slot 0→1→2: 1 never had the token that 2 pulls from it',
    leaveOut: ({ slots }) => {
      replace(slots, 'adopt', (original: (view: View) => boolean) => (view) => {
        const fresh = original(view)
        slots.onSettled(view.epoch)
        return fresh
      })
    },
  },
  {
    name: 'pull-from-owner-before',
    rule: '2: a token is PULLed from the holder that the view names',
    race: 'slot 0→1→2: 1 never had the token that 2 pulls from it, or 2 knows nothing of 1',
    leaveOut: ({ slots }) => {
      let before: View | undefined
      replace(slots, 'adopt', (original: (view: View) => void) => (view) => {
        const holder = view.holder.slice()
        before?.owner.forEach((no, slot) => {
          if (slots.state[slot]! < HELD && view.memberOf(no)) holder[slot] = no
        })
        before = view
        original(Object.create(view, { holder: { value: holder } }) as View)
      })
    },
  },
  {
    name: 'numbers-restart',
    rule: '3: move numbers come from one counter per slot, carried in SLOT',
    race: 'a late REMOVED or TRANSFER about number 1 meets a new life with number 1',
    leaveOut: ({ slots }) => {
      const counters = part(slots, 'counters') as Uint32Array
      replace(part(slots, 'entries'), 'take', (original: (slot: number, r: ByteReader) => void) => {
        return (slot, r) => {
          counters[slot] = 0
          original(slot, r)
        }
      })
    },
  },
  {
    name: 'no-tombstones',
    rule: '4: the old home keeps (key, m) after a removal until REMOVED-OK or TRANSFER',
    race: 'REMOVED crosses TRANSFER, which then waits for an activation that never comes',
    leaveOut: ({ homes }) => replace(part(homes, 'tombs'), 'add', () => () => undefined),
  },
  {
    name: 'absent-while-underway',
    rule: '5: TRANSFER(m→n) acts only on activation or tombstone m; otherwise it is held',
    race: 'TRANSFER overtakes the STATE it is about and is answered "absent"',
    leaveOut: answerEarlyTransfers,
  },
  {
    name: 'grant-again',
    rule: '6: ACQUIRE from the instance that is named home is like any other',
    race: 'a fresh GRANT beside the state that is still on its way: two homes',
    leaveOut: ({ directory, core }) =>
      onOwnAcquire(directory, (type, row, to, request) => {
        const number = core.name(type, row, to)
        type.table.keyOf(row, type.words)
        const w = core.about(to, Kind.GRANT, type, type.table.get(row, 0), type.words)
        w.u32(number)
        w.u32(request)
        core.out.end()
      }),
  },
  {
    name: 'ignore-own-acquire',
    rule: '6: ACQUIRE from the instance that is named home is like any other',
    race: 'it has removed the actor meanwhile, and waits for ever',
    leaveOut: ({ directory }) => onOwnAcquire(directory, () => {}),
  },
  {
    name: 'multi-outside-directory',
    rule: '7: one move mechanism: multi-writer actors have directory entries too',
    race: 'the new slot owner makes a second one beside that of the old one',
    leaveOut: ({ directory }) =>
      replace(
        directory,
        'readEntry',
        (original: (type: ActorType, r: ByteReader) => void) => (type, r) => {
          if (type.writers !== 'multi') return original(type, r)
          r.u32()
          type.readWords(r)
          r.u32()
          r.u32()
        },
      ),
  },
  {
    name: 'anyone-says-absent',
    rule: '8: only the token\'s holder answers "absent"',
    race: 'an instance that knows nothing of an actor makes a second one',
    leaveOut: ({ homes }) =>
      replace(homes, 'isAbsent', () => (type: ActorType, _hash: number, row: number) => {
        if (row < 0) return true
        const isHere = [ACTIVATION, AFFAIR].some((word) => type.table.get(row, word) !== 0)
        return !isHere && type.table.aside(row, ENTRY) === 0
      }),
  },
  {
    name: 'absent-for-all',
    rule: '8: ABSENT answers those who asked before ACQUIRE was sent',
    race: 'the actor was made meanwhile, and who asks behind that is told that there is none',
    bias: { keys: 4, pauses: 8, joins: 1, leaves: 0, flows: 1 },
    inHistory: true,
    leaveOut: ({ homes, core }) =>
      replace(homes, 'onAbsent', (original: (r: ByteReader) => void) => (r) => {
        for (const type of core.types) {
          for (const [, affair] of type.openAffairs()) affair.askedAt = Number.POSITIVE_INFINITY
        }
        original(r)
      }),
  },
  {
    name: 'home-says-absent',
    rule: '8: a READ-HOME that misses goes back to the slot owner',
    race: 'the actor has moved on meanwhile, and the reader is told that there is none',
    bias: {
      slotBits: 4,
      keys: 8,
      flows: 1,
      joins: 6,
      leaves: 6,
      reading: 0.6,
      spread: true,
      faults: { drop: 0, double: 0, late: 0.4 },
    },
    inHistory: true,
    leaveOut: ({ reads }) => {
      const sayAbsent = method<[MemberNo, number, number], void>(reads, 'sayAbsent')
      type OnReadHome = (t: ActorType, hash: number, r: ByteReader, payload: Uint8Array) => boolean
      replace(reads, 'onReadHome', (original: OnReadHome) => (type, hash, r, payload) => {
        const start = r.pos
        if (original(type, hash, r, payload)) return true
        r.pos = start
        sayAbsent(r.u32(), r.u32(), r.u8())
        return true
      })
    },
  },
  {
    name: 'release-once',
    rule: '14: a leaver offers its actors again',
    race: 'its RELEASE named an activation that the directory did not name at that moment',
    leaveOut: ({ sweeps }) => replace(sweeps, 'releaseAgain', () => () => {}),
  },
  {
    name: 'push-unasked',
    rule: '14: the leaver sends RELEASE; the slot owner orders an ordinary TRANSFER to itself',
    race: 'STATE pushed unasked crosses a TRANSFER to the leaver, which waits for ever',
    leaveOut: pushUnasked,
  },
]

function onOwnAcquire(
  directory: object,
  act: (type: ActorType, row: number, to: MemberNo, request: number) => void,
): void {
  replace(directory, 'order', (original: typeof act) => (type, row, to, request) => {
    const own = type.table.aside(row, HOME) === to && request !== 0
    return own ? act(type, row, to, request) : original(type, row, to, request)
  })
}

function answerEarlyTransfers({ homes }: Inside): void {
  const gone = method<[ActorType, number, Transfer], void>(homes, 'sendGone')
  replace(homes, 'hold', () => (type: ActorType, row: number, order: Transfer) => {
    gone(type, type.table.aside(row, HASH), order)
  })
}

function pushUnasked({ homes, sweeps, core, slots }: Inside): void {
  const give = method<[ActorType, number, object, Transfer], void>(homes, 'give')
  replace(sweeps, 'offer', () => (type: ActorType, row: number) => {
    const number = type.table.get(row, ACTIVATION)
    const hash = type.table.get(row, 0)
    const state = slots.state[core.slot(hash)]
    if (number === 0 || type.table.get(row, AFFAIR) !== 0 || state === HELD || state === DUE) return
    // No ACQUIRE has this request's number: nobody has asked.
    give(type, row, type.needAffair(row), { number, to: core.owner(hash), request: 0xffff_ffff })
  })
}
