import { MemoryHub, systemClock } from '../bus/index.ts'
import type { Entered, Instance } from '../cli/index.ts'
import type { BenchOptions, Row } from './bench.ts'
import { median } from './measure.ts'
import { joinInstance, until } from './members.ts'
import { flowCounter } from './solo-instance.ts'

/** Joins whose median is a point of the curve. */
const AT = [10, 20, 50, 100, 200]
const AROUND = 5

/**
 * Instances that join one after the other, all on one thread (memory bus): processor time of a whole join, from the word
 * until each has the view and the newcomer its tokens, for each member.
 */
export async function joins(o: BenchOptions): Promise<Row> {
  const hub = new MemoryHub({ clock: systemClock() })
  const members: Entered<Instance>[] = []
  const isThere = ({ body: { member } }: Entered<Instance>) =>
    member.view?.members.length === members.length && member.space.slotsDue === 0
  const perMember: number[] = []
  const most = o.tiny ? 6 : AT.at(-1)!
  for (let n = 1; n <= most; n++) {
    if (n % 50 === 0) o.say(`placement: ${n} instances have joined`)
    const before = process.cpuUsage()
    members.push(await joinInstance(hub.connect(), `i${n}`, flowCounter))
    await until(() => members.every(isThere))
    const { user, system } = process.cpuUsage(before)
    perMember.push((user + system) / 1000 / n)
  }
  for (const { stop } of members) stop()
  const around = (n: number) => median(perMember.slice(Math.max(0, n - AROUND), n))
  const points = (o.tiny ? [most] : AT).map((n) => [n, around(n)] as const)
  return {
    what: `a join that makes ${most} instances, processor time of each member`,
    value: around(most),
    unit: 'ms',
    series: { 'a whole join, processor time of each member': points },
    note: `all members on one thread; among ${points.map(([n, ms]) => `${n}: ${ms.toFixed(2)} ms`).join(', ')}; each of ${AROUND} joins’ median`,
  }
}
