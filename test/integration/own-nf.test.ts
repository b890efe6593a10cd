/**
 * NFs of one's own: what `rehome new` makes runs as it is, from a checkout, over each bus; its test passes and can
 * fail; and a mistake in the file is one line that says where.
 */
import { execFile } from 'node:child_process'
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { beforeAll, describe, expect, it } from 'vitest'
import { findNatsServer } from '../../bus/index.ts'
import { folder, rehome, root, run } from './rehome.ts'

const buses = findNatsServer() || process.env.NATS_URL ? ['memory', 'nats'] : ['memory']
if (buses.length === 1) console.log('no nats-server on this machine: NFs run over the memory bus')

const project = join(folder, 'my-nf')
const nf = join(project, 'my-nf.ts')
/** Three compilers and test runners one after the other: a busy machine may take that long for each (ms). */
const STEP_MS_MAX = 100_000

/** Runs a Node program in the project. */
const node = (...args: string[]) =>
  promisify(execFile)(process.execPath, args, { cwd: project, timeout: STEP_MS_MAX })
const program = (name: string) => join(root, 'node_modules', name)

beforeAll(async () => {
  const main = join(root, 'dist/cli/main.js')
  const options = { cwd: folder, timeout: STEP_MS_MAX }
  const { stdout } = await promisify(execFile)(process.execPath, [main, 'new', 'my-nf'], options)
  expect(stdout).toContain('my-nf/my-nf.ts is your NF')
})

/** The tutorial's code, put together as its reader does. */
const tutorial = readFileSync(join(root, 'docs/tutorial.md'), 'utf8')
function snippets(kind: string): string[] {
  const pattern = new RegExp(`<!-- ${kind} -->\\n\`\`\`\\w*\\n([\\s\\S]*?)\`\`\``, 'g')
  return [...tutorial.matchAll(pattern)].map((m) => m[1] ?? '')
}
function writeTutorial(): void {
  writeFileSync(join(project, 'watch.ts'), snippets('part: watch.ts').join('\n'))
  writeFileSync(join(project, 'watch.test.ts'), snippets('file: watch.test.ts').join(''))
}

/** What `npm install` does for a checkout, from this one's packages and without a registry. */
function install(): void {
  const modules = join(project, 'node_modules')
  mkdirSync(modules)
  symlinkSync(root, join(modules, 'rehome-nf'))
  for (const name of ['tsx', '@types', 'esbuild']) symlinkSync(program(name), join(modules, name))
}

