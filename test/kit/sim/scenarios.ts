import {
  f64,
  multiWriter,
  numberKey,
  singleWriter,
  stale,
  untether,
} from '../../../actors/index.ts'
import { RehomeError } from '../../../bus/index.ts'
import { Instance } from '../../../cli/index.ts'
import { defineNF, forward } from '../../../nf-apps/index.ts'
import { build } from '../../../nf-apps/packet/index.ts'
import { type ClusterOptions, type SimCluster, type SimNode, simCluster } from './cluster.ts'
import { type ActorType, insideOf, method, part, replace } from './inside.ts'
import { noFaults } from './network.ts'
import { Violation } from './oracle.ts'

/**
 * A story that comes to a race for certain, where random walks do so too seldom or have not what it takes. It passes, or
 * throws a `Violation`; `onMember` leaves a rule out. To be called from within a macrotask (`inMacrotask`).
 */
export type Scenario = (onMember?: ClusterOptions['onMember']) => void

const Box = singleWriter(
  'box',
  { n: f64 },
  {
    get: stale((s) => s.n, { withinMs: 1000 }),
  },
)
const Value = multiWriter(
  'value',
  { n: f64 },
  {
    bump: (s) => ++s.n,
    add: untether(
      (s, x: number) => {
        s.n += x
      },
      { merge: (a, b) => a + b },
    ),
    times: untether((s, x: number) => {
      s.n *= x
    }),
  },
)
const nf = defineNF('scenario', {
  state: { boxes: Box.keyedBy(numberKey), values: Value.keyedBy(numberKey) },
  /** Each packet updates an actor of its own, and one that all do; the latter's updates do not merge. */
  onPacket(p, { values }) {
    values.at(p.index).add(1)
    values.at(ALL).times(1)
    return forward
  },
})
type Turn = (s: { n: number }) => unknown
interface Reached {
  readonly boxes: {
    with(key: number, turn: Turn): unknown
    remove(key: number): unknown
    at(key: number): { get(): number | Promise<number> }
  }
  readonly values: {
    at(key: number): { bump(): unknown; add(x: number): void; times(x: number): void }
    lookup(key: number): unknown
    all(): Promise<unknown[]>
  }
}

const handlesOf = (node: SimNode) => node.entered!.body.member.space.handles as unknown
const reach = (node: SimNode) => handlesOf(node) as Reached

function clusterOf(instances: number, o: Partial<ClusterOptions>): SimCluster {
  const cluster = simCluster({ seed: 1, nf: () => nf, slotBits: 1, spread: true, ...o }, instances)
  const isSettled = () =>
    cluster.active.every(({ entered }) => !entered!.body.member.space.inHandoff)
  cluster.until(isSettled, 'the first views settle')
  cluster.pass(50)
  return cluster
}

/** The first key from `least` on whose slot that instance owns, as `node` sees it. */
function keyAt(node: SimNode, owner: SimNode, least = 0): number {
  const { core } = insideOf(node.entered!.body)
  const type = core.types.find((t) => t.name === 'values')!
  for (let key = least; ; key++) {
    const hash = method<[ActorType, number], number>(core, 'address')(type, key)
    if (core.owner(hash) === owner.entered!.no) return key
  }
}

/** Rule 20: a turn asks for a turn. */
export const turnInTurn: Scenario = (onMember) => {
  const cluster = clusterOf(1, seen(onMember))
  const { boxes } = reach(cluster.nodes[0]!)
  let open = 0
  const outer = (ask: () => unknown) => () => {
    if (++open > 1) throw new Violation('one turn at a time', 'a second turn within the first')
    try {
      ask()
    } catch (error) {
      if (!(error instanceof RehomeError) || error.code !== 'nested-turn') throw error
    } finally {
      open--
    }
  }
  boxes.with(
    1,
    outer(() =>
      boxes.with(
        1,
        outer(() => {}),
      ),
    ),
  )
}

