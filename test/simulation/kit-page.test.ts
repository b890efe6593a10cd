/**
 * The kit's page, as a newcomer would use it: its files are type-checked as they stand, and what they test is run. The
 * right ones pass; what the wrong ones print is what the page says of them.
 */
import { execFile } from 'node:child_process'
import * as fs from 'node:fs'
import * as path from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { NotEquivalent } from '../kit/index.ts'

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..')
/** Inside the checkout, so that its dependencies are found. */
const stage = path.join(root, '.rehome', `kit-page-${process.pid}`)
const page = fs.readFileSync(path.join(root, 'test/kit/README.md'), 'utf8')
const FILE = /<!-- file: ([\w.-]+) -->\s*```ts\n([\s\S]*?)```(?:\s*```\n([\s\S]*?)```)?/g
const files = [...page.matchAll(FILE)].map(([, name = '', text = '', printed]) => {
  return { name, text, printed }
})
const tests = files.filter(({ name }) => name.endsWith('.test.ts'))
const wrong = tests.filter(({ printed }) => printed)

/** Steps of a script that a reader takes in at a glance. */
const STEPS_MAX = 6

type Body = () => unknown

/** In the place of a test runner: gathers what a file would have it run. */
const RUNNER = `export const gathered: (() => unknown)[] = []
export const test = (_name: string, body: () => unknown) => gathered.push(body)
`

beforeAll(async () => {
  fs.mkdirSync(path.join(stage, 'as-is'), { recursive: true })
  const sources = { 'rehome-nf': '../../index.ts', 'rehome-nf/testing': '../../test/kit/index.ts' }
  for (const { name, text } of files) {
    fs.writeFileSync(path.join(stage, 'as-is', name), text)
    const local = text
      .replace("'node:test'", `'./runner-${name}'`)
      .replace("'rehome-nf/testing'", `'${sources['rehome-nf/testing']}'`)
      .replace("'rehome-nf'", `'${sources['rehome-nf']}'`)
      .replace('./numbered.js', './as-is/numbered.ts')
    fs.writeFileSync(path.join(stage, name), local)
    fs.writeFileSync(path.join(stage, `runner-${name}`), RUNNER)
  }
  const paths = Object.fromEntries(Object.entries(sources).map(([from, to]) => [from, [to]]))
  const own = {
    extends: path.join(root, 'tsconfig.json'),
    compilerOptions: { paths },
    include: ['as-is'],
    exclude: [],
  }
  fs.writeFileSync(path.join(stage, 'tsconfig.json'), JSON.stringify(own))
})
afterAll(() => fs.rmSync(stage, { recursive: true, force: true }))

/** What a file's tests run. */
async function bodiesOf(name: string): Promise<Body[]> {
  await import(/* @vite-ignore */ path.join(stage, name))
  const { gathered } = await import(/* @vite-ignore */ path.join(stage, `runner-${name}`))
  return gathered
}

describe("the kit's page", () => {
  it('has a first NF with its test in 20 lines', () => {
    expect(files[0]?.text.trimEnd().split('\n').length).toBeLessThanOrEqual(20)
    expect(wrong).toHaveLength(3)
  })

  it('has files of the right types', async () => {
    const tsc = path.join(root, 'node_modules/typescript/bin/tsc')
    const told = await promisify(execFile)(process.execPath, [tsc, '-p', stage]).then(
      ({ stdout }) => stdout,
      (error) => `${error.stdout}${error.stderr}`,
    )
    expect(told).toBe('')
  })

  it.each(tests.filter(({ printed }) => !printed))('$name passes', async ({ name }) => {
    const bodies = await bodiesOf(name)
    expect(bodies.length).toBeGreaterThan(0)
    for (const body of bodies) await body()
  })

  it.each(wrong)('$name fails as the page says', async ({ name, printed = '' }) => {
    const [body] = await bodiesOf(name)
    const error = await Promise.resolve(body?.()).catch((e: unknown) => e)
    if (!(error instanceof NotEquivalent)) throw error ?? new Error('it passes')
    console.log(`${error}`)
    // Seeds lead elsewhere as the product changes: what holds is the kind of what is told, and that it is short.
    expect(kinds(`${error}`)).toEqual(kinds(printed))
    expect(error.script.length).toBeLessThanOrEqual(STEPS_MAX)
  })
})

/** The difference, without its numbers. */
function kinds(text: string): string[] {
  const lines = text.trim().split('\n').slice(0, 3)
  return lines.map((line) => line.replace(/-?\d+/g, 'n').replace(/ +/g, ' '))
}
