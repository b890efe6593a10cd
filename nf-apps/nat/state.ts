import type { MaybePromise } from '../../actors/index.ts'
import type { Handles, Output } from '../nf.ts'
import { hash32 } from '../packet/index.ts'
import type { NatConfig } from './config.ts'
import { Fragments } from './fragments.ts'
import { Host } from './host.ts'
import { address, oneWay } from './keys.ts'
import { Pool } from './pool.ts'
import { type Cause, Tally, Way } from './way.ts'

export const natActors = {
  /** Translations in use, by flow and direction. */
  ways: Way.keyedBy(oneWay),
  /** Mappings and sessions, by inside host. */
  hosts: Host.keyedBy(address),
  /** Whose each public port is, by public address. */
  pools: Pool.keyedBy(address),
  fragments: Fragments.keyedBy(hash32),
  tally: Tally.only(),
}
export type NatActors = Handles<typeof natActors>

/** What the steps of one packet share. */
export interface Run {
  readonly state: NatActors
  readonly config: NatConfig
  readonly output: Output
}
export type OrCause<T> = MaybePromise<T | Cause>
