/** One member of a bench's cluster in a process of its own: an instance, or the store that has all actors. */
import { NatsBus } from '../bus/index.ts'
import { helpersYield, tuneEngine } from '../cli/index.ts'
import { builtIn } from '../nf-apps/index.ts'
import { counters } from './counters.ts'
import { joinInstance, type Setup } from './members.ts'

/** What the bench hands over, as JSON. */
export interface MemberTask {
  readonly servers: string
  readonly cluster: string
  readonly id: string
  readonly role: 'instance' | 'store'
  readonly nf: string
  readonly setup: Setup
}

const task = JSON.parse(process.argv[2] ?? '') as MemberTask
const { servers, cluster, id, role, setup } = task
tuneEngine(setup.model ?? 'shared')
const nf = [...builtIn, counters].find((one) => one.name === task.nf)
if (!nf) throw new Error(`there is no NF '${task.nf}'`)
const bus = await NatsBus.connect({ servers, cluster, name: id })
helpersYield()
await joinInstance(bus, id, nf, setup, role)
process.send?.('joined')
process.once('disconnect', () => process.exit(0))
