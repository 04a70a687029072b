/**
 * What the membership machine is told, one input at a time, in the order in which it happened. What it answers with is in effects.ts.
 *
 * Pure: types alone.
 */
import type { ClusterId, Metadata } from './configuration.ts'
import type { Kept, Peer } from './effects.ts'
import type { Address, LinkEvent } from './environment/environment.ts'
import type { MembershipMessage } from './messages.ts'

/** Join: a certain cluster, or any of the right name. */
export interface JoinInput {
  readonly kind: 'join'
  readonly clusterId: ClusterId | undefined
  readonly seeds: readonly Address[]
  readonly timeoutMs: number
  /** What the disk holds of the member that this process was before. */
  readonly kept?: Kept<unknown>
  /** The last configuration that is known here, where this process is no later one of any of its members. */
  readonly left?: Kept<unknown>
}

export type CoreInput =
  /** Found the cluster of that id, unless one of the seeds knows it already. */
  | { readonly kind: 'found', readonly clusterId: ClusterId, readonly seeds: readonly Address[] }
  | JoinInput
  /** The seeds to try from now on. */
  | { readonly kind: 'seeds', readonly seeds: readonly Address[] }
  /** A validated message. */
  | { readonly kind: 'message', readonly peer: Peer, readonly message: MembershipMessage }
  | { readonly kind: 'link', readonly event: LinkEvent }
  | { readonly kind: 'persisted', readonly token: number }
  | { readonly kind: 'leave' }
  /** Have these fields of this member's metadata changed: valid ones. Answered by an `updated` effect with the token. */
  | { readonly kind: 'update', readonly token: number, readonly change: Partial<Metadata> }
  /** The time of the last wake effect has come. */
  | { readonly kind: 'tick' }
