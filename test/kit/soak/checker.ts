import {
  type BeginLine,
  digestOf,
  type EndLine,
  type Line,
  type SentLine,
  type TurnLine,
  type Version,
} from './history.ts'

/** What a round of a soak is held against besides what its instances wrote down. */
export interface Round {
  readonly lines: readonly Line[]
  /** Operations of processes that nobody was to hear any more, and when they were asked for. */
  readonly unheard: ReadonlyMap<number, string>
  /** Processes that were killed in this round, and when (ns): what they had is gone. */
  readonly killed: ReadonlyMap<number, number>
  /** Each flow's packets that were sent in this round. */
  readonly sent: ReadonlyMap<string, number>
  /** All actors at the end of the round, as they were collected from their homes. */
  readonly found: ReadonlyMap<string, Version & { readonly sum?: number }>
  /** How old a stale value may be (ns). */
  readonly withinNs: number
}

/** What a round has come to. */
export interface RoundFigures {
  turns: number
  operations: number
  reads: number
  updates: number
  removals: number
  /** Operations that ended in an error that says they did not run, or that they may have. */
  failed: number
  unsure: number
  /** By kills: actors that are gone, updates and packets without an effect. */
  livesLost: number
  updatesLost: number
  packetsLost: number
}

export function noFigures(): RoundFigures {
  return {
    turns: 0,
    operations: 0,
    reads: 0,
    updates: 0,
    removals: 0,
    failed: 0,
    unsure: 0,
    livesLost: 0,
    updatesLost: 0,
    packetsLost: 0,
  }
}

/** One life of an actor: from its making to its removal. */
interface Life {
  readonly turns: TurnLine[]
  /** What it was when the round began, for one that is older. */
  readonly before: Version | undefined
}

interface Span {
  readonly version: Version | null
  /** It was so at some time from then on, and no longer than until then. */
  readonly from: number
  readonly until: number
}

const OLDER = Number.NEGATIVE_INFINITY
const LATER = Number.POSITIVE_INFINITY
/** More of them say nothing more. */
const TOLD_MAX = 20

/**
 * Holds what the instances of a soak wrote down against the invariants, a round at a time: a round ends when all is
 * quiet, so nothing but the actors' last versions goes on into the next. It knows nothing of homes, slots or messages.
 */
export class Checker {
  readonly violations: string[] = []
  private alive = new Map<string, Version & { sum: number }>()
  private readonly flowSeq = new Map<string, number>()

  /** Looks at a round; what is wrong is in `violations`. */
  check(round: Round): RoundFigures {
    const figures = noFigures()
    new RoundCheck(round, figures, this.alive, this.flowSeq, (what) => this.wrong(what)).run()
    this.alive = new Map([...round.found].map(([actor, v]) => [actor, { sum: 0, ...v }]))
    return figures
  }

  private wrong(what: string): void {
    if (this.violations.length < TOLD_MAX) this.violations.push(what)
  }
}

class RoundCheck {
  private readonly round: Round
  private readonly figures: RoundFigures
  private readonly alive: ReadonlyMap<string, Version & { sum: number }>
  private readonly flowSeq: Map<string, number>
  private readonly wrong: (what: string) => void

  private readonly begins = new Map<number, BeginLine>()
  private readonly ends = new Map<number, EndLine>()
  private readonly turns = new Map<number, TurnLine>()
  private readonly sent: SentLine[] = []
  private readonly lives = new Map<string, Life[]>()
  private readonly applied = new Map<string, number>()

  constructor(
    round: Round,
    figures: RoundFigures,
    alive: RoundCheck['alive'],
    flowSeq: Map<string, number>,
    wrong: (what: string) => void,
  ) {
    this.round = round
    this.figures = figures
    this.alive = alive
    this.flowSeq = flowSeq
    this.wrong = wrong
  }

  private get harmed(): boolean {
    return this.round.killed.size > 0
  }

  run(): void {
    this.sort()
    for (const [actor, lives] of this.lives) {
      this.oneHome(actor, lives)
      this.inOrder(actor, lives)
      this.ended(actor, lives)
    }
    this.exactlyOnce()
    this.nothingLost()
    this.packets()
    this.bounded()
    this.atTheEnd()
  }

  // ---- sorting what was written down ----

