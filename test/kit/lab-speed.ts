import { execFileSync } from 'node:child_process'
import { Lab, PUBLIC, SERVER } from './lab.ts'
import { command, ended, masquerade, says } from './lab-nat.ts'

// What a NAT forwards of small UDP packets, the kernel's and ours in turn, in the same namespaces.

const BYTES = 64
/** The flood stands before it is measured, and goes on beyond (ms). */
const BEFORE_MS = 1_500
const MEASURED_MS = 4_000

/** Packets per second, by the counters of the client's and the server's interfaces. */
export interface Speed {
  readonly sent: number
  readonly came: number
}

const later = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms))

/** As much as the sender can, whatever is lost. */
async function flood(lab: Lab): Promise<Speed> {
  const server = lab.start('server', 'iperf3', '-s', '-1', '-B', SERVER, '--forceflush')
  await says(server, /listening/)
  const udp = ['-u', '-l', String(BYTES), '-b', '0', '-t', '60']
  const client = lab.start('client', 'iperf3', '-c', SERVER, ...udp)
  await later(BEFORE_MS)
  const start = performance.now()
  const [sent, came] = [packetsOf(lab, 'client').sent, packetsOf(lab, 'server').received]
  await later(MEASURED_MS)
  const now = { sent: packetsOf(lab, 'client').sent, came: packetsOf(lab, 'server').received }
  const seconds = (performance.now() - start) / 1000
  client.kill('SIGKILL')
  server.kill('SIGKILL')
  return { sent: (now.sent - sent) / seconds, came: (now.came - came) / seconds }
}

function packetsOf(lab: Lab, machine: 'client' | 'server'): { sent: number; received: number } {
  const line = /^\s*eth: *(.*)$/m.exec(lab.run(machine, 'cat', '/proc/net/dev'))?.[1] ?? ''
  const counts = line.trim().split(/\s+/).map(Number)
  return { received: counts[1] ?? 0, sent: counts[9] ?? 0 }
}

/** Nothing translates: what the sender, the links and the kernel's forwarding do at most. */
export async function forwarding(): Promise<Speed> {
  const lab = new Lab()
  try {
    lab.run('between', 'sysctl', '-qw', 'net.ipv4.ip_forward=1')
    lab.run('server', 'ip', 'route', 'add', 'default', 'via', '203.0.113.1')
    return await flood(lab)
  } finally {
    lab.remove()
  }
}

export async function kernelSpeed(): Promise<Speed> {
  const lab = new Lab()
  try {
    masquerade(lab)
    return await flood(lab)
  } finally {
    lab.remove()
  }
}

export async function ourSpeed(bus: 'memory' | 'nats'): Promise<Speed> {
  const lab = new Lab()
  try {
    const through = ['--interface', 'in', '--out-interface', 'out', '--pool', PUBLIC]
    const nat = lab.start(
      'between',
      process.execPath,
      command,
      'run',
      'nat',
      ...through,
      '--bus',
      bus,
    )
    const end = ended(nat)
    await says(nat, /Ctrl-C ends it/)
    const speed = await flood(lab)
    nat.kill('SIGINT')
    await end
    return speed
  } finally {
    lab.remove()
  }
}

/** Without interfaces: what clients send of synthetic TCP, half of all packets, is translated; on one instance in this process. */
export function syntheticRate(): number {
  const traffic = 'flows=1000,packets=300000,seed=1'
  const args = [
    'run',
    'nat',
    '--synthetic',
    traffic,
    '--bus',
    'memory',
    '--scale',
    '1',
    '--json',
    '--inside',
    '10.0.0.0/16',
  ]
  const text = execFileSync(process.execPath, [command, ...args], { encoding: 'utf8' })
  const { packetsPerSecond } = JSON.parse(text) as { packetsPerSecond: number }
  return packetsPerSecond
}
