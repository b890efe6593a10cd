import type { ChildProcess } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { CLIENTS, type ClientReport, Lab, PUBLIC, peerProgram, SERVER } from './lab.ts'

// The same traffic through the kernel's NAT and through ours, and what both made of it.

/** A flow that a NAT opened, and the public port that it got. */
export interface Flow {
  readonly protocol: string
  readonly inside: string
  readonly outside: string
  readonly remote: string
}
/** Sums over both ends. A reset that is sent may answer a late copy of a segment: its connection is over, and whole. */
export const TCP_COUNTS = [
  'resets of open connections',
  'resets sent',
  'segments sent again',
] as const

export interface Outcome {
  readonly traffic: ReadonlyMap<string, { good: number; of: number }>
  readonly broken: readonly string[]
  readonly tcp: Readonly<Record<(typeof TCP_COUNTS)[number], number>>
  readonly flows: readonly Flow[]
  /** TCP flows whose close the NAT has told. */
  readonly closed: readonly Flow[]
  /** What the NAT itself said at the end. */
  readonly said: readonly string[]
}
export type IsThere = (program: string) => boolean

/** All traffic goes on for so long (s); parts of the scale are a fourth of it, and some time is left. */
const SECONDS = 20
const EVERY = 5
const DOWNLOADS = 200
const FIRST_PORT = 30_000
/** sshd runs by its whole path alone. */
const SSHD = '/usr/sbin/sshd'
const SSH_PORT = '2222'

/** A program's output once it has ended. */
export function ended(child: ChildProcess): Promise<{ code: number | null; text: string }> {
  let text = ''
  child.stdout?.on('data', (bytes) => {
    text += bytes
  })
  return new Promise((resolve) => child.on('close', (code) => resolve({ code, text })))
}

/** A program has come to say it, on one of its outputs. */
export function says(child: ChildProcess, what: RegExp): Promise<string> {
  let text = ''
  return new Promise((resolve, reject) => {
    const onData = (bytes: Buffer) => {
      text += bytes
      if (what.test(text)) resolve(text)
    }
    child.stdout?.on('data', onData)
    child.stderr?.on('data', onData)
    child.once('exit', (code) => reject(new Error(`ended with ${code}: ${text}`)))
  })
}

export const command = fileURLToPath(new URL('../../cli/main.js', import.meta.url)).replace(
  /(?<!\/dist)(?=\/cli\/main\.js$)/,
  '/dist',
)

/** Makes a machine a NAT as an administrator would: nftables, masquerade. */
export function masquerade(lab: Lab): void {
  lab.run('between', 'sysctl', '-qw', 'net.ipv4.ip_forward=1')
  const nft = (...args: string[]) => lab.run('between', 'nft', ...args)
  nft('add', 'table', 'ip', 'nat')
  nft('add chain ip nat post { type nat hook postrouting priority 100 ; }')
  nft('add', 'rule', 'ip', 'nat', 'post', 'oifname', 'out', 'masquerade')
}

export async function throughKernel(isThere: IsThere): Promise<Outcome> {
  const lab = new Lab()
  const folder = mkdtempSync(join(tmpdir(), 'rehome-nat-'))
  try {
    masquerade(lab)
    const events = join(folder, 'events')
    // To a file, and with room: it loses events while its reader starts 200 programs at once.
    const command = `exec conntrack -E -e NEW,UPDATES --buffer-size ${2 ** 25} > ${events}`
    const watch = isThere('conntrack') ? lab.start('between', 'sh', '-c', command) : undefined
    const told = watch && ended(watch)
    const result = await traffic(lab, isThere)
    watch?.kill('SIGINT')
    await told
    const lines = watch ? readFileSync(events, 'utf8').split('\n') : []
    const flows = lines.filter((line) => line.includes('[NEW]')).flatMap(conntrackFlow)
    const closed = lines.filter((line) => /\b(TIME_WAIT|CLOSE) /.test(line)).flatMap(conntrackFlow)
    return { ...result, flows, closed, said: [] }
  } finally {
    lab.remove()
    rmSync(folder, { recursive: true, force: true })
  }
}

