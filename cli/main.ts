#!/usr/bin/env node
import { randomBytes } from 'node:crypto'
import { parseArgs } from 'node:util'
import { pino } from 'pino'
import { stateModels } from '../actors/index.ts'
import { findNatsServer, RehomeError } from '../bus/index.ts'
import { builtIn, type OptionValues } from '../nf-apps/index.ts'
import { helpersYield } from './engine.ts'
import { exitCodeOf, instanceProcess } from './instance-process.ts'
import { type LiveView, showLive } from './live.ts'
import { loadNF } from './load-nf.ts'
import { newProject } from './new.ts'
import { describeNF } from './nfs.ts'
import { figures } from './report.ts'
import { type RunArguments, run } from './run.ts'
import { scaleCommand, statusCommand } from './status.ts'

const USAGE = `rehome: elastic network functions on a message bus

  rehome new NAME  make a folder with an NF of yours, its test, and what runs both
  rehome run NF    run an NF over packets, on a cluster that scales under it; NF is a name or a file (./my-nf.ts)
      --pcap FILE|-           packets from a capture (pcap, pcapng, gzip), - for standard input
      --synthetic SETTINGS    synthetic TCP traffic, e.g. flows=10000,packets=500000,seed=1
      --interface NAME        packets of an interface, until Ctrl-C; Linux, as root
      --out-interface NAME    and from there to this one through the NF (nat), as a router
      --every SECONDS         with --interface: time of each part of --scale, 10 by default
      --loop N                the capture N times over, its packet time going on
      --scale 1,2,3,1         instances in each equal part of the input
      --bus nats|memory       processes over NATS, or all in this process
      --nats URL              a NATS server that runs ($NATS_URL); otherwise one is started
      --cluster NAME          name of the cluster
      --placement aligned|spread   keys with their packets, or spread evenly
      --model shared|local-only|remote-only|stop-and-sync   the shared space, each instance its own
                              state, all in a store, or moved while the packets are stopped
      --rate N                packets per second at most
      --out FILE              the NF's result
      --out-pcap FILE         the packets that the NF sends on, as a capture
      --events FILE           what the NF tells while it runs
      --json                  one JSON object with the figures at the end
      --log LEVEL             JSON lines on standard error: debug, info, warn, error
      and the options of the NF (rehome nfs)
  rehome instance --nats URL --cluster NAME [--id ID]   join a cluster by hand
  rehome status   --nats URL --cluster NAME [--suspended] [--json]
  rehome scale N  --nats URL --cluster NAME             bring a cluster's run to N instances
  rehome nfs                                            the NFs, their options and state objects
`

/** Errors of handlers and of our own that are told in full; the rest are counted. */
const ERRORS_TOLD = 10

function usage(message: string): RehomeError {
  return new RehomeError('bad-argument', message)
}

type Values = Readonly<Record<string, string | boolean | (string | boolean)[] | undefined>>

function parse(
  args: string[],
  options: NonNullable<Parameters<typeof parseArgs>[0]>['options'],
): { values: Values; positionals: string[] } {
  try {
    return parseArgs({ args, options: options ?? {}, allowPositionals: true, strict: true })
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    throw usage(why.split(/\.\s/)[0]!) // what follows is advice, on lines of its own
  }
}

const text = { type: 'string' } as const
const flag = { type: 'boolean' } as const

function textOf(values: Values, name: string): string | undefined {
  const value = values[name]
  return typeof value === 'string' ? value : undefined
}

function oneOf<T extends string>(values: Values, name: string, allowed: readonly T[]): T {
  const value = textOf(values, name) ?? allowed[0]!
  const found = allowed.find((one) => one === value)
  if (!found) throw usage(`--${name} is ${allowed.join(' or ')}, not '${value}'`)
  return found
}

function wholeOf(values: Values, name: string, least: number, otherwise: number): number {
  const value = textOf(values, name)
  if (value === undefined) return otherwise
  if (!/^\d{1,15}$/.test(value) || Number(value) < least) {
    throw usage(`--${name} takes a whole number from ${least} on, not '${value}'`)
  }
  return Number(value)
}

function needed(values: Values, name: string, otherwise?: string): string {
  const value = textOf(values, name) ?? otherwise
  if (value === undefined || value === '') throw usage(`--${name} is missing`)
  return value
}

const LOG_LEVELS = ['debug', 'info', 'warn', 'error'] as const

/** Instances of one process or machine: more than that is a slip of the pen. */
const SCALE_MAX = 64

