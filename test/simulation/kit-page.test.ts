import * as fs from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'

const page = fs.readFileSync(new URL('../kit/README.md', import.meta.url), 'utf8')

it("the page's first example runs as it stands", async () => {
  const code = /```ts\n([\s\S]*?)```/.exec(page)?.[1] ?? ''
  expect(code.split('\n').length).toBeLessThan(30)
  const local = code
    .replace("'rehome-nf/testing'", "'../kit/index.ts'")
    .replace("'rehome-nf'", "'../../index.ts'")
  const file = new URL(`page-example-${process.pid}.tmp.ts`, import.meta.url)
  fs.writeFileSync(file, local)
  try {
    await import(/* @vite-ignore */ fileURLToPath(file))
  } finally {
    fs.rmSync(file)
  }
})
