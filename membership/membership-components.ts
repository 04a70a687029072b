/** What a membership is made of, and what may be replaced in it. */
import type { BroadcasterFactory } from './broadcaster.ts'
import type { DetectorFactory } from './detector/detector.ts'
import type { Database, Environment } from './environment/environment.ts'
import type { Fold } from './fold.ts'

export interface MembershipComponents<State> {
  readonly environment: Pick<Environment, 'clock' | 'random' | 'transport' | 'log'>
  /** Keeps promises, votes and the last configuration across restarts (rule M4). @default none */
  readonly storage?: Database
  /** @default phiAccrual() */
  readonly detector?: DetectorFactory
  /** @default gossip */
  readonly broadcaster?: BroadcasterFactory
  /** State derived from the sequence of configurations. @default none */
  readonly fold?: Fold<State>
  /** The incarnation under which a removed process joins again, made durable first. @default one more than before */
  readonly nextIncarnation?: () => Promise<number>
}

export interface LeaveOptions {
  /** After this long the cluster may still remove this member, but nobody waits for it. @default 10000 */
  readonly deadlineMs?: number
  readonly signal?: AbortSignal
}