function scaleOf(values: Values): number[] {
  const value = textOf(values, 'scale') ?? '1'
  const scale = value.split(',').map(Number)
  if (!scale.every((n) => Number.isInteger(n) && n >= 1 && n <= SCALE_MAX)) {
    throw usage(
      `--scale takes numbers of instances from 1 to ${SCALE_MAX}, as 1,2,3,1, not '${value}'`,
    )
  }
  return scale
}

function liveOf(values: Values): RunArguments['live'] {
  const name = textOf(values, 'interface')
  const live = ['out-interface', 'every'].find((one) => values[one] !== undefined)
  if (name === undefined) {
    if (live) throw usage(`--${live} goes with --interface`)
    return undefined
  }
  const outInterface = textOf(values, 'out-interface')
  return { interface: name, outInterface, everyMs: 1000 * wholeOf(values, 'every', 1, 10) }
}

async function runArguments(args: string[]): Promise<{
  run: RunArguments
  json: boolean
  log: string | undefined
}> {
  const name = args.find((arg) => !arg.startsWith('-'))
  if (!name || name !== args[0]) throw usage('rehome run NF …: which NF? (rehome nfs lists them)')
  const nf = await loadNF(name)
  const own = Object.fromEntries(
    Object.entries(nf.options).map(([option, o]) => [
      option,
      { type: o.type, ...(o.multiple ? { multiple: true } : {}) },
    ]),
  )
  const { values, positionals } = parse(args.slice(1), {
    pcap: text,
    synthetic: text,
    interface: text,
    'out-interface': text,
    every: text,
    loop: text,
    scale: text,
    bus: text,
    nats: text,
    cluster: text,
    placement: text,
    model: text,
    rate: text,
    out: text,
    'out-pcap': text,
    events: text,
    json: flag,
    log: text,
    ...own,
  })
  if (positionals.length > 0) throw usage(`rehome run takes one NF, not also '${positionals[0]}'`)
  const inputs = ['pcap', 'synthetic', 'interface'].filter((one) => values[one] !== undefined)
  if (inputs.length > 1) {
    throw usage(`packets come from --${inputs[0]} or from --${inputs[1]}, not from both`)
  }
  const options: OptionValues = Object.fromEntries(
    Object.entries(nf.options).map(([option, o]) => [option, values[option] ?? o.default]),
  ) as OptionValues
  const defaultBus = findNatsServer() || process.env.NATS_URL ? 'nats' : 'memory'
  return {
    run: {
      nf: name,
      options,
      pcap: textOf(values, 'pcap'),
      synthetic: textOf(values, 'synthetic'),
      live: liveOf(values),
      loop: wholeOf(values, 'loop', 1, 1),
      scale: scaleOf(values),
      bus: values.bus === undefined ? defaultBus : oneOf(values, 'bus', ['nats', 'memory']),
      nats: textOf(values, 'nats') ?? process.env.NATS_URL,
      cluster: textOf(values, 'cluster') ?? `run-${randomBytes(3).toString('hex')}`,
      placement: oneOf(values, 'placement', ['aligned', 'spread']),
      model: oneOf(values, 'model', stateModels),
      rate: wholeOf(values, 'rate', 1, 0),
      out: textOf(values, 'out'),
      outPcap: textOf(values, 'out-pcap'),
      events: textOf(values, 'events'),
    },
    json: values.json === true,
    log: values.log === undefined ? undefined : oneOf(values, 'log', LOG_LEVELS),
  }
}

/** Tells the first errors in a line each; the figures count all of them. */
function errorTeller(log: pino.Logger | undefined): (what: string, error: unknown) => void {
  let told = 0
  return (what, error) => {
    const why = error instanceof Error ? error.message : String(error)
    if (log) log.error({ what, err: error })
    else if (told++ < ERRORS_TOLD) process.stderr.write(`rehome: ${what}: ${why}\n`)
  }
}