/** Rule 23: updates and packets go on while their actors' home is silent. */
const roomFor = (limit: 'outboxesMax' | 'outboxUpdatesMax'): Scenario => {
  return (onMember) => {
    const cluster = clusterOf(2, {
      slotBits: 3,
      onMember: (body, id) => {
        if (body instanceof Instance) Reflect.set(insideOf(body).core.limits, limit, ROOM)
        onMember?.(body, id)
      },
    })
    const [a, b] = cluster.nodes as [SimNode, SimNode]
    const [silent, writing] = keyAt(a, a, ALL) === ALL ? [a, b] : [b, a]
    cluster.pause(silent, 300)
    const ends = { src: '10.0.0.1', dst: '10.0.0.2' }
    for (let i = 0; i < PACKETS; i++) {
      const ports = { srcPort: 1000 + (i % 7), dstPort: 53 }
      cluster.send(build.ethernet({}, build.ipv4(ends, build.udp(ports, new Uint8Array(4)))))
      cluster.pass(1)
      const most = limit === 'outboxesMax' ? outboxesOf(writing) : updatesOf(writing)
      // The packet that comes to the limit is through when it shows: it may make two.
      if (most > ROOM + 2) throw new Violation('bounded memory', `${most} wait, of ${ROOM}`)
    }
    cluster.heal()
    cluster.until(() => cluster.settled, 'every packet has its verdict')
    cluster.settle(cluster.source.finish(), 'every effect is in')
    const values = cluster.settle(reach(writing).values.all(), 'the values')
    if (values.length === PACKETS + 1) return
    throw new Violation('nothing lost', `${values.length} values, of ${PACKETS + 1}`)
  }
}
export const outOfRoom = roomFor('outboxesMax')
export const outOfRoomForOne = roomFor('outboxUpdatesMax')
const ROOM = 8
const PACKETS = 200
/** The key of the actor that all packets update. */
const ALL = 1000

function outboxesOf(node: SimNode): number {
  return Number(Reflect.get(insideOf(node.entered!.body).updates, 'outboxes'))
}
function updatesOf(node: SimNode): number {
  const { core } = insideOf(node.entered!.body)
  const affairs = core.types.flatMap((type) => [...type.openAffairs()])
  return Math.max(0, ...affairs.map(([, { outbox }]) => outbox?.entries.length ?? 0))
}

/** Rule 12: updates of one actor whose order matters, of two methods, one of which merges. */
export const mergeNeighbours: Scenario = (onMember) => {
  const cluster = clusterOf(2, seen(onMember))
  const [from, to] = cluster.nodes as [SimNode, SimNode]
  const key = keyAt(from, to)
  const value = reach(from).values.at(key)
  value.add(1)
  value.times(10)
  value.add(1)
  cluster.settle(cluster.source.finish(), 'every effect is in')
  const found = cluster.settle(Promise.resolve(reach(from).values.lookup(key)), 'its value')
  const { n } = found as { n: number }
  if (n !== 11) throw new Violation('in order', `0 + 1, × 10, + 1 came to ${n}`)
}

/** Calls that are more than the credit below: of one actor, in a row, each is some three bytes. */
const MANY = 300

/** Rule 18: a grant is lost, and nothing else is under way that would bring it. */
export const lostGrant: Scenario = (onMember) => {
  const held: (() => void)[] = []
  let holding = false
  const cluster = clusterOf(2, {
    creditBytes: 256,
    onMember: (body, id) => {
      type Consumed = (from: number, bytes: number) => void
      replace(body.member.links, 'consumed', (original: Consumed) => (from, bytes) => {
        if (holding) held.push(() => original(from, bytes))
        else original(from, bytes)
      })
      onMember?.(body, id)
    },
  })
  const [from, to] = cluster.nodes as [SimNode, SimNode]
  const value = reach(from).values.at(keyAt(from, to))
  holding = true
  const calls = Array.from({ length: MANY }, () => Promise.resolve(value.bump()))
  cluster.pass(100)
  holding = false
  cluster.network.faults = { ...noFaults, drop: 1 }
  for (const consume of held) consume()
  to.entered!.body.member.wake()
  cluster.pass(5)
  cluster.heal()
  const counts = cluster.settle(Promise.all(calls), 'calls that were short of credit end')
  if (counts.at(-1) !== MANY)
    throw new Violation('exactly once', `${MANY} calls came to ${counts.at(-1)}`)
}

/** Views that come to one member late: what it is to see is kept from `begin` on. */
class LateViews {
  private readonly kept: (() => void)[] = []
  private late = ''
  private readonly inner: ClusterOptions['onMember']

  constructor(inner: ClusterOptions['onMember']) {
    this.inner = inner
  }

