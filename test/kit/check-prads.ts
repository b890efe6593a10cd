/**
 * `npm run check:prads [capture …]`: our asset log beside real prads's, capture by capture, and the lines that differ.
 * Captures that are files are put through the program itself; without any, the stored logs are compared. The exit code says
 * whether 99 % of all lines agree, and of each capture 97 % or all but one.
 */
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { basename } from 'node:path'
import { wrong } from './arguments.ts'
import { beside } from './beside.ts'
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
for (const file of files) if (!existsSync(file)) wrong('check:prads', `there is no capture ${file}`)
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
    const all = total(results)
    if (results.length > 1) console.log(resultRow(all))
    if (!isWithin(all, 0.99) || !results.every((r) => isWithin(r, 0.97))) process.exitCode = 1
    for (const { capture, missing, extra } of results) {
      for (const line of missing) console.log(`${basename(capture)} - ${line}`)
      for (const line of extra) console.log(`${basename(capture)} + ${line}`)
    }
  }
}

/** Whether so large a part of the lines agrees, both ways, or all of them but one. */
function isWithin({ theirs, ours, common }: Agreement, part: number): boolean {
  const least = (lines: number) => Math.min(part * lines, lines - 1)
  return common >= least(theirs) && common >= least(ours)
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
