/**
 * The package as a user gets it: packed, installed in an empty project, compiled there the two ways that
 * users resolve modules, and run. What runs is the README's text: each of its ```ts blocks below a comment
 * `<!-- nf: NAME -->` becomes NAME.ts, and one below `<!-- run: NAME -->` is a program of its own.
 *
 * It is built aside from the checkout's dist/, which others may be using.
 */
import { execFile } from 'node:child_process'
import * as fs from 'node:fs'
import * as os from 'node:os'
import * as path from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..')
const isReady = fs.existsSync(path.join(root, 'index.ts'))
if (!isReady) console.log('package.test: there is no index.ts yet, so there is no package to try')

interface Manifest {
  name: string
  bin: Record<string, string>
  exports: Record<string, string | Record<string, string>>
  files: string[]
  dependencies: Record<string, string>
  peerDependencies?: Record<string, string>
  optionalDependencies?: Record<string, string>
}
const manifest = JSON.parse(fs.readFileSync(path.join(root, 'package.json'), 'utf8')) as Manifest

/** npm tells the scripts it runs where they are; an npm below one of them must not take that for itself. */
const env = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !/^npm_(?!config_(cache|registry))/i.test(name)),
)

/** No step takes longer, so that what hangs is named by its step. */
const RUN_MS_MAX = 120_000

/** Runs a program in `cwd`; throws with all it printed where it fails. */
async function run(cwd: string, file: string, ...args: string[]): Promise<string> {
  try {
    const options = { cwd, env, maxBuffer: 1 << 26, timeout: RUN_MS_MAX }
    return (await promisify(execFile)(file, args, options)).stdout
  } catch (err) {
    const { stdout, stderr, message } = err as { stdout: string; stderr: string; message: string }
    throw new Error(`${message}\n${stdout}\n${stderr}`)
  }
}

const inRoot = (...parts: string[]) => path.join(root, 'node_modules', ...parts)
const tsc = (cwd: string, ...args: string[]) =>
  run(cwd, process.execPath, inRoot('typescript', 'bin', 'tsc'), ...args)

