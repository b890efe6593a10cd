export { type EquivalentOptions, expectEquivalent, NotEquivalent } from './equivalent.ts'
export {
  type ConservationOptions,
  checkConservation,
  checkStale,
  type StaleOptions,
} from './history/checks.ts'
export { CheckFailed, type Finding, type HistoryEvent, parseHistory } from './history/history.ts'
export { checkLinearizable, type Model } from './history/linearizable.ts'
/** Our IDS beside real Suricata: alerts by rule and flow. */
export * as idsPeer from './ids-agreement.ts'
/** Network namespaces of Linux: a client, a server, and one between them. */
export * as lab from './lab.ts'
/** A checker of a NAT's captures, and a closed loop that answers what it sends. */
export * as nat from './nat.ts'
/** An NF over a capture on one instance and on many, as the command runs it. */
export * as oneAndMany from './one-and-many.ts'
/** Our PRADS beside real `prads`: lines of the asset log. */
export * as pradsPeer from './prads-agreement.ts'
export { nfRealms } from './realm/realm.ts'
export {
  type ClusterOptions,
  SimCluster,
  type SimNode,
  simCluster,
} from './sim/cluster.ts'
export { leftovers } from './sim/leftovers.ts'
export { inMacrotask } from './sim/microtasks.ts'
export { isBroken, SEEDS_MAX, untilCaught } from './sim/mutant-table.ts'
export { mutantNamed, mutants } from './sim/mutants.ts'
export { type Faults, noFaults } from './sim/network.ts'
export { Oracle, Violation } from './sim/oracle.ts'
/** Stories that come to a race for certain. */
export * as scenarios from './sim/scenarios.ts'
export { scriptFor } from './sim/script.ts'
export { parseScript, textOf } from './sim/script-text.ts'
export { settingsFor, type WalkSettings } from './sim/settings.ts'
export { shrink, violationOf } from './sim/shrink.ts'
export { Tally } from './sim/tally.ts'
export { Walk, type WalkReport } from './sim/walk.ts'
export { checkWalkHistory } from './sim/walk-history.ts'
export { Solo, soloRun } from './solo.ts'
export { frameOf, packets, type ScriptPacket, type Step, scripts } from './traffic.ts'
export { Transcript } from './transcript.ts'