async function runCommand(args: string[]): Promise<void> {
  const { run: o, json, log: level } = await runArguments(args)
  const log = level === undefined ? undefined : pino({ level }, pino.destination(2))
  const say = (line: string) => {
    if (log) log.info(line)
    else if (!json) process.stdout.write(`${line}\n`)
  }
  const stop = new AbortController()
  const removeSignals = onSignals(() => {
    say('draining; once more ends at once')
    stop.abort()
  })
  let live: LiveView | undefined
  try {
    if (!o.live) helpersYield() // of a source on interfaces, one of them waits for packets
    const { report, lines } = await run(o, {
      onError: errorTeller(log),
      say,
      onStart: (source, progress) => {
        if (!json) live = showLive(source, progress, process.stdout)
      },
      onEnd: () => live?.stop(),
      onLines: (lines) => live?.say(lines),
      signal: stop.signal,
    })
    if (json) process.stdout.write(`${JSON.stringify(report)}\n`)
    else {
      if (o.out === undefined && lines.length > 0) process.stdout.write(`\n${preview(lines)}\n`)
      process.stdout.write(`\n${figures(report).join('\n')}\n`)
    }
    // Packets of an interface never end: there it is the way to end.
    if (stop.signal.aborted && !o.live) process.exitCode = 130
  } finally {
    live?.stop()
    removeSignals()
  }
}

/** Lines of a result that are shown; `--out` has all of them. */
const PREVIEW_LINES = 24

function preview(lines: readonly string[]): string {
  const shown = lines.slice(0, PREVIEW_LINES).join('\n')
  const more = lines.length - PREVIEW_LINES
  return more > 0 ? `${shown}\n… and ${more} more lines (--out FILE has them all)` : shown
}

/** The first SIGINT or SIGTERM drains, a second one ends at once; the same one by two ways counts once. */
function onSignals(first: () => void): () => void {
  let at = 0
  const onSignal = () => {
    const now = performance.now()
    if (at > 0 && now - at > 500) process.exit(130)
    if (at > 0) return
    at = now
    first()
  }
  process.on('SIGINT', onSignal)
  process.on('SIGTERM', onSignal)
  return () => {
    process.off('SIGINT', onSignal)
    process.off('SIGTERM', onSignal)
  }
}

async function instanceCommand(args: string[]): Promise<void> {
  const { values } = parse(args, {
    nats: text,
    cluster: text,
    id: text,
    spare: flag,
    store: flag,
    log: text,
  })
  const level = values.log === undefined ? undefined : oneOf(values, 'log', LOG_LEVELS)
  await instanceProcess({
    nats: needed(values, 'nats', process.env.NATS_URL),
    cluster: needed(values, 'cluster'),
    id: textOf(values, 'id'),
    spare: values.spare === true,
    store: values.store === true,
    onError: errorTeller(level === undefined ? undefined : pino({ level }, pino.destination(2))),
    say: (line) => void process.stdout.write(`${line}\n`),
  })
}

async function main([command, ...args]: string[]): Promise<void> {
  switch (command) {
    case 'run':
      return runCommand(args)
    case 'instance':
      return instanceCommand(args)
    case 'status': {
      const options = { nats: text, cluster: text, suspended: flag, json: flag }
      const { values } = parse(args, options)
      const where = clusterOf(values)
      return statusCommand({
        ...where,
        suspended: values.suspended === true,
        json: values.json === true,
      })
    }
    case 'scale': {
      const { values, positionals } = parse(args, { nats: text, cluster: text })
      const n = Number(positionals[0])
      if (!Number.isInteger(n) || n < 1 || n > SCALE_MAX) {
        throw usage(`rehome scale N …: how many instances, from 1 to ${SCALE_MAX}?`)
      }
      return scaleCommand({ ...clusterOf(values), n })
    }
    case 'new': {
      const { positionals } = parse(args, {})
      if (positionals.length !== 1) throw usage('rehome new NAME: which name is it to have?')
      process.stdout.write(`${await newProject(positionals[0]!)}\n`)
      return
    }
    case 'nfs':
      process.stdout.write(`${builtIn.flatMap(describeNF).join('\n')}\n`)
      return
    case undefined:
    case 'help':
    case '--help':
    case '-h':
      process.stdout.write(USAGE)
      return
    default:
      throw usage(`there is no command '${command}'; rehome --help lists them`)
  }
}

function clusterOf(values: Values): { nats: string; cluster: string } {
  return {
    nats: needed(values, 'nats', process.env.NATS_URL),
    cluster: needed(values, 'cluster'),
  }
}

main(process.argv.slice(2)).then(
  () => {
    // Whatever a library still holds open must not keep a command that has ended.
    process.exit()
  },
  (error) => {
    const code = exitCodeOf(error)
    const text =
      code === 2 || error instanceof RehomeError ? error.message : (error?.stack ?? error)
    process.stderr.write(`rehome: ${text}\n`)
    process.exit(code)
  },
)
