import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Bus, MemoryHub, NatsBus, startNatsServer, systemClock } from '../bus/index.ts'

/** A NATS server of this bench alone, and what goes with it. */
export interface NatsGround {
  readonly url: string
  /** Processor time of the server so far (ms). */
  close(): Promise<void>
}

export async function natsGround(): Promise<NatsGround> {
  const dir = await mkdtemp(join(tmpdir(), 'rehome-bench-'))
  const server = await startNatsServer({ storeDir: dir })
  const close = async () => {
    await server.stop()
    await rm(dir, { recursive: true, force: true })
  }
  return { url: server.url, close }
}

/** Two connections on one bus: of one process by memory, or by a server. */
export async function twoBuses(
  kind: 'memory' | 'nats',
): Promise<{ buses: [Bus, Bus]; close(): Promise<void> }> {
  if (kind === 'memory') {
    const hub = new MemoryHub({ clock: systemClock() })
    return { buses: [hub.connect(), hub.connect()], close: async () => {} }
  }
  const ground = await natsGround()
  const connect = (name: string) => NatsBus.connect({ servers: ground.url, cluster: 'bench', name })
  const buses: [Bus, Bus] = [await connect('a'), await connect('b')]
  const close = async () => {
    await Promise.all(buses.map((bus) => bus.close()))
    await ground.close()
  }
  return { buses, close }
}