export async function throughOurs(isThere: IsThere): Promise<Outcome> {
  const lab = new Lab()
  const folder = mkdtempSync(join(tmpdir(), 'rehome-nat-'))
  try {
    const events = join(folder, 'events')
    const through = ['--interface', 'in', '--out-interface', 'out', '--pool', PUBLIC]
    const scale = ['--scale', '1,2,3,1', '--every', String(EVERY)]
    const rest = [...through, ...scale, '--events', events]
    const nat = lab.start('between', process.execPath, command, 'run', 'nat', ...rest)
    const end = ended(nat)
    await says(nat, /Ctrl-C ends it/)
    const result = await traffic(lab, isThere)
    nat.kill('SIGINT')
    const { code, text } = await end
    const said = text.trimEnd().split('\n').slice(-24)
    if (code !== 0) said.push(`rehome run ended with ${code}`)
    const lines = readFileSync(events, 'utf8').split('\n')
    const flows = lines.flatMap((line) => ourFlow(line, 'new'))
    const closed = lines.flatMap((line) => ourFlow(line, 'closed'))
    return { ...result, flows, closed, said }
  } finally {
    lab.remove()
    rmSync(folder, { recursive: true, force: true })
  }
}

// ---- traffic ----

type Sum = { good: number; of: number }
/** One kind of traffic, over all of the time: how much of it went well, and what did not. */
type Kind = (lab: Lab, port: string) => Promise<Sum & { broken?: readonly string[] }>

const client = (lab: Lab, ...args: string[]) => ended(lab.start('client', ...(args as [string])))

/** 200 downloads at once, each from an end of its own, slow enough to last. */
const downloads: Kind = async (lab, port) => {
  const bytes = 400_000
  const url = `http://${SERVER}:${port}/${bytes}`
  const rate = Math.round(bytes / SECONDS)
  const all = Array.from({ length: DOWNLOADS }, async (_, i) => {
    const from = ['--interface', CLIENTS[i % CLIENTS.length]!]
    const local = ['--local-port', String(FIRST_PORT + Math.floor(i / CLIENTS.length))]
    const told = ['-s', '-o', '/dev/null', '-w', '%{http_code} %{size_download}']
    const { code, text } = await client(
      lab,
      'curl',
      ...from,
      ...local,
      ...told,
      '--limit-rate',
      String(rate),
      url,
    )
    return code === 0 && text === `200 ${bytes}` ? undefined : `curl ${i}: ${code} ${text}`
  })
  return sumOf(await Promise.all(all))
}

function sumOf(results: readonly (string | undefined)[]): Sum & { broken: string[] } {
  const broken = results.filter((what) => what !== undefined)
  return { good: results.length - broken.length, of: results.length, broken }
}

const iperf: Kind = async (lab) => {
  const server = lab.start('server', 'iperf3', '-s', '-B', SERVER, '--forceflush')
  await says(server, /listening/)
  const args = ['-c', SERVER, '-t', String(SECONDS - 2), '-b', '10M', '--cport', '29000', '-J']
  const { code, text } = await client(lab, 'iperf3', ...args)
  const told = JSON.parse(text) as { error?: string }
  return sumOf([code === 0 && !told.error ? undefined : `iperf3: ${told.error ?? code}`])
}

const LINES = SECONDS * 4
const typedLines = Array.from({ length: LINES }, (_, i) => `line ${i}\n`).join('')

/** Lines through nc, some each second, as of somebody who types. */
const typed: Kind = async (lab) => {
  const server = lab.start('server', 'nc', '-N', '-l', SERVER, '9000')
  const heard = ended(server)
  await new Promise((resolve) => setTimeout(resolve, 300))
  const loop = `i=0; while [ $i -lt ${LINES} ]; do echo line $i; sleep 0.2; i=$((i+1)); done`
  await client(lab, 'sh', '-c', `{ ${loop}; } | nc -N -p 29001 ${SERVER} 9000`)
  const { text } = await heard
  const fine = text === typedLines
  return sumOf([fine ? undefined : `nc: ${text.length} of ${typedLines.length} bytes`])
}

