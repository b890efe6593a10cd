import { fork } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { StateModel } from '../actors/index.ts'
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

/** Beside a server and one more process, which answers calls and echoes; it runs as a member of such a cluster does. */
export async function withEnd<T>(model: StateModel, use: (url: string) => Promise<T>): Promise<T> {
  const ground = await natsGround()
  const program = fileURLToPath(new URL('./calls-process.js', import.meta.url))
  const child = fork(program, [ground.url, model])
  try {
    await new Promise((resolve, reject) => {
      child.once('message', resolve)
      child.once('exit', () => reject(new Error('the other process has ended')))
    })
    return await use(ground.url)
  } finally {
    child.disconnect()
    await ground.close()
  }
}
