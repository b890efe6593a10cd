import { describe, expect, it } from 'vitest'
import { type MemberNo, PROTOCOL_VERSION, RehomeError } from '../../bus/index.ts'
import {
  decodeView,
  emptyView,
  encodeView,
  firstView,
  type JoinInfo,
  type Member,
  movesDue,
  noCrash,
  rebalanced,
  type Settled,
  View,
  withLeaving,
  withMember,
  without,
  withoutCrashed,
} from '../../placement/index.ts'

const info = (id: string, more: Partial<JoinInfo> = {}): JoinInfo => ({
  id,
  role: 'instance',
  protocol: 1,
  schema: 'a1b2',
  ...more,
})
const nobody: Settled = new Map()
const everybody = (view: View): Settled => new Map(view.members.map((m) => [m.no, view.epoch]))
const counts = (view: View) => view.activeInstances().map((m) => view.slotsOf(m.no).length)
const list = (table: Uint32Array) => [...table]

/** n instances, each settled before the next one joins. */
function grown(n: number, slotBits?: number): View {
  let view = firstView(info('i1'), slotBits)
  for (let i = 2; i <= n; i++) view = withMember(view, info(`i${i}`), everybody(view))
  return view
}
function codeOf(run: () => unknown): string {
  try {
    run()
  } catch (e) {
    if (e instanceof RehomeError) return `${e.code}: ${e.message}`
    throw e
  }
  return 'no error'
}

describe('the slot table', () => {
  it('gives the founder all slots and tokens', () => {
    const view = firstView(info('a'), 3)
    expect(view.epoch).toBe(1)
    expect(view.members).toEqual([{ no: 1, ...info('a'), state: 'active' }])
    expect(list(view.owner)).toEqual(Array(8).fill(1))
    expect(list(view.holder)).toEqual(Array(8).fill(1))
    expect(view.slotsOf(1)).toEqual([0, 1, 2, 3, 4, 5, 6, 7])
  })

  it('moves nothing that its owner has not reported', () => {
    const view = withMember(firstView(info('a'), 3), info('b'), nobody)
    expect(counts(view)).toEqual([8, 0])
    expect(movesDue(view)).toBe(4)
    expect(rebalanced(view, nobody)).toBeUndefined()
    const next = rebalanced(view, new Map([[1, 1]]))!
    expect(list(next.owner)).toEqual([1, 2, 1, 2, 1, 2, 1, 2])
    expect(list(next.holder)).toEqual(Array(8).fill(1))
    expect(list(next.since)).toEqual([1, 3, 1, 3, 1, 3, 1, 3])
    expect(movesDue(next)).toBe(0)
  })

  it('lets a pinned slot be and leaves the holder to PULL from', () => {
    const two = withMember(firstView(info('a'), 3), info('b'), new Map([[1, 1]]))
    const three = withMember(two, info('c'), new Map([[1, 2]]))
    // 2 has not reported its four slots, so 1 gives only what is over its own share.
    expect(counts(three)).toEqual([3, 4, 1])
    const pinned = two.slotsOf(2)
    expect(pinned.map((s) => three.holder[s])).toEqual([1, 1, 1, 1])
    const last = rebalanced(
      three,
      new Map([
        [1, 2],
        [2, 2],
      ]),
    )!
    expect(counts(last)).toEqual([3, 3, 2])
    expect(rebalanced(last, everybody(last))).toBeUndefined()
  })

  it('gives to those with the fewest slots first, while there is not enough for all', () => {
    const four = grown(4, 4)
    const owner = Uint32Array.from([1, 1, 1, 1, 1, 1, 1, 1, 3, 3, 4, 4, 4, 4, 4, 4])
    const view = decodeView(encodeView({ ...four, owner, holder: owner }))
    // 4 leaves and has not reported its slots; of the three others 1 has two slots too many.
    const next = withLeaving(view, 4, new Map([[1, view.epoch]]))!
    expect(counts(next)).toEqual([6, 2, 2])
    const last = rebalanced(next, everybody(next))!
    expect(counts(last)).toEqual([6, 5, 5])
  })

  it('empties a leaver, and takes it out once', () => {
    const three = grown(3, 3)
    const leaving = withLeaving(three, 2, everybody(three))!
    expect(leaving.slotsOf(2)).toEqual([])
    expect(withLeaving(leaving, 2, nobody)).toBeUndefined()
    expect(withLeaving(leaving, 9, nobody)).toBeUndefined()
    const two = without(leaving, 2, nobody)!
    expect(two.memberOf(2)).toBeUndefined()
    expect(list(two.owner)).toEqual(list(leaving.owner))
    expect(list(two.holder)).toEqual(list(leaving.owner))
    expect(without(two, 2, nobody)).toBeUndefined()
    expect(withMember(two, info('d'), nobody).members.at(-1)!.no).toBe(4)
  })

  it('makes the survivors holders of what a crash has taken', () => {
    const two = withMember(firstView(info('a'), 3), info('b'), new Map([[1, 1]]))
    // 1 crashes before 2 has pulled anything from it.
    const one = withoutCrashed(two, 1, 7, nobody)!
    expect(two.crash).toEqual(noCrash)
    expect(one.crash).toEqual({ epoch: 3, below: 3, members: 1, actors: 7 })
    expect(list(one.owner)).toEqual(Array(8).fill(2))
    expect(list(one.holder)).toEqual(Array(8).fill(2))
    expect(list(one.since)).toEqual([3, 2, 3, 2, 3, 2, 3, 2])
  })

  it('lets the last instance leave with its slots, or give them to the next one', () => {
    const one = withLeaving(firstView(info('a'), 3), 1, everybody(firstView(info('a'), 3)))!
    expect(one.slotsOf(1).length).toBe(8)
    const joined = withMember(one, info('b'), everybody(one))
    expect(list(joined.owner)).toEqual(Array(8).fill(2))
    expect(list(joined.holder)).toEqual(Array(8).fill(1))
    const empty = without(one, 1, nobody)!
    expect(list(empty.owner)).toEqual(Array(8).fill(0))
    const again = withMember(empty, info('c'), nobody)
    expect(again.members.map((m) => m.no)).toEqual([2])
    expect(list(again.owner)).toEqual(Array(8).fill(2))
    expect(list(again.holder)).toEqual(Array(8).fill(2))
  })

  it('gives steerers no slots, also when one is there first', () => {
    const steered = firstView(info('s', { role: 'steerer' }), 3)
    expect(list(steered.owner)).toEqual(Array(8).fill(0))
    const view = withMember(steered, info('a'), nobody)
    expect(list(view.owner)).toEqual(Array(8).fill(2))
    expect(view.activeInstances().map((m) => m.no)).toEqual([2])
  })

  it('has more instances than slots, and keeps as many of them busy', () => {
    const view = grown(12, 3)
    expect(new Set(view.owner).size).toBe(8)
    expect(movesDue(view)).toBe(0)
  })

  it('refuses what does not fit, in words', () => {
    const view = firstView(info('a'), 3)
    expect(codeOf(() => withMember(view, info('b', { protocol: 2 }), nobody))).toMatch(
      /^mismatch: instance "b" speaks protocol 2, the cluster speaks 1: run the same version/,
    )
    const steerer = info('s', { role: 'steerer', schema: 'ffff' })
    expect(codeOf(() => withMember(view, steerer, nobody))).toMatch(
      /^mismatch: steerer "s" has the state schema ffff, the cluster has a1b2: run the same NF/,
    )
    expect(codeOf(() => withMember(view, info(''), nobody))).toMatch(/^bad-argument: /)
    expect(codeOf(() => withMember(view, info('x'.repeat(65)), nobody))).toMatch(/^bad-argument: /)
  })

  it('stands in less than 64 KiB and 10 ms with 1,000 instances', () => {
    // As after 1,000 joins: each member has slots that came to it when it joined.
    const members = Array.from(
      { length: 1000 },
      (_, i): Member => ({ ...info(`instance-${i + 1}.example`), no: i + 1, state: 'active' }),
    )
    const owner = Uint32Array.from({ length: 16_384 }, (_, s) => 1 + ((s * 7919) % 1000))
    const parts = { epoch: 1000, slotBits: 14, members, nextNo: 1001, crash: noCrash }
    const view = new View({ ...parts, owner, holder: owner, since: owner })
    const bytes = encodeView(view).length
    const settled = everybody(view)
    // Time of our own: the wall clock would count what else the machine does.
    let bestMs = Number.POSITIVE_INFINITY
    let next: View = view
    for (let i = 0; i < 20; i++) {
      const start = process.cpuUsage()
      next = withMember(view, info('i1001'), settled)
      const { user, system } = process.cpuUsage(start)
      bestMs = Math.min(bestMs, (user + system) / 1000)
    }
    const moved = list(next.owner).filter((no, s) => no !== view.owner[s]).length
    console.log(`view of 1,000: ${bytes} bytes; next table in ${bestMs.toFixed(2)} ms`)
    expect(moved).toBe(Math.floor(16384 / 1001))
    expect(bytes).toBeLessThan(65_536)
    expect(bestMs).toBeLessThan(10)
  })

  it('spreads the slots that one instance gives over its whole range', () => {
    const taken = grown(4).slotsOf(4)
    for (let quarter = 0; quarter < 4; quarter++) {
      const here = taken.filter((s) => s >> 12 === quarter).length
      expect(Math.abs(here - 1024)).toBeLessThan(8)
    }
  })
})

