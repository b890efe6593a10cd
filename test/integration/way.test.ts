/** The files that ARCHITECTURE.md names on a packet's way are there, and a packet does take them. */
import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { cut, newFile, Running, root, sample } from './rehome.ts'

const page = join(root, 'ARCHITECTURE.md')

/** Paths in back quotes at the beginning of each row or item of the section. */
function named(): string[] {
  const section = /^## The way of a packet$(.*?)^## /ms.exec(readFileSync(page, 'utf8'))?.[1] ?? ''
  const first = section.matchAll(/^(?:\||[-*]|\d+\.) *`([\w./-]+\.ts)`/gm)
  return [...first].map((match) => match[1]!)
}

interface Script {
  readonly url: string
  readonly functions: readonly {
    readonly functionName: string
    readonly ranges: readonly { readonly count: number }[]
  }[]
}

/** Functions that ran, by the built file. What a file does when it is loaded has no name and is no proof. */
function executed(dir: string): Map<string, Set<string>> {
  const found = new Map<string, Set<string>>()
  for (const name of readdirSync(dir)) {
    const { result } = JSON.parse(readFileSync(join(dir, name), 'utf8')) as { result: Script[] }
    for (const { url, functions } of result) {
      const ran = functions.filter((f) => f.functionName !== '' && (f.ranges[0]?.count ?? 0) > 0)
      const known = found.get(url) ?? new Set()
      found.set(url, known)
      for (const f of ran) known.add(f.functionName)
    }
  }
  return found
}

describe('the way of a packet, as ARCHITECTURE.md tells it', () => {
  const files = named()

  it('is told, in files that are there, in every folder it leads through', () => {
    expect(files.length).toBeGreaterThan(8)
    expect(files.filter((file) => !existsSync(join(root, file)))).toEqual([])
    expect(new Set(files).size).toBe(files.length)
    const folders = new Set(files.map((file) => file.split('/')[0]))
    for (const folder of ['loadgen', 'bus', 'nf-apps', 'actors', 'placement']) {
      expect(folders).toContain(folder)
    }
  })

  it('is the one that packets take when a cluster scales', async () => {
    const dir = newFile('coverage')
    mkdirSync(dir)
    const args = ['host-counter', '--pcap', cut(sample, 2_000), '--bus', 'memory', '--scale', '1,2']
    const running = new Running(['run', ...args, '--json'], { NODE_V8_COVERAGE: dir })
    const { code } = await running.ended
    expect(code).toBe(0)
    const ran = executed(dir)
    const functionsOf = (file: string) =>
      [...ran].find(([url]) => url.endsWith(`/dist/${file.replace(/\.ts$/, '.js')}`))?.[1]
    expect(files.filter((file) => !functionsOf(file)?.size)).toEqual([])
  })
})
