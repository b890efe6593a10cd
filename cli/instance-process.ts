import { hostname } from 'node:os'
import { NatsBus, RehomeError, systemClock } from '../bus/index.ts'
import { helpersYield, tuneEngine } from './engine.ts'
import type { Entered } from './enter.ts'
import type { FromChild, ToChild } from './fleet.ts'
import type { Instance } from './instance.ts'
import { joinInstance, type OnError } from './join.ts'
import { loadNF } from './load-nf.ts'
import { rehearse } from './rehearsal.ts'
import { onClusterEnd, readSettings } from './settings.ts'

export interface InstanceArguments {
  readonly nats: string
  readonly cluster: string
  readonly id: string | undefined
  /** Waits to be told to join, by the run that started this process. */
  readonly spare: boolean
  /** Has all actors and gets no packets: the store of a `remote-only` cluster. */
  readonly store: boolean
  readonly onError: OnError
  readonly say: (line: string) => void
}

/** `rehome instance`: one instance in a process of its own. Resolves when it has left. */
export async function instanceProcess(o: InstanceArguments): Promise<void> {
  const id = o.id ?? `${hostname()}-${process.pid}`
  const { nats, cluster, onError } = o
  const bus = await NatsBus.connect({ servers: nats, cluster, name: `rehome ${id}` })
  const settings = await readSettings(bus.register, cluster)
  tuneEngine(settings.model)
  const nf = await loadNF(settings.nf)
  const env = nf.setup(settings.options)
  // Instances of tests live for seconds: each would take as long again.
  const isToRehearse = !o.store && process.env.REHOME_REHEARSE !== '0'
  if (isToRehearse) await rehearse(onError, bus, { nf, settings })
  helpersYield()
  const common = { bus, clock: systemClock(), id, nf, settings, onError }
  let entered: Entered<Instance> | undefined
  let evict = (_why: Error) => {}
  /** Fails if the others go on without this instance: whoever waits for it is to know. */
  const evicted = new Promise<never>((_, reject) => {
    evict = reject
  })
  evicted.catch(() => {})
  const join = async () => {
    entered = await joinInstance(common, env, o.store ? 'store' : 'instance')
    void entered.evicted.then(evict)
  }
  const leave = async () => {
    const one = entered
    if (!one) return
    await one.leave()
    await one.left
    one.stop()
    entered = undefined
  }
  const stopped = stopRequest()
  if (o.spare) await Promise.race([serveParent(join, leave, stopped), evicted])
  else {
    await join()
    o.say(`${id} has joined ${cluster} as member ${entered?.no}; Ctrl-C leaves`)
    const ended = new Promise<void>((resolve) => void onClusterEnd(bus.register, resolve))
    // With the run that steered its packets there is nobody left to say good-bye to.
    await Promise.race([stopped.then(leave), ended, evicted])
  }
  entered?.stop()
  await bus.close()
}

/** Resolves at the first SIGINT or SIGTERM; a second one, not the same one twice, ends the process. */
function stopRequest(): Promise<void> {
  return new Promise((resolve) => {
    let first = 0
    const onSignal = () => {
      const now = performance.now()
      if (first === 0) first = now
      // One Ctrl-C may arrive by several ways within moments.
      else if (now - first > SAME_SIGNAL_MS) process.exit(130)
      resolve()
    }
    process.on('SIGINT', onSignal)
    process.on('SIGTERM', onSignal)
  })
}
const SAME_SIGNAL_MS = 500

/** Joins and leaves as the parent says, until it is gone. */
async function serveParent(
  join: () => Promise<void>,
  leave: () => Promise<void>,
  stopped: Promise<void>,
): Promise<void> {
  const tell = (message: FromChild) => process.send?.(message)
  const gone = new Promise<void>((resolve) => process.once('disconnect', resolve))
  process.on('message', (message: ToChild) => {
    const work = message.do === 'join' ? join() : leave()
    work.then(
      () => tell({ is: message.do === 'join' ? 'joined' : 'left' }),
      (error) =>
        tell({ is: 'failed', why: String(error?.message ?? error), exitCode: exitCodeOf(error) }),
    )
  })
  tell({ is: 'ready' })
  await Promise.race([gone, stopped.then(leave)])
}

/** 2: the user's mistake, said in one line. 1: everything else. */
export function exitCodeOf(error: unknown): number {
  return error instanceof RehomeError && USER_MISTAKES.has(error.code) ? 2 : 1
}
const USER_MISTAKES: ReadonlySet<string> = new Set([
  'bad-argument',
  'bad-definition',
  'bad-input',
  'bus-unavailable',
  'mismatch',
])
