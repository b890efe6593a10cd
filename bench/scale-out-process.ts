/** An instance of `scale-out` in a process of its own: it is connected at once, and joins when it is told to. */
import { NatsBus } from '../bus/index.ts'
import { joinInstance } from './members.ts'
import { flowCounter } from './solo-instance.ts'

const [servers = '', id = ''] = process.argv.slice(2)
const bus = await NatsBus.connect({ servers, cluster: 'bench', name: id })
process.once('message', () => {
  void joinInstance(bus, id, flowCounter).then(() => process.send?.('joined'))
})
process.once('disconnect', () => process.exit(0))
process.send?.('ready')
