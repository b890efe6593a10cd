import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { benches, isReached, lineOf, page, pictures, type Row } from '../../bench/index.ts'
import { findNatsServer } from '../../bus/index.ts'

/** These start processes of the built program, or a server; the others run in this process alone. */
const NEED_BUILD = new Set(['calls', 'growth', 'hot-path', 'models', 'parts', 'scale-out', 'store'])
const NEED_NATS = new Set(['calls', 'growth', 'models', 'rehome', 'scale-out', 'store'])

/** The command as it was built: from the sources these would find no program to start. */
function command(...args: string[]): Promise<{ code: number | null; text: string }> {
  const main = fileURLToPath(new URL('../../dist/bench/main.js', import.meta.url))
  const child = spawn(process.execPath, [main, ...args])
  let text = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (part) => {
      text += part
    })
  }
  return new Promise((resolve) => child.once('close', (code) => resolve({ code, text })))
}

describe('each bench runs, tiny', () => {
  for (const bench of benches) {
    if (NEED_BUILD.has(bench.name)) {
      it.runIf(findNatsServer() !== undefined)(bench.name, async () => {
        const { code, text } = await command(bench.name, '--tiny')
        expect(code, text).toBe(0)
        expect(text).toMatch(/goals reached/)
      })
      continue
    }
    const here = !NEED_NATS.has(bench.name) || findNatsServer() !== undefined
    it.runIf(here)(bench.name, async () => {
      const rows = await bench.run({ tiny: true, seconds: 1, say: () => {} })
      expect(rows.length).toBeGreaterThan(0)
      for (const row of rows) {
        expect(row.value, row.what).toBeGreaterThanOrEqual(0)
        expect(lineOf(row)).toContain(row.what)
      }
    })
  }
})

describe('a row', () => {
  const row = { what: 'this ÷ that', unit: '', value: 0.5 }

  it('tells whether its goal is reached', () => {
    expect(isReached(row)).toBeUndefined()
    expect(isReached({ ...row, goal: { least: 0.5 } })).toBe(true)
    expect(isReached({ ...row, goal: { least: 0.51 } })).toBe(false)
    expect(isReached({ ...row, goal: { most: 0.4 } })).toBe(false)
  })

  it('is a line with its goal beside the figure', () => {
    expect(lineOf({ ...row, goal: { least: 0.6 } })).toBe(
      'this ÷ that: 0.500  goal ≥ 0.600: MISSED',
    )
    expect(lineOf({ what: 'calls', unit: '/s', value: 1_234_567 })).toBe('calls: 1.23 M /s')
  })
})

describe('the report', () => {
  const rounds = [10, 12, 11].map((wallMs) => ({ count: 1000, wallMs, cpuMs: wallMs * 1.5 }))
  const models: Row[] = ['prads, spread', 'nat, aligned'].map((of) => ({
    what: `${of}: packets/s shared ÷ local-only`,
    value: 0.9,
    unit: '',
    goal: { least: 0.95 },
    samples: { shared: rounds, 'local-only': rounds, 'remote-only': rounds },
  }))
  const event: Row = {
    what: '1000 flows: median latency of the flows that move, stop-and-sync ÷ shared',
    value: 200,
    unit: '',
    goal: { least: 100 },
    series: {
      'shared, median': [
        [0, 10],
        [10, 12],
      ],
      'stop-and-sync, median': [
        [0, 10],
        [10, 9_000],
      ],
    },
    note: 'a <note>',
  }
  const told = { models, 'scale-stop': [event] }

  it('has the pictures of what ran, each with numbers alone', () => {
    const drawn = pictures(told)
    expect(drawn.map(({ file }) => file)).toEqual([
      'throughput-by-model.svg',
      'latency-over-scale-out.svg',
      'cpu-by-model.svg',
    ])
    for (const { svg } of drawn) expect(svg).not.toMatch(/NaN|Infinity|undefined/)
  })

  it('has every figure beside its goal, and asks nothing of a network', () => {
    const html = page({ machine: 'a machine', at: '2026-01-01T00:00:00Z', benches: told })
    expect(html).toContain('1 of 3 goals reached')
    expect(html).toContain('a &lt;note&gt;')
    expect(html.match(/<svg /g)).toHaveLength(3)
    const links = html
      .replaceAll('http://www.w3.org/2000/svg', '')
      .match(/https?:|src=|@import|url\(/g)
    expect(links).toBeNull()
  })

  it('is empty where nothing ran', () => expect(pictures({})).toEqual([]))
})
