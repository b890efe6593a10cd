import type { Random } from '../../../loadgen/index.ts'

const BYTES = [0, 1, 2, 3, 4, 5, 6, 8, 14, 15, 16, 17, 31, 32, 47, 58, 64, 127, 128, 129, 254, 255]
const HALVES = [0, 1, 20, 40, 46, 53, 64, 80, 256, 576, 1280, 1500, 0x7fff, 0x8000, 0xfffe, 0xffff]

/** Changes bytes in place between two offsets: single ones, halves, stretches. */
export function mutateBytes(b: Uint8Array, from: number, to: number, random: Random): void {
  if (to <= from) return
  for (let n = 1 + random.below(3); n > 0; n--) {
    const at = from + random.below(to - from)
    const how = random.below(5)
    if (how === 0) b[at] = BYTES[random.below(BYTES.length)]!
    else if (how === 1) b[at] = random.below(256)
    else if (how === 2) b[at] = b[at]! ^ (1 << random.below(8))
    else if (how === 3) b[at] = b[at]! + (random.below(2) === 0 ? 1 : -1)
    else if (at + 1 < to) {
      const half = HALVES[random.below(HALVES.length)]!
      b[at] = half >>> 8
      b[at + 1] = half
    }
  }
}

const ODD = [
  '',
  ' ',
  '0',
  '-1',
  '65536',
  '4294967296',
  '1e9',
  'a',
  '"',
  ';',
  ',',
  '!',
  '|',
  '(',
  ')',
  '\\',
  '\u0000',
  'é',
]
const TOKEN = /[A-Za-z_]+|\d+|\s+|[^\sA-Za-z_\d]/g

/** A text with some of its words left out, doubled, exchanged or replaced; `others` lends words. */
export function mutateText(text: string, others: readonly string[], random: Random): string {
  const tokens = text.match(TOKEN) ?? []
  if (tokens.length === 0) return ODD[random.below(ODD.length)]!
  for (let n = 1 + random.below(2); n > 0; n--) {
    const at = random.below(tokens.length)
    const how = random.below(7)
    if (how === 0) tokens.splice(at, 1)
    else if (how === 1) tokens.splice(at, 0, tokens[random.below(tokens.length)] ?? '')
    else if (how === 2) tokens[at] = ODD[random.below(ODD.length)]!
    else if (how === 3 && /\d/.test(tokens[at] ?? '')) tokens[at] = String(random.below(70_000))
    else {
      const lender = others[random.below(others.length)]?.match(TOKEN) ?? []
      const like = lender.filter((t) => /\w/.test(t) === /\w/.test(tokens[at] ?? ''))
      if (like.length > 0) tokens[at] = like[random.below(like.length)]!
    }
  }
  return tokens.join('')
}

/** A text with one of its numbers another one: it mostly still says something. */
export function mutateNumber(text: string, random: Random): string {
  const numbers = [...text.matchAll(/\d+/g)]
  const one = numbers[random.below(Math.max(1, numbers.length))]
  if (!one) return text
  const other = random.below(2) === 0 ? Number(one[0]) + 1 : random.below(3_000)
  return text.slice(0, one.index) + String(other) + text.slice(one.index + one[0].length)
}

export const pick = <T>(of: readonly T[], random: Random): T => of[random.below(of.length)]!
