import type { ChildProcess } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import type { RunReport } from '../../cli/index.ts'
import { lab } from '../kit/index.ts'
import { newFile, rehome, root } from './rehome.ts'

const { CLIENTS, Lab, peerProgram, PUBLIC, SERVER } = lab
const why = Lab.impossible()
const command = join(root, 'dist/cli/main.js')

interface Output {
  readonly code: number | null
  readonly text: string
}
function ended(child: ChildProcess): Promise<Output> {
  let text = ''
  child.stdout?.on('data', (bytes) => {
    text += bytes
  })
  return new Promise((resolve) => child.on('close', (code) => resolve({ code, text })))
}

/** An output has come to show it. */
function shows(
  child: ChildProcess,
  what: RegExp,
  where: 'stdout' | 'stderr' = 'stderr',
): Promise<void> {
  let text = ''
  return new Promise((resolve, reject) => {
    child[where]?.on('data', (bytes) => {
      text += bytes
      if (what.test(text)) resolve()
    })
    child.once('exit', () => reject(new Error(text)))
  })
}

function firstLine(child: ChildProcess): Promise<string> {
  return new Promise((resolve) =>
    child.stdout?.once('data', (bytes) => resolve(String(bytes).trim())),
  )
}

describe('on interfaces', () => {
  const rooms: InstanceType<typeof Lab>[] = []
  const room = () => {
    const made = new Lab()
    rooms.push(made)
    return made
  }
  afterAll(() => rooms.forEach((one) => void one.remove()))

  it('breaks no connection through a NAT that scales', async () => {
    if (why !== undefined) return console.log(`not tested here: ${why}`)
    const net = room()
    const out = newFile()
    const server = net.start('server', process.execPath, peerProgram, 'server', SERVER)
    const port = await firstLine(server)
    const through = ['--interface', 'in', '--out-interface', 'out', '--pool', PUBLIC]
    const scale = ['--scale', '1,2,3,1', '--every', '1']
    const args = ['run', 'nat', ...through, ...scale, '--json', '--log', 'info', '--out', out]
    const nat = net.start('between', process.execPath, command, ...args)
    const natEnded = ended(nat)
    await shows(nat, /Ctrl-C ends it/)
    const counts = ['40', '10', '10', '5']
    const who = ['client', SERVER, port, CLIENTS.join(','), ...counts]
    const { text } = await ended(net.start('client', process.execPath, peerProgram, ...who))
    const told = JSON.parse(text) as lab.ClientReport
    expect(told.broken).toEqual([])
    expect(told.whole).toBe(50)
    expect(told.datagramsBack).toBe(told.datagramsSent)
    for (const machine of ['client', 'server'] as const) {
      // Resets of open connections. Others answer late copies of segments, once their connection has closed whole.
      expect({ machine, resets: net.tcp(machine).resetsSeen }).toEqual({ machine, resets: 0 })
    }
    nat.kill('SIGINT')
    const { code, text: json } = await natEnded
    expect(code, json).toBe(0)
    const report = JSON.parse(json) as RunReport
    expect(report.live).toMatchObject({ missed: 0, unsent: 0, unroutable: 0, unanswered: 0 })
    expect(report.instances.length).toBe(3)
    expect(report.errors).toBe(0)
    expect(readFileSync(out, 'utf8')).toMatch(/dropped exhausted 0/)
  })
})

/** Looks at something until it is as wanted. */
async function until(what: string, isSo: () => boolean): Promise<void> {
  for (const end = Date.now() + 30_000; !isSo(); ) {
    if (Date.now() > end) throw new Error(`not so in 30 s: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

describe('an NF that watches an interface', () => {
  const rooms: InstanceType<typeof Lab>[] = []
  afterAll(() => rooms.forEach((one) => void one.remove()))

  it('shows lines of its log as it finds them, while it scales', async () => {
    if (why !== undefined) return console.log(`not tested here: ${why}`)
    const net = new Lab()
    rooms.push(net)
    net.run('between', 'sysctl', '-qw', 'net.ipv4.ip_forward=1')
    net.run('server', 'ip', 'route', 'add', 'default', 'via', '203.0.113.1')
    const server = net.start('server', process.execPath, peerProgram, 'server', SERVER)
    const port = await firstLine(server)
    const [log, rules] = [newFile(), newFile()]
    writeFileSync(
      rules,
      'alert tcp any any -> any any (msg:"found"; flow:to_server; content:"/7"; http_uri; sid:7;)\n',
    )
    const watch = ['--interface', 'in', '--bus', 'memory', '--scale', '1,2,1', '--every', '1']
    const start = (...args: string[]) =>
      net.start('between', process.execPath, command, 'run', ...args, ...watch)
    const children = [start('prads', '--out', log), start('ids', '--rules', rules)]
    let alerts = ''
    children[1]?.stdout?.on('data', (bytes) => {
      alerts += bytes
    })
    const ends = children.map(ended)
    await Promise.all(ends.map((_, i) => shows(children[i]!, /Ctrl-C ends it/, 'stdout')))
    const get = `fetch('http://${SERVER}:${port}/7').then((r) => r.text()).then(console.log)`
    for (let i = 0; i < 2; i++) {
      await ended(net.start('client', process.execPath, '-e', get))
      await new Promise((resolve) => setTimeout(resolve, 300)) // the scale changes
    }
    const server7 = new RegExp(`^${SERVER},0,${port},6,SERVER,`, 'm')
    await until('an asset in the log', () => server7.test(readFileSync(log, 'utf8')))
    await until('two alerts', () => alerts.split('"signature_id":7').length === 3)
    for (const child of children) child.kill('SIGINT')
    for (const { code, text } of await Promise.all(ends)) {
      expect(code, text).toBe(0)
      expect(text).toMatch(/ 0 errors/)
    }
    expect(alerts.split('"signature_id":7').length, 'told once each').toBe(3)
    expect(readFileSync(log, 'utf8')).toMatch(/^asset,vlan,port/)
  })
})

describe('a run on interfaces says', () => {
  const says = async (...args: string[]) => {
    const { code, stderr } = await rehome('run', ...args)
    return { code, stderr: stderr.trim() }
  }
  it('what it needs', async () => {
    expect(await says('nat', '--out-interface', 'lo')).toEqual({
      code: 2,
      stderr: 'rehome: --out-interface goes with --interface',
    })
  })
})