  private sort(): void {
    const byActor = new Map<string, TurnLine[]>()
    for (const line of this.round.lines) {
      if (line.k === 'wrong') this.wrong(line.what)
      else if (line.k === 'begin') this.begins.set(line.id, line)
      else if (line.k === 'end') this.ends.set(line.id, line)
      else if (line.k === 'turn') this.noteTurn(line, byActor)
      else this.sent.push(line)
    }
    for (const [actor, before] of this.alive) {
      this.lives.set(actor, livesOf(byActor.get(actor) ?? [], before))
    }
    for (const [actor, turns] of byActor) {
      if (!this.lives.has(actor)) this.lives.set(actor, livesOf(turns, undefined))
    }
    this.figures.operations = this.begins.size
    this.figures.updates = this.sent.length
  }

  private noteTurn(line: TurnLine, byActor: Map<string, TurnLine[]>): void {
    this.figures.turns++
    if (line.x !== undefined) {
      this.applied.set(line.actor, (this.applied.get(line.actor) ?? 0) + line.x)
    } else if (this.turns.has(line.id)) {
      this.wrong(`exactly once: ${line.id} ran twice on ${line.actor}`)
    } else this.turns.set(line.id, line)
    const turns = byActor.get(line.actor)
    if (turns) turns.push(line)
    else byActor.set(line.actor, [line])
  }

  // ---- the invariants ----

  /** Turns of a life follow one another, each on what the one before left; and no two lives overlap. */
  private oneHome(actor: string, lives: readonly Life[]): void {
    let lastOfBefore = OLDER
    for (const { turns, before } of lives) {
      let n = before?.n ?? 0
      let digest = before?.digest ?? 0
      let t = lastOfBefore
      for (const turn of turns) {
        const at = `${actor} life ${turn.life} turn ${turn.n}`
        if (turn.n <= n) this.wrong(`one home: ${at} ran when there had been ${n}`)
        else if (turn.n > n + 1) this.wrong(`same state: ${at} ran on what only ${n} had made`)
        else if (turn.digest !== digestOf(digest, turn.id)) this.wrong(`same state: ${at} differs`)
        if (turn.t < t) this.wrong(`one home: ${at} ran before one that it follows`)
        n = turn.n
        digest = turn.digest
        t = turn.t
      }
      lastOfBefore = t
    }
  }

  /** Of one caller, what it asks of one actor runs in order; and so do a flow's packets. */
  private inOrder(actor: string, lives: readonly Life[]): void {
    const last = new Map<number, number>()
    const flow = actor.startsWith('flows/')
    if (flow) last.set(0, this.flowSeq.get(actor) ?? 0)
    for (const { turns } of lives) {
      for (const { by, seq, id, x, plain } of turns) {
        if (x !== undefined || (by === 0 && !flow)) continue
        const before = last.get(by) ?? 0
        if (seq <= before && !plain)
          this.wrong(`in order: ${actor} had ${id} (${seq}) after ${before}`)
        last.set(by, Math.max(before, seq))
      }
    }
  }

  /** An actor ends by a removal that was answered so, each ends one; else it is there at the end. */
  private ended(actor: string, lives: readonly Life[]): void {
    const removals = this.removalsOf(actor)
    const is = this.round.found.get(actor)
    for (const [i, life] of lives.entries()) {
      const id = lifeOf(life)
      if (is?.life === id) continue
      const last = life.turns.at(-1)?.t ?? OLDER
      const next = lives[i + 1]?.turns[0]?.t ?? LATER
      const by = removals.findIndex(({ from, until }) => from <= next && until >= last)
      if (by >= 0) {
        removals.splice(by, 1)
        this.figures.removals++
      } else if (this.harmed) this.figures.livesLost++
      else this.wrong(`nothing lost: ${actor} life ${id} is gone, and nobody removed it`)
    }
    const sure = removals.filter((r) => r.sure).length
    if (sure > 0 && !this.harmed)
      this.wrong(`exactly once: ${actor} was removed ${sure} times more`)
  }

  private removalsOf(actor: string): { from: number; until: number; sure: boolean }[] {
    const removals = (this.removals.get(actor) ?? []).flatMap((begin) => {
      const end = this.ends.get(begin.id)
      if (end?.is === 'fail' || (end?.is === 'ok' && end.value !== true)) return []
      const sure = end?.is === 'ok'
      return [{ from: begin.t, until: sure ? end.t : LATER, sure }]
    })
    // Those that were through first leave the others the most room.
    return removals.sort((a, b) => a.until - b.until)
  }
  private removalsByActor: Map<string, BeginLine[]> | undefined
  private get removals(): Map<string, BeginLine[]> {
    if (this.removalsByActor) return this.removalsByActor
    const all = new Map<string, BeginLine[]>()
    for (const begin of this.begins.values()) {
      if (begin.f !== 'remove' && begin.f !== 'end') continue
      const of = all.get(begin.actor)
      if (of) of.push(begin)
      else all.set(begin.actor, [begin])
    }
    this.removalsByActor = all
    return all
  }

