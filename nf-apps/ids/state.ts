import { numberKey, textKey } from '../../actors/index.ts'
import type { Handles } from '../nf.ts'
import { ip, symmetricFlow } from '../packet/index.ts'
import { Flow } from './flow-state.ts'
import { AlertLog, Configuration, LossCount, Malicious, Tracker, Whitelist } from './records.ts'

export const idsActors = {
  /** Per connection: its stream, what is spoken on it, its flowbits. */
  flows: Flow.keyedBy(symmetricFlow),
  /** Alerts by stretches of packet index. */
  alerts: AlertLog.keyedBy(numberKey),
  /** Alerts that a threshold counts, by rule and host. */
  trackers: Tracker.keyedBy(textKey),
  malicious: Malicious.keyedBy(ip),
  whitelist: Whitelist.keyedBy(symmetricFlow),
  configuration: Configuration.only(),
  losses: LossCount.only(),
}
export type IdsActors = Handles<typeof idsActors>
