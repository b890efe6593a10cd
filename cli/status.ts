import { NatsBus, RehomeError, systemClock } from '../bus/index.ts'
import { joinSource } from './join.ts'
import { loadNF } from './load-nf.ts'
import { table } from './report.ts'
import { WISH } from './run.ts'
import { readSettings } from './settings.ts'
import type { Source } from './source.ts'

interface Where {
  readonly nats: string
  readonly cluster: string
}

/** How long the members have to answer, and to let the asker go (ms): some may hand over slots meanwhile. */
const ANSWER_MS = 10_000
const LEAVE_MS = 5_000

function within<T>(ms: number, work: Promise<T>, otherwise: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new RehomeError('timeout', otherwise)), ms)
  })
  return Promise.race([work, late]).finally(() => clearTimeout(timer))
}

/** Joins a cluster as a source that sends nothing, to ask its instances. */
async function asking<T>(
  { nats, cluster }: Where,
  ask: (source: Source) => Promise<T>,
): Promise<T> {
  const bus = await NatsBus.connect({ servers: nats, cluster, name: 'rehome status' })
  try {
    const settings = await readSettings(bus.register, cluster)
    const nf = await loadNF(settings.nf)
    const onError = () => {}
    const common = { bus, clock: systemClock(), id: `status-${process.pid}`, nf, settings, onError }
    const entered = await joinSource(common, { flipsPerStep: 1, flipEveryMs: 1000 })
    const silent = `the members of cluster '${cluster}' do not answer`
    try {
      return await within(ANSWER_MS, ask(entered.body), silent)
    } finally {
      // It has nothing that anybody waits for: if the others do not let it go, it is taken out all the same.
      const gone = entered.leave().then(() => entered.left)
      await within(LEAVE_MS, gone, silent).catch(() => entered.membership.remove(entered.no))
      entered.body.stop()
      entered.stop()
    }
  } finally {
    await bus.close()
  }
}

export async function statusCommand(
  o: Where & { readonly suspended: boolean; readonly json: boolean },
): Promise<void> {
  const told = await asking<readonly object[]>(o, (source) =>
    o.suspended ? source.suspended() : source.reports(),
  )
  if (o.json) {
    process.stdout.write(`${JSON.stringify(told)}\n`)
    return
  }
  const first = told[0]
  if (!first) {
    process.stdout.write(o.suspended ? 'no packet is suspended\n' : 'no instance\n')
    return
  }
  const columns = Object.keys(first)
  const rows = told.map((row) => Object.values(row).map((v) => shown(v)))
  process.stdout.write(`${table([columns, ...rows]).join('\n')}\n`)
}

function shown(value: unknown): string {
  return typeof value === 'number' && !Number.isInteger(value) ? value.toFixed(1) : String(value)
}

/** Leaves a wish for the run that has the cluster's instances. */
export async function scaleCommand(o: Where & { readonly n: number }): Promise<void> {
  const { nats, cluster, n } = o
  const bus = await NatsBus.connect({ servers: nats, cluster, name: 'rehome scale' })
  try {
    await readSettings(bus.register, cluster)
    await bus.register.set(WISH, new TextEncoder().encode(String(n)))
    process.stdout.write(`${cluster} is to have ${n} instances\n`)
  } finally {
    await bus.close()
  }
}
