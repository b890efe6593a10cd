/**
 * The state models that are consistent end as one instance does: `remote-only` and `stop-and-sync`, byte for byte,
 * while the scale changes under them.
 */
import { describe, expect, it } from 'vitest'
import { findNatsServer } from '../../bus/index.ts'
import { run, sample } from './rehome.ts'

const buses = findNatsServer() || process.env.NATS_URL ? ['memory', 'nats'] : ['memory']
if (buses.length === 1)
  console.log('no nats-server on this machine: models run over the memory bus alone')

const what = ['prads', '--pcap', sample]
const one = run(...what, '--bus', 'memory', '--scale', '1')

describe.each(['remote-only', 'stop-and-sync'])(
  '%s, the sample on 1, 2, 3 and 1 instances',
  (model) => {
    it('is as on one, over each bus', async () => {
      const on = (bus: string, placement: string) =>
        run(...what, '--bus', bus, '--placement', placement, '--scale', '1,2,3,1', '--model', model)
      const runs = [on('memory', 'spread'), ...buses.slice(1).map((bus) => on(bus, 'aligned'))]
      for (const { report, out } of await Promise.all(runs)) {
        expect(report).toMatchObject({ model, dropped: 0, errors: 0, packets: 28_401 })
        expect(report.calls.untetherApplied).toBe(report.calls.untether)
        expect(out === (await one).out).toBe(true)
        if (model === 'remote-only') {
          expect(report.rehomes).toBe(0)
          expect(report.calls.staleHits + report.calls.untetherMerged).toBe(0)
          const store = report.instances.find((i) => i.id === 'store')
          expect(store).toMatchObject({ packets: 0 })
          for (const i of report.instances) if (i !== store) expect(i.actors).toBe(0)
        } else expect(report.rehomes).toBeGreaterThan(1_000)
      }
    })
  },
)

/** A NAT's actors are of many kinds, and instances take turns over the same ones. */
it.each(['remote-only', 'stop-and-sync'])(
  '%s: the NAT of the sample ends as on one',
  async (model) => {
    const nat = ['nat', '--pcap', sample]
    const alone = await run(...nat, '--bus', 'memory', '--scale', '1')
    const result = await run(...nat, '--bus', 'memory', '--scale', '2', '--model', model)
    expect(result.report).toMatchObject({ dropped: 0, errors: 0 })
    expect(result.out === alone.out).toBe(true)
  },
)

it('local-only: the result is that of each instance, and says so', async () => {
  const input = ['host-counter', '--synthetic', 'flows=200,packets=4000,seed=3']
  const { report, out } = await run(
    ...input,
    ...['--bus', 'memory', '--scale', '2', '--model', 'local-only'],
  )
  const counted = [...out.matchAll(/^packets (\d+)$/gm)].map(([, n]) => Number(n))
  expect(counted.sort()).toEqual(report.instances.map((i) => i.packets).sort())
  expect(report.notes).toEqual(['the result is that of each of 2 instances'])
})
