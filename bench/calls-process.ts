/**
 * The other end of `calls`, in a process of its own: the actors' instance, and the two echoes it is compared with. It runs as a member
 * of a cluster of that state model does.
 */
import { connect } from 'nats'
import type { StateModel } from '../actors/index.ts'
import { NatsBus } from '../bus/index.ts'
import { helpersYield, tuneEngine } from '../cli/index.ts'
import { serveBatches } from './batched-echo.ts'
import { counters } from './counters.ts'
import { joinInstance } from './members.ts'

const servers = process.argv[2] ?? ''
tuneEngine(process.argv[3] as StateModel)
const bus = await NatsBus.connect({ servers, cluster: 'bench', name: 'calls' })
helpersYield()
await joinInstance(bus, 'i1', counters)
const nc = await connect({ servers, noAsyncTraces: true })
// A call's work is the same here as there: a counter grows, and its value goes back.
let n = 0
nc.subscribe('single', {
  callback: (_error, m) => {
    const reply = Buffer.allocUnsafeSlow(8)
    n += m.data[8]!
    reply.writeDoubleLE(n)
    m.respond(reply)
  },
})
serveBatches(nc)
await nc.flush()
process.send?.('ready')
process.once('disconnect', () => process.exit(0))
