import { appendFileSync, writeFileSync } from 'node:fs'
import { mkdtemp, open, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { PlacementKind, StateModel } from '../actors/index.ts'
import {
  type Bus,
  ByteReader,
  MemoryHub,
  NatsBus,
  type NatsServer,
  RehomeError,
  startNatsServer,
  systemClock,
} from '../bus/index.ts'
import {
  type CaptureReader,
  countPackets,
  Latency,
  looped,
  openCapture,
  parseSynthetic,
  SyntheticTraffic,
  spool,
} from '../loadgen/index.ts'
import { type NF, type OptionValues, steeringOf } from '../nf-apps/index.ts'
import { noCrash, SLOT_BITS } from '../placement/index.ts'
import type { Entered } from './enter.ts'
import { type FeedPorts, feed } from './feed.ts'
import { type Fleet, MemoryFleet, ProcessFleet } from './fleet.ts'
import { type Following, follow } from './follow.ts'
import type { InstanceReport } from './instance.ts'
import { joinSource, LAST_REPORT, type LastReport, type OnError } from './join.ts'
import { type LiveFigures, LiveInput, type LiveOptions } from './live-input.ts'
import { loadNF } from './load-nf.ts'
import { Outputs } from './outputs.ts'
import { type RunReport, runReport } from './report.ts'
import { type ClusterSettings, removeCluster, writeSettings } from './settings.ts'
import type { Source } from './source.ts'

export interface RunArguments {
  readonly nf: string
  readonly options: OptionValues
  readonly pcap: string | undefined
  readonly synthetic: string | undefined
  /** Instead of a capture: packets of interfaces. */
  readonly live: LiveOptions | undefined
  readonly loop: number
  readonly scale: readonly number[]
  readonly bus: 'nats' | 'memory'
  /** URL of a NATS server that runs; otherwise the run starts one of its own. */
  readonly nats: string | undefined
  readonly cluster: string
  readonly placement: PlacementKind
  readonly model: StateModel
  readonly rate: number
  readonly out: string | undefined
  /** Files for what the NF emits, and for what it tells. */
  readonly outPcap: string | undefined
  readonly events: string | undefined
}

export interface RunHooks {
  readonly onError: OnError
  /** A step of the way, for people: what was started, where it listens. */
  readonly say: (line: string) => void
  /** Everything stands and packets begin: what is to be shown live can be asked of the source. */
  readonly onStart: (source: Source, progress: () => Progress) => void
  readonly onEnd: () => void
  /** Lines of a log, as they are found in packets of an interface. */
  readonly onLines: (lines: readonly string[]) => void
  readonly signal: AbortSignal
}
export interface Progress {
  readonly sent: number
  readonly total: number
  readonly instances: number
}
export interface RunResult {
  readonly report: RunReport
  /** Those of its result that `onLines` has not had. */
  readonly lines: readonly string[]
}

/** Where `rehome scale` leaves its wish in the register. */
export const WISH = 'wish'
/** A part of a run whose scale changes takes this long at least (ms), unless a rate is given. */
const PART_MS = 700
/** How long a run that is stopped may take to drain (ms). */
const DRAIN_MS = 10_000
/** How long after that it may take to read the result of what there is (ms). */
const RESULT_MS = 5_000

interface Input {
  readonly name: string
  /** Packets in all; 0: nobody knows. */
  readonly total: number
  feed(source: Source, ports: FeedPorts): Promise<number>
  /** Takes what the NF emits, where it goes anywhere. */
  onFrame?(bytes: Uint8Array): void
  figures?(): LiveFigures
  close(): void
}

async function openInput(o: RunArguments, nf: NF): Promise<Input> {
  if (o.live) return LiveInput.open(o.live, nf, nf.setup(o.options))
  const { reader, total, close } = await openReader(o)
  const paced = { reader, total, partMs: PART_MS, rate: o.rate }
  const { name } = reader
  return { name, total, feed: (source, ports) => feed(source, { ...ports, ...paced }), close }
}

async function openReader(
  o: RunArguments,
): Promise<{ reader: CaptureReader; total: number; close: () => void }> {
  if (o.synthetic !== undefined) {
    const settings = parseSynthetic(o.synthetic)
    const reader = new SyntheticTraffic(settings)
    return { reader, total: settings.packets, close: () => reader.close() }
  }
  if (o.pcap === undefined) {
    throw new RehomeError(
      'bad-argument',
      'a run needs packets: --pcap FILE, --synthetic SETTINGS or --interface NAME',
    )
  }
  const file = await spool(o.pcap)
  const total = countPackets(file) * o.loop
  const reader = looped(openCapture(file), o.loop)
  const close = () => {
    reader.close()
    file.close()
  }
  return { reader, total, close }
}

/** A result that cannot be written is told before the work is done; what is there stays as it is. */
async function tryOut(path: string): Promise<void> {
  try {
    await (await open(path, 'a')).close()
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    throw new RehomeError('bad-argument', `--out: cannot write ${path}: ${why.split(',')[0]}`)
  }
}

/** The bus of a run, and what is behind it. */
interface Ground {
  readonly bus: Bus
  readonly fleet: Fleet
  /**
   * The source's own. It is made before there is a member: rules by the thousand take a second on a slow machine, and who is
   * silent for three is taken for dead.
   */
  readonly env: unknown
  close(): Promise<void>
}

async function memoryGround(nf: NF, settings: ClusterSettings, onError: OnError): Promise<Ground> {
  const clock = systemClock()
  const hub = new MemoryHub({ clock })
  const bus = hub.connect()
  const env = nf.setup(settings.options)
  const fleet = new MemoryFleet({ hub, clock, nf, env, settings, onError })
  const close = async () => {
    await fleet.close()
    await bus.close()
  }
  return { bus, fleet, env: nf.setup(settings.options), close }
}

async function natsGround(
  o: RunArguments,
  nf: NF,
  settings: ClusterSettings,
  hooks: RunHooks,
  onExit: (why: string, last: boolean) => void,
): Promise<Ground> {
  const env = nf.setup(settings.options) // a mistake in the options is told before anything is started
  const dir = o.nats === undefined ? await mkdtemp(join(tmpdir(), 'rehome-')) : undefined
  let server: NatsServer | undefined
  const cleanUp = async () => {
    await server?.stop()
    if (dir) await rm(dir, { recursive: true, force: true })
  }
  try {
    if (dir) server = await startNatsServer({ storeDir: dir })
    const url = o.nats ?? server!.url
    const { cluster } = o
    const bus = await NatsBus.connect({ servers: url, cluster, name: 'rehome run' })
    await writeSettings(bus.register, cluster, settings)
    hooks.say(`cluster ${cluster} at ${url}${server ? ', a nats-server of this run' : ''}`)
    const hasStore = settings.model === 'remote-only'
    const fleet = new ProcessFleet({ url, cluster, hasStore, onExit })
    const close = async () => {
      await fleet.close()
      if (!dir) await removeCluster(bus.register)
      await bus.close()
      await cleanUp()
    }
    return { bus, fleet, env, close }
  } catch (error) {
    await cleanUp()
    throw error
  }
}

/** `rehome run`: an NF over the input, on a cluster that scales under it. */
export async function run(o: RunArguments, hooks: RunHooks): Promise<RunResult> {
  const nf = await loadNF(o.nf)
  const { placement, model } = o
  const settings: ClusterSettings = {
    nf: o.nf.includes('/') || o.nf.includes('.') ? resolve(o.nf) : o.nf,
    options: o.options,
    placement,
    model,
    slotBits: SLOT_BITS,
  }
  if (o.out !== undefined) await tryOut(o.out)
  const input = await openInput(o, nf)
  let fault: Error | undefined
  let raise: (error: Error) => void = () => {}
  /** Rejects once nothing is to be waited for any more: an instance has died, or the time to drain is over. */
  const trouble = new Promise<never>((_, reject) => {
    raise = reject
  })
  trouble.catch(() => {})
  const fail = (error: Error) => {
    fault ??= error
    raise(fault)
  }
  const onExit = (why: string, last: boolean) => {
    if (last) fail(new RehomeError('peer-gone', why))
    else hooks.say(`${why}: what it had is gone, the others go on`)
  }
  const tooLate = () => raise(new RehomeError('timeout', 'the instances did not drain in time'))
  hooks.signal.addEventListener('abort', () => setTimeout(tooLate, DRAIN_MS + RESULT_MS).unref())
  try {
    const ground =
      o.bus === 'memory'
        ? await memoryGround(nf, settings, hooks.onError)
        : await natsGround(o, nf, settings, hooks, onExit)
    try {
      const work = runOn(ground, nf, settings, input, o, hooks, { of: () => fault, fail })
      return await Promise.race([work, trouble])
    } finally {
      await ground.close()
    }
  } finally {
    input.close()
  }
}

async function runOn(
  ground: Ground,
  nf: NF,
  settings: ClusterSettings,
  input: Input,
  o: RunArguments,
  hooks: RunHooks,
  fault: { of: () => Error | undefined; fail: (error: Error) => void },
): Promise<RunResult> {
  const { bus, fleet, env } = ground
  await fleet.prepare(Math.max(...o.scale))
  await fleet.scaleTo(o.scale[0]!)
  const outputs = new Outputs(o.outPcap, o.events)
  const common = { bus, clock: systemClock(), id: 'source', nf, settings, onError: hooks.onError }
  const entered = await joinSource(common, {
    // Where packets are stopped, all of them are.
    flipsPerStep: o.model === 'stop-and-sync' ? 2 ** SLOT_BITS : FLIPS_PER_STEP,
    flipEveryMs: FLIP_EVERY_MS,
    ...outputs.sinks((bytes) => input.onFrame?.(bytes)),
  })
  void entered.evicted.then(fault.fail)
  const source = entered.body
  let sent = 0
  let instances = o.scale[0]!
  let scaling: Promise<unknown> = Promise.resolve()
  const scaleTo = (n: number) => {
    instances = n
    scaling = scaling
      .then(() => fleet.scaleTo(n))
      .catch((error) => hooks.onError(`scaling to ${n}`, error))
  }
  const wishes = await onWish(bus, scaleTo)
  hooks.onStart(source, () => ({ sent: source.steerer.index, total: input.total, instances }))
  await settled(source)
  if (o.live) tellOfInterfaces(o.live, nf, input, hooks)
  const start = performance.now()
  const isFollowed = o.live !== undefined && nf.isLog(env)
  const followed = isFollowed ? follow(() => source.found(env), logTo(o, hooks)) : undefined
  try {
    sent = await input.feed(source, {
      hashOf: steeringOf(nf, env),
      scale: o.scale,
      scaleTo,
      stopped: () => hooks.signal.aborted || fault.of() !== undefined,
      wait: waiter(source),
      now: () => performance.now(),
    })
    const end = hooks.signal.aborted ? performance.now() + DRAIN_MS : Number.POSITIVE_INFINITY
    await drained(source, end, fault.of)
    const seconds = (performance.now() - start) / 1000
    await scaling
    await source.finish()
    const failed = fault.of()
    if (failed) throw failed
    await followed?.stop()
    const result = await conclude(nf, env, o, bus, entered, sent, seconds)
    if (input.figures) result.report.live = input.figures()
    return await told(result, o, followed)
  } finally {
    void followed?.stop()
    hooks.onEnd()
    outputs.close()
    wishes.stop()
    source.stop()
    entered.stop()
  }
}

/** Slots whose packets flip at once, and how often: half of them are through in some 300 ms. */
const FLIPS_PER_STEP = 128
const FLIP_EVERY_MS = 5

/** How long the first instances may take to share the slots out before the input begins regardless (ms). */
const SETTLE_MS = 5_000

/** What the run begins with stands; only later changes of scale are under the traffic. */
async function settled(source: Source): Promise<void> {
  const end = performance.now() + SETTLE_MS
  while (performance.now() < end) {
    const reports = await source.reports()
    if (reports.every((r) => r.slotsDue === 0 && (r.slots > 0 || r.role === 'store'))) return
    await delay(10)
  }
}

/** Waits until there is room for packets, or for so long. */
function waiter(source: Source): (ms: number) => Promise<void> {
  let wake: (() => void) | undefined
  source.onRoom = () => wake?.()
  return (ms) =>
    new Promise((resolve) => {
      if (ms <= 0) {
        setImmediate(resolve)
        return
      }
      const timer = setTimeout(() => go(), ms)
      const go = () => {
        clearTimeout(timer)
        wake = undefined
        resolve()
      }
      wake = go
    })
}

/** All packets have their verdicts. */
async function drained(source: Source, end: number, fault: () => Error | undefined): Promise<void> {
  const wait = waiter(source)
  while (source.steerer.outstanding > 0 && performance.now() < end && !fault()) {
    source.steerer.flush()
    source.member.wake()
    await wait(20)
  }
}

function tellOfInterfaces(live: LiveOptions, nf: NF, input: Input, { say }: RunHooks): void {
  if (live.outInterface !== undefined) say(`${nf.name} sends on IPv4 alone: IPv6 is not translated`)
  say(`${nf.name} runs on ${input.name}; Ctrl-C ends it`)
}

function onWish(bus: Bus, scaleTo: (n: number) => void): Promise<{ stop(): void }> {
  return bus.register.watch(WISH, (_name, entry) => {
    const n = entry ? Number(new TextDecoder().decode(entry.value)) : 0
    if (n >= 1) scaleTo(n)
  })
}

/** A log's last lines follow the others; a file has all lines in one canonical order at the end. */
async function told(
  result: RunResult,
  { out }: RunArguments,
  followed: Following | undefined,
): Promise<RunResult> {
  followed?.gains(result.lines)
  if (out !== undefined) await writeFile(out, textOf(result.lines))
  return followed ? { ...result, lines: [] } : result
}

/** Where lines go as they are found: to the file of the result, else to whoever looks on. */
function logTo({ out }: RunArguments, hooks: RunHooks): RunHooks['onLines'] {
  if (out === undefined) return hooks.onLines
  writeFileSync(out, '')
  return (lines) => appendFileSync(out, textOf(lines))
}

const textOf = (lines: readonly string[]) => lines.map((line) => `${line}\n`).join('')

async function conclude(
  nf: NF,
  env: unknown,
  o: RunArguments,
  bus: Bus,
  entered: Entered<Source>,
  sent: number,
  seconds: number,
): Promise<RunResult> {
  const source = entered.body
  const latency = await source.latency()
  const reports = await source.reports()
  const last = await lastReports(bus, reports, entered.membership.view?.nextNo ?? 0)
  for (const { latency: told } of last) {
    latency.merge(Latency.decode(new ByteReader(Buffer.from(told, 'base64'))))
  }
  const all = [...last.map((l) => ({ ...l.report, actors: 0 })), ...reports]
  const lines = await source.result(env)
  const head = {
    nf: nf.name,
    bus: o.bus,
    model: o.model,
    placement: o.placement,
    dropped: source.steerer.lost + source.steerer.outstanding,
    epochs: entered.membership.view?.epoch ?? 0,
    latencyUs: latency.summary(),
    died: entered.membership.view?.crash ?? noCrash,
  }
  const report = runReport(head, sent, seconds, all)
  return { report: { ...report, notes: await source.notes(env) }, lines }
}

/** What instances that have left meanwhile reported last. */
async function lastReports(
  bus: Bus,
  present: readonly InstanceReport[],
  nextNo: number,
): Promise<LastReport[]> {
  const here = new Set(present.map((r) => r.no))
  const found: LastReport[] = []
  for (let no = 1; no < nextNo; no++) {
    if (here.has(no)) continue
    const entry = await bus.register.get(LAST_REPORT + no)
    if (entry) found.push(JSON.parse(new TextDecoder().decode(entry.value)) as LastReport)
  }
  return found
}