  readonly onMember: NonNullable<ClusterOptions['onMember']> = (body, id) => {
    const { member } = body
    const onView = member.onView.bind(member)
    member.onView = (view) => {
      if (id === this.late) this.kept.push(() => onView(view))
      else onView(view)
    }
    this.inner?.(body, id)
  }

  begin({ id }: SimNode): void {
    this.late = id
  }
  end(): void {
    this.late = ''
    for (const see of this.kept.splice(0)) see()
  }
}

/** Rule 15: a member that still goes by an old view calls a leaver. */
export const leaverUnseen: Scenario = (onMember) => {
  const views = new LateViews(onMember)
  const cluster = clusterOf(3, views)
  // Two slots for three: whoever has none takes the leaver's, so the third has nothing to do with it.
  const owners = cluster.nodes.filter(({ entered }) => {
    return entered!.body.member.view!.owner.includes(entered!.no)
  })
  const [leaver, third] = owners as [SimNode, SimNode]
  const key = keyAt(third, leaver)
  views.begin(third)
  cluster.leave(leaver)
  cluster.pass(2000)
  const call = outcomeOf(reach(third).values.at(key).bump())
  cluster.pass(20)
  views.end()
  cluster.until(() => call.ended !== '' && leaver.gone, 'the call ends, and the leaver is gone')
  if (call.ended !== 'ok') throw new Violation('exactly once', `a call to a leaver: ${call.ended}`)
}

/** Rule 15: a leaver gives an actor to a member that is new in a view which it has only heard of. */
export const newcomerUnseen: Scenario = (onMember) => {
  const views = new LateViews(onMember)
  const cluster = clusterOf(2, views)
  const [leaver, other] = cluster.nodes as [SimNode, SimNode]
  const key = keyAt(leaver, other)
  let endTurn = () => {}
  reach(leaver).boxes.with(key, () => new Promise<void>((go) => (endTurn = go)))
  cluster.pass(10)
  cluster.leave(leaver)
  cluster.pass(50)
  views.begin(leaver)
  const newcomer = cluster.join()
  cluster.until(() => newcomer.entered !== undefined, 'one joins')
  const turn = outcomeOf(reach(newcomer).boxes.with(key, (s) => ++s.n))
  cluster.pass(50)
  const found = loseFrames(cluster, leaver, newcomer)
  endTurn()
  cluster.pass(500)
  found()
  views.end()
  cluster.until(() => turn.ended !== '' && leaver.gone, 'the turn ends, and the leaver is gone')
  if (turn.ended !== 'ok') throw new Violation('one home', `what a leaver gave: ${turn.ended}`)
}

/** Crash: a turn ends between its instance's FENCE and its REPORT, and its actor has been asked for. */
export const askedForWhileFenced: Scenario = (onMember) => {
  const views = new LateViews(onMember)
  const cluster = clusterOf(4, { slotBits: 2, onMember: views.onMember })
  const [owner, home, asker, dead] = cluster.nodes as [SimNode, SimNode, SimNode, SimNode]
  const key = keyAt(owner, owner)
  let endTurn = () => {}
  reach(home).boxes.with(key, (s) => {
    s.n = 7
    return new Promise<void>((go) => (endTurn = go))
  })
  cluster.pass(10)
  const turn = outcomeOf(reach(asker).boxes.with(key, (s) => ++s.n))
  cluster.pass(10)
  views.begin(owner)
  cluster.crash(dead)
  const knows = ({ entered }: SimNode) => entered!.body.member.view!.crash.epoch > 0
  cluster.until(() => knows(home) && knows(asker), 'the crash is noticed')
  cluster.pass(20)
  // The asker has all FENCEs, and reports; the home, whose own is out, waits for the last one.
  const found = loseFrames(cluster, owner, home)
  views.end()
  cluster.pass(20)
  endTurn()
  cluster.pass(20)
  found()
  const isOver = () => [owner, home, asker].every((n) => n.entered!.body.member.space.quiet)
  cluster.until(() => turn.ended !== '' && isOver(), 'the turn that waited ends, and the recovery')
  const last = Promise.resolve(reach(owner).boxes.with(key, ({ n }) => n))
  const n = cluster.settle(last, 'a later turn')
  if (turn.ended !== 'ok' || n !== 8) {
    throw new Violation('same state', `7, and one more, came to ${n}; ${turn.ended}`)
  }
}

