/**
 * `npm run check:nat [live|speed]`: the same client traffic through the kernel's own NAT (nftables masquerade) and through ours while
 * it scales 1 → 2 → 3 → 1, in network namespaces: what came whole, what was reset, and which mappings each made.
 * `speed`, asked for by name: packets per second through both, on one instance.
 */
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { delimiter } from 'node:path'
import { Lab } from './lab.ts'
import {
  agreement,
  compared,
  flowText,
  type Outcome,
  TCP_COUNTS,
  throughKernel,
  throughOurs,
} from './lab-nat.ts'
import { forwarding, kernelSpeed, ourSpeed, type Speed, syntheticRate } from './lab-speed.ts'

/** Debian's packages by their programs. */
const PEERS: Readonly<Record<string, string>> = {
  nft: 'nftables',
  conntrack: 'conntrack',
  curl: 'curl',
  iperf3: 'iperf3',
  nc: 'netcat-openbsd',
  ping: 'iputils-ping',
}

/** Not installed by itself: Debian's package starts a service. */
const ASKED_FOR: Readonly<Record<string, string>> = { sshd: 'openssh-server' }

const folders = `${process.env.PATH}${delimiter}/usr/sbin${delimiter}/sbin`.split(delimiter)
const isThere = (program: string) => folders.some((folder) => existsSync(`${folder}/${program}`))
const missing = () => Object.keys(PEERS).filter((program) => !isThere(program))

/** Debian has the peers in its archive; root may ask for them. */
function install(): void {
  const packages = missing().map((program) => PEERS[program] ?? program)
  if (packages.length === 0) return
  const command = `apt-get install -y ${packages.join(' ')}`
  if (process.getuid?.() !== 0 || !existsSync('/usr/bin/apt-get')) {
    return console.log(`missing: sudo ${command}`)
  }
  console.log(command)
  try {
    execFileSync('apt-get', ['install', '-y', ...packages], { stdio: 'ignore' })
  } catch {
    console.log('that failed')
  }
}

function table(kernel: Outcome | undefined, ours: Outcome): void {
  const row = (name: string, a: string, b: string) =>
    console.log(name.padEnd(44) + a.padStart(18) + b.padStart(18))
  row('client traffic, and how it went', 'nftables', 'ours, 1,2,3,1')
  for (const [name, { good, of }] of ours.traffic) {
    const theirs = kernel?.traffic.get(name)
    row(name, theirs ? `${theirs.good} of ${theirs.of}` : '–', `${good} of ${of}`)
  }
  for (const name of TCP_COUNTS) {
    row(name, kernel ? String(kernel.tcp[name]) : '–', String(ours.tcp[name]))
  }
  for (const [who, outcome] of [
    ['nftables', kernel],
    ['ours', ours],
  ] as const) {
    for (const what of outcome?.broken ?? []) console.log(`${who}: ${what}`)
  }
  console.log(ours.said.join('\n'))
}

/** Whether ours has every mapping and every close that the kernel's NAT has, and no end twice. */
function mappings(kernel: Outcome, ours: Outcome): boolean {
  const a = agreement(kernel.flows, ours.flows)
  console.log(`\nmappings: conntrack -E tells ${a.kernel} new flows, ours ${a.ours}`)
  console.log(
    `  of fixed ends: ${a.both} by both, ${a.kernelOnly.length} by the kernel alone, ${a.oursOnly.length} by ours alone`,
  )
  console.log(`  with the same public port: ${a.samePort} of ${a.both}`)
  console.log(`  ports preserved: kernel ${a.preserved.kernel}, ours ${a.preserved.ours}`)
  console.log(`  public ends that stand for two: kernel ${a.shared.kernel}, ours ${a.shared.ours}`)
  for (const flow of a.kernelOnly.slice(0, 10)) console.log(`  - ${flowText(flow)}`)
  for (const flow of a.oursOnly.slice(0, 10)) console.log(`  + ${flowText(flow)}`)
  const c = compared(kernel.closed, ours.closed)
  console.log(
    `  closed connections of fixed ends: ${c.both} told by both, ${c.kernelOnly} by the kernel alone, ${c.oursOnly} by ours alone`,
  )
  return a.kernelOnly.length === 0 && a.shared.ours === 0 && c.kernelOnly === 0
}

/** Whether ours did all that the kernel did, and broke nothing. */
function holds(kernel: Outcome | undefined, ours: Outcome): boolean {
  const refused = [...ours.traffic].filter(([name, { good }]) => {
    const theirs = kernel?.traffic.get(name)
    return theirs !== undefined && good < theirs.good
  })
  for (const [name] of refused) console.log(`the kernel passes more of: ${name}`)
  const whole = [...ours.traffic.values()].every(({ good, of }) => good === of)
  // One of the single things is an end that resets its own connection.
  const resets =
    ours.tcp['resets of open connections'] <= (kernel?.tcp['resets of open connections'] ?? 2)
  return refused.length === 0 && whole && resets
}

/** Client traffic through the kernel's NAT and through ours. */
async function live(): Promise<boolean> {
  const why = Lab.impossible()
  if (why) {
    console.log(`client traffic cannot be checked here: ${why}`)
    return true
  }
  install()
  for (const [program, from] of Object.entries({ ...PEERS, ...ASKED_FOR }))
    if (!isThere(program))
      console.log(`${program} (${from}) is missing: what it would do is left out`)
  const kernel = isThere('nft') ? await throughKernel(isThere) : undefined
  const ours = await throughOurs(isThere)
  table(kernel, ours)
  const same = kernel === undefined || !isThere('conntrack') || mappings(kernel, ours)
  return holds(kernel, ours) && same
}

/** Packets per second of both; it judges nothing. */
async function speed(): Promise<boolean> {
  const whole = (n: number) => Math.round(n).toLocaleString('en-US')
  const row = (name: string, { sent, came }: Speed) =>
    console.log(name.padEnd(44) + whole(sent).padStart(18) + whole(came).padStart(18))
  const why = Lab.impossible()
  if (why === undefined) install()
  if (why ?? missing().find((program) => program === 'iperf3' || program === 'nft')) {
    console.log(`packets per second cannot be measured here: ${why ?? 'iperf3 or nft is missing'}`)
    return true
  }
  const columns = ['sent', 'came through'].map((c) => c.padStart(18)).join('')
  console.log(`${'UDP packets/s of 64 bytes, as many as can be'.padEnd(44)}${columns}`)
  row('kernel, forwarding alone', await forwarding())
  row('kernel, nftables masquerade', await kernelSpeed())
  row('ours, one instance, memory bus', await ourSpeed('memory'))
  row('ours, one instance, NATS', await ourSpeed('nats'))
  console.log(`ours, synthetic TCP without interfaces: ${whole(syntheticRate())} packets/s`)
  return true
}

const part = process.argv[2] ?? 'live'
const parts: Readonly<Record<string, () => Promise<boolean>>> = { live, speed }
const chosen = parts[part]
if (chosen === undefined) {
  console.log(`check:nat takes ${Object.keys(parts).join(' or ')}, not '${part}'`)
  process.exitCode = 2
} else if (!(await chosen())) process.exitCode = 1
