import { createSocket } from 'node:dgram'
import { connect, type Socket } from 'node:net'

/*
 * Single things that pass a NAT or do not, each answered by null or by what was wrong. The server is that of lab-peer.ts:
 * what it gets comes back, by TCP and by UDP.
 */

const WAIT_MS = 5_000
const IDLE_MS = 6_000
const SHORT = 150
/** Local ports of their own; nothing listens to CLOSED at the server. */
const FIRST_PORT = 28_000
const CLOSED = 9

interface Ends {
  readonly host: string
  readonly port: number
  readonly localAddress: string
}
type Probe = (ends: Ends) => Promise<string | undefined>

const later = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms))

/** Sends a datagram and says what came of it: its echo, or the error that came back. */
function datagram(ends: Ends, bytes: Buffer): Promise<string> {
  const socket = createSocket('udp4')
  return new Promise<string>((resolve) => {
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? 'error'))
    socket.on('message', (message) => resolve(message.equals(bytes) ? 'echo' : 'another echo'))
    setTimeout(() => resolve('silence'), WAIT_MS)
    socket.bind(0, ends.localAddress, () =>
      socket.connect(ends.port, ends.host, () => socket.send(bytes)),
    )
  }).finally(() => socket.close())
}

/** Opens a connection; says what came of it. */
function open(ends: Ends, localPort = 0): Promise<Socket | string> {
  const { host, port, localAddress } = ends
  const socket = connect({ host, port, localAddress, localPort })
  return new Promise((resolve) => {
    socket.once('connect', () => resolve(socket))
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? 'error'))
    setTimeout(() => resolve('silence'), WAIT_MS)
  })
}

/** Says a word on a connection, and what came back. */
function echo(socket: Socket, word: string): Promise<string> {
  return new Promise((resolve) => {
    socket.once('data', (bytes) => resolve(bytes.toString()))
    socket.once('error', (error) => resolve(error.message))
    setTimeout(() => resolve('silence'), WAIT_MS)
    socket.write(word)
  })
}

const unless = (wanted: string, got: string) => (got === wanted ? undefined : got)

async function echoes(ends: Ends, localPort = 0, after = 0): Promise<string | undefined> {
  const socket = await open(ends, localPort)
  if (typeof socket === 'string') return socket
  await later(after)
  const got = await echo(socket, 'word')
  socket.destroy()
  return unless('word', got)
}

const PROBES: Readonly<Record<string, Probe>> = {
  'UDP to a closed port is refused': async (ends) =>
    unless('ECONNREFUSED', await datagram({ ...ends, port: CLOSED }, Buffer.from('x'))),
  'TCP to a closed port is refused': async (ends) => {
    const socket = await open({ ...ends, port: CLOSED })
    return typeof socket === 'string' ? unless('ECONNREFUSED', socket) : 'it was opened'
  },
  'a datagram in fragments': async (ends) =>
    unless('echo', await datagram(ends, Buffer.alloc(4_000, 'fragment'))),
  'an empty datagram': async (ends) => unless('echo', await datagram(ends, Buffer.alloc(0))),
  'a connection that idles': (ends) => echoes(ends, 0, IDLE_MS),
  'short connections, one after the other': async (ends) => {
    for (let i = 0; i < SHORT; i++) {
      const wrong = await echoes(ends)
      if (wrong) return `${i}: ${wrong}`
    }
    return undefined
  },
  'a connection closed in one direction': async (ends) => {
    const socket = await open(ends)
    if (typeof socket === 'string') return socket
    socket.end('piece 20\n')
    let bytes = 0
    socket.on('data', (some) => {
      bytes += some.length
    })
    await new Promise<void>((resolve) => socket.once('close', () => resolve()))
    return unless('20000', String(bytes))
  },
  'the same end again, after a reset': async (ends) => {
    const socket = await open(ends, FIRST_PORT)
    if (typeof socket === 'string') return socket
    await echo(socket, 'word')
    socket.resetAndDestroy()
    await later(50)
    return echoes(ends, FIRST_PORT)
  },
}

export async function probeAll(host: string, port: number, localAddress: string): Promise<void> {
  const all = Object.entries(PROBES).map(async ([name, probe]) => {
    const wrong = await probe({ host, port, localAddress })
    return wrong === undefined ? null : `${name}: ${wrong}`
  })
  process.stdout.write(`${JSON.stringify(await Promise.all(all))}\n`)
}
