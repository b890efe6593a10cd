/**
 * The house rules that a machine can hold. Each takes all sources and answers one line for each finding;
 * tidy.test.ts runs them over the repository, and over small bad examples to see that each can fail.
 */
import * as path from 'node:path'
import { functionsOf, lineAt, type Source } from './tidy-source.ts'

export type Rule = (sources: readonly Source[]) => string[]

// --- folders and their doors ---------------------------------------------------------------------

/** What a folder may import; `*` stands for whatever has no restriction but the tests' own. */
const LAYERS: Record<string, readonly string[]> = {
  bus: [],
  placement: ['bus'],
  actors: ['placement', 'bus'],
  'nf-apps/packet': ['actors', 'placement', 'bus'],
  'nf-apps': ['nf-apps/*', 'actors', 'bus'],
  'nf-apps/pattern': [],
  'nf-apps/*': ['nf-apps/packet', 'nf-apps/pattern', 'nf-apps', 'actors', 'bus'],
  loadgen: ['nf-apps/packet', 'placement', 'bus'],
  cli: ['*'],
  bench: ['*'],
  'test/kit/soak': ['*'],
  'test/kit/fuzz': ['*', 'test/kit'],
  'test/kit': ['*', 'test/kit/soak', 'test/kit/fuzz'],
  test: ['*', 'test/kit', 'test/kit/soak', 'test/kit/fuzz', 'bench'],
  samples: ['*', 'test/kit'],
  '.': ['*'],
}
/** Not part of the product: `*` above leaves them out. */
const OUTSIDE = new Set(['test', 'test/kit', 'test/kit/soak', 'test/kit/fuzz', 'bench', 'samples'])

/** The folder a file belongs to: the innermost one with a door, else the top one. */
function folderOf(file: string, doors: ReadonlySet<string>): string {
  const dirs = enclosing(file)
  return dirs.findLast((dir) => doors.has(dir)) ?? dirs[0] ?? '.'
}

/** `a/b/c.ts` gives `a` and `a/b`. */
function enclosing(file: string): string[] {
  const parts = path.posix.dirname(file).split('/')
  return parts[0] === '.' ? [] : parts.map((_, i) => parts.slice(0, i + 1).join('/'))
}

/** Folders that are entered by their index.ts alone. */
function doorsOf(sources: readonly Source[]): Set<string> {
  const tops = Object.keys(LAYERS).filter((name) => !/[*.]|^test$|^samples$/.test(name))
  const found = sources.filter((s) => path.posix.basename(s.path) === 'index.ts')
  return new Set(
    [...tops, ...found.map((s) => path.posix.dirname(s.path))].filter((d) => d !== '.'),
  )
}

const wildcard = (folder: string) => folder.replace(/^nf-apps\/.*/, 'nf-apps/*')

function mayImport(from: string, to: string): boolean {
  const allowed = LAYERS[from] ?? LAYERS[wildcard(from)] ?? []
  if (allowed.includes(to) || allowed.includes(wildcard(to))) return !(to === from)
  return allowed.includes('*') && !OUTSIDE.has(to) && to !== '.'
}

export const importsRunDownwards: Rule = (sources) => {
  const doors = doorsOf(sources)
  return sources.flatMap((source) => {
    const from = folderOf(source.path, doors)
    if (!(from in LAYERS) && !(wildcard(from) in LAYERS)) {
      return [`${source.path}: ${from}/ has no place among the layers`]
    }
    return source.imports.flatMap(({ target, line }) => {
      const to = folderOf(target, doors)
      const fine = to === from || mayImport(from, to) || isPublicDoor(target, from)
      return fine ? [] : [`${source.path}:${line} ${from} may not import ${to}`]
    })
  })
}

/** The package's own door is for those who use it as a user does. */
const isPublicDoor = (target: string, from: string) =>
  target === 'index.ts' && ['test', 'samples', 'test/kit', 'bench'].includes(from)

export const foldersAreEnteredByTheirDoor: Rule = (sources) => {
  const doors = doorsOf(sources)
  return sources.flatMap((source) => {
    const inside = new Set(enclosing(source.path))
    return source.imports.flatMap(({ target, line }) => {
      const entered = enclosing(target).findLast((dir) => doors.has(dir) && !inside.has(dir))
      if (entered === undefined || target === `${entered}/index.ts`) return []
      return [`${source.path}:${line} enters ${entered}/ by ${target}`]
    })
  })
}

