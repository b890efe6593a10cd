import { readdirSync } from 'node:fs'
import { setPriority } from 'node:os'
import { setFlagsFromString } from 'node:v8'
import type { StateModel } from '../actors/index.ts'

/**
 * The engine collects the whole heap when this much has come on top of what lived after the last time. It counts the bytes of frames and
 * of records' pages, but goes by the heap, which is small: so an instance with a million actors had twenty full collections in the
 * nine seconds of a scale-out, and with this one. It is the most that the engine chooses by itself.
 */
const HEAP_GROWS_PERCENT = 300

/**
 * Bytecode of all functions that the engine may put into one piece of code, where each access is a call; by its own choice 920. A call's way
 * at its caller is some 3,000, in small functions: with 1,500 a call took 5 % less, with 2,000 14 %, with 3,000 21 %, with 5,000 7 % less
 * than with 3,000, with 8,000 no less (both ends on one thread). It compiles for longer, which instances that scale out under load feel (bench/FINDINGS.md), so others have it as it was.
 */
const INLINED_BYTES_OF_CALLS = 5000

/** How the engine is to run a member of such a cluster: before anything else, since it compiles by what holds then. */
export function tuneEngine(model: StateModel): void {
  setFlagsFromString(`--heap-growing-percent=${HEAP_GROWS_PERCENT}`)
  if (model !== 'remote-only') return
  setFlagsFromString(`--max-inlined-bytecode-size-cumulative=${INLINED_BYTES_OF_CALLS}`)
}

/** A tenth of the processor, where there is too little of it. */
const HELPERS_NICE = 10
const THREADS = '/proc/self/task'

/**
 * The engine compiles and collects on threads of its own, and where members share a machine these take the processor from other members'
 * packets: while a second instance joined, three processes compiled on 0.45 of two cores. From now on they go behind all that
 * handles packets. After a rehearsal, not before: what it is for is that they compile. Linux alone knows a priority for each thread; threads that begin later
 * have that of who makes them.
 */
export function helpersYield(): void {
  if (process.platform !== 'linux') return
  try {
    for (const thread of readdirSync(THREADS)) {
      if (Number(thread) !== process.pid) setPriority(Number(thread), HELPERS_NICE)
    }
  } catch {
    // No such folder, or a thread that has ended: then they run as they did.
  }
}
