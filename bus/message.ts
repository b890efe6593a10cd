/**
 * Every message kind on the bus, its direction and the two properties the link and the runtime go by.
 * ARCHITECTURE.md's message table is held against this one by a test.
 */
export interface KindInfo {
  readonly code: number
  readonly name: string
  readonly from: string
  readonly to: string
  readonly meaning: string
  readonly answer: string
  /**
   * Uses the receiver's credit: only kinds that a sender can hold back. Control messages and answers have bounded
   * reserves instead, else two members would wait for each other's credit (PROTOCOL.md, rule 18).
   */
  readonly credit: boolean
  /** Needs the slot's owner, so it waits at a receiver that does not have the sender's view yet (rules 1 and 19). */
  readonly judged: boolean
  /** May wait some ms for a frame that goes anyway: hardly anything waits for it. */
  readonly patient: boolean
}

const kinds: KindInfo[] = []
const byCode: (KindInfo | undefined)[] = []

function kind(
  name: string,
  from: string,
  to: string,
  meaning: string,
  answer: string,
  flags: { credit?: boolean; judged?: boolean; patient?: boolean } = {},
): number {
  const code = kinds.length + 1
  const info = {
    code,
    name,
    from,
    to,
    meaning,
    answer,
    credit: flags.credit ?? false,
    judged: flags.judged ?? false,
    patient: flags.patient ?? false,
  }
  kinds.push(info)
  byCode[code] = info
  return code
}

const judged = { judged: true }
const request = { judged: true, credit: true }
/** Of a flip: while it goes on, one slot's packets are kept, few of all. */
const patient = { patient: true }

export const Kind = {
  ACQUIRE: kind(
    'ACQUIRE',
    'instance',
    'slot owner',
    "make me this actor's home",
    'GRANT, or STATE from the previous home; ABSENT if only an existing one was wanted',
    judged,
  ),
  GRANT: kind('GRANT', 'slot owner', 'instance', 'you are the home of a fresh actor', '–'),
  ABSENT: kind('ABSENT', 'slot owner', 'instance', 'there is no such actor', '–'),
  TRANSFER: kind('TRANSFER', 'slot owner', 'home', 'send activation m to X, as n', 'STATE to X'),
  STATE: kind('STATE', 'home', 'new home', 'the encoded actor, move n', '–'),
  REMOVED: kind('REMOVED', 'home', 'slot owner', 'activation m is gone', 'REMOVED-OK', judged),
  REMOVED_OK: kind('REMOVED-OK', 'slot owner', 'home', 'the removal of activation m is noted', '–'),
  RELEASE: kind(
    'RELEASE',
    'leaver',
    'slot owner',
    'take activation m from me',
    'TRANSFER to the slot owner itself',
    judged,
  ),
  CALL: kind('CALL', 'caller', 'slot owner', 'plain call', 'REPLY or REJECT', request),
  REPLY: kind('REPLY', 'slot owner', 'caller', 'result or error of a plain call', '–'),
  UNTETHER: kind(
    'UNTETHER',
    'caller',
    'slot owner',
    'one batch of updates for an actor',
    'APPLIED or REJECT',
    request,
  ),
  APPLIED: kind('APPLIED', 'slot owner', 'caller', 'the batch has run', '–'),
  // Judged, so that the caller has the view that mends its hint before it sends again.
  REJECT: kind(
    'REJECT',
    'any',
    'caller',
    'not the slot owner: a call or batch did not run',
    '–',
    judged,
  ),
  READ: kind('READ', 'reader', 'slot owner', 'stale read, lookup, or refresh', 'VALUE', request),
  READ_HOME: kind('READ-HOME', 'slot owner', 'home', 'a read passed on', 'VALUE to the reader'),
  VALUE: kind('VALUE', 'home', 'reader', 'the value read, or absent', '–'),
  COLLECT: kind(
    'COLLECT',
    'collector',
    'instance',
    'all actors of a type, in the slots you own',
    'FOUND each, and COLLECTED',
    // The collector begins again when it hears that a member is gone: those asked must have heard by then.
    { judged: true },
  ),
  FOUND: kind('FOUND', 'home', 'collector', 'one of the actors, or: it has ended', '–'),
  COLLECTED: kind(
    'COLLECTED',
    'instance',
    'collector',
    'how many FOUNDs there are, for how many slots',
    '–',
  ),
  PULL: kind(
    'PULL',
    'new slot owner',
    'holder',
    "hand me these slots' tokens",
    'SLOT each',
    judged,
  ),
  SLOT: kind(
    'SLOT',
    'holder',
    'new slot owner',
    "a slot's token: counter and directory entries",
    '–',
  ),
  FENCE: kind(
    'FENCE',
    'all',
    'instance',
    'I know of the crash: behind this there is nothing from before',
    'REPORT',
    { judged: true },
  ),
  REPORT: kind(
    'REPORT',
    'instance',
    'instance',
    'the actors of your slots that are here or wanted here, and orders about them',
    'RECOVERED',
  ),
  RECOVERED: kind(
    'RECOVERED',
    'instance',
    'instance',
    'my directory is whole; these orders and moves of yours are void',
    '–',
  ),
  BYE: kind('BYE', 'leaver', 'all', 'nothing is due', 'BYE-OK', judged),
  BYE_OK: kind('BYE-OK', 'all', 'leaver', 'I send you nothing more', '–'),
  PACKETS: kind('PACKETS', 'steerer', 'instance', 'a batch of packets', 'DONE', { credit: true }),
  DONE: kind(
    'DONE',
    'instance',
    'steerer',
    'verdicts of a batch, as they come, and packets to send on',
    '–',
  ),
  MARK: kind(
    'MARK',
    'steerer',
    'old receiver',
    "the last of these slots' packets has been sent to you",
    'DRAINED to the new receiver',
    patient,
  ),
  HOLD: kind(
    'HOLD',
    'steerer',
    'new receiver',
    "keep these slots' packets until the old receiver is through",
    '–',
    patient,
  ),
  DRAINED: kind(
    'DRAINED',
    'old receiver',
    'new receiver',
    "these slots' packets have all had their turns",
    '–',
    patient,
  ),
  CLOCK: kind(
    'CLOCK',
    'steerer',
    'instance',
    'packet time has come this far',
    'CLOCK-OK once all that was due has run',
  ),
  CLOCK_OK: kind(
    'CLOCK-OK',
    'instance',
    'steerer',
    'timers are through, and nothing is suspended or unsent',
    '–',
  ),
  ASK: kind('ASK', 'any', 'instance', 'what are your figures', 'TELL'),
  TELL: kind('TELL', 'instance', 'any', 'figures of an instance', '–'),
  TAKE: kind(
    'TAKE',
    'instance',
    'store',
    "lend me this actor's state for a turn (remote-only)",
    'LENT',
  ),
  LENT: kind('LENT', 'store', 'instance', 'the state, or that there is none', 'PUT'),
  PUT: kind('PUT', 'instance', 'store', 'the state after the turn', '–'),
} as const

/** What the code says of a kind; undefined for a code that is none of ours. */
export function kindInfo(code: number): KindInfo | undefined {
  return byCode[code]
}
export const allKinds: readonly KindInfo[] = kinds

/** Raised with every change of the bytes on the wire; instances of different protocols refuse each other. */
export const PROTOCOL_VERSION = 7
