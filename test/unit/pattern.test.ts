import { describe, expect, it } from 'vitest'
import { AhoCorasick, Regex } from '../../nf-apps/pattern/index.ts'

describe('expressions', () => {
  const matches = (pattern: string, subject: string) =>
    new Regex(pattern, '').search(Buffer.from(subject, 'latin1'), 0, subject.length)
  it.each([
    ['a.c', 'a\rc', true],
    ['a.c', 'a\nc', false],
    ['^b', 'a\nb', false],
    ['a$', 'a\n', true],
    ['a$', 'a\n\n', false],
    ['(?i)ABC', 'xabc', true],
    ['(?s)a.c', 'a\nc', true],
    ['(?m)^b$', 'a\nb\nc', true],
    ['\\s', '\u00a0', false],
    ['[\\S|\\s]', '\u00a0', true],
    ['\\0x41', '\0x41', true],
    ['\\x41\\101\\cA', 'AA\x01', true],
    ['[]a]b', ']b', true],
    ['[^]a]b', 'xb', true],
    ['[[:digit:]x]+$', '12x', true],
    ['a{,2}', 'a{,2}', true],
    ['a{2}b', 'aab', true],
    ['\\Aab\\z', 'ab', true],
    ['(?<x>a)\\1', 'aa', true],
    ['[a-\\d]', '-', true],
    ['(?>a|ab)c', 'abc', false],
    ['a++a', 'aaa', false],
    ['(?:a*b)*c', 'aabbc', true],
  ])('%s against %j: %s', (pattern, subject, expected) => {
    expect(matches(pattern, subject)).toBe(expected)
  })
  it.each(['\\Kx', '(a', 'a)', '[a', '*a', '\\p{L}', '\\x{100}'])(
    '%s is refused with its reason',
    (pattern) => {
      expect(() => new Regex(pattern, '')).toThrow()
    },
  )
  it.each([
    ['^ab(cde)f?gh[ij]k', 'abcde'],
    ['ab|abc', ''],
    ['(?:abc)?d', 'd'],
    ['(?!abc)d', 'd'],
    ['(?i)aBc', 'abc'],
    ['x[Yy]z\\b!', 'xyz!'],
  ])('every match of %s contains %j', (pattern, literal) => {
    expect(Buffer.from(new Regex(pattern, '').literal).toString('latin1')).toBe(literal)
  })
})

describe('many patterns in one pass', () => {
  it('finds each, in either case, also those inside others', () => {
    const patterns = ['he', 'she', 'hers', 'x'].map((p) => Buffer.from(p))
    const values = patterns.map((_, i) => [i])
    const found = (text: string) => {
      const all = new Set<number>()
      const bytes = Buffer.from(text)
      new AhoCorasick(patterns, values).search(bytes, 0, bytes.length, (v) => all.add(v))
      return [...all].sort()
    }
    expect(found('usHers')).toEqual([0, 1, 2])
    expect(found('aheX')).toEqual([0, 3])
    expect(found('h e')).toEqual([])
  })
})
