/**
 * `npm run check:scale [prads] [ids] [nat] [-- --captures DIR]`: each NF, or those named, over every capture on one instance
 * against 1,3,2,4,1 while packets flow, over both buses and with both placements. PRADS and IDS must be byte-identical; of the NAT the
 * same packets pass, and its mappings are consistent and exclusive by a checker of captures. The exit code tells.
 */
import { existsSync, readdirSync, statSync } from 'node:fs'
import { basename, join } from 'node:path'
import { findNatsServer } from '../../bus/index.ts'
import { argumentsOf, wrong } from './arguments.ts'
import { beside } from './beside.ts'
import { judge, runOver, type Subject, subjects } from './one-and-many.ts'

const SCALE = '1,3,2,4,1'
const FAULTS_SHOWN = 5

const { values, positionals } = argumentsOf('check:scale', {
  options: { captures: { type: 'string' } },
  allowPositionals: true,
})
const data = beside('shared/data')
const all = subjects(data)
const chosen = all.filter(({ nf }) => positionals.length === 0 || positionals.includes(nf))
const unknown = positionals.find((name) => !all.some(({ nf }) => nf === name))
if (unknown !== undefined)
  wrong('check:scale', `takes ${all.map(({ nf }) => nf).join(', ')}, not '${unknown}'`)
process.exitCode = check() ? 0 : 1

function check(): boolean {
  const buses = findNatsServer() || process.env.NATS_URL ? ['memory', 'nats'] : ['memory']
  if (buses.length === 1) console.log('there is no nats-server: the memory bus alone')
  const ways = buses.flatMap((bus) =>
    ['aligned', 'spread'].map((placement) => ['--bus', bus, '--placement', placement]),
  )
  const captures = capturesIn(values.captures ?? join(data, 'pcaps'))
  if (values.captures === undefined) captures.unshift(beside('samples/office.pcap'))
  const fine = chosen.map((subject) => checkOne(subject, captures, ways))
  return !fine.includes(false)
}

function checkOne(subject: Subject, captures: string[], ways: string[][]): boolean {
  console.log(`\n${[subject.nf, ...subject.options].join(' ')}, 1 against ${SCALE}`)
  console.log(row('capture', 'results', 'different', 'faults'))
  let [good, of] = [0, 0]
  for (const capture of captures) {
    const one = runOver(subject, capture, '--scale', '1', '--bus', 'memory')
    for (const way of ways) {
      const many = runOver(subject, capture, '--scale', SCALE, ...way)
      const { results, different, faults } = judge(subject, capture, one, many)
      const [, bus, , placement] = way
      const name = `${basename(capture)} ${bus} ${placement}`
      console.log(row(name, `${results}`, `${different}`, `${faults.length}`))
      for (const fault of faults.slice(0, FAULTS_SHOWN)) console.log(`  ${fault}`)
      of++
      if (different === 0 && faults.length === 0) good++
    }
  }
  console.log(`${subject.nf}: ${good} of ${of} as on one instance`)
  return good === of
}

/** Files of a folder, by name; a folder that is not there is said. */
function capturesIn(folder: string): string[] {
  if (!existsSync(folder)) {
    console.log(`no captures in ${folder}`)
    return []
  }
  const paths = readdirSync(folder).map((name) => join(folder, name))
  return paths.filter((path) => statSync(path).isFile()).sort()
}

function row(first: string, ...cells: string[]): string {
  return first.padEnd(60) + cells.map((cell) => cell.padStart(11)).join('')
}