describe('what rehome new makes', () => {
  it('is short, and depends on the checkout that made it', () => {
    expect(readFileSync(nf, 'utf8').split('\n').length).toBeLessThan(40)
    const manifest = JSON.parse(readFileSync(join(project, 'package.json'), 'utf8'))
    const [, path] = manifest.dependencies['rehome-nf'].split('file:')
    expect(join(project, path)).toBe(join(root, '.'))
  })

  it(`runs at once over ${buses.join(', over ')}, and ends as on one`, async () => {
    const input = [nf, '--synthetic', 'flows=200,packets=4000,seed=3']
    const [one, ...several] = await Promise.all([
      run(...input, '--scale', '1', '--bus', 'memory'),
      ...buses.map((bus) => run(...input, '--scale', '1,2', '--bus', bus)),
    ])
    expect(several).toHaveLength(buses.length)
    for (const many of several) {
      expect(many.report).toMatchObject({ nf: 'my-nf', packets: 4000, dropped: 0, errors: 0 })
      expect(many.out).toBe(one.out)
      expect(many.out.split('\n').length).toBeGreaterThan(200)
    }
  })

  it('has types that fit and a test that passes, as the tutorial has, and that can fail', async () => {
    install()
    writeTutorial()
    const wrong = readFileSync(nf, 'utf8')
      .replace('export default', 'let all = 0\nexport default')
      .replace('flow.packets++', 'flow.packets = ++all')
    writeFileSync(join(project, 'wrong.ts'), wrong)
    const itsTest = readFileSync(join(project, 'my-nf.test.ts'), 'utf8')
    writeFileSync(join(project, 'wrong.test.ts'), itsTest.replace('./my-nf.ts', './wrong.ts'))

    // One process imports them all, so that the package is loaded once.
    const files = ['my-nf.test.ts', 'watch.test.ts', 'wrong.test.ts']
    const imports = files.map((file) => `import './${file}'\n`)
    writeFileSync(join(project, 'all.ts'), imports.join(''))
    const [told] = await Promise.all([
      node(program('tsx/dist/cli.mjs'), 'all.ts').then(
        () => 'all passed',
        (error) => String(error.stdout),
      ),
      node(program('typescript/bin/tsc')),
    ])
    expect(told).toMatch(/^# pass 2$/m)
    expect(told).toMatch(/^# fail 1$/m)
    expect(told).toContain('NotEquivalent')
    expect(told).toMatch(/an instance joins[\s\S]*packet of flow/)
  }, 150_000)

  it('is not written over', async () => {
    const { code, stderr } = await rehome('new', 'samples')
    expect(code).toBe(2)
    expect(stderr).toBe('rehome: rehome new samples: there is something of that name\n')
  })
})

it('the reference is what the docstrings say, and every public name has one', async () => {
  const check = [join(root, 'scripts/api.mjs'), '--check']
  await promisify(execFile)(process.execPath, check, { timeout: STEP_MS_MAX })
})

describe('the tutorial', () => {
  it('has all its code marked, so that it is run', () => {
    const marked = [...snippets('part: watch.ts'), ...snippets('file: watch.test.ts')]
    expect(tutorial.match(/^```ts$/gm)).toHaveLength(marked.length)
  })

  it('ends with two runs whose results are the same', async () => {
    writeTutorial()
    const commands = snippets('run').join('').split('\n')
    const runs = commands.filter((line) => line.startsWith('npx rehome run ./watch.ts '))
    const [one, many] = await Promise.all(
      runs.map((line) => {
        const [args] = line.split(' ./watch.ts ').slice(1)
        return run(join(project, 'watch.ts'), ...args!.split(' --out ')[0]!.split(' '))
      }),
    )
    expect(commands.at(-2)).toBe('cmp one many')
    expect(many?.report).toMatchObject({ nf: 'watch', errors: 0, dropped: 0 })
    expect(many?.report.rehomes).toBeGreaterThan(0)
    expect(many?.out.length).toBeGreaterThan(1000)
    expect(many?.out === one?.out).toBe(true)
  })
})

describe('a mistake in the file is one line that says where', () => {
  const head = "import { defineNF, singleWriter, u32 } from 'rehome-nf'\n"
  const cases: [string, string, RegExp][] = [
    ['no TypeScript', `${head}\nconst x = = 3`, /:3: Unexpected "="/],
    ['a name', `${head}\nconst f = singleWriter('f w', {})\n`, /:3: actor type name 'f w'/],
    ['a field', `${head}const F = singleWriter('f', {\n  n: 4 })`, /:2: .*'n' is not a field/],
    [
      'a state without its key',
      `${head}const F = singleWriter('f', { n: u32 })\nexport default defineNF('x', { state: { F }, onPacket: () => 1 })`,
      /:3: NF 'x': state 'F' is no actor type with its key/,
    ],
    ['no handler', `${head}\nexport default defineNF('x', { state: {} })`, /:3: .*onPacket/],
    ['a throw', `${head}const o: string[] = []\no[1]!.trim()`, /:3: Cannot read properties/],
    ['no such name', `${head}import { no } from 'rehome-nf'\nno()`, /:2: .*export named 'no'/],
    ['no such file', `${head}import { a } from './gone.ts'\na()`, /:2: Cannot find module/],
    ['no NF', 'export default 3', / exports no NF \(defineNF\)/],
  ]
  // Side by side: each is a process that does little but start.
  it.concurrent.each(cases)('%s', async (what, text, line) => {
    const file = join(folder, `${what.replaceAll(' ', '-')}.ts`)
    writeFileSync(file, text)
    const { code, stdout, stderr } = await rehome('run', file, '--synthetic', 'flows=1,packets=1')
    expect(stderr.trimEnd().split('\n')).toEqual([expect.stringMatching(line)])
    expect(stderr).toContain(file)
    expect([code, stdout]).toEqual([2, ''])
  })
})