describe.runIf(isReady)('the package', () => {
  const base = fs.mkdtempSync(path.join(os.tmpdir(), 'rehome-package-'))
  const project = path.join(base, 'project')
  /** Names in the tarball, without npm's leading `package/`. */
  let packed: string[] = []

  beforeAll(async () => {
    const { tarball, files } = await pack(path.join(base, 'stage'))
    packed = files
    fs.mkdirSync(project)
    fs.writeFileSync(path.join(project, 'package.json'), '{ "type": "module", "private": true }')
    await install(project, tarball)
  }, 180_000)

  afterAll(() => fs.rmSync(base, { recursive: true, force: true }))

  const at = (name: string) => path.join(project, 'node_modules', manifest.name, name)
  const textOf = (name: string) => fs.readFileSync(at(name), 'utf8')

  it('holds what its exports and its command name, and the files that a reader looks for', () => {
    const targets = Object.values(manifest.exports).flatMap((target) =>
      typeof target === 'string' ? [target] : Object.values(target),
    )
    const named = [...targets, ...Object.values(manifest.bin)].map((name) => path.posix.join(name))
    expect(packed).toEqual(
      expect.arrayContaining([...named, 'README.md', 'LICENSE', 'CHANGELOG.md']),
    )
    for (const program of Object.values(manifest.bin)) {
      expect(textOf(program).split('\n')[0]).toBe('#!/usr/bin/env node')
    }
  })

  it('holds nothing else: no sources, no tests but the kit', () => {
    const kinds =
      /^(package\.json|.*\.md|LICENSE|samples\/.*|docs\/[^/]*\.svg|dist\/.*\.(js|d\.ts|js\.map))$/
    expect(packed.filter((name) => !kinds.test(name))).toEqual([])
    expect(packed.filter((name) => /^dist\/test\/(?!kit\/)|\.test\./.test(name))).toEqual([])
  })

  it('holds what its pages link to', () => {
    const present = new Set(packed)
    const dead = packed
      .filter((name) => name.endsWith('.md'))
      .flatMap((name) => {
        const links = [...textOf(name).matchAll(/\]\((?!https?:|#)([^)#\s]+)/g)]
        const to = links.map(([, link]) => path.posix.join(path.posix.dirname(name), link ?? ''))
        return to.filter((link) => !present.has(link)).map((link) => `${name}: ${link}`)
      })
    expect(dead).toEqual([])
    expect(packed).toEqual(expect.arrayContaining(['docs/tutorial.md', 'docs/api.md']))
  })

  it('imports only what it holds or depends on', () => {
    const present = new Set(packed)
    const { dependencies, peerDependencies, optionalDependencies } = manifest
    // Its own name stands in the files that `rehome new` writes.
    const names = { ...dependencies, ...peerDependencies, ...optionalDependencies }
    const known = [manifest.name, ...Object.keys(names)]
    const missing = packed
      .filter((name) => name.startsWith('dist/') && /\.(js|d\.ts)$/.test(name))
      .flatMap((name) => specifiers(textOf(name)).map((specifier) => ({ name, specifier })))
      .filter(({ name, specifier }) => {
        if (specifier.startsWith('node:')) return false
        if (!specifier.startsWith('.')) return !known.some((d) => within(specifier, d))
        const file = path.posix.join(path.posix.dirname(name), specifier)
        return !present.has(file) && !present.has(file.replace(/\.ts$/, '.d.ts'))
      })
    expect(missing).toEqual([])
  })

  it.each([
    ['NodeNext', 'NodeNext'],
    ['ESNext', 'bundler'],
  ])("compiles the README's programs (module %s, resolution %s)", async (module, resolution) => {
    writePrograms(project)
    writeConfig(project, { module, moduleResolution: resolution, outDir: `out-${resolution}` })
    expect(await compile(project)).toEqual([])
  })

  it("runs the README's programs", async () => {
    writePrograms(project)
    writeConfig(project, { module: 'NodeNext', outDir: 'out' })
    await compile(project)
    const programs = blocks('run').map(({ name }) => `out/${name}.run.js`)
    for (const program of ['out/doors.js', ...programs]) {
      const printed = await run(project, process.execPath, program)
      console.log(`package.test: ${program} printed ${JSON.stringify(printed.slice(0, 300))}`)
    }
  })

  const command = path.join(project, 'node_modules', '.bin', 'rehome')
  it('brings the command', async () => {
    expect(await run(project, command, 'nfs')).toMatch(/\bprads\b/)
  })

  it('begins an NF that runs, and whose types and test fit', async () => {
    expect(await run(project, command, 'new', 'my-nf')).toContain('my-nf/my-nf.ts is your NF')
    const own = path.join(project, 'my-nf')
    const { dependencies } = JSON.parse(fs.readFileSync(path.join(own, 'package.json'), 'utf8'))
    // From the very file, where npm knows of it; put there by hand, from a registry.
    const from = String(dependencies[manifest.name])
    if (from.startsWith('file:')) {
      expect(fs.existsSync(path.resolve(own, from.slice('file:'.length)))).toBe(true)
    } else expect(from).toMatch(/^\^\d/)

    const few = ['--synthetic', 'flows=20,packets=400', '--scale', '1,2', '--bus', 'memory']
    const report = JSON.parse(await run(own, command, 'run', './my-nf.ts', ...few, '--json'))
    expect(report).toMatchObject({ nf: 'my-nf', packets: 400, dropped: 0, errors: 0 })
    await tsc(own)
    const tsx = path.join(project, 'node_modules', 'tsx', 'dist', 'cli.mjs')
    expect(await run(own, process.execPath, tsx, '--test', 'my-nf.test.ts')).toContain('pass 1')
  }, 120_000)
})

/** Compiles a project with its dependencies' types; what is amiss inside theirs (nats) is not ours to mend. */
async function compile(project: string): Promise<string[]> {
  const told = await tsc(project, '-p', '.').catch(String)
  const theirs = new RegExp(`^[^(]*node_modules/(?!${manifest.name}/)`)
  return told.split('\n').filter((line) => /error TS/.test(line) && !theirs.test(line))
}

/** Builds and packs the checkout in a folder of its own. */
async function pack(stage: string): Promise<{ tarball: string; files: string[] }> {
  fs.mkdirSync(stage)
  const tops = manifest.files.map((name) => name.split('/')[0] ?? '')
  for (const name of new Set(['package.json', ...tops])) {
    if (name === 'dist' || !fs.existsSync(path.join(root, name))) continue
    fs.cpSync(path.join(root, name), path.join(stage, name), { recursive: true })
  }
  await tsc(root, '-p', 'tsconfig.build.json', '--outDir', path.join(stage, 'dist'))
  const told = JSON.parse(await run(stage, 'npm', 'pack', '--json', '--ignore-scripts'))
  const [pkg] = (Array.isArray(told) ? told : Object.values(told)) as {
    filename: string
    files: { path: string }[]
  }[]
  if (pkg === undefined) throw new Error('npm pack told of no package')
  return { tarball: path.join(stage, pkg.filename), files: pkg.files.map((file) => file.path) }
}

/** What npm says where it cannot reach a registry and has nothing in its cache either. */
const OFFLINE = /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENOTCACHED|ENETUNREACH/

async function install(project: string, tarball: string): Promise<void> {
  const quiet = ['--no-audit', '--no-fund', '--loglevel=error']
  const patience = ['--prefer-offline', '--fetch-retries=1', '--fetch-retry-mintimeout=1000']
  const args = ['install', ...quiet, ...patience, tarball]
  try {
    await run(project, 'npm', ...args)
  } catch (err) {
    if (!OFFLINE.test(String(err))) throw err
    console.log("package.test: npm reaches no registry: the checkout's own dependencies stand in")
    await installByHand(project, tarball)
  }
  // For the compiler only: users have the types of Node in their project.
  const types = path.join(project, 'node_modules', '@types')
  fs.rmSync(types, { recursive: true, force: true })
  fs.symlinkSync(inRoot('@types'), types)
}

async function installByHand(project: string, tarball: string): Promise<void> {
  const modules = path.join(project, 'node_modules')
  const home = path.join(modules, manifest.name)
  const bin = path.join(modules, '.bin')
  for (const dir of [home, bin]) fs.mkdirSync(dir, { recursive: true })
  await run(project, 'tar', 'xzf', tarball, '-C', home, '--strip-components=1')
  for (const name of fs.readdirSync(inRoot()).filter((n) => !n.startsWith('.'))) {
    const link = path.join(modules, name)
    if (!fs.existsSync(link)) fs.symlinkSync(inRoot(name), link)
  }
  for (const [name, target] of Object.entries(manifest.bin)) {
    fs.chmodSync(path.join(home, target), 0o755)
    fs.symlinkSync(path.join(home, target), path.join(bin, name))
  }
}

/** What a compiled file imports; the compiler writes each on one line, or ends it with `} from '…'`. */
function specifiers(text: string): string[] {
  const patterns = /^(?:import|export|\}).*?\bfrom ['"]([^'"]+)['"]|^import ['"]([^'"]+)['"]/gm
  const dynamic = /\bimport\(['"]([^'"]+)['"]\)/g
  return [...text.matchAll(patterns), ...text.matchAll(dynamic)].map((m) => m[1] ?? m[2] ?? '')
}

const within = (specifier: string, dependency: string) =>
  specifier === dependency || specifier.startsWith(`${dependency}/`)

/** The README's ```ts blocks below a comment of this kind. */
function blocks(kind: 'nf' | 'run'): { name: string; text: string }[] {
  const readme = fs.readFileSync(path.join(root, 'README.md'), 'utf8')
  const pattern = new RegExp(`<!-- ${kind}: ([\\w-]+) -->\\s*\`\`\`ts\\n([\\s\\S]*?)\`\`\``, 'g')
  return [...readme.matchAll(pattern)].map((m) => ({ name: m[1] ?? '', text: m[2] ?? '' }))
}

function writePrograms(project: string): void {
  const nfs = blocks('nf')
  expect(nfs.map(({ name }) => name)).toContain('monitor')
  const write = (name: string, text: string) => fs.writeFileSync(path.join(project, name), text)
  for (const { name, text } of nfs) write(`${name}.ts`, text)
  for (const { name, text } of blocks('run')) write(`${name}.run.ts`, text)
  const doors = `
    import * as product from '${manifest.name}'
    import * as kit from '${manifest.name}/testing'
    ${nfs.map(({ name }, i) => `import * as nf${i} from './${name}.js'`).join('\n')}
    const doors: object[] = [product, kit, ${nfs.map((_, i) => `nf${i}`).join(', ')}]
    if (doors.some((door) => Object.keys(door).length === 0)) throw new Error('a door offers nothing')
  `
  write('doors.ts', doors)
}

function writeConfig(project: string, options: Record<string, unknown>): void {
  const compilerOptions = {
    target: 'ES2022',
    lib: ['ES2023'],
    types: ['node'],
    strict: true,
    noUncheckedIndexedAccess: true,
    exactOptionalPropertyTypes: true,
    allowImportingTsExtensions: true,
    rewriteRelativeImportExtensions: true,
    ...options,
  }
  const config = { compilerOptions, include: ['*.ts'] }
  fs.writeFileSync(path.join(project, 'tsconfig.json'), JSON.stringify(config))
}
