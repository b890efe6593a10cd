import { type ChildProcess, spawn } from 'node:child_process'
import { accessSync, constants, existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { Socket } from 'node:net'
import { delimiter, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { RehomeError } from './errors.ts'

/** A server that is not up by then is not coming up. It takes some 50 ms. */
const START_MS_MAX = 10_000
/** What a server gets to end by itself before it is killed. */
const STOP_MS_MAX = 5_000
const POLL_MS = 5

/** A nats-server child with JetStream on 127.0.0.1. It ends with this process, however that ends. */
export interface NatsServer {
  readonly url: string
  /** Of the child that runs now. */
  readonly pid: number
  readonly logFile: string
  stop(): Promise<void>
  kill(signal: 'SIGSTOP' | 'SIGCONT' | 'SIGKILL'): void
  /** Ends it if it runs, and starts it again on the same port and the same store. */
  restart(): Promise<void>
}

/** Path of the nats-server on this machine; Debian's package puts it where PATH often does not look. */
export function findNatsServer(): string | undefined {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin']
  return folders.map((folder) => join(folder, 'nats-server')).find(isProgram)
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** Starts a server that keeps its store, its log and its ports file in `storeDir`. */
export async function startNatsServer(options: { storeDir: string }): Promise<NatsServer> {
  const program = findNatsServer()
  if (!program)
    throw new RehomeError(
      'bus-unavailable',
      'there is no nats-server in PATH or /usr/sbin: install it (Debian: apt install nats-server)',
    )
  mkdirSync(options.storeDir, { recursive: true })
  const server = new OwnServer(program, options.storeDir)
  await server.start(-1)
  return server
}

/**
 * The server runs under a shell that waits for two things: the server's end, and the end of its own
 * standard input, which comes when this process is gone, even if it was killed. A session of its own
 * keeps the terminal's Ctrl-C from the server, which is needed until its members have drained.
 */
const KEEPER = `
exec 3<&0
log=$1; shift
"$@" </dev/null >>"$log" 2>&1 3<&- & server=$!
echo $server
{ read -r end; kill -KILL $server; } <&3 >/dev/null 2>&1 & watch=$!
wait $server; code=$?
kill $watch 2>/dev/null
exit $code
`

class OwnServer implements NatsServer {
  readonly logFile: string
  private readonly program: string
  private readonly storeDir: string
  private port = -1
  private child: ChildProcess | undefined = undefined
  private serverPid = 0

  constructor(program: string, storeDir: string) {
    this.program = program
    this.storeDir = storeDir
    this.logFile = join(storeDir, 'nats-server.log')
  }

  get url(): string {
    return `nats://127.0.0.1:${this.port}`
  }
  get pid(): number {
    return this.serverPid
  }

  /** Port -1 lets the system choose; the server tells in its ports file which it is. */
  async start(port: number): Promise<void> {
    const args = ['-a', '127.0.0.1', '-p', String(port), '--ports_file_dir', this.storeDir]
    const command = [this.program, ...args, '-js', '-sd', this.storeDir]
    const child = spawn('/bin/sh', ['-c', KEEPER, 'sh', this.logFile, ...command], {
      detached: true,
      stdio: ['pipe', 'pipe', 'ignore'],
    })
    this.child = child
    child.once('exit', () => {
      if (this.child === child) this.child = undefined
    })
    this.serverPid = await firstNumber(child)
    this.port = await this.readPort()
    // From now on it does not keep this process alive, which is what it lives for itself.
    child.unref()
    for (const pipe of [child.stdin, child.stdout]) if (pipe instanceof Socket) pipe.unref()
  }

  private async readPort(): Promise<number> {
    const end = performance.now() + START_MS_MAX
    while (this.child && performance.now() < end) {
      const port = portIn(this.storeDir, this.serverPid)
      if (port) return port
      await delay(POLL_MS)
    }
    const why = lastLines(this.logFile)
    await this.stop()
    throw new RehomeError('bus-unavailable', `nats-server did not start: ${why}`)
  }

  async stop(): Promise<void> {
    const { child } = this
    if (!child) return
    child.ref()
    const ended = new Promise((resolve) => child.once('exit', resolve))
    this.signal('SIGCONT')
    this.signal('SIGTERM')
    const timer = setTimeout(() => this.signal('SIGKILL'), STOP_MS_MAX)
    await ended
    clearTimeout(timer)
  }

  kill(signal: 'SIGSTOP' | 'SIGCONT' | 'SIGKILL'): void {
    this.signal(signal)
  }

  private signal(signal: NodeJS.Signals): void {
    // Only while its keeper waits for it: later the number may be another process's.
    if (!this.child || this.serverPid === 0) return
    try {
      process.kill(this.serverPid, signal)
    } catch {
      // It has just ended by itself.
    }
  }

  async restart(): Promise<void> {
    await this.stop()
    await this.start(this.port)
  }
}

function firstNumber(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    const fail = (): void =>
      reject(new RehomeError('bus-unavailable', 'nats-server could not be started'))
    child.once('error', fail)
    child.once('exit', fail)
    child.stdout?.once('data', (text: Buffer) => {
      child.off('exit', fail)
      resolve(Number(text.toString()))
    })
  })
}

/** The ports file is named by the program and its process; an earlier life's file is not this one's. */
function portIn(folder: string, pid: number): number | undefined {
  const file = readdirSync(folder).find((name) => name.endsWith(`_${pid}.ports`))
  if (!file) return undefined
  const port = /nats:\/\/[^"]*:(\d+)/.exec(readFileSync(join(folder, file), 'utf8'))?.[1]
  return port ? Number(port) : undefined
}

function lastLines(file: string): string {
  if (!existsSync(file)) return 'it left no log'
  return readFileSync(file, 'utf8').trim().split('\n').slice(-2).join(' | ')
}