describe('a view on the wire', () => {
  it('says that another protocol wrote it', () => {
    const bytes = encodeView(firstView(info('a')))
    bytes[0] = 77
    expect(codeOf(() => decodeView(bytes))).toBe(
      `mismatch: the cluster's view is of protocol 77, this program speaks ${PROTOCOL_VERSION}`,
    )
  })

  it('refuses what does not hold together', () => {
    const good = grown(3, 3)
    const withOwner = (no: MemberNo) => {
      const owner = good.owner.slice()
      owner[5] = no
      return encodeView({ ...good, owner, holder: owner })
    }
    expect(codeOf(() => decodeView(withOwner(9)))).toMatch(/^bad-frame: .*stranger/)
    const early = encodeView({ ...good, nextNo: 2 })
    expect(codeOf(() => decodeView(early))).toMatch(/^bad-frame: .*before it came/)
    const late = good.since.map(() => 99)
    expect(codeOf(() => decodeView(encodeView({ ...good, since: late })))).toMatch(
      /^bad-frame: .*future/,
    )
    const bytes = encodeView(good)
    expect(codeOf(() => decodeView(Uint8Array.of(...bytes, 0)))).toMatch(/^bad-frame: .*too many/)
    expect(codeOf(() => decodeView(bytes.subarray(0, 20)))).toMatch(/^bad-frame: /)
    expect(codeOf(() => decodeView(new Uint8Array(0)))).toMatch(/^bad-frame: /)
  })

  it('carries the empty cluster', () => {
    expect(decodeView(encodeView(emptyView(2)))).toEqual(emptyView(2))
  })
})
