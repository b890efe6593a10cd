/** An instance of `scale-out` in a process of its own, made ready as `rehome instance` does; it joins when it is told to. */
import { NatsBus } from '../bus/index.ts'
import { helpersYield, rehearse, tuneEngine } from '../cli/index.ts'
import { joinInstance, onError } from './members.ts'
import { flowCounter } from './solo-instance.ts'

const [servers = '', id = ''] = process.argv.slice(2)
tuneEngine('shared')
const bus = await NatsBus.connect({ servers, cluster: 'bench', name: id })
process.once('message', () => {
  void joinInstance(bus, id, flowCounter).then(() => process.send?.('joined'))
})
process.once('disconnect', () => process.exit(0))
await rehearse(onError, bus)
helpersYield()
process.send?.('ready')
