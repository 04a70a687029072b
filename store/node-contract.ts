/**
 * What a node is made of besides its options, and what it tells.
 *
 * Pure: types.
 */
import type { Configuration } from '../membership/configuration.ts'
import type { Environment, Fold, StandIn, ViewChange } from '../membership/index.ts'
import type { Plan } from '../ring/index.ts'
import type { AgreedState } from './agreed-state.ts'
import type { TransfersStatus } from './rebalance-watch.ts'

export interface NodeComponents {
  readonly environment: Environment
  /** How this node derives its placement; nodes that share a process may share one. @default a fold of its own */
  readonly fold?: Fold<AgreedState>
  /** What answers for this process while its main thread is blocked. Required by the option of that name. */
  readonly standIn?: Pick<StandIn, 'start' | 'close' | 'tags' | 'detector'>
  /**
   * Names the time since the machine was started.
   * @default not known: under durability 'os' a start that follows no `close` counts as one after a loss of power
   */
  readonly bootId?: string | undefined
  /**
   * For durability 'os': makes durable what the storage of a directory was given without sync, where its own sync may pass some over.
   * @default a sync covers everything before it
   */
  readonly syncEarlier?: (directory: string) => Promise<void>
}

export interface Rebalance {
  readonly configuration: Configuration
  readonly plan: Plan
}

export interface NodeEvents {
  'view-change': [change: ViewChange<AgreedState>]
  /** The placement of a new configuration differs from the one before: these are the moves, for the whole cluster. */
  rebalance: [rebalance: Rebalance]
  /**
   * How the handovers of the partitions that this store leads get on: once a second while any is left or waits for a store that may come back,
   * and once when none is any more. The same as `status().transfers`.
   */
  progress: [transfers: TransfersStatus]
  /** The cluster has its first placement: from here on it takes data. */
  ready: []
  /**
   * This store stopped for good. The error's `code` says why: STORE_FAILED when its disk failed or an invariant broke,
   * STORE_DIRECTORY_DAMAGED when it read a record that has changed, or what membership halts with; MEMBERSHIP_LEAVE_TIMEOUT when it was
   * asked over the wire to leave, and ended before the others confirmed it.
   */
  failed: [error: Error]
  /** This node has left the cluster, whoever asked for it, and closes. */
  left: []
}
