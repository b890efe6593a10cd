import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'

const read = (file: string) => readFileSync(new URL(`../../${file}`, import.meta.url), 'utf8')

it('every requirement of the RFCs names a test that exists', () => {
  const units = ['unit/nat.test.ts', 'unit/nat-late.test.ts']
  const files = [
    ...units,
    'property/nat.test.ts',
    'property/nat-cluster.test.ts',
    'property/nat-notes.test.ts',
  ]
  const sources = files.map((file) => read(`test/${file}`)).join('\n')
  const tests = new Set([...sources.matchAll(/\bit\(\s*'([^']+)'/g)].map((m) => m[1] ?? ''))
  // The filtering modes are one test each, named by the mode.
  expect(sources).toMatch(/\bit\(`lets in by \$\{\w+\}`/)
  for (const mode of ['any', 'address', 'address-and-port']) tests.add(`lets in by ${mode}`)
  const [requirements = ''] = read('nf-apps/nat/REQUIREMENTS.md').split("\n## Beside the kernel's")
  const rows = requirements
    .split('\n')
    .filter((line) => /^\| (?!requirement|what it asks \||-)/.test(line))
    .map((line) => line.split('|').map((cell) => cell.trim()))
  expect(rows.length).toBeGreaterThan(40)
  for (const cells of rows) {
    const test = cells.at(-2) ?? ''
    if (test.startsWith('–')) expect(test.length, cells.join(' ')).toBeGreaterThan(10)
    else expect(tests.has(test), `${cells.join(' ')}: no such test`).toBe(true)
  }
})
