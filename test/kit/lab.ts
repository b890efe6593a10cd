import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/*
 * Three machines on one: a client, a server, and one between them with an interface to each, as network namespaces of
 * Linux that are joined by veth pairs. They are made for one use and removed; so are those of a process that could not.
 *
 *   client 10.77.0.2 to .5 ── in 10.77.0.1 [between] out 203.0.113.1 ── 203.0.113.2 server
 */

export type Machine = 'client' | 'between' | 'server'
const MACHINES: readonly Machine[] = ['client', 'between', 'server']

/** The client has several addresses, so that it is several hosts to a NAT. */
export const CLIENTS = [2, 3, 4, 5].map((n) => `10.77.0.${n}`)
export const SERVER = '203.0.113.2'
/** For the NAT between them: on the server's line, and no machine's own. */
export const PUBLIC = '203.0.113.100'

/** The program of the peers, as it was built. */
export const peerProgram = fileURLToPath(new URL('./lab-peer.js', import.meta.url)).replace(
  /(?<!\/dist)(?=\/test\/kit\/lab-peer\.js$)/,
  '/dist',
)

let made = 0

/** What TCP counts on one machine (/proc/net/snmp). */
export interface TcpCounts {
  readonly opened: number
  readonly resetsSent: number
  readonly resetsSeen: number
  readonly retransmitted: number
}

/** Runs a program to its end; throws where it fails. */
function output(program: string, ...args: string[]): string {
  return execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
}

export class Lab {
  private readonly name = `rh${process.pid}-${++made}`
  private readonly children = new Set<ChildProcess>()
  private readonly onExit = () => this.remove()

  /** Why there can be none here; undefined: there can. */
  static impossible(): string | undefined {
    if (process.platform !== 'linux') return 'network namespaces need Linux'
    if (process.getuid?.() !== 0) return 'network namespaces need root'
    const name = `rh${process.pid}-0`
    try {
      output('ip', 'netns', 'add', name)
      output('ip', '-n', name, 'link', 'add', 'one', 'type', 'veth', 'peer', 'name', 'other')
      return undefined
    } catch (error) {
      const missing = error instanceof Error && 'code' in error && error.code === 'ENOENT'
      return missing
        ? 'ip (iproute2) is not installed'
        : 'this machine allows no network namespaces'
    } finally {
      removeSpace(name)
    }
  }

  constructor() {
    sweep()
    process.once('exit', this.onExit)
    try {
      for (const machine of MACHINES) {
        output('ip', 'netns', 'add', this.space(machine))
        this.ip(machine, 'link', 'set', 'lo', 'up')
      }
      this.line('client', 'in', CLIENTS, '10.77.0.1')
      this.line('server', 'out', [SERVER], '203.0.113.1')
      this.ip('client', 'route', 'add', 'default', 'via', '10.77.0.1')
    } catch (error) {
      this.remove()
      throw error
    }
  }

  private space(machine: Machine): string {
    return `${this.name}-${machine}`
  }
  private ip(machine: Machine, ...args: string[]): void {
    output('ip', '-n', this.space(machine), ...args)
  }
  private line(machine: Machine, port: string, own: readonly string[], between: string): void {
    const [here, there] = [this.space(machine), this.space('between')]
    const pair = ['type', 'veth', 'peer', 'name', port, 'netns', there]
    output('ip', 'link', 'add', 'eth', 'netns', here, ...pair)
    for (const one of own) this.ip(machine, 'addr', 'add', `${one}/24`, 'dev', 'eth')
    this.ip('between', 'addr', 'add', `${between}/24`, 'dev', port)
    this.ip(machine, 'link', 'set', 'eth', 'up')
    this.ip('between', 'link', 'set', port, 'up')
  }

  /** Runs a program there to its end; throws where it fails. */
  run(machine: Machine, program: string, ...args: string[]): string {
    return output('ip', 'netns', 'exec', this.space(machine), program, ...args)
  }

  /** Starts a program there; it ends with the lab at the latest. */
  start(machine: Machine, program: string, ...args: string[]): ChildProcess {
    const all = ['netns', 'exec', this.space(machine), program, ...args]
    const child = spawn('ip', all, { stdio: ['ignore', 'pipe', 'pipe'] })
    this.children.add(child)
    child.once('exit', () => this.children.delete(child))
    return child
  }

  tcp(machine: Machine): TcpCounts {
    const lines = this.run(machine, 'cat', '/proc/net/snmp').split('\n')
    const [names = [], values = []] = lines
      .filter((l) => l.startsWith('Tcp:'))
      .map((l) => l.split(' '))
    const of = (name: string) => Number(values[names.indexOf(name)])
    return {
      opened: of('ActiveOpens'),
      resetsSent: of('OutRsts'),
      resetsSeen: of('EstabResets'),
      retransmitted: of('RetransSegs'),
    }
  }

  remove(): void {
    process.off('exit', this.onExit)
    for (const child of this.children) child.kill('SIGKILL')
    for (const machine of MACHINES) removeSpace(this.space(machine))
  }
}

function removeSpace(name: string): void {
  try {
    output('ip', 'netns', 'del', name)
  } catch {
    // It is gone, or was never made.
  }
}

/** Removes what processes that have been killed left behind: the name says whose it was. */
function sweep(): void {
  for (const [, name = '', pid = ''] of output('ip', 'netns', 'list').matchAll(
    /^(rh(\d+)-\S+)/gm,
  )) {
    if (!existsSync(`/proc/${pid}`)) removeSpace(name)
  }
}

export type { ClientReport } from './lab-peer.ts'
