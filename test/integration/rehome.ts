import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { afterAll } from 'vitest'
import type { RunReport } from '../../cli/index.ts'
import { CaptureRecord, openCapture, PcapWriter } from '../../loadgen/index.ts'

/** The command as it was built, started as users start it: each in a process of its own. */
export const root = fileURLToPath(new URL('../..', import.meta.url))
const command = join(root, 'dist/cli/main.js')
export const sample = join(root, 'samples/office.pcap')
export const shared = join(root, '../shared/data')

/** No command of these tests takes longer, so that one that hangs is named by what it was to do. */
const RUN_MS_MAX = 55_000

export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

/** A command that runs. */
export class Running {
  readonly child: ChildProcess
  readonly ended: Promise<Ended>
  private out = ''
  private err = ''

  constructor(args: readonly string[], env: NodeJS.ProcessEnv = {}) {
    if (!existsSync(command)) throw new Error(`${command} is not there: npm run build`)
    this.child = spawn(process.execPath, [command, ...args], {
      env: { ...process.env, ...env },
      cwd: root,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const timer = setTimeout(() => this.child.kill('SIGKILL'), RUN_MS_MAX)
    this.child.stdout?.on('data', (bytes) => {
      this.out += bytes
    })
    this.child.stderr?.on('data', (bytes) => {
      this.err += bytes
    })
    this.ended = new Promise((resolve) => {
      this.child.on('close', (code, signal) => {
        clearTimeout(timer)
        resolve({ code, signal, stdout: this.out, stderr: this.err })
      })
    })
  }

  /** All that it has printed so far. */
  get said(): string {
    return this.out + this.err
  }

  /** Standard output has come to show it. */
  async shows(what: RegExp): Promise<void> {
    await until(`${what} in ${this.out}${this.err}`, () => {
      if (this.child.exitCode !== null) throw new Error(`ended early: ${this.out}${this.err}`)
      return what.test(this.out)
    })
  }
}

export function rehome(...args: string[]): Promise<Ended> {
  return new Running(args).ended
}

export interface Result {
  readonly report: RunReport
  /** What `--out` wrote. */
  readonly out: string
}

/** `rehome run … --json --out FILE`, and what came of it; anything but a clean end throws. */
export async function run(...args: string[]): Promise<Result> {
  return resultOf(new Running([...runs(args), '--out', newFile()]))
}

async function resultOf(running: Running): Promise<Result> {
  const { code, signal, stdout, stderr } = await running.ended
  const what = running.child.spawnargs.slice(2)
  if (code !== 0 || stderr !== '') {
    throw new Error(`rehome ${what.join(' ')} ended with ${signal ?? code}: ${stderr}${stdout}`)
  }
  const out = readFileSync(what.at(-1)!, 'utf8')
  return { report: JSON.parse(stdout) as RunReport, out }
}

const runs = (args: readonly string[]) => ['run', ...args, '--json']

/** Files of this test file; they go when it ends. */
export const folder = mkdtempSync(join(tmpdir(), 'rehome-test-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
let files = 0
export function newFile(name = 'out'): string {
  return join(folder, `${++files}-${name}`)
}

/** The first `packets` of a capture as one of its own. */
export function cut(from: string, packets: number): string {
  const path = newFile('cut.pcap')
  const reader = openCapture(from)
  const record = new CaptureRecord()
  let writer: PcapWriter | undefined
  for (let i = 0; i < packets && reader.next(record); i++) {
    writer ??= new PcapWriter(path, { linkType: record.linkType })
    writer.write(record)
  }
  writer?.close()
  reader.close()
  return path
}

export async function until(what: string, holds: () => boolean, withinMs = 30_000): Promise<void> {
  const end = performance.now() + withinMs
  while (!holds()) {
    if (performance.now() > end) throw new Error(`waited ${withinMs} ms in vain: ${what}`)
    await delay(20)
  }
}

/** Where processes can be looked at: Linux alone. */
export const canSeeProcesses = existsSync('/proc/self/stat')

/** All that `pid` has started, and what these have, as far as they live. */
export function descendants(pid: number): number[] {
  const parents = new Map<number, number>()
  for (const name of readdirSync('/proc')) {
    const parent = /^\d+$/.test(name) ? parentOf(Number(name)) : undefined
    if (parent !== undefined) parents.set(Number(name), parent)
  }
  const found = [pid]
  for (const one of found) for (const [p, parent] of parents) if (parent === one) found.push(p)
  return found.slice(1)
}

/** Undefined for a process that has ended, also where nobody has asked for its end yet. */
export function parentOf(pid: number): number | undefined {
  try {
    // The name before it is in brackets and may itself hold some.
    const [state, parent] = readFileSync(`/proc/${pid}/stat`, 'latin1')
      .split(') ')
      .at(-1)!
      .split(' ')
    return state === 'Z' ? undefined : Number(parent)
  } catch {
    return undefined
  }
}

export const lives = (pid: number): boolean => parentOf(pid) !== undefined
