import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Regex } from '../../nf-apps/pattern/index.ts'

/** Expressions of a small grammar that JavaScript reads as PCRE does. */
const expression: fc.Arbitrary<string> = fc.letrec<{ e: string }>((tie) => ({
  e: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.constantFrom('a', 'b', 'c', '.', '[ab]', '[^a]', '\\w', '\\d', '^', '$', '\\b', 'ab'),
    fc.tuple(tie('e'), tie('e')).map(([x, y]) => x + y),
    fc.tuple(tie('e'), tie('e')).map(([x, y]) => `(?:${x}|${y})`),
    fc
      .tuple(tie('e'), fc.constantFrom('*', '+', '?', '{1,3}', '*?', '+?'))
      .map(([x, q]) => `(?:${x})${q}`),
    tie('e').map((x) => `(?=${x})`),
    tie('e').map((x) => `(?!${x})`),
  ),
})).e
/** Groups that each catch something or nothing, once. */
const piece = fc.constantFrom('(a+)', '(b|c)', '([ab]*?)', '(?:(1)|b)', 'a', 'B', '(\\w?)', 'ab')
const text = fc.string({ unit: fc.constantFrom('a', 'b', 'c', '1', '\n', ' '), maxLength: 24 })

describe('regular expressions', () => {
  it('match where JavaScript matches', () => {
    fc.assert(
      fc.property(expression, text, (e, t) => {
        const m = new RegExp(e.replaceAll('$', '(?:$|(?=\\n$(?![\\s\\S])))')).exec(t)
        const bytes = Buffer.from(t, 'latin1')
        const regex = new Regex(e, '')
        expect(regex.search(bytes, 0, bytes.length) ? regex.start : undefined).toBe(m?.index)
      }),
      { numRuns: 2000 },
    )
  })

  it('catch what JavaScript catches, and contain what they say they must', () => {
    fc.assert(
      fc.property(fc.array(piece, { minLength: 1, maxLength: 5 }), text, (pieces, t) => {
        const e = pieces.join('')
        const m = new RegExp(e, 'i').exec(t)
        const bytes = Buffer.from(t, 'latin1')
        const regex = new Regex(`(?i)${e}`, '', true)
        expect(regex.search(bytes, 0, bytes.length)).toBe(m !== null)
        if (!m) return
        const caught = m.map((_, i) => regex.group(i)).map((g) => g && t.slice(...g))
        expect(caught).toEqual([...m])
        const whole = t.slice(regex.start, regex.end).toLowerCase()
        expect(whole).toContain(Buffer.from(regex.literal).toString('latin1'))
      }),
      { numRuns: 2000 },
    )
  })

  it.each([
    ['(a+)+$', `${'a'.repeat(20_000)}b`],
    ['(a*)*b', 'a'.repeat(20_000)],
    ['(a|aa)+$', `${'a'.repeat(20_000)}b`],
    ['(.*)(.*)(.*)(.*)=', 'a'.repeat(20_000)],
    ['(\\w+)\\s\\1\\s\\1!', 'a '.repeat(10_000)],
  ])('%s ends in time', (e, t) => {
    const before = process.cpuUsage()
    expect(new Regex(e, '').search(Buffer.from(t, 'latin1'), 0, t.length)).toBe(false)
    expect(process.cpuUsage(before).user).toBeLessThan(5_000_000)
  })
})
