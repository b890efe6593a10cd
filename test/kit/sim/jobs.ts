import { fork } from 'node:child_process'
import { type Figures, Tally } from './tally.ts'

/**
 * A walk's memory is garbage when it ends: a young generation that holds some walks (MB) is hardly ever copied.
 * One process a core has no core left for helpers of its collector.
 */
const NODE_OPTIONS = [
  '--max-semi-space-size=256',
  '--min-semi-space-size=256',
  '--single-threaded-gc',
]
const PART = 'REHOME_SIM_PART'

/** How often a part says how far it is (ms). */
const TELL_MS = 500

/** What a part tells who started it: how many seeds it has run, and at its end what it found. */
type Told = { readonly seeds: number } | { readonly found: Figures }

/** Which part of the seeds this process is to run, if it was started by `inParts`. */
export function partOf(): { part: number; of: number } | undefined {
  const [part, of] = (process.env[PART] ?? '').split('/').map(Number)
  if (part === undefined || of === undefined) return undefined
  // Nobody waits for the rest when the one that started us is gone.
  process.once('disconnect', () => process.exit())
  return { part, of }
}

function tell(told: Told): void {
  process.send?.(told)
}

let toldAt = 0

/** Says how far this part is; cheap enough to be called for each seed. */
export function tellSeeds(seeds: number, nowMs: number): void {
  if (nowMs - toldAt < TELL_MS) return
  toldAt = nowMs
  tell({ seeds })
}

/** What a process that was started by `inParts` found. */
export function tellParent(tally: Tally): void {
  tell({ found: tally.figures() })
  process.disconnect()
}

/**
 * Runs a program as so many processes, each with its part of the seeds; ends them all at the first violation. At Ctrl-C
 * each ends its walk, and what they found until then is answered. `onSeeds` is told of all seeds run so far.
 */
export async function inParts(
  program: string,
  args: readonly string[],
  jobs: number,
  onSeeds: (seeds: number) => void,
): Promise<Tally> {
  const all = new Tally()
  const children = Array.from({ length: jobs }, (_, part) =>
    fork(program, args, {
      env: { ...process.env, [PART]: `${part}/${jobs}` },
      execArgv: [...process.execArgv, ...NODE_OPTIONS],
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    }),
  )
  const stop = () => {
    for (const child of children) child.kill('SIGINT')
  }
  process.once('SIGINT', stop)
  const seeds = children.map(() => 0)
  const through = children.map(
    (child, part) =>
      new Promise<void>((resolve, reject) => {
        child.on('message', (told: Told) => {
          if ('seeds' in told) {
            seeds[part] = told.seeds
            onSeeds(seeds.reduce((sum, n) => sum + n))
            return
          }
          all.merge(Tally.from(told.found))
          if (all.failure) for (const other of children) other.kill()
          resolve()
        })
        child.once('exit', (code, signal) => {
          if (signal !== null && all.failure) resolve()
          else reject(new Error(`a process of the simulator ended with ${code ?? signal}`))
        })
      }),
  )
  try {
    await Promise.all(through)
  } finally {
    process.removeListener('SIGINT', stop)
  }
  return all
}
