export { type EquivalentOptions, expectEquivalent, NotEquivalent } from './equivalent.ts'
export {
  type ConservationOptions,
  checkConservation,
  checkStale,
  type StaleOptions,
} from './history/checks.ts'
export { CheckFailed, type Finding, type HistoryEvent, parseHistory } from './history/history.ts'
export { checkLinearizable, type Model } from './history/linearizable.ts'
export * as idsPeer from './ids-agreement.ts'
export * as lab from './lab.ts'
export * as nat from './nat.ts'
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
export { SEEDS_MAX, untilCaught } from './sim/mutant-table.ts'
export { mutantNamed, mutants } from './sim/mutants.ts'
export { type Faults, noFaults } from './sim/network.ts'
export { Oracle, Violation } from './sim/oracle.ts'
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
