import { fork } from 'node:child_process'
import { Tally } from './tally.ts'

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

/** Which part of the seeds this process is to run, if it was started by `inParts`. */
export function partOf(): { part: number; of: number } | undefined {
  const [part, of] = (process.env[PART] ?? '').split('/').map(Number)
  if (part === undefined || of === undefined) return undefined
  // Nobody waits for the rest when the one that started us is gone.
  process.once('disconnect', () => process.exit())
  return { part, of }
}

/** What a process that was started by `inParts` found. */
export function tellParent(tally: Tally): void {
  process.send?.(tally.figures())
  process.disconnect()
}

/** Runs a program as so many processes, each with its part of the seeds; ends them all at the first violation. */
export async function inParts(
  program: string,
  args: readonly string[],
  jobs: number,
): Promise<Tally> {
  const all = new Tally()
  const children = Array.from({ length: jobs }, (_, part) =>
    fork(program, args, {
      env: { ...process.env, [PART]: `${part}/${jobs}` },
      execArgv: [...process.execArgv, ...NODE_OPTIONS],
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    }),
  )
  const told = children.map(
    (child) =>
      new Promise<void>((resolve, reject) => {
        child.once('message', (figures) => {
          all.merge(Tally.from(figures))
          if (all.failure) for (const other of children) other.kill()
          resolve()
        })
        child.once('exit', (code, signal) => {
          if (signal !== null && all.failure) resolve()
          else reject(new Error(`a process of the simulator ended with ${code ?? signal}`))
        })
      }),
  )
  await Promise.all(told)
  return all
}
