/**
 * An instance of `growth` in a process of its own, with so many idle actors from its first view on; without a server it is
 * the control, a process that does nothing. Both tell the longest time between two looks at the clock that were to be
 * a millisecond apart, from one `tell` to the next.
 */
import { NatsBus } from '../bus/index.ts'
import { helpersYield, rehearse, tuneEngine } from '../cli/index.ts'
import type { Handles } from '../nf-apps/index.ts'
import { churning } from './churning.ts'
import { makeIdleFlows } from './idle-flows.ts'
import { joinInstance, onError, until } from './members.ts'
import { Stalls } from './stalls.ts'

const [id = '', servers = '', idle = '0'] = process.argv.slice(2)

/** Joins, and once all slots are its own makes its actors. */
async function join(bus: NatsBus): Promise<void> {
  const { body } = await joinInstance(bus, id, churning)
  if (Number(idle) === 0) return
  const { space } = body.member
  await until(() => body.report().slots > 0 && space.slotsDue === 0)
  makeIdleFlows(space.handles as Handles<typeof churning.state>, Number(idle))
}

let bus: NatsBus | undefined
process.on('message', async (word) => {
  if (word === 'join' && bus) await join(bus)
  process.send?.(stalls.tell(word === 'tell'))
})
process.once('disconnect', () => process.exit(0))
if (servers !== '') {
  tuneEngine('shared')
  bus = await NatsBus.connect({ servers, cluster: 'bench', name: id })
  await rehearse(onError, bus)
  helpersYield()
}
const stalls = new Stalls()
process.send?.(stalls.tell(true))