/** Crash: an actor that a survivor has ends there, and begins anew elsewhere before the new slot owner hears of it. */
export const endedUnheard: Scenario = (onMember) => {
  const cluster = clusterOf(4, { slotBits: 2, ...seen(onMember) })
  const [dead, ...survivors] = cluster.nodes as [SimNode, SimNode, SimNode, SimNode]
  const count = (by: SimNode, key: number) => {
    const turn = Promise.resolve(reach(by).boxes.with(key, (s) => ++s.n))
    return cluster.settle(turn, 'a turn')
  }
  // Of one slot, in this order: so the actors have the numbers 1, 2 and 3. Spare ones are for counting as far again.
  const keys: number[] = []
  for (let n = 0; n < 5; n++) keys.push(keyAt(dead, dead, (keys.at(-1) ?? 0) + 1))
  for (const [i, home] of survivors.entries()) count(home, keys[i]!)
  cluster.crash(dead)
  const isOver = ({ entered }: SimNode) => {
    const { member } = entered!.body
    return member.view!.crash.epoch > 0 && member.space.quiet
  }
  cluster.until(() => survivors.every(isOver), 'the crash is recovered from')
  const owner = survivors.find((node) => keyAt(node, node, keys[0]) === keys[0])!
  const at = survivors.findIndex((node) => node !== owner)
  const home = survivors[at]!
  const asker = survivors.find((node) => node !== owner && node !== home)!
  for (const spare of keys.slice(3, 3 + at)) count(owner, spare)
  const found = loseFrames(cluster, home, owner)
  cluster.settle(Promise.resolve(reach(home).boxes.remove(keys[at]!)), 'it ends')
  count(asker, keys[at]!)
  found()
  cluster.pass(500)
  const n = count(owner, keys[at]!)
  if (n !== 2) throw new Violation('one home', `a turn there and one here came to ${n}`)
}

/** Rule 22: one reader asks twice, first while it has no credit; meanwhile the actor moves. */
export const readWhileStalled: Scenario = (onMember) => {
  const cluster = clusterOf(3, seen(onMember))
  const [first] = cluster.nodes as [SimNode]
  const owner = cluster.nodes.find(({ entered }) => {
    return entered!.body.member.view!.owner.includes(entered!.no)
  })!
  const [reader, home] = cluster.nodes.filter((n) => n !== owner) as [SimNode, SimNode]
  const key = keyAt(first, owner)
  const count = (by: SimNode) => {
    const turn = Promise.resolve(reach(by).boxes.with(key, (s) => void ++s.n))
    cluster.settle(turn, 'a turn')
  }
  count(home)
  const { space } = reader.entered!.body.member
  let starved = true
  const out = part(part(space, 'core'), 'out')
  replace(out, 'creditLeft', (original: (to: number) => number) => (to) => {
    return starved ? 0 : original(to)
  })
  const saw: number[] = []
  const read = () => {
    void Promise.resolve(reach(reader).boxes.at(key).get()).then((n) => saw.push(n))
  }
  const found = loseFrames(cluster, home, reader)
  read()
  starved = false
  read()
  cluster.pass(20)
  count(owner)
  space.onCredit()
  cluster.pass(20)
  found()
  cluster.until(() => saw.length === 2, 'both reads are answered')
  if (saw[1]! < saw[0]!) throw new Violation('bounded', `a reader saw ${saw[0]}, then ${saw[1]}`)
}

/** Frames of that way are lost until what it answers is called. */
function loseFrames(cluster: SimCluster, from: SimNode, to: SimNode): () => void {
  let lost = true
  const [by, at] = [from.entered!.no, to.entered!.no]
  type Frame = (from: number, to: number) => number[]
  replace(cluster.network, 'frame', (original: Frame) => (...way) => {
    return lost && way[0] === by && way[1] === at ? [] : original(...way)
  })
  return () => {
    lost = false
  }
}

/** How something ends, once it has: `ok`, or the error. */
function outcomeOf(asked: unknown): { ended: string } {
  const outcome = { ended: '' }
  Promise.resolve(asked).then(
    () => {
      outcome.ended = 'ok'
    },
    (error) => {
      outcome.ended = String(error)
    },
  )
  return outcome
}

function seen(onMember: ClusterOptions['onMember']): Partial<ClusterOptions> {
  return onMember === undefined ? {} : { onMember }
}
