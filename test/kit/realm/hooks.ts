/**
 * Node's module hooks for realms, as text: they run in a thread of Node's own, where nothing of ours is loaded, and
 * a test runner that rewrites modules must not rewrite them.
 *
 * A realm is a mark in a module's address: what a marked module imports by a relative path is marked as well, so
 * each mark has its own copies of the NF's modules. Packages are shared; `rehome-nf` is the one that the kit is of.
 */
export function hooksFor(door: string): string {
  return `
import * as fs from 'node:fs'
import * as module from 'node:module'
import { pathToFileURL } from 'node:url'

export async function resolve(specifier, context, next) {
  const mark = /[?&](${MARK}=\\d+)/.exec(context.parentURL ?? '')?.[1]
  if (mark === undefined) return next(specifier, context)
  if (specifier === 'rehome-nf') return { url: ${JSON.stringify(door)}, shortCircuit: true }
  const found = await next(specifier, context)
  if (found.url === ${JSON.stringify(door)}) return found
  const isOwn = /^(\\.{0,2}\\/|file:|#)/.test(specifier) && found.url.startsWith('file:')
  if (!isOwn || found.url.includes('/node_modules/') || found.url.includes('${MARK}=')) return found
  return { ...found, url: found.url + (found.url.includes('?') ? '&' : '?') + mark }
}

export async function load(url, context, next) {
  const file = url.split('?')[0]
  if (!/^file:.*\\.m?ts$/.test(file)) return next(url, context)
  if (!sources.has(file)) sources.set(file, withoutTypes(file))
  return { format: 'module', source: await sources.get(file), shortCircuit: true }
}

const sources = new Map()
let stripper
async function withoutTypes(file) {
  stripper ??= findStripper(file)
  return (await stripper)(fs.readFileSync(new URL(file), 'utf8'), file)
}

async function findStripper(file) {
  if (module.stripTypeScriptTypes) return (text) => module.stripTypeScriptTypes(text)
  const esbuild = await packageOf(file, 'esbuild')
  if (esbuild) return async (text) => (await esbuild.transform(text, { loader: 'ts' })).code
  const vite = (await packageOf(file, 'vite')) ?? (await packageOf(file, 'vitest', 'vite'))
  const transform = vite?.transformWithOxc ?? vite?.transformWithEsbuild
  if (transform) return async (text, file) => (await transform(text, file)).code
  throw new Error(
    file + ': Node ' + process.versions.node + ' knows no TypeScript, and there is no vite or' +
      ' esbuild to strip its types: compile it first, or use Node 22.13 or newer',
  )
}

async function packageOf(file, ...path) {
  try {
    for (const name of path) file = pathToFileURL(module.createRequire(file).resolve(name)).href
    return await import(file)
  } catch {
    return undefined
  }
}
`
}

/** Marks a module's address with its realm. */
export const MARK = 'rehome-realm'
