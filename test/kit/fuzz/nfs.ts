import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Instance } from '../../../cli/index.ts'
import type { Random } from '../../../loadgen/index.ts'
import {
  type Handles,
  ids,
  type NF,
  nat,
  type OptionValues,
  prads,
  type StateMap,
  steeringOf,
} from '../../../nf-apps/index.ts'
import { FINE, NET_IPV4, NET_NONE, Packet } from '../../../nf-apps/packet/index.ts'
import { firstView } from '../../../placement/index.ts'
import { SimClock } from '../sim/clock.ts'
import { PacketMutator, type Seed } from './corpus.ts'
import { pick } from './mutate.ts'
import { ruleText } from './rule-corpus.ts'
import type { Block, Target } from './run.ts'

/** Virtual time that passes at each breath (ms), and how often idle actors are looked through. */
const BREATH_MS = 10
/** Steps that a result may take to be collected. */
const STEPS_MAX = 5_000_000

/** An NF on one instance's own actor space, all of it at home; packets go straight to the handler. */
class Direct implements Block {
  protected readonly mutator: PacketMutator
  private readonly clock = new SimClock()
  private readonly instance: Instance
  private readonly nf: NF<StateMap, unknown>
  private readonly env: unknown
  private readonly hashOf: (packet: Packet) => number
  private readonly handles: Handles<StateMap>
  private packet = new Packet()
  private index = 0
  /** Packet time. */
  private readonly time = { us: 0 }
  private readonly waiting: Promise<unknown>[] = []
  private failure: unknown

  constructor(nf: NF<StateMap, unknown>, env: unknown, random: Random) {
    this.nf = nf
    this.env = env
    this.hashOf = steeringOf(nf, env)
    this.mutator = new PacketMutator(random)
    const fail = (error: unknown) => {
      this.failure ??= error
    }
    const ports = {
      self: 1,
      clock: this.clock,
      transmit: () => {},
      wantView: () => {},
      onSettled: () => {},
      onLeft: () => {},
      onError: (_what: string, error: unknown) => fail(error),
      wallMs: () => 0,
    }
    const settings = { types: nf.state, slotBits: SLOT_BITS }
    this.instance = new Instance('fuzz', nf, env, ports, settings)
    const { member } = this.instance
    const me = { id: 'fuzz', role: 'instance' as const, protocol: 1, schema: '' }
    member.onView(firstView(me, SLOT_BITS))
    this.handles = member.space.handlesAt(this.time) as Handles<StateMap>
  }

  once(): boolean {
    const { mutator, packet: p } = this
    this.choose()
    const { bytes, end, linkType, wireLength, timeUs } = mutator
    const clockUs = Math.max(this.time.us, timeUs)
    this.time.us = clockUs
    p.load(bytes, 0, end, linkType, wireLength, timeUs, clockUs, this.index++, 0)
    p.hash = this.hashOf(p)
    const passed = this.isPast(p)
    const verdict = this.nf.onPacket(p, this.handles, this.env, this.output)
    if (verdict instanceof Promise) this.keep(verdict)
    return passed
  }

  protected choose(): void {
    this.mutator.next()
  }
  protected isPast(p: Packet): boolean {
    return p.malformed === FINE && p.kind !== NET_NONE
  }
  protected emitted(_bytes: Uint8Array): void {}
  private readonly output = {
    emit: (bytes: Uint8Array) => this.emitted(bytes),
    event() {},
    takesEvents: false,
    // Any answer will do.
    steersAlike: () => this.index % 3 > 0,
    lowUs: () => this.time.us,
  }

  /** A packet that waits keeps its bytes; the next ones have others. */
  private keep(verdict: Promise<unknown>): void {
    this.waiting.push(verdict)
    this.packet = new Packet()
    this.mutator.bytes = new Uint8Array(this.mutator.bytes.length)
  }

  async settle(): Promise<void> {
    this.pass(BREATH_MS)
    const { space } = this.instance.member
    while (this.index % 8192 === 0 && !space.expire(this.time.us)) {}
    if (this.waiting.length > 0) await this.until(Promise.all(this.waiting.splice(0)))
    if (this.failure) throw this.failure
  }

  private pass(ms: number): void {
    let over = false
    this.clock.after(ms, () => {
      over = true
    })
    while (!over) this.clock.step()
  }

  private async until(work: Promise<unknown>): Promise<void> {
    let over = false
    let failed: unknown
    work.then(
      () => {
        over = true
      },
      (error) => {
        over = true
        failed = error
      },
    )
    for (let steps = 0; !over; steps++) {
      if (steps > STEPS_MAX) throw new Error('what was begun does not end')
      this.clock.step()
      await undefined // what has been answered goes on
    }
    if (failed) throw failed
  }

  async end(): Promise<void> {
    await this.until(this.nf.result(this.handles, this.env))
    if (this.failure) throw this.failure
  }
}
const SLOT_BITS = 10

/** Answers to what the NAT has sent on come back through it, changed a little. */
class NatDirect extends Direct {
  private readonly sent: Seed[] = []
  private readonly random: Random

  constructor(env: unknown, random: Random) {
    super(nat, env, random)
    this.random = random
  }

  protected override choose(): void {
    const back = this.sent.length > 0 && this.random.below(3) === 0
    this.mutator.next(back ? pick(this.sent, this.random) : undefined)
  }
  protected override isPast(p: Packet): boolean {
    return p.malformed === FINE && p.kind === NET_IPV4
  }
  protected override emitted(bytes: Uint8Array): void {
    if (bytes.length > 1_500) return
    const answer = { bytes: answerOf(bytes), linkType: this.mutator.linkType }
    if (this.sent.length < 256) this.sent.push(answer)
    else this.sent[this.random.below(256)] = answer
  }
}

function answerOf(bytes: Uint8Array): Uint8Array {
  const back = new Uint8Array(bytes)
  if (bytes.length < 38) return back
  back.set(bytes.subarray(30, 34), 26)
  back.set(bytes.subarray(26, 30), 30)
  back.set(bytes.subarray(36, 38), 34)
  back.set(bytes.subarray(34, 36), 36)
  return back
}

/** Rules that use every option once. */
function withRules<T>(work: (file: string) => T): T {
  const folder = mkdtempSync(join(tmpdir(), 'fuzz-'))
  try {
    const file = join(folder, 'fuzz.rules')
    writeFileSync(file, ruleText)
    return work(file)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

const BLOCK = 100_000

function target(
  name: string,
  setup: () => unknown,
  make: (env: unknown, r: Random) => Block,
): Target {
  let env: { readonly is: unknown } | undefined
  return {
    name,
    block: BLOCK,
    begin: (random) => {
      env ??= { is: setup() }
      return make(env.is, random)
    },
  }
}

const natSettings: OptionValues = {
  inside: ['10.77.0.128/25', '192.168.0.0/16'],
  pool: ['192.0.2.1', '192.0.2.2'],
  ports: '1024-3071',
  'udp-timeout': '5',
}

export const nfTargets: readonly Target[] = [
  target(
    'prads',
    () => prads.setup({ switches: 'MAui' }),
    (env, random) => new Direct(prads, env, random),
  ),
  target(
    'ids',
    () => withRules((file) => ids.setup({ rules: [file], 'port-scan': '20/10' })),
    (env, random) => new Direct(ids, env, random),
  ),
  target(
    'nat',
    () => nat.setup(natSettings),
    (env, random) => new NatDirect(env, random),
  ),
]
