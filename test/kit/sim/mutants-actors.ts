import { ByteReader, type ByteWriter, Kind, type MemberNo } from '../../../bus/index.ts'
import { DUE, HELD } from '../../../placement/index.ts'
import {
  ACTIVATION,
  type ActorType,
  type Affair,
  ENTRY,
  type Inside,
  method,
  part,
  replace,
} from './inside.ts'
import type { MutantOf } from './mutants.ts'
import {
  mergeNeighbours,
  outOfRoom,
  outOfRoomForOne,
  readWhileStalled,
  turnInTurn,
} from './scenarios.ts'

type Run = (type: ActorType, row: number, affair: Affair) => void
interface Underway {
  entries: object[]
  underway: number
  unanswered: number
}

/** Outboxes of which this holds go on as though all that is under way were answered. */
function sendAnyway(updates: object, of: (outbox: Underway) => boolean): void {
  type Step = (outbox: Underway) => void
  replace(updates, 'flushOne', (original: Step) => (outbox) => {
    if (outbox.entries.length > 0 && of(outbox)) outbox.underway = outbox.unanswered = 0
    original(outbox)
  })
  replace(updates, 'answered', (original: Step) => (outbox) => {
    outbox.underway = Math.max(1, outbox.underway)
    original(outbox)
  })
}

/** Rules 10 to 12, 19, 21, 22: turns, calls, updates and reads. */
type RowHere = (type: ActorType, hash: number) => number

