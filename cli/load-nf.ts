import { existsSync, readFileSync } from 'node:fs'
import { register } from 'node:module'
import { relative, resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { RehomeError } from '../bus/index.ts'
import { builtIn, type NF } from '../nf-apps/index.ts'

/**
 * An NF by the name of one that is built in, or from a module of JavaScript or TypeScript: its default, or its only, NF.
 * A mistake in the module is `bad-argument`, with the place where it stands.
 */
export async function loadNF(name: string): Promise<NF> {
  const nf = builtIn.find((one) => one.name === name)
  if (nf) return nf
  if (/\.m?[jt]s$/.test(name)) return importNF(name)
  const known = builtIn.map((one) => one.name).join(', ')
  const what = `there is no NF '${name}'; there are ${known}, and modules (./my-nf.ts)`
  throw new RehomeError('bad-argument', what)
}

async function importNF(name: string): Promise<NF> {
  const file = resolve(name)
  if (!existsSync(file)) throw new RehomeError('bad-argument', `there is no file ${name}`)
  await prepare(file)
  let module: Record<string, unknown>
  try {
    module = await import(pathToFileURL(file).href)
  } catch (error) {
    throw new RehomeError('bad-argument', mistake(error, file))
  }
  return nfOf(module, name)
}

/** The default, or the only, NF that a module exports. */
export function nfOf(module: Record<string, unknown>, file: string): NF {
  const found = [module.default, ...Object.values(module)].find(isNF)
  if (!found) throw new RehomeError('bad-argument', `${file} exports no NF (defineNF)`)
  return found
}

function isNF(value: unknown): value is NF {
  return typeof value === 'object' && value !== null && 'onPacket' in value && 'state' in value
}

let isPrepared = false
let isTyped = false

/** The loader of TypeScript starts with the first file that needs it: it costs some 50 ms. */
async function prepare(file: string): Promise<void> {
  if (!isTyped && file.endsWith('ts')) {
    isTyped = true
    const tsx = await import('tsx/esm/api')
    tsx.register()
  }
  if (isPrepared) return
  isPrepared = true
  register(`data:text/javascript,${encodeURIComponent(DOOR_HOOK)}`)
}

/**
 * What an NF imports as `rehome-nf` is the very package that runs it, installed beside it or not. TypeScript is a module
 * whatever the package.json above it says, or if there is none: as CommonJS it would be refused for a cycle of its own.
 */
const DOOR_HOOK = `
const door = ${JSON.stringify(new URL('../index.js', import.meta.url).href)}
export async function resolve(specifier, context, next) {
  if (specifier === 'rehome-nf') return { url: door, shortCircuit: true }
  const found = await next(specifier, context)
  const isModule = found.format === 'commonjs' && /\\.ts(\\?|$)/.test(found.url)
  return isModule ? { ...found, format: 'module' } : found
}
`

/** One line for what is wrong with an NF's module, and where. */
function mistake(error: unknown, file: string): string {
  if (!(error instanceof Error)) return `${shown(file)}: throws ${String(error)}`
  const [first = '', second] = error.message.split('\n')
  // The compiler of TypeScript: a count, then FILE:LINE:COLUMN: ERROR: what.
  const syntax = /^(.*?):(\d+):\d+: ERROR: (.*)$/.exec(second ?? '')
  if (syntax) return `${shown(syntax[1]!)}:${syntax[2]}: ${syntax[3]}`
  const [at, line] = placeOf(error) ?? [file, lineOf(file, first)]
  return `${shown(at)}${line ? `:${line}` : ''}: ${first}`
}

const own = fileURLToPath(new URL('..', import.meta.url))

/** The innermost place in the stack that is no part of this package or of another, but the author's. */
function placeOf(error: Error): [string, number] | undefined {
  for (const row of error.stack?.split('\n') ?? []) {
    const found = /(?:^| |\()(file:\/\/\S+?|\/\S+?)(?:\?[^:]*)?:(\d+)(?::\d+)?\)?$/.exec(row)
    if (!found) continue
    const file = found[1]!.startsWith('file:') ? fileURLToPath(found[1]!) : found[1]!
    if (!file.startsWith(own) && !file.includes('/node_modules/')) return [file, Number(found[2])]
  }
  return undefined
}

/** Where an import stands that cannot be had: what is missing is in quotes in the error's text. */
function lineOf(file: string, message: string): number | undefined {
  const quoted = [...message.matchAll(/'([^']+)'| named (\w+)/g)].map((m) => m[1] ?? m[2] ?? '')
  const names = quoted.reverse().flatMap((name) => [name, name.split('/').at(-1) ?? name])
  const lines = readFileSync(file, 'utf8').split('\n')
  for (const name of names) {
    const at = lines.findIndex((line) => line.includes(name))
    if (at >= 0) return at + 1
  }
  return undefined
}

function shown(file: string): string {
  const path = relative('', file)
  return path.startsWith('..') ? file : path
}
