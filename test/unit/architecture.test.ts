import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { allKinds } from '../../bus/index.ts'

const root = join(import.meta.dirname, '../..')
const text = readFileSync(join(root, 'ARCHITECTURE.md'), 'utf8')

describe('ARCHITECTURE.md', () => {
  it('has every message as the code has it', () => {
    for (const k of allKinds) {
      expect(text).toContain(`| ${k.name} | ${k.from} → ${k.to} | ${k.meaning} | ${k.answer} |`)
    }
    const rows = text.match(/^\| [A-Z][A-Z-]+ \|/gm) ?? []
    expect(rows).toHaveLength(allKinds.length)
  })

  it('names files that there are', () => {
    const named = [...text.matchAll(/`([\w/-]+\.ts)`/g)].map((m) => m[1]!)
    expect(named.length).toBeGreaterThan(10)
    for (const file of named) expect(existsSync(join(root, file)), file).toBe(true)
  })
})
