import type { ChildProcess } from 'node:child_process'
import { readFileSync } from 'node:fs'
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

/** Standard error has come to show it. */
function shows(child: ChildProcess, what: RegExp): Promise<void> {
  let text = ''
  return new Promise((resolve, reject) => {
    child.stderr?.on('data', (bytes) => {
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
    const scale = ['--scale', '1,2,3,1', '--every', '2']
    const args = ['run', 'nat', ...through, ...scale, '--json', '--log', 'info', '--out', out]
    const nat = net.start('between', process.execPath, command, ...args)
    const natEnded = ended(nat)
    await shows(nat, /Ctrl-C ends it/)
    const counts = ['40', '10', '10', '8']
    const who = ['client', SERVER, port, CLIENTS.join(','), ...counts]
    const { text } = await ended(net.start('client', process.execPath, peerProgram, ...who))
    const told = JSON.parse(text) as lab.ClientReport
    expect(told.broken).toEqual([])
    expect(told.whole).toBe(50)
    expect(told.datagramsBack).toBe(told.datagramsSent)
    for (const machine of ['client', 'server'] as const) {
      const { resetsSent, resetsSeen } = net.tcp(machine)
      expect({ machine, resetsSent, resetsSeen }).toEqual({ machine, resetsSent: 0, resetsSeen: 0 })
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
