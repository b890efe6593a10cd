import { expect, it } from 'vitest'
import { wallMs } from '../../bus/index.ts'

it("tells the wall clock's time, as each process and thread of a machine does", () => {
  let ahead = Number.NEGATIVE_INFINITY
  const end = performance.now() + 20
  // Whole milliseconds are behind the clock, but not where one begins.
  while (performance.now() < end) ahead = Math.max(ahead, Date.now() - wallMs())
  expect(Math.abs(ahead)).toBeLessThan(0.25)
})
