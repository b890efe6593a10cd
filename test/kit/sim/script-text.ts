import { ACTS, type Act, type Entry, type Script, type SourceScript } from './script.ts'
import type { WalkSettings } from './settings.ts'

/**
 * A script as text, for people and to be played again: its settings, how each source sends, then an entry a line, with
 * the ms after the start at which it comes. A line that begins with # says nothing.
 */
export function textOf({ settings, sources, entries }: Script): string {
  const head = [`settings ${JSON.stringify(settings)}`]
  for (const source of sources) head.push(`source ${JSON.stringify(source)}`)
  return `${[...head, ...entries.map(lineOf)].join('\n')}\n`
}

function lineOf({ at, do: act, on, key, x, ways, faults }: Entry): string {
  const words: (string | number)[] = [at, act]
  if (act === 'packets') words.push(`flow=${key}`, `ways=${ways.join(',')}`)
  else if (act === 'faults') words.push(`for=${x}`, `faults=${JSON.stringify(faults)}`)
  else if (act === 'leave' || act === 'crash') words.push(`on=${on}`)
  else if (act === 'pause') words.push(`on=${on}`, `for=${x}`)
  else if (act === 'sums.add') words.push(`on=${on}`, `key=${key}`, `x=${x}`)
  else if (act !== 'join') {
    words.push(`on=${on}`, `key=${key}`)
    if (x > 0) words.push(`for=${x}`)
  }
  return words.join(' ')
}

export class ScriptError extends Error {}

/** Reads what `textOf` wrote; throws a `ScriptError` that names the line where it cannot be read. */
export function parseScript(text: string): Script {
  let settings: WalkSettings | undefined
  const sources: SourceScript[] = []
  const entries: Entry[] = []
  for (const [i, line] of text.split('\n').entries()) {
    const [first = '', ...rest] = line.trim().split(' ')
    if (first === '' || first.startsWith('#')) continue
    try {
      if (first === 'settings') settings = JSON.parse(rest.join(' '))
      else if (first === 'source') sources.push(JSON.parse(rest.join(' ')))
      else entries.push(entryOf(Number(first), rest))
    } catch {
      throw new ScriptError(`line ${i + 1} is none of a script: ${line}`)
    }
  }
  if (!settings || sources.length === 0) throw new ScriptError('a script has settings and a source')
  return { settings, sources, entries }
}

function entryOf(at: number, [act, ...words]: readonly string[]): Entry {
  const given = new Map(words.map((word) => cut(word)))
  const number = (...names: string[]) => Number(names.map((n) => given.get(n)).find(Boolean) ?? 0)
  const entry = {
    at,
    do: act as Act,
    on: number('on'),
    key: number('key', 'flow'),
    x: number('x', 'for'),
    ways: (given.get('ways') ?? '').split(',').filter(Boolean).map(Number),
    faults: given.has('faults') ? JSON.parse(given.get('faults')!) : undefined,
  }
  const numbers = [at, entry.on, entry.key, entry.x, ...entry.ways]
  if (!ACTS.includes(entry.do) || !numbers.every((n) => n >= 0)) throw new Error('no entry')
  return entry
}

function cut(word: string): [string, string] {
  const at = word.indexOf('=')
  return [word.slice(0, at), word.slice(at + 1)]
}
