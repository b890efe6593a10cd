import { existsSync } from 'node:fs'
import { register } from 'node:module'
import { pathToFileURL } from 'node:url'
import { RehomeError } from '../../../bus/index.ts'
import { nfOf } from '../../../cli/index.ts'
import type { NF } from '../../../nf-apps/index.ts'
import { hooksFor, MARK } from './hooks.ts'

type Import = (url: string) => Promise<Record<string, unknown>>

let importing: Promise<Import> | undefined
let realms = 0

/** Node's own `import`: a test runner that rewrites modules would put its own in its place. */
async function nodeImport(): Promise<Import> {
  const built = new URL('../../../index.js', import.meta.url)
  const door = existsSync(built) ? built : new URL('../../../index.ts', import.meta.url)
  register(`data:text/javascript,${encodeURIComponent(hooksFor(door.href))}`)
  const text = 'export const load = (url) => import(url)'
  const { load } = await import(/* @vite-ignore */ `data:text/javascript,${text}`)
  return load
}

/**
 * Hands out the NF of a module so many times, each loaded anew with all modules of its own: what these keep
 * outside actors is no other copy's. Packages, built-in modules and `globalThis` are shared by all.
 */
export async function nfRealms(module: URL | string, count: number): Promise<() => NF> {
  importing ??= nodeImport()
  const load = await importing
  const url =
    typeof module === 'string' && !module.startsWith('file:')
      ? pathToFileURL(module)
      : new URL(module)
  const copies = await Promise.all(
    Array.from({ length: count }, async () => {
      url.searchParams.set(MARK, `${++realms}`)
      return nfOf(await load(url.href), url.pathname)
    }),
  )
  return () => {
    const copy = copies.shift()
    if (!copy)
      throw new RehomeError('bad-argument', `more than ${count} instances: load more realms`)
    return copy
  }
}
