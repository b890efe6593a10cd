/**
 * N ≡ 1: an NF on instances that come and go under its packets ends as on one instance, byte for byte; on both buses,
 * with both placements. And what each instance takes upon itself is its share.
 */
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { findNatsServer } from '../../bus/index.ts'
import type { RunReport } from '../../cli/index.ts'
import { Random } from '../../loadgen/index.ts'
import { type Result, run, sample, shared } from './rehome.ts'

const buses = findNatsServer() || process.env.NATS_URL ? ['memory', 'nats'] : ['memory']
if (buses.length === 1)
  console.log('no nats-server on this machine: runs over the memory bus alone')
const placements = ['aligned', 'spread']
const ways = buses.flatMap((bus) => placements.map((placement) => [bus, placement] as const))

const on = (bus: string, placement: string, scale: string) =>
  ['--bus', bus, '--placement', placement, '--scale', scale] as const

/** The same result on one instance: found once for each NF and capture. */
const alone = new Map<string, Promise<Result>>()
function onOne(...what: string[]): Promise<Result> {
  const key = what.join(' ')
  let result = alone.get(key)
  if (!result) {
    result = run(...what, '--bus', 'memory', '--scale', '1')
    alone.set(key, result)
  }
  return result
}

function expectSound({ report }: Result): void {
  expect(report).toMatchObject({ dropped: 0, errors: 0 })
  expect(report.calls.untetherApplied).toBe(report.calls.untether)
  expect(report.instances.reduce((n, i) => n + i.packets, 0)).toBe(report.packets)
  expect(report.instances.reduce((n, i) => n + i.rehomedOut, 0)).toBe(report.rehomes)
}

const figures = ({ bus, placement, rehomes, packetsDuringHandoff, seconds }: RunReport) =>
  `${bus} ${placement}: ${rehomes} rehomes, ${packetsDuringHandoff} packets meanwhile, ${seconds} s`

describe('the sample on 1, 2, 3 and 1 instances', () => {
  const system = '/etc/prads'
  const nfs = [['prads'], ['host-counter'], ['tcp-tracker']]
  if (existsSync(system)) nfs.push(['prads', '--signatures', system])
  else console.log(`no ${system}: PRADS runs with its own signatures alone`)

  // Over the memory bus real-prads.test.ts has the system's signatures.
  const cases = nfs
    .flatMap((nf) => buses.map((bus) => ({ name: nf.join(' '), nf, bus })))
    .filter(({ nf, bus }) => !nf.includes(system) || bus === 'nats')
  it.each(cases)('$name on $bus: as on one', async ({ name, nf, bus }) => {
    const what = [...nf, '--pcap', sample]
    const one = await onOne(...what)
    expectSound(one)
    expect(one.report).toMatchObject({ packets: 28_401, rehomes: 0, malformed: 2 })
    // Their parts are paced, so that two go well beside each other.
    const both = placements.map((placement) => run(...what, ...on(bus, placement, '1,2,3,1')))
    for (const result of await Promise.all(both)) {
      console.log(`${name}, ${figures(result.report)}`)
      expectSound(result)
      expect(result.out === one.out).toBe(true)
      const { packets, bytes, malformed, rehomes, packetsDuringHandoff } = result.report
      expect(packets).toBe(one.report.packets)
      expect(bytes).toBe(one.report.bytes)
      expect(malformed).toBe(one.report.malformed)
      expect(rehomes).toBeGreaterThan(100)
      expect(packetsDuringHandoff).toBeGreaterThan(0)
      expect(result.report.instances.map((i) => i.id).sort()).toEqual(['i1', 'i2', 'i3'])
    }
  })

  it('local-only: scaling breaks what an NF knows', async () => {
    const one = await onOne('prads', '--pcap', sample)
    const args = ['prads', '--pcap', sample, ...on('memory', 'aligned', '1,2,3,2')]
    const result = await run(...args, '--model', 'local-only')
    expect(result.report).toMatchObject({ rehomes: 0, dropped: 0, errors: 0 })
    const lost = linesOnlyIn(one.out, result.out)
    const wrong = linesOnlyIn(result.out, one.out)
    console.log(`local-only: ${lost} lines of the result missing, ${wrong} that are none of it`)
    expect(lost).toBeGreaterThan(0)
    expect(wrong).toBeGreaterThan(0)
  })
})

function linesOnlyIn(one: string, other: string): number {
  const there = new Set(other.split('\n'))
  return one.split('\n').filter((line) => !there.has(line)).length
}

/** `REHOME_ALL=1` tries all; otherwise each run of the tests a few others, told by their seed. */
describe('captures of others on 1, 2, 3 and 1 instances', () => {
  const CAPTURES_MAX = 2
  const dir = join(shared, 'pcaps')
  const all = existsSync(dir) ? readdirSync(dir).sort() : []
  if (all.length === 0) console.log(`no captures in ${dir}: the sample alone is tried`)
  const whole = process.env.REHOME_ALL === '1'
  const seed = Number(process.env.REHOME_SEED ?? Date.now() % 1_000_000)
  const random = new Random(seed)
  const rest = [...all]
  const chosen: string[] = []
  while (rest.length > 0 && (whole || chosen.length < CAPTURES_MAX)) {
    chosen.push(...rest.splice(random.u32() % rest.length, 1))
  }
  if (all.length > 0 && !whole) {
    console.log(`REHOME_SEED=${seed}: ${chosen.join(', ')}; REHOME_ALL=1 tries all ${all.length}`)
  }

  it.each(chosen)(
    '%s: PRADS as on one',
    async (name) => {
      const what = ['prads', '--pcap', join(dir, name)]
      const one = await onOne(...what)
      const tried = whole ? ways : [ways[random.u32() % ways.length]!]
      for (const [bus, placement] of tried) {
        const result = await run(...what, ...on(bus, placement, '1,2,3,1'))
        console.log(`${name}, ${figures(result.report)}`)
        expectSound(result)
        expect(result.out === one.out).toBe(true)
      }
    },
    120_000,
  )
})

/**
 * What each instance is to have is its share of the slots, which on a cluster of constant size is the same for all
 * to ±1 slot. While the scale changes, it is another at each moment.
 */
describe('the shares of two and of three instances', () => {
  const traffic = {
    sample: ['--pcap', sample],
    synthetic: ['--synthetic', 'flows=2000,packets=50000,seed=7'],
  }
  it.each(
    Object.entries(traffic).flatMap(([name, input]) =>
      placements.map((placement) => ({ name, input, placement })),
    ),
  )('$name, $placement: within a fifth', async ({ input, placement }) => {
    const sizes = [2, 3]
    const ran = sizes.map((n) => run('host-counter', ...input, ...on('memory', placement, `${n}`)))
    for (const [at, { report }] of (await Promise.all(ran)).entries()) {
      const n = sizes[at]!
      expect(report.instances).toHaveLength(n)
      for (const what of ['packets', 'actors'] as const) {
        const each = report.instances.map((i) => i[what])
        const mean = each.reduce((sum, x) => sum + x, 0) / n
        for (const x of each) {
          expect(x / mean, `${what} of ${each}`).toBeGreaterThan(0.8)
          expect(x / mean, `${what} of ${each}`).toBeLessThan(1.2)
        }
      }
    }
  })
})
