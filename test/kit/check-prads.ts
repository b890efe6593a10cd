/**
 * `npm run check:prads [capture …]`: our asset log beside real prads's, capture by capture, and the lines that differ.
 * Captures that are files are put through the program itself; without any, the stored logs are compared.
 */
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import {
  type Agreement,
  agreement,
  captures,
  liveAgreement,
  type Mode,
  modes,
  program,
  systemSignatures,
} from './prads-agreement.ts'

const files = process.argv.slice(2)
const data = beside('shared/data')
const stored = captures(data)
install()
if (!existsSync(systemSignatures))
  console.log(`${systemSignatures} is not there: nothing to compare`)
else if (files.length > 0) await check(files, async (file, mode) => liveAgreement(file, mode))
else if (stored.length > 0) await check(stored, (name, mode) => agreement(data, name, mode))
else {
  const sample = beside('samples/office.pcap')
  console.log(`no stored logs of prads in ${data}: comparing over ${sample}`)
  await check([sample], async (file, mode) => liveAgreement(file, mode))
}

/** Debian has prads in its archive; root may ask for it. */
function install(): void {
  if (existsSync(program)) return
  if (process.getuid?.() !== 0 || !existsSync('/usr/bin/apt-get')) {
    console.log('real prads is not installed: sudo apt-get install prads')
    return
  }
  try {
    execFileSync('apt-get', ['install', '-y', 'prads'], { stdio: 'ignore' })
  } catch {
    console.log('real prads is not installed, and apt-get install prads failed')
  }
}

async function check(
  names: readonly string[],
  agree: (name: string, mode: Mode) => Promise<Agreement>,
): Promise<void> {
  for (const mode of ['default', 'full'] as const) {
    console.log(`prads ${modes[mode]}`)
    console.log(row('capture', 'theirs', 'ours', 'common', 'recall', 'precision'))
    const results: Agreement[] = []
    for (const name of names) {
      const result = await agree(name, mode)
      results.push(result)
      console.log(resultRow(result))
    }
    if (results.length > 1) console.log(resultRow(total(results)))
    for (const { capture, missing, extra } of results) {
      for (const line of missing) console.log(`${basename(capture)} - ${line}`)
      for (const line of extra) console.log(`${basename(capture)} + ${line}`)
    }
  }
}

function total(results: readonly Agreement[]): Agreement {
  const sum = (of: (a: Agreement) => number) => results.reduce((n, a) => n + of(a), 0)
  return {
    capture: 'all',
    theirs: sum((a) => a.theirs),
    ours: sum((a) => a.ours),
    common: sum((a) => a.common),
    missing: [],
    extra: [],
  }
}

function resultRow({ capture, theirs, ours, common }: Agreement): string {
  const percent = (of: number) => (of === 0 ? '–' : `${((100 * common) / of).toFixed(1)} %`)
  return row(basename(capture), `${theirs}`, `${ours}`, `${common}`, percent(theirs), percent(ours))
}

function row(first: string, ...cells: string[]): string {
  return first.padEnd(24) + cells.map((cell) => cell.padStart(11)).join('')
}

/** In the checkout or beside it, whether this runs from its sources or from what was built of them. */
function beside(name: string): string {
  for (let at = dirname(fileURLToPath(import.meta.url)); ; at = dirname(at)) {
    const found = join(at, name)
    if (existsSync(found) || at === dirname(at)) return found
  }
}
