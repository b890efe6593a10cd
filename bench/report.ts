import type { Row } from './bench.ts'
import { isReached, lineOf } from './bench.ts'
import { pictures, type Told } from './pictures.ts'
import { escaped } from './svg.ts'

/** What a run has told, as `--json` has it. */
export interface Measured {
  readonly machine: string
  /** When it was written, ISO 8601. */
  readonly at: string
  readonly benches: Told
}

const STYLE = `:root{color-scheme:light dark;--ink:#1f2328;--dim:#59636e;--line:#d8dee4;--bg:#fff;--card:#f6f8fa;--bad:#b00020;--good:#1a7f37}
@media(prefers-color-scheme:dark){:root{--ink:#e6edf3;--dim:#9aa4b2;--line:#30363d;--bg:#0d1117;--card:#161b22;--bad:#ff7b72;--good:#56c271}}
body{font:15px/1.5 system-ui,Helvetica,Arial,sans-serif;color:var(--ink);background:var(--bg);max-width:1000px;margin:2em auto;padding:0 1.2em}
h1{font-size:1.6em;margin-bottom:.2em}h2{font-size:1.2em;margin-top:2.2em;border-bottom:1px solid var(--line);padding-bottom:.2em}
p.of,figcaption,td.note{color:var(--dim)}figure{margin:1.6em 0 2.4em}figure svg{width:100%;height:auto;border:1px solid var(--line);border-radius:6px}
figcaption{font-size:14px;margin-top:.4em}.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:13px}
th{text-align:left;color:var(--dim);font-weight:600}td,th{border-top:1px solid var(--line);padding:.4em .7em .4em 0;vertical-align:top}
td.figure{white-space:nowrap;font-variant-numeric:tabular-nums}td.goal{white-space:nowrap}.missed{color:var(--bad);font-weight:600}.reached{color:var(--good)}
td.note{font-size:12px;max-width:34em}nav a{margin-right:.9em;color:inherit}.bar{background:var(--card);border:1px solid var(--line);border-radius:3px;height:10px;width:120px;position:relative}
.bar i{display:block;height:100%;border-radius:2px}.bar .ok{background:var(--good)}.bar .no{background:var(--bad)}.bar b{position:absolute;top:-3px;height:16px;width:2px;background:var(--ink);left:60px}`

/** One page that needs nothing else: the pictures, every goal, and every figure with what stands behind it. */
export function page(told: Measured): string {
  const { machine, at, benches } = told
  const all = Object.values(benches).flat()
  const goals = all.filter((row) => row.goal)
  const reached = goals.filter((row) => isReached(row))
  const names = Object.keys(benches)
  const links = names.map((name) => `<a href="#${name}">${name}</a>`).join('')
  const drawn = pictures(benches).map(
    (p) => `<figure>${p.svg}<figcaption>${escaped(p.says)}</figcaption></figure>`,
  )
  return [
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Rehome, measured</title>',
    `<style>${STYLE}</style></head><body><h1>Rehome, measured</h1>`,
    `<p class="of">${escaped(machine)}. ${escaped(at.slice(0, 16).replace('T', ' '))} UTC.</p>`,
    `<p><b>${reached.length} of ${goals.length} goals reached.</b> Ratios are of runs side by side on this machine, one round after the other, with the 95 % interval of their mean; absolute figures are context. <code>npm run bench -- NAME</code> measures one of them again.</p>`,
    `<nav><a href="#goals">goals</a>${links}</nav>`,
    ...drawn,
    '<h2 id="goals">Goals</h2>',
    table(['', 'measured', 'goal', 'measured ÷ goal'], goals.map(goalRow)),
    ...names.flatMap((name) => [
      `<h2 id="${name}">${escaped(name)}</h2>`,
      table(['', 'measured', 'goal', 'behind it'], benches[name]!.map(fullRow)),
    ]),
    '</body></html>\n',
  ].join('\n')
}

function table(heads: readonly string[], rows: readonly string[]): string {
  const head = heads.map((name) => `<th>${escaped(name)}</th>`).join('')
  return `<div class="scroll"><table><tr>${head}</tr>${rows.join('')}</table></div>`
}

/** A row's words, its figure with the spread, and its goal. */
function cells(row: Row): string {
  const { note: _, ...rest } = row
  const [figure = '', goal = ''] = lineOf(rest)
    .slice(row.what.length + 2)
    .split('  goal ')
  const state = row.goal ? (isReached(row) ? 'reached' : 'missed') : ''
  return `<td>${escaped(row.what)}</td><td class="figure">${escaped(figure)}</td><td class="goal ${state}">${escaped(goal)}</td>`
}

const fullRow = (row: Row) =>
  `<tr>${cells(row)}<td class="note">${escaped(row.note ?? '')}</td></tr>`

/** The goal is in the middle of the bar: what is beyond it is better, whichever way that is. */
function goalRow(row: Row): string {
  const { value, goal = {} } = row
  const part = goal.least === undefined ? partOf(goal.most ?? 0, value) : partOf(value, goal.least)
  const wide = Math.min(100, 50 * part)
  const sort = isReached(row) ? 'ok' : 'no'
  const bar = `<div class="bar"><i class="${sort}" style="width:${wide.toFixed(0)}%"></i><b></b></div>`
  return `<tr>${cells(row)}<td>${bar}</td></tr>`
}

const partOf = (value: number, of: number) => (value === of ? 1 : of === 0 ? 2 : value / of)