  /** What was answered ran once, while it was asked for; a definite error did not run. */
  private exactlyOnce(): void {
    const posts = new Set(this.sent.map(({ id }) => id))
    for (const { id, actor } of this.turns.values()) {
      if (this.begins.has(id) || posts.has(id)) continue
      const late = this.round.unheard.get(id)
      const by = late === undefined ? 'nobody asked for it' : `it was asked for ${late}`
      this.wrong(`exactly once: ${id} ran on ${actor}, and ${by}`)
    }
    for (const begin of this.begins.values()) {
      const { id, f, actor, t } = begin
      const end = this.ends.get(id)
      const turn = this.turns.get(id)
      const what = `${f} ${id} on ${actor}`
      if (!end) {
        if (!this.round.killed.has(begin.by)) this.wrong(`converges: ${what} has not ended`)
        continue
      }
      if (end.is === 'fail') this.figures.failed++
      if (end.is === 'info') this.figures.unsure++
      if (!RUNS.has(f) || end.is === 'info') continue
      const ran = end.is === 'ok' && isVersion(end.value)
      if (!ran && turn) this.wrong(`exactly once: ${what} ran, and was answered ${end.is}`)
      if (!ran) {
        const absent = end.is === 'ok' && f === 'ifPresent' && end.value === null
        if (end.is === 'ok' && !absent) this.wrong(`exactly once: ${what} was answered nothing`)
        continue
      }
      if (!turn) this.wrong(`exactly once: ${what} was answered, and never ran`)
      else if (turn.actor !== actor || !sameVersion(turn, end.value)) {
        this.wrong(`exactly once: ${what} was answered what it did not make`)
      } else if (turn.t < t || turn.t > end.t) {
        this.wrong(`exactly once: ${what} ran while nobody waited for it`)
      }
    }
  }

  /** Every untethered update takes effect once; what is merged arrives in sum. */
  private nothingLost(): void {
    const made = new Map<string, number>()
    for (const { k, id, actor, x } of this.sent) {
      if (k === 'add') {
        made.set(actor, (made.get(actor) ?? 0) + (x ?? 0))
        continue
      }
      if (this.turns.has(id)) continue
      if (this.harmed) this.figures.updatesLost++
      else this.wrong(`nothing lost: update ${id} of ${actor} never ran`)
    }
    for (const actor of new Set([...made.keys(), ...this.applied.keys()])) {
      const due = made.get(actor) ?? 0
      const is = this.applied.get(actor) ?? 0
      if (is > due || (is < due && !this.harmed)) {
        this.wrong(`nothing lost: ${actor} was given ${due} and got ${is}`)
      } else if (is < due) this.figures.updatesLost++
    }
  }

  /** Each packet of a flow has its turn. */
  private packets(): void {
    for (const [actor, seq] of this.round.sent) {
      const before = this.flowSeq.get(actor) ?? 0
      const turns = (this.lives.get(actor) ?? []).reduce((n, l) => n + l.turns.length, 0)
      const missing = seq - before - turns
      this.flowSeq.set(actor, seq)
      if (missing < 0 || (missing > 0 && !this.harmed)) {
        this.wrong(`exactly once: ${actor} had ${turns} turns for ${seq - before} packets`)
      } else this.figures.packetsLost += missing
    }
  }

