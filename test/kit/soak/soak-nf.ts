/**
 * The workload of a soak: an NF whose actors write down every turn they have, and whose handler writes down what it
 * asked for and was answered. Each packet says what is to be done, and has a turn of its flow besides.
 */
import { openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import {
  f64,
  type MaybePromise,
  multiWriter,
  numberKey,
  RehomeError,
  singleWriter,
  stale,
  u32,
  untether,
} from '../../../actors/index.ts'
import { defineNF, forward } from '../../../nf-apps/index.ts'
import {
  decodeOrder,
  digestOf,
  type EndLine,
  type Line,
  type Operation,
  type Order,
  operations,
  type Version,
} from './history.ts'

/** How old a stale value may be (ms). */
export const WITHIN_MS = 50

/** Ways to do the work wrong, so that it can be seen that the checker sees it. */
export const breaks = {
  outside: 'actors keep their count in the process, beside their state',
  twice: 'one post in 50 is made twice',
  forgets: 'one update in 50 is never made',
  overtakes: 'a flow whose packet waits lets the next one pass',
  old: 'readers keep what they once read',
} as const
export type Break = keyof typeof breaks

export const now = () => Number(process.hrtime.bigint())

let write = (_line: Line): void => {}
let broken: string | undefined

/** Each line is with the system before anything that came of it can leave the process, so a kill loses none. */
function logTo(folder: string): void {
  const file = openSync(join(folder, `${process.pid}.log`), 'a')
  write = (line) => void writeSync(file, `${JSON.stringify(line)}\n`)
}

interface State {
  life: number
  n: number
  digest: number
}
const shape = { life: f64, n: f64, digest: u32 }
/** What a turn is told of who asked for it. */
interface Asked {
  readonly actor: string
  readonly id: number
  readonly by: number
  readonly seq: number
}
const outside = new Map<string, number>()

function turn(
  s: State,
  { actor, id, by, seq }: Asked,
  more: { x?: number; plain?: true } = {},
): Version {
  const t = now()
  if (s.life === 0) s.life = t
  s.n++
  if (broken === 'outside') {
    outside.set(actor, Math.max(s.n, (outside.get(actor) ?? 0) + 1))
    s.n = outside.get(actor)!
  }
  s.digest = digestOf(s.digest, id)
  const { life, n, digest } = s
  write({ k: 'turn', t, actor, life, n, digest, id, by, seq, ...more })
  return { life, n, digest }
}
const version = ({ life, n, digest }: State): Version => ({ life, n, digest })
const read = stale(version, { withinMs: WITHIN_MS })

const Single = singleWriter('single', shape, { read })
const Multi = multiWriter('multi', shape, {
  append: (s, asked: Asked) => turn(s, asked, { plain: true }),
  post: untether((s, asked: Asked) => void turn(s, asked)),
  read,
})
const Sum = multiWriter(
  'sum',
  { ...shape, sum: f64 },
  {
    add: untether(
      (s, { actor, x }: { actor: string; x: number }) => {
        s.sum += x
        turn(s, { actor, id: 0, by: 0, seq: 0 }, { x })
      },
      { merge: (a, b) => ({ actor: a.actor, x: a.x + b.x }) },
    ),
  },
)
const Flow = singleWriter('flow', shape)

let counted = 0
function asked(actor: string, id: number): Asked {
  return { actor, id, by: process.pid, seq: ++counted }
}

const kept = new Map<string, Version | boolean | null>()

/** Writes down how an operation ends; its error is an answer too. */
function tracked(
  f: Operation,
  actor: string,
  id: number,
  work: () => MaybePromise<unknown>,
): MaybePromise<void> {
  write({ k: 'begin', t: now(), id, by: process.pid, f, actor })
  const ok = (value: unknown) => {
    let told = (value ?? null) as Version | boolean | null
    if (broken === 'old' && f === 'read') {
      told = kept.get(actor) ?? told
      kept.set(actor, told)
    }
    const answer = told !== null && typeof told === 'object' ? version(told) : told
    write({ k: 'end', t: now(), id, by: process.pid, is: 'ok', value: answer })
  }
  const failed = (error: unknown) => {
    const is = error instanceof RehomeError && error.outcome === 'definite' ? 'fail' : 'info'
    const why = error instanceof RehomeError ? error.code : String(error)
    const line: EndLine = { k: 'end', t: now(), id, by: process.pid, is, why }
    write(line)
  }
  try {
    const value = work()
    if (value instanceof Promise) return value.then(ok, failed)
    ok(value)
  } catch (error) {
    failed(error)
  }
}

const pause = (ms: number) => new Promise<void>((go) => setTimeout(go, ms))

/** A turn that waits in its middle: nothing else may have run on the actor when it goes on. */
function suspendedTurn(s: State, who: Asked, ms: number): Promise<Version> {
  const had = turn(s, who)
  return pause(ms).then(() => {
    if (s.life !== had.life || s.n !== had.n || s.digest !== had.digest) {
      const what = `one home: ${who.actor} had other turns while ${who.id} was suspended`
      write({ k: 'wrong', t: now(), what })
    }
    return had
  })
}

export const soakNF = defineNF('soak', {
  summary: 'the workload of a soak',
  options: {
    log: { type: 'string', value: 'FOLDER', help: 'where the instances write down what they do' },
    broken: { type: 'string', value: 'HOW', help: 'does its work wrong' },
  },
  state: {
    singles: Single.keyedBy(numberKey),
    multis: Multi.keyedBy(numberKey),
    sums: Sum.keyedBy(numberKey),
    flows: Flow.keyedBy(numberKey),
  },
  setup: ({ log, broken: how }) => {
    if (typeof log === 'string') logTo(log)
    broken = typeof how === 'string' ? how : undefined
  },
  onPacket(p, handles) {
    const order = decodeOrder(p.bytes, p.payloadOffset)
    const done = operate(handles, order)
    const { flow, seq, id } = order
    const actor = `flows/${flow}`
    const who = { actor, id, by: 0, seq }
    const ownTurn = (): MaybePromise<void> =>
      tracked('packet', actor, id, () => handles.flows.with(flow, (s) => turn(s, who)))
    if (!(done instanceof Promise)) return andForward(ownTurn())
    if (order.waits) {
      if (broken !== 'overtakes') return done.then(ownTurn).then(() => forward)
      void done.then(ownTurn)
      return forward
    }
    const own = ownTurn()
    return Promise.all([done, own]).then(() => forward)
  },
})
export default soakNF

function andForward(done: MaybePromise<void>) {
  return done instanceof Promise ? done.then(() => forward) : forward
}

type Handles = Parameters<typeof soakNF.onPacket>[1]

/** What the packet asks for besides its flow's turn; its id is the flow's next. */
function operate(h: Handles, o: Order): MaybePromise<void> {
  const f = operations[o.op]!
  const { key, x } = o
  const id = o.id + 1
  const track = (actor: string, work: () => MaybePromise<unknown>) => tracked(f, actor, id, work)
  const multi = `multis/${key}`
  const single = `singles/${key}`
  switch (f) {
    case 'append':
      return track(multi, () => h.multis.at(key).append(asked(multi, id)))
    case 'post': {
      write({ k: 'post', t: now(), actor: multi, id })
      if (broken === 'forgets' && id % 100 === 1) return
      const post = asked(multi, id)
      h.multis.at(key).post(post)
      if (broken === 'twice' && id % 100 === 1) h.multis.at(key).post(post)
      return
    }
    case 'add':
      write({ k: 'add', t: now(), actor: `sums/${key}`, id, x })
      if (broken === 'forgets' && id % 100 === 1) return
      h.sums.at(key).add({ actor: `sums/${key}`, x })
      return
    case 'read':
      return track(multi, () => h.multis.at(key).read())
    case 'peek':
      return track(multi, () => h.multis.lookup(key))
    case 'remove':
      return track(multi, () => h.multis.remove(key))
    case 'with': {
      const who = asked(single, id)
      return track(single, () => h.singles.with(key, (s) => turn(s, who)))
    }
    case 'suspended': {
      const who = asked(single, id)
      return track(single, () => h.singles.with(key, (s) => suspendedTurn(s, who, x)))
    }
    case 'ifPresent': {
      const who = { actor: single, id, by: 0, seq: 0 }
      return track(single, () => h.singles.ifPresent(key, (s) => (s ? turn(s, who) : null)))
    }
    case 'size':
      return track(single, () => h.singles.at(key).read())
    case 'lookup':
      return track(single, () => h.singles.lookup(key))
    case 'end':
      return track(single, () => h.singles.remove(key))
    default:
      return
  }
}
