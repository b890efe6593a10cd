import { createSocket } from 'node:dgram'
import { connect, createServer, type Socket } from 'node:net'
import { probeAll } from './lab-probes.ts'

/*
 * What talks through a NAT in the lab (lab.ts), as a process on either machine.
 *
 *   lab-peer server HOST                                            prints its port, then serves until it is ended
 *   lab-peer probe HOST PORT ADDRESS                                prints JSON: what was wrong with each, or null
 *   lab-peer client HOST PORT ADDRESSES DOWNLOADS TALKS DATAGRAMS SECONDS    prints one line of JSON: ClientReport
 *
 * A download is so many bytes, sent a piece at a time through all of the seconds; a talk is a line now and then that is
 * echoed, as of a terminal; datagrams are echoed too. Each comes from the same end in each run; hosts have ports in common,
 * so that a NAT cannot preserve all of them.
 */

export interface ClientReport {
  /** Downloads and talks that ended as they should. */
  readonly whole: number
  /** What was wrong with each other one. */
  readonly broken: readonly string[]
  readonly datagramsSent: number
  readonly datagramsBack: number
}

const PIECE = 1000
const PIECE_EVERY_MS = 100
const TALK_EVERY_MS = 50
/** A connection on which nothing comes for so long is broken (ms). */
const SILENCE_MS = 8_000
const FIRST_PORT = 20_000
const ALL_SENT = 'piece'

const byteAt = (at: number) => (at * 7 + (at >>> 8)) & 255

function serve(host: string): void {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.once('data', (first) => {
      const [kind, count = ''] = first.toString().trim().split(' ')
      if (kind === ALL_SENT) return pieces(socket, Number(count))
      if (kind === 'GET') return page(socket, Number(count.slice(1)))
      socket.write(first)
      socket.pipe(socket)
    })
    socket.on('error', () => {})
  })
  server.listen(0, host, () => {
    const { port } = server.address() as { port: number }
    const echo = createSocket('udp4', (message, from) =>
      echo.send(message, from.port, from.address),
    )
    echo.bind(port, host, () => process.stdout.write(`${port}\n`))
  })
}

/** So many bytes by HTTP, as fast as they are taken. */
function page(socket: Socket, bytes: number): void {
  socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${bytes}\r\nConnection: close\r\n\r\n`)
  socket.end(Buffer.alloc(bytes, 'x'))
}

function pieces(socket: Socket, count: number): void {
  let at = 0
  const timer = setInterval(() => {
    const piece = Buffer.alloc(PIECE)
    for (let i = 0; i < PIECE; i++) piece[i] = byteAt(at++)
    socket.write(piece)
    if (at < count * PIECE) return
    clearInterval(timer)
    socket.end()
  }, PIECE_EVERY_MS)
  socket.on('close', () => clearInterval(timer))
}

interface End {
  readonly host: string
  readonly port: number
  readonly localAddress: string
  readonly localPort: number
  readonly ms: number
}

/** Resolves with what was wrong; undefined: nothing. */
function connection(
  end: End,
  talk: (socket: Socket) => {
    onData(bytes: Buffer): string | undefined
    missing(): string | undefined
  },
): Promise<string | undefined> {
  return new Promise((resolve) => {
    const { host, port, localAddress, localPort } = end
    const socket = connect({ host, port, localAddress, localPort })
    const name = (what: string) => `${localAddress}:${localPort}: ${what}`
    const done = (what: string | undefined) => {
      socket.destroy()
      resolve(what && name(what))
    }
    socket.setTimeout(SILENCE_MS, () => done('silent'))
    socket.on('error', (error) => done(error.message))
    socket.on('connect', () => {
      const { onData, missing } = talk(socket)
      socket.on('data', (bytes) => {
        const wrong = onData(bytes)
        if (wrong) done(wrong)
      })
      socket.on('end', () => done(missing()))
    })
  })
}

function download(end: End): Promise<string | undefined> {
  const count = Math.ceil(end.ms / PIECE_EVERY_MS)
  return connection(end, (socket) => {
    socket.write(`${ALL_SENT} ${count}\n`)
    let at = 0
    return {
      onData: (bytes) => {
        for (const byte of bytes) if (byte !== byteAt(at++)) return `byte ${at - 1} is another`
        return undefined
      },
      missing: () => (at === count * PIECE ? undefined : `${at} of ${count * PIECE} bytes`),
    }
  })
}

function talk(end: End): Promise<string | undefined> {
  return connection(end, (socket) => {
    let said = ''
    let heard = ''
    const timer = setInterval(() => {
      const word = `${end.localPort} says ${said.length}\n`
      said += word
      socket.write(word)
    }, TALK_EVERY_MS)
    setTimeout(() => {
      clearInterval(timer)
      socket.end()
    }, end.ms)
    socket.on('close', () => clearInterval(timer))
    return {
      onData: (bytes) => {
        heard += bytes
        return said.startsWith(heard) ? undefined : 'another echo'
      },
      missing: () => (heard === said ? undefined : `${heard.length} of ${said.length} bytes`),
    }
  })
}

async function datagrams(end: End, counts: { sent: number; back: number }): Promise<void> {
  const socket = createSocket('udp4')
  await new Promise<void>((resolve) => socket.bind(end.localPort, end.localAddress, resolve))
  const wanted = new Set<string>()
  socket.on('message', (message) => {
    if (wanted.delete(message.toString())) counts.back++
  })
  for (let i = 0; i * PIECE_EVERY_MS < end.ms; i++) {
    const word = `${end.localAddress} ${end.localPort} ${i}`
    wanted.add(word)
    counts.sent++
    socket.send(word, end.port, end.host)
    await new Promise((resolve) => setTimeout(resolve, PIECE_EVERY_MS))
  }
  // What is still under way: on a machine with much other work, some seconds.
  for (let i = 0; i < 100 && wanted.size > 0; i++) {
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  socket.close()
}

async function client([
  host = '',
  port,
  addresses = '',
  ...counts
]: readonly string[]): Promise<void> {
  const [downloads = 0, talks = 0, flows = 0, seconds = 0] = counts.map(Number)
  const own = addresses.split(',')
  const end = (i: number): End => ({
    host,
    port: Number(port),
    localAddress: own[i % own.length] ?? '',
    localPort: FIRST_PORT + Math.floor(i / own.length),
    ms: seconds * 1000,
  })
  const ends = (n: number, from = 0) => Array.from({ length: n }, (_, i) => end(from + i))
  const udp = { sent: 0, back: 0 }
  const [results] = await Promise.all([
    Promise.all([...ends(downloads).map(download), ...ends(talks, downloads).map(talk)]),
    Promise.all(ends(flows).map((one) => datagrams(one, udp))),
  ])
  const broken = results.filter((what) => what !== undefined)
  const whole = results.length - broken.length
  const report = { whole, broken, datagramsSent: udp.sent, datagramsBack: udp.back }
  process.stdout.write(`${JSON.stringify(report satisfies ClientReport)}\n`)
}

const [kind, ...rest] = process.argv.slice(2)
if (kind === 'server') serve(rest[0] ?? '')
else if (kind === 'probe') await probeAll(rest[0] ?? '', Number(rest[1]), rest[2] ?? '')
else await client(rest)