  /** A stale value is no older than its bound, and none goes back; a lookup shows what was while it was under way. */
  private bounded(): void {
    const spans = new Map<string, Span[]>()
    const seen = new Map<string, { at: number; t: number; id: number }[]>()
    const ends = [...this.ends.values()].sort((a, b) => a.t - b.t)
    for (const end of ends) {
      const begin = this.begins.get(end.id)
      if (end.is !== 'ok' || !begin || !READS.has(begin.f)) continue
      this.figures.reads++
      const { actor, f, t } = begin
      let of = spans.get(actor)
      if (!of) {
        of = this.spansOf(actor)
        spans.set(actor, of)
      }
      const stale = f === 'read' || f === 'size'
      const oldest = stale ? t - this.round.withinNs : t
      const value = isVersion(end.value) && end.value.life !== 0 ? end.value : null
      const was = (s: Span) => s.until >= oldest && s.from <= end.t
      const at = of.findLastIndex((s) => sameVersion(s.version, value) && was(s))
      const text = value ? `life ${value.life} turn ${value.n}` : 'absent'
      if (at < 0) {
        if (!this.harmed || value) this.wrong(`bounded: ${f} ${end.id} saw ${actor} ${text}`)
      } else if (stale && value) {
        const reader = `${end.by} ${actor}`
        const before = seen.get(reader) ?? []
        seen.set(reader, before)
        // Of two that were under way together, neither is the earlier one.
        const earlier = before.findLast((one) => one.t < t)
        if (earlier && at < earlier.at) {
          const was = `turn ${of[earlier.at]?.version?.n} (${earlier.id})`
          this.wrong(`bounded: ${f} ${end.id} saw ${actor} go back from ${was} to ${text}`)
        }
        const newest = Math.max(at, before.at(-1)?.at ?? 0)
        before.push({ at: newest, t: end.t, id: end.id })
      }
    }
  }

  /** What the actor has been, in order. When a life ended is known by who removed it: between his asking and his answer. */
  private spansOf(actor: string): Span[] {
    const lives = this.lives.get(actor) ?? []
    const removals = this.removalsOf(actor)
    const first = lives[0]
    const spans: Span[] = []
    if (!first || first.before === undefined) {
      spans.push({ version: null, from: OLDER, until: first?.turns[0]?.t ?? LATER })
    }
    for (const [i, { turns, before }] of lives.entries()) {
      const states: { version: Version; t: number }[] = turns.map((s) => ({ version: s, t: s.t }))
      if (before) states.unshift({ version: before, t: OLDER })
      const next = lives[i + 1]?.turns[0]?.t ?? LATER
      const last = states.at(-1)!.t
      for (const [j, { version, t }] of states.entries()) {
        spans.push({ version, from: t, until: states[j + 1]?.t ?? next })
      }
      const ends = removals.filter((r) => r.until >= last && r.from <= next).map((r) => r.from)
      if (ends.length > 0) {
        spans.push({ version: null, from: Math.max(last, Math.min(...ends)), until: next })
      }
    }
    return spans
  }

  /** The actors that there are, each as its turns have made it. */
  private atTheEnd(): void {
    for (const [actor, is] of this.round.found) {
      const life = this.lives.get(actor)?.at(-1)
      const last = life?.turns.at(-1) ?? life?.before
      if (!sameVersion(is, last)) {
        const was = last ? `life ${last.life} turn ${last.n}` : 'absent'
        this.wrong(`same state: ${actor} ends as life ${is.life} turn ${is.n}, was ${was}`)
      }
      if (is.sum === undefined) continue
      const before = life?.before ? (this.alive.get(actor)?.sum ?? 0) : 0
      const due = (life?.turns ?? []).reduce((sum, { x = 0 }) => sum + x, before)
      if (is.sum !== due) this.wrong(`N = 1: ${actor} ends as ${is.sum}, not ${due}`)
    }
  }
}

/** Operations that are answered what they have made of the actor, and reads. */
const RUNS: ReadonlySet<string> = new Set(['packet', 'append', 'with', 'suspended', 'ifPresent'])
const READS: ReadonlySet<string> = new Set(['read', 'peek', 'size', 'lookup'])

function livesOf(turns: readonly TurnLine[], before: Version | undefined): Life[] {
  const byLife = new Map<number, TurnLine[]>()
  if (before) byLife.set(before.life, [])
  for (const turn of turns) {
    const of = byLife.get(turn.life)
    if (of) of.push(turn)
    else byLife.set(turn.life, [turn])
  }
  const lives = [...byLife].map(([id, of]) => ({
    turns: of.sort((a, b) => a.n - b.n || a.t - b.t),
    before: before?.life === id ? before : undefined,
  }))
  return lives.sort((a, b) => beganAt(a) - beganAt(b))
}

function beganAt({ turns, before }: Life): number {
  return before ? OLDER : (turns[0]?.t ?? OLDER)
}
function lifeOf({ turns, before }: Life): number {
  return turns[0]?.life ?? before?.life ?? 0
}

function isVersion(value: EndLine['value']): value is Version {
  return typeof value === 'object' && value !== null
}
function sameVersion(a: Version | null | undefined, b: EndLine['value']): boolean {
  const absent = (v: typeof b | typeof a) => v === null || v === undefined
  if (absent(a) || !isVersion(b)) return absent(a) && absent(b)
  return a?.life === b.life && a.n === b.n && a.digest === b.digest
}