export const actorMutants: readonly MutantOf[] = [
  {
    name: 'give-before-turns',
    rule: '10: turns that waited when STATE came run first, then the actor is given on',
    race: 'two instances hand an actor to and fro, and no turn ever runs',
    leaveOut: ({ homes }) => {
      const give = method<[ActorType, number, Affair, object], void>(homes, 'give')
      replace(homes, 'run', (original: Run) => (type, row, affair) => {
        if (!affair.transfer || affair.busy) return original(type, row, affair)
        give(type, row, affair, affair.transfer)
      })
    },
  },
  {
    name: 'left-over-turns-last',
    rule: '10: turns left over after a removal or a move go ahead of later ones',
    race: 'turns of one caller change their order',
    bias: { keys: 1, ops: 300 },
    leaveOut: ({ homes }) =>
      replace(homes, 'afterLife', (original: Run) => (type, row, affair) => {
        affair.waiting.append(affair.queue)
        original(type, row, affair)
      }),
  },
  {
    name: 'forward-and-reject',
    rule: '11: forward or REJECT, never both',
    race: 'a call that was passed on is sent again as well, and runs twice',
    leaveOut: (inside) =>
      onMisplaced(inside, Kind.CALL, (to, payload, judge) => {
        forward(inside, Kind.CALL, to, payload)
        judge()
      }),
  },
  {
    name: 'two-batches',
    rule: '12: at most one unanswered batch per caller and actor',
    race: 'the first is rejected, and the second runs before it',
    leaveOut: ({ updates }) => sendAnyway(updates, (outbox) => outbox.unanswered > 0),
  },
  {
    name: 'update-overtakes-call',
    rule: '12: an update waits until the calls before it are answered',
    race: 'the call is rejected, and the update runs before it',
    leaveOut: ({ updates }) => sendAnyway(updates, (outbox) => outbox.unanswered === 0),
  },
  {
    name: 'forward-updates',
    rule: '12: batches are rejected, never forwarded',
    race: 'a batch on its way along former owners is overtaken by the next',
    leaveOut: (inside) => {
      onMisplaced(inside, Kind.UNTETHER, (to, payload) => {
        forward(inside, Kind.UNTETHER, to, payload)
        // Received is taken for answered, so that the next may go.
        const r = new ByteReader(payload)
        const type = inside.core.type(r)
        r.u32()
        type.readWords(r)
        const [by, id] = [r.u32(), r.u32()]
        inside.core.out.begin(by, Kind.APPLIED).u32(id)
        inside.core.out.end()
      })
    },
  },
  {
    name: 'call-overtakes-updates',
    rule: "12: a plain call goes behind the caller's own updates of that actor",
    race: 'the call runs before updates that its caller made first',
    leaveOut: ({ calls }) => replace(calls, 'goesBehind', () => () => false),
  },
  {
    name: 'own-calls-first',
    rule: "12: the slot owner's own direct calls queue behind its outbox",
    race: 'the slot comes back while a batch is out: a direct update overtakes it',
    leaveOut: ({ homes, core, slots }) =>
      replace(homes, 'rowHere', (original: RowHere) => (type, hash) => {
        const row = type.table.find(hash, type.words)
        const number = row < 0 ? 0 : type.table.get(row, ACTIVATION)
        const isHeld = slots.state[core.slot(hash)] === HELD
        const isNamed = number !== 0 && type.table.aside(row, ENTRY) === number
        return isHeld && isNamed ? row : original(type, hash)
      }),
  },
  {
    name: 'merge-across',
    rule: '12: only neighbouring updates of the same method merge',
    race: 'an update is merged into one before another that lies between them',
    scenario: mergeNeighbours,
    leaveOut: ({ updates }) => {
      type Method = { merge?: (a: unknown, b: unknown) => unknown }
      type Gather = (type: ActorType, row: number, method: Method, x: unknown) => void
      replace(updates, 'gather', (original: Gather) => (type, row, own, x) => {
        const { outbox } = type.affairOf(row) ?? {}
        const earlier = outbox?.entries.find((e) => e.method === own)
        if (earlier && own.merge) earlier.x = own.merge(earlier.x, x)
        else original(type, row, own, x)
      })
    },
  },
  {
    name: 'no-wait-for-view',
    rule: '19: owner-judged messages wait for the view that they speak of',
    race: 'PULL comes to a holder that does not know of it; a call goes in a circle',
    leaveOut: ({ space }) =>
      replace(space, 'onMessage', (original: typeof space.onMessage) => (from, kind, r) => {
        original(from, kind, r, 0)
      }),
  },
  {
    name: 'nested-turns',
    rule: '20: a turn asks for no other turn',
    race: 'a second turn runs in the midst of the first, or two wait for each other in a circle',
    scenario: turnInTurn,
    leaveOut: ({ core }) => {
      Object.defineProperty(core, 'inTurn', { get: () => false, set: () => {} })
    },
  },
  {
    name: 'move-suspended',
    rule: '21: a turn that is suspended keeps its actor; TRANSFER waits',
    race: 'the turn goes on over state that was given away',
    leaveOut: ({ homes }) =>
      replace(homes, 'run', (original: Run) => (type, row, affair) => {
        affair.busy = false
        original(type, row, affair)
      }),
  },
  {
    name: 'age-from-answer',
    rule: '22: the age of a stale value counts from when READ was sent',
    race: 'a value that was long on its way is used beyond its bound',
    leaveOut: ({ reads, space }) => {
      const clock = part(part(space, 'core'), 'clock') as { now(): number }
      type Answer = (asked: { sentAt: number }, value: unknown) => void
      replace(reads, 'answer', (original: Answer) => (asked, value) => {
        asked.sentAt = clock.now()
        original(asked, value)
      })
    },
  },
  {
    name: 'join-any-read',
    rule: '22: a waiter joins a READ only if that was sent after its own start less withinMs',
    race: 'a read that was asked for long ago answers one that began just now',
    leaveOut: ({ reads }) => {
      type Ask = (...args: [...unknown[], number]) => Promise<unknown>
      replace(reads, 'ask', (original: Ask) => (...args) => {
        return original(...args.slice(0, -1), Number.NEGATIVE_INFINITY)
      })
    },
  },
  {
    name: 'many-reads',
    rule: '22: one READ an actor and method at a time',
    race: 'the later of two is answered first, and the earlier one puts an older value in its place',
    leaveOut: ({ reads }) => replace(part(reads, 'underway'), 'get', () => () => undefined),
  },
  {
    name: 'uncounted-while-stalled',
    rule: '22: a READ that waits for credit counts as under way',
    race: 'its actor is asked for again meanwhile: two READs are under way, and the later may be answered first',
    scenario: readWhileStalled,
    leaveOut: ({ reads }) => {
      type Get = (what: string) => { sentAt: number } | undefined
      replace(part(reads, 'underway'), 'get', (original: Get) => (what) => {
        const asked = original(what)
        return asked?.sentAt === Number.POSITIVE_INFINITY ? undefined : asked
      })
    },
  },
  {
    name: 'forget-departures',
    rule: '22: what was asked for before the actor was last here is not used',
    race: 'readers here have seen newer values on the spot, then get an older one from the cache',
    bias: { reading: 0.6, keys: 1 },
    leaveOut: ({ reads }) => replace(reads, 'departed', () => () => {}),
  },
  {
    name: 'never-pressed',
    rule: '23: out of room for updates, packets are held back at their source',
    race: 'a home is silent for a while, and what is meant for it fills the memory',
    scenario: outOfRoom,
    leaveOut: ({ space }) => {
      Object.defineProperty(space, 'pressed', { get: () => false })
    },
  },
  {
    name: 'no-limit-for-one',
    rule: '23: what may wait for one actor is bounded as well',
    race: 'the updates of one hot actor do not merge, and fill the memory while its home is silent',
    scenario: outOfRoomForOne,
    leaveOut: ({ updates }) => {
      Object.defineProperty(updates, 'full', { get: () => 0, set: () => {} })
    },
  },
  {
    name: 'outrun-answers',
    rule: '22: what was asked for before the actor was last here is not used',
    race: 'the answer was on its way while the actor came here and went',
    bias: { reading: 0.6, keys: 1, faults: { drop: 0, double: 0, late: 0.4 } },
    leaveOut: ({ reads }) => replace(reads, 'isOutrun', () => () => false),
  },
]

type Misplaced = (to: MemberNo, payload: Uint8Array, judge: () => void) => void

/** Acts on messages of a kind that came to an instance which is not the slot's owner. */
function onMisplaced({ space, core, slots }: Inside, kind: number, act: Misplaced): void {
  replace(space, 'judge', (original: (kind: number, r: ByteReader) => void) => (k, r) => {
    const start = r.pos
    core.type(r)
    const hash = r.u32()
    r.pos = start
    const state = slots.state[core.slot(hash)]
    if (k !== kind || state === HELD || state === DUE) return original(k, r)
    act(core.owner(hash), r.bytes.slice(start, r.end), () => original(k, r))
  })
}

function forward({ core }: Inside, kind: number, to: MemberNo, payload: Uint8Array): void {
  const w = core.out.begin(to, kind)
  if (kind === Kind.CALL) putCall(core, w, payload)
  else w.block(payload)
  core.out.end()
}

/** A call as it goes on the wire, alone in its message, from what its judge is given. */
function putCall(core: Inside['core'], w: ByteWriter, payload: Uint8Array): void {
  const r = new ByteReader(payload)
  const type = core.type(r)
  r.u32()
  type.readWords(r)
  const actor = payload.subarray(0, r.pos)
  r.u32()
  const id = r.u32()
  w.u8(0)
  w.u8(r.u8())
  w.u32(id)
  w.raw(actor)
  w.raw(r.raw(r.left))
}
