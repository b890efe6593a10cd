import fc from 'fast-check'
import { type NF, type OptionValues, type StateMap, steeringOf } from '../../nf-apps/index.ts'
import { LINK_ETHERNET, Packet } from '../../nf-apps/packet/index.ts'
import { nfRealms } from './realm/realm.ts'
import { type Failing, shrink } from './shrink.ts'
import { simCluster } from './sim/cluster.ts'
import { inMacrotask } from './sim/microtasks.ts'
import type { Faults } from './sim/network.ts'
import { Solo } from './solo.ts'
import { frameOf, type Step, scripts, told } from './traffic.ts'

// biome-ignore lint/suspicious/noExplicitAny: an NF of any state and environment
type AnyNF = NF<any, any>

/** How `expectEquivalent` tries an NF; all of it may be left out. */
export interface EquivalentOptions {
  /** Options of the NF, as on the command line. */
  readonly options?: OptionValues
  /** Scripts that are tried: 50 if left out. */
  readonly runs?: number
  /** Shows a failure again; printed with it. */
  readonly seed?: number
  readonly script?: fc.Arbitrary<Step[]>
  readonly faults?: Faults
  /** Time between two packets (virtual ms): below a round trip, they overlap on their way. */
  readonly paceMs?: number
}

const MILD: Faults = { drop: 0.02, double: 0.02, late: 0.05 }

/** The NF's result on N instances is not its result on one. */
export class NotEquivalent extends Error {
  readonly script: readonly Step[]
  readonly seed: number
  constructor(what: string, script: readonly Step[], seed: number) {
    const steps = script.map((step) => `  ${told(step)}`).join('\n')
    super(`${what}\nafter this script (seed ${seed}):\n${steps}`)
    this.name = 'NotEquivalent'
    this.script = script
    this.seed = seed
  }
}

/**
 * N instances under a random schedule of scaling end as one: runs scripts of packets through a simulated cluster and
 * through one instance without an actor runtime, and compares the NF's results. Throws `NotEquivalent` with the shortest
 * script that it found.
 *
 * Give the NF's module (its URL or path) and each instance loads it for itself, with the modules that it
 * imports, so that state kept outside actors shows, as it will on machines of their own. A function that makes the NF does the
 * same for what lies inside that function.
 */
export async function expectEquivalent(
  nf: AnyNF | (() => AnyNF) | URL | string,
  o: EquivalentOptions = {},
): Promise<void> {
  const input = fc.tuple(o.script ?? scripts(), fc.nat(0x7fff_ffff))
  const tryOut = async (steps: readonly Step[], seed: number) => {
    const next = await copiesOf(nf, steps)
    const alone = await onOne(next(), steps, o)
    return firstDifference(alone, await inMacrotask(() => onMany(next, steps, seed, o)))
  }
  let failing: (Failing & { seed: number }) | undefined
  const property = fc.asyncProperty(input, async ([steps, seed]) => {
    const what = await tryOut(steps, seed)
    if (what !== undefined) failing = { steps, seed, what }
    return what === undefined
  })
  const seed = o.seed === undefined ? {} : { seed: o.seed }
  const details = await fc.check(property, { numRuns: o.runs ?? 50, endOnFailure: true, ...seed })
  if (!details.failed) return
  if (!failing) throw details.errorInstance
  const { seed: own } = failing
  const how = { paceMs: o.paceMs ?? PACE_MS, plain: o.script === undefined, seed: own }
  const { what, steps } = await shrink(
    failing,
    async (s) => {
      // A short script hits what it shows less often: it gets some more throws of the dice.
      for (let more = s.length <= SHORT_STEPS ? THROWS : 1; more > 0; more--) {
        const what = await tryOut(s, own + more - 1)
        if (what !== undefined) return what
      }
      return undefined
    },
    how,
  )
  throw new NotEquivalent(what, steps, details.seed)
}

/** Makes the NF of one instance after the other. */
async function copiesOf(
  nf: AnyNF | (() => AnyNF) | URL | string,
  steps: readonly Step[],
): Promise<() => AnyNF> {
  if (typeof nf === 'function') return nf
  if (typeof nf !== 'string' && !(nf instanceof URL)) return () => nf
  const joins = steps.filter((step) => step.do === 'join').length
  // One alone, one to begin with, the source of packets, its options, and those that join.
  return nfRealms(nf, 4 + Math.min(joins, INSTANCES_MAX))
}

function firstDifference(
  alone: readonly string[],
  together: readonly string[],
): string | undefined {
  const at = Math.max(alone.length, together.length)
  for (let i = 0; i < at; i++) {
    if (alone[i] === together[i]) continue
    return `one instance: ${alone[i] ?? '(no more)'}\nseveral:      ${together[i] ?? '(no more)'}`
  }
  return undefined
}

/** Packet time of a script's packets: a tenth of a second apart, so that timers come into play (µs). */
const STEP_US = 100_000

async function onOne(
  nf: NF<StateMap, unknown>,
  steps: readonly Step[],
  o: EquivalentOptions,
): Promise<string[]> {
  const solo = new Solo(nf, o.options)
  const hashOf = steeringOf(nf, solo.env)
  let index = 0
  for (const step of steps) {
    if (step.do !== 'packet') continue
    const bytes = frameOf(step.packet)
    const us = index * STEP_US
    const { length } = bytes
    const packet = new Packet().load(bytes, 0, length, LINK_ETHERNET, length, us, us, index++, 0)
    packet.hash = hashOf(packet)
    await solo.packet(packet)
  }
  return solo.result()
}

function onMany(
  nf: () => AnyNF,
  steps: readonly Step[],
  seed: number,
  o: EquivalentOptions,
): string[] {
  const options = o.options ?? {}
  const faults = o.faults ?? MILD
  const cluster = simCluster({ seed, nf, options, spread: seed % 2 === 0, faults })
  let index = 0
  for (const step of steps) {
    if (step.do === 'packet') cluster.send(frameOf(step.packet), index++ * STEP_US)
    else if (step.do === 'join' && cluster.nodes.length < INSTANCES_MAX) cluster.join()
    else if (step.do === 'leave') cluster.leave()
    cluster.pass(step.do === 'wait' ? step.ms : (o.paceMs ?? PACE_MS))
  }
  cluster.heal()
  cluster.until(() => cluster.settled, 'every packet has its verdict')
  cluster.settle(cluster.source.finish(), 'every effect is in')
  return cluster.settle(cluster.source.result(nf().setup(options)), 'the result')
}

const INSTANCES_MAX = 8
const SHORT_STEPS = 10
const THROWS = 4
const PACE_MS = 0.3
