import { RehomeError } from '../../../bus/index.ts'
import { CheckFailed } from '../history/history.ts'
import { Violation } from './oracle.ts'

/** The invariant whose checker saw it, or the assertion in the code itself. */
export function seenBy(error: unknown): string {
  if (error instanceof Violation) return error.invariant
  if (error instanceof CheckFailed) return `its history: ${error.finding}`
  if (error instanceof RehomeError && error.code === 'timeout') return 'converges'
  const what = error instanceof Error ? error.message : String(error)
  // Thrown inside a method at its home, a violation comes back as the text of the caller's error.
  const invariant =
    /^(one home|same state|exactly once|in order|bounded|nothing lost|one turn at a time):/.exec(
      what,
    )
  return invariant?.[1] ?? `an assertion: ${what.replace(/\d+/g, 'n')}`
}
