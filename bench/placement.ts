import { PROTOCOL_VERSION } from '../bus/index.ts'
import { firstView, type View, withMember } from '../placement/index.ts'
import type { Bench, BenchOptions, Row } from './bench.ts'
import { joins } from './joins.ts'
import { median } from './measure.ts'

const info = (n: number) => ({
  id: `i${n}`,
  role: 'instance' as const,
  protocol: PROTOCOL_VERSION,
  schema: 'bench',
})

/** All members have their slots, as of this view. */
const settled = (view: View) => new Map(view.members.map((m) => [m.no, view.epoch]))

/** The newcomer's share is the least that must move; a share is all slots over n + 1, rounded down. */
function leastMoves(view: View): number {
  return Math.floor(view.owner.length / view.members.length)
}

/** By eighths of a power of ten: single joins say little. */
function medians(curve: readonly (readonly [number, number])[]): [number, number][] {
  const groups = new Map<number, (readonly [number, number])[]>()
  for (const point of curve) {
    const at = Math.floor(8 * Math.log10(point[0]))
    groups.set(at, [...(groups.get(at) ?? []), point])
  }
  return [...groups.values()]
    .filter((points) => points.length >= 5)
    .map((points) => [median(points.map(([x]) => x)), median(points.map(([, y]) => y))])
}

export const placement: Bench = {
  name: 'placement',
  summary:
    'slots moved when an instance joins n others ÷ the least that must move; ms for a view of 1,000 instances',
  async run(o: BenchOptions): Promise<Row[]> {
    const most = o.tiny ? 8 : 1_000
    let view = firstView(info(1))
    let worst = 0
    const times: number[] = []
    const curve: [number, number][] = []
    for (let n = 1; n < most; n++) {
      const start = performance.now()
      const next = withMember(view, info(n + 1), settled(view))
      const ms = performance.now() - start
      const before = view.owner
      const moved = next.owner.reduce(
        (sum, owner, slot) => sum + (owner !== before[slot] ? 1 : 0),
        0,
      )
      worst = Math.max(worst, moved / leastMoves(next))
      if (n >= most * 0.8) times.push(ms)
      curve.push([n + 1, ms])
      view = next
    }
    const moves = `n from 1 to ${most - 1}; the seed's hash modulo n moves n/(n+1) of all slots`
    return [
      {
        what: 'slots moved ÷ least possible, worst join',
        value: worst,
        unit: '',
        goal: { most: 1 },
        note: moves,
      },
      {
        what: `a view of ${most} instances`,
        value: median(times),
        unit: 'ms',
        goal: { most: 10 },
        series: { 'the next view, computed': medians(curve) },
        note: `median of ${times.length}; longest ${Math.max(...times).toFixed(1)} ms`,
      },
      await joins(o),
    ]
  },
}
