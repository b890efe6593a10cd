/** The other end of `calls`, in a process of its own: the actors' instance, and the two echoes it is compared with. */
import { connect } from 'nats'
import { NatsBus } from '../bus/index.ts'
import { counters } from './counters.ts'
import { joinInstance } from './members.ts'

const servers = process.argv[2] ?? ''
const bus = await NatsBus.connect({ servers, cluster: 'bench', name: 'calls' })
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
nc.subscribe('batch', {
  callback: (_error, m) => {
    // Each call 16 bytes: its number, then an actor's key, then what to add. Each reply 12.
    const calls = new DataView(m.data.buffer, m.data.byteOffset, m.data.length)
    const reply = Buffer.allocUnsafeSlow((m.data.length / 16) * 12)
    const out = new DataView(reply.buffer)
    for (let at = 0, to = 0; at < m.data.length; at += 16, to += 12) {
      n += calls.getUint32(at + 12, true)
      out.setUint32(to, calls.getUint32(at, true), true)
      out.setFloat64(to + 4, n, true)
    }
    nc.publish('replies', reply)
  },
})
await nc.flush()
process.send?.('ready')
process.once('disconnect', () => process.exit(0))
