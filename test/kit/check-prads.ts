/**
 * `npm run check:prads [capture …]`: our asset log beside real prads's, capture by capture, and the lines that differ.
 */
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import {
  type Agreement,
  agreement,
  captures,
  type Mode,
  modes,
  systemSignatures,
} from './prads-agreement.ts'

const data = dataDirectory()
const wanted = process.argv.slice(2)
const all = captures(data).filter((name) => wanted.length === 0 || wanted.includes(name))
if (all.length === 0) console.log(`no stored logs of prads in ${data}: nothing to compare`)
else if (!existsSync(systemSignatures)) {
  console.log(
    `${systemSignatures} is not there (Debian: apt-get install prads): nothing to compare`,
  )
} else for (const mode of ['default', 'full'] as const) await check(mode)

async function check(mode: Mode): Promise<void> {
  console.log(`prads ${modes[mode]}`)
  console.log(row('capture', 'theirs', 'ours', 'common', 'recall', 'precision'))
  const results: Agreement[] = []
  for (const name of all) {
    const result = await agreement(data, name, mode)
    results.push(result)
    console.log(resultRow(result))
  }
  const sum = (of: (a: Agreement) => number) => results.reduce((n, a) => n + of(a), 0)
  const total = {
    theirs: sum((a) => a.theirs),
    ours: sum((a) => a.ours),
    common: sum((a) => a.common),
  }
  console.log(resultRow({ capture: 'all', missing: [], extra: [], ...total }))
  for (const { capture, missing, extra } of results) {
    for (const line of missing) console.log(`${capture} - ${line}`)
    for (const line of extra) console.log(`${capture} + ${line}`)
  }
}

function resultRow({ capture, theirs, ours, common }: Agreement): string {
  const percent = (of: number) => (of === 0 ? '–' : `${((100 * common) / of).toFixed(1)} %`)
  return row(capture, `${theirs}`, `${ours}`, `${common}`, percent(theirs), percent(ours))
}

function row(first: string, ...cells: string[]): string {
  return first.padEnd(24) + cells.map((cell) => cell.padStart(11)).join('')
}

/** Beside the checkout, whether this runs from its sources or from what was built of them. */
function dataDirectory(): string {
  for (let at = dirname(fileURLToPath(import.meta.url)); ; at = dirname(at)) {
    const found = join(at, 'shared', 'data')
    if (existsSync(found) || at === dirname(at)) return found
  }
}