/** Files that import each other in a circle, where the circle leaves its folder. */
export const noCyclesBetweenFolders: Rule = (sources) => {
  const doors = doorsOf(sources)
  const reach = new Map(sources.map((s) => [s.path, reachable([s.path], linksOf(sources))]))
  const inCircle = (a: string, b: string) => reach.get(a)?.has(b) && reach.get(b)?.has(a)
  return sources.flatMap((source) =>
    source.imports
      .filter(({ target }) => folderOf(target, doors) !== folderOf(source.path, doors))
      .filter(({ target }) => inCircle(source.path, target))
      .map(({ target, line }) => `${source.path}:${line} is in a circle with ${target}`),
  )
}

type Links = ReadonlyMap<string, readonly string[]>

/** What each file leads to: its imports, and programs that it starts by their path. */
function linksOf(sources: readonly Source[]): Links {
  return new Map(
    sources.map((source) => [
      source.path,
      source.literals
        .filter(({ value }) => /^\.{1,2}\/.*\.[jt]s$/.test(value))
        .map(({ value }) => path.posix.join(path.posix.dirname(source.path), value))
        .map((target) => target.replace(/\.js$/, '.ts')),
    ]),
  )
}

function reachable(from: readonly string[], links: Links): Set<string> {
  const seen = new Set<string>()
  const next = [...from]
  for (let file = next.pop(); file !== undefined; file = next.pop()) {
    if (seen.has(file)) continue
    seen.add(file)
    next.push(...(links.get(file) ?? []))
  }
  return seen
}

export const importsNameTheirFile: Rule = (sources) =>
  sources.flatMap((source) =>
    source.imports
      .filter(({ specifier }) => !specifier.endsWith('.ts') && !specifier.endsWith('.json'))
      .map(({ specifier, line }) => `${source.path}:${line} '${specifier}' does not end in .ts`),
  )

// --- nothing dead --------------------------------------------------------------------------------

const PROGRAMS = ['index.ts', 'cli/main.ts', 'bench/main.ts', 'test/kit/index.ts']
const STARTED =
  /^(vitest\.config\.ts|test\/kit\/(\w+-main|check-\w+)\.ts|test\/types\/.*|samples\/.*|.*\.test\.ts)$/

export const everyFileIsUsed: Rule = (sources) => {
  const paths = sources.map((s) => s.path)
  const roots = paths.filter((file) => PROGRAMS.includes(file) || STARTED.test(file))
  const used = reachable(roots, linksOf(sources))
  return paths
    .filter((file) => !used.has(file))
    .map((file) => `${file}: no program or test uses it`)
}

const EXPORTED = /^export (?:declare )?(?:async )?(?:function\*?|const|let|class) (\w+)/gm

/** An exported value that no other file names, unless the package itself offers it. */
export const everyExportIsUsed: Rule = (sources) => {
  const offered = new Set(
    ['index.ts', 'test/kit/index.ts'].flatMap((door) => [...namesBehind(door, sources, new Set())]),
  )
  const words = new Map(sources.map((s) => [s.path, new Set(s.code.match(/[\w$]+/g))]))
  return sources.flatMap((source) =>
    [...source.code.matchAll(EXPORTED)].flatMap((match) => {
      const name = match[1] ?? ''
      const named = sources.some((s) => s !== source && words.get(s.path)?.has(name))
      if (named || offered.has(name)) return []
      return [`${source.path}:${lineAt(source.code, match.index)} nobody else uses ${name}`]
    }),
  )
}

/** The names that a door offers, through every `export … from` behind it. */
function namesBehind(file: string, sources: readonly Source[], seen: Set<string>): Set<string> {
  const source = sources.find((s) => s.path === file)
  if (source === undefined || seen.has(file)) return new Set()
  seen.add(file)
  const names = new Set([...source.code.matchAll(EXPORTED)].map((m) => m[1] ?? ''))
  for (const [, list] of source.code.matchAll(/^export (?:type )?\{([^}]*)\}/gm)) {
    for (const part of (list ?? '').split(',')) names.add(/(\w+)\s*$/.exec(part)?.[1] ?? '')
  }
  for (const match of source.code.matchAll(/^export \* from /gm)) {
    const line = lineAt(source.code, match.index)
    const target = source.imports.find((i) => i.line === line)?.target ?? ''
    for (const name of namesBehind(target, sources, seen)) names.add(name)
  }
  return names
}

// --- sizes ---------------------------------------------------------------------------------------