/** Lines typed to a program at the other end of ssh, which says them again. Keys and all else of sshd are of this run. */
const ssh: Kind = async (lab) => {
  const folder = mkdtempSync(join(tmpdir(), 'rehome-ssh-'))
  try {
    const [key, hostKey] = [join(folder, 'key'), join(folder, 'host')]
    for (const path of [key, hostKey]) {
      lab.run('client', 'ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', path)
    }
    mkdirSync('/run/sshd', { recursive: true }) // sshd wants it to be there
    const sshd = ['StrictModes=no', 'UsePAM=no', 'PidFile=none', `AuthorizedKeysFile=${key}.pub`]
    const where = ['-p', SSH_PORT, '-o', `ListenAddress=${SERVER}`, '-h', hostKey]
    const options = (all: string[]) => all.flatMap((option) => ['-o', option])
    const server = lab.start(
      'server',
      SSHD,
      '-D',
      '-e',
      '-f',
      '/dev/null',
      ...where,
      ...options(sshd),
    )
    await says(server, /listening/)
    const trust = [
      'BatchMode=yes',
      'StrictHostKeyChecking=no',
      `UserKnownHostsFile=${folder}/known`,
    ]
    const login = ['-F', 'none', '-i', key, '-p', SSH_PORT, ...options(trust), SERVER, 'cat']
    const loop = `i=0; while [ $i -lt ${LINES} ]; do echo line $i; sleep 0.2; i=$((i+1)); done`
    const { code, text } = await client(lab, 'sh', '-c', `{ ${loop}; } | ssh ${login.join(' ')}`)
    const fine = code === 0 && text === typedLines
    return sumOf([fine ? undefined : `ssh: ${code}, ${text.length} of ${typedLines.length} bytes`])
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

const pings: Kind = async (lab) => {
  const count = SECONDS * 4
  const { text } = await client(lab, 'ping', '-c', String(count), '-i', '0.2', SERVER)
  const good = Number(/(\d+) received/.exec(text)?.[1] ?? 0)
  return { good, of: count }
}

/** A packet whose time ends at the NAT: traceroute goes by the error that comes back. */
const firstHop: Kind = async (lab) => {
  const { text } = await client(lab, 'ping', '-c', '1', '-t', '1', '-W', '3', SERVER)
  return sumOf([text.includes('Time to live exceeded') ? undefined : 'no answer of the first hop'])
}

async function peers(lab: Lab, port: string, only: readonly number[]): Promise<ClientReport> {
  const counts = [...only, SECONDS - 2].map(String)
  const args = ['client', SERVER, port, CLIENTS.join(','), ...counts]
  const { text } = await client(lab, process.execPath, peerProgram, ...args)
  return JSON.parse(text) as ClientReport
}

const pieces: Kind = async (lab, port) => {
  const { whole: good, broken } = await peers(lab, port, [40, 20, 0])
  return { good, of: good + broken.length, broken }
}
const datagrams: Kind = async (lab, port) => {
  const { datagramsBack: good, datagramsSent: of } = await peers(lab, port, [0, 0, 20])
  return { good, of }
}
const probes: Kind = async (lab, port) => {
  const { text } = await client(
    lab,
    process.execPath,
    peerProgram,
    'probe',
    SERVER,
    port,
    CLIENTS[0]!,
  )
  const told = JSON.parse(text) as (string | null)[]
  return sumOf(told.map((what) => what ?? undefined))
}

const KINDS: readonly (readonly [string, string | undefined, Kind])[] = [
  ['curl, 200 downloads at once', 'curl', downloads],
  ['iperf3, TCP', 'iperf3', iperf],
  ['nc, lines typed', 'nc', typed],
  ['ssh, lines typed', 'sshd', ssh],
  ['ping', 'ping', pings],
  ['the first hop tells of itself', 'ping', firstHop],
  ['TCP, bytes compared, downloads and echo', undefined, pieces],
  ['UDP datagrams echoed', undefined, datagrams],
  ['single things (see lab-probes.ts)', undefined, probes],
]

async function traffic(
  lab: Lab,
  isThere: IsThere,
): Promise<Omit<Outcome, 'flows' | 'closed' | 'said'>> {
  const server = lab.start('server', process.execPath, peerProgram, 'server', SERVER)
  const port = (await says(server, /\d+\n/)).trim()
  const there = KINDS.filter(([, program]) => program === undefined || isThere(program))
  const results = await Promise.all(
    there.map(async ([name, , kind]) => [name, await kind(lab, port)] as const),
  )
  const both = [lab.tcp('client'), lab.tcp('server')]
  const sum = (of: (counts: (typeof both)[number]) => number) => both.reduce((n, c) => n + of(c), 0)
  return {
    traffic: new Map(results),
    broken: results.flatMap(([, { broken }]) => broken ?? []),
    tcp: {
      'resets of open connections': sum((c) => c.resetsSeen),
      'resets sent': sum((c) => c.resetsSent),
      'segments sent again': sum((c) => c.retransmitted),
    },
  }
}

// ---- mappings ----

/** A line of `conntrack -E`: the flow's first packet, then what its answer looks like. */
function conntrackFlow(line: string): Flow[] {
  const protocol = /\[(?:NEW|UPDATE)\]\s+(\w+)/.exec(line)?.[1]
  const all = (name: string) =>
    [...line.matchAll(new RegExp(`\\b${name}=(\\S+)`, 'g'))].map((m) => m[1])
  const [src, dst, id] = [all('src'), all('dst'), all('id')]
  const [sport, dport] = [all('sport'), all('dport')]
  if (!protocol || !src[0]?.startsWith('10.')) return []
  const port = (ports: (string | undefined)[], i: number) => ports[i] ?? id[i]
  return [
    {
      protocol,
      inside: `${src[0]}:${port(sport, 0)}`,
      outside: `${dst[1]}:${port(dport, 1)}`,
      remote: `${dst[0]}:${port(dport, 0)}`,
    },
  ]
}

/** A line of ours: "7 new udp 10.0.0.7:5000 as 192.0.2.1:5000 to 198.51.100.1:53". */
function ourFlow(line: string, news: string): Flow[] {
  const m = /^\d+ (\w+) (\w+) (\S+) as (\S+) to (\S+)$/.exec(line)
  if (m?.[1] !== news) return []
  const [, , protocol = '', inside = '', outside = '', remote = ''] = m
  return [{ protocol, inside, outside, remote }]
}

export const flowText = ({ protocol, inside, outside, remote }: Flow) =>
  `${protocol} ${inside} as ${outside} to ${remote}`

const portOf = (end: string) => end.slice(end.lastIndexOf(':') + 1)

/** Ends that are the same in each run: programs chose the others' ports from the kernel's own range. */
const isFixed = ({ protocol, inside }: Flow) =>
  protocol !== 'icmp' && Number(portOf(inside)) < EPHEMERAL
const EPHEMERAL = 32_768

export function agreement(kernel: readonly Flow[], ours: readonly Flow[]) {
  // The server's port is another in each run.
  const key = ({ protocol, inside }: Flow) => `${protocol} ${inside}`
  const mine = new Map(ours.filter(isFixed).map((flow) => [key(flow), flow]))
  const theirs = new Map(kernel.filter(isFixed).map((flow) => [key(flow), flow]))
  const both = [...theirs].filter(([k]) => mine.has(k))
  const preserved = (flows: Iterable<Flow>) =>
    [...flows].filter((f) => portOf(f.inside) === portOf(f.outside)).length
  return {
    kernel: kernel.length,
    ours: ours.length,
    both: both.length,
    kernelOnly: [...theirs].flatMap(([k, flow]) => (mine.has(k) ? [] : [flow])),
    oursOnly: [...mine].flatMap(([k, flow]) => (theirs.has(k) ? [] : [flow])),
    samePort: both.filter(([k, f]) => portOf(f.outside) === portOf(mine.get(k)?.outside ?? ''))
      .length,
    preserved: { kernel: preserved(theirs.values()), ours: preserved(mine.values()) },
    shared: { kernel: sharedEnds(kernel), ours: sharedEnds(ours) },
  }
}

/** Flows of fixed ends in both, or in one alone. */
export function compared(kernel: readonly Flow[], ours: readonly Flow[]) {
  const ends = (flows: readonly Flow[]) =>
    new Set(flows.filter(isFixed).map(({ protocol, inside }) => `${protocol} ${inside}`))
  const [theirs, mine] = [ends(kernel), ends(ours)]
  const both = [...theirs].filter((end) => mine.has(end)).length
  return { both, kernelOnly: theirs.size - both, oursOnly: mine.size - both }
}

/** Public ends towards one remote end that stand for two inside ends, in so short a run that none is used again. */
function sharedEnds(flows: readonly Flow[]): number {
  const by = new Map<string, Set<string>>()
  for (const { protocol, inside, outside, remote } of flows) {
    const key = `${protocol} ${outside} ${remote}`
    by.set(key, (by.get(key) ?? new Set()).add(inside))
  }
  return [...by.values()].filter((insides) => insides.size > 1).length
}