/** Larger than the house figures, each for a reason. */
export interface Allowance {
  /** A file, or `file#function`. */
  readonly what: string
  readonly why: string
}

const FILE_LINES_MAX = 500
const FUNCTION_LINES_MAX = 70

/** Also says which allowances nobody needs any more. */
export const filesAndFunctionsAreSmall = (
  sources: readonly Source[],
  allowed: readonly Allowance[],
): string[] => {
  const found = new Map<string, string>()
  for (const source of sources) {
    const lines = source.text.split('\n').length - 1
    if (lines > FILE_LINES_MAX) found.set(source.path, `${source.path}: ${lines} lines`)
    for (const fn of functionsOf(source)) {
      if (fn.lines <= FUNCTION_LINES_MAX || fn.chapter) continue
      const what = `${source.path}#${fn.name}`
      found.set(what, `${source.path}:${fn.line} ${fn.name} has ${fn.lines} lines`)
    }
  }
  const idle = allowed.filter(({ what }) => !found.has(what))
  for (const { what } of allowed) found.delete(what)
  return [...found.values(), ...idle.map(({ what }) => `${what}: needs no allowance any more`)]
}

// --- words ---------------------------------------------------------------------------------------

/** A finding for each match, by line. */
function matches(source: Source, where: string, pattern: RegExp, what: string): string[] {
  return [...where.matchAll(pattern)].map((match) => {
    const at = match.index + match[0].length - match[0].trimStart().length
    return `${source.path}:${lineAt(where, at)} ${what}: ${match[0].trim()}`
  })
}

const TIME_AND_CHANCE = new RegExp(
  [
    String.raw`\bDate\.now\b|\bnew Date\(\)|\bMath\.random\b|\bperformance\.now\b|\bprocess\.hrtime\b`,
    String.raw`(?<![.\w])(setTimeout|setInterval|setImmediate|queueMicrotask)\b(?=\s*\()`,
    String.raw`\brandom(UUID|Bytes|Int)\b(?=\s*\()`,
  ].join('|'),
  'g',
)
/**
 * Where time and chance come from. Everything else is handed a clock and a seed, so that the simulator
 * can own both. A soak is of real processes in real time.
 */
const CLOCKED =
  /^(bus\/clock\.ts|bus\/nats[^/]*\.ts|cli\/.*|bench\/.*|samples\/.*|vitest\.config\.ts)$/
const TESTING = /^test\/(?!kit\/)|^test\/kit\/((\w+-main|lab[\w-]*|check-nat)\.ts$|soak\/)/

export const timeAndChanceAreHandedIn: Rule = (sources) =>
  sources
    .filter((s) => !CLOCKED.test(s.path) && !TESTING.test(s.path))
    .flatMap((s) => matches(s, s.code, TIME_AND_CHANCE, 'takes time or chance by itself'))

const ESCAPES = /\bas\s+(unknown|any|never)\s+as\b/g
const SILENCED = /@ts-(ignore|nocheck|expect-error)|biome-ignore(?! lint\/\S+: \w).*/g

/** The linter sees to `any` itself; what it lets through needs a reason. */
export const typesAreNotEscaped: Rule = (sources) =>
  sources.flatMap((s) => [
    ...matches(s, s.code, ESCAPES, 'escapes its types'),
    // A type test says by it what must not compile.
    ...(s.path.startsWith('test/types/') ? [] : matches(s, s.comments, SILENCED, 'silences')),
  ])

export const nothingIsPutOff: Rule = (sources) =>
  sources.flatMap((s) => matches(s, s.comments, /\b(TODO|FIXME|XXX|HACK)\b/g, 'puts off'))

const SKIPPED = /\b(it|test|describe|suite)\s*\.\s*(skip|only|todo|fails)\b|\bx(it|describe)\b/g

export const noTestIsSkipped: Rule = (sources) =>
  sources.flatMap((s) => matches(s, s.code, SKIPPED, 'leaves tests out'))

/** Takes any text file, since a path of one machine is as wrong in a page as in code. */
export const noPathOfOneMachine = (files: readonly { path: string; text: string }[]): string[] =>
  files.flatMap(({ path: file, text }) =>
    [...text.matchAll(/(?<![\w.~*/$}-])\/(work|tmp|root|home)\/[\w.-]+/g)].map(
      (match) => `${file}:${lineAt(text, match.index)} names a path of one machine: ${match[0]}`,
    ),
  )
