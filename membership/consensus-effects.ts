/**
 * What goes into the consensus of one configuration and what comes out of it.
 *
 * Pure: types.
 */
import type { Configuration, Cut, MemberId } from './configuration.ts'
import type { Decision } from './consensus-decision.ts'
import type { ConsensusMessage, ConsensusRecord } from './consensus-messages.ts'

export interface ConsensusComponents {
  readonly configuration: Configuration
  readonly self: MemberId
  /**
   * This instance answers for a member whose process is gone (rule M4). It begins no ballots before it is told to `recover`, and asks in them
   * for nothing but what may have been chosen, and what it offers.
   * @default false
   */
  readonly isFormer?: boolean
  /**
   * What this member's former process left behind. Apply a `timer` input first, to take up where it stopped; without it the
   * instance answers others and begins nothing until it hears that something is under way.
   */
  readonly durable?: ConsensusRecord
}

export type ConsensusInput =
  /** This member's own proposal, for which it casts its one fast vote. Later ones are ignored. */
  | { readonly kind: 'propose', readonly cut: Cut }
  /** A validated message. Those of other configurations are ignored. */
  | { readonly kind: 'message', readonly from: MemberId, readonly message: ConsensusMessage }
  /**
   * A cut to choose where nobody voted for anything, or, in a former self, where nothing can have been chosen: casts no vote and starts nothing.
   * Replaces the one before. An offer that cannot follow this configuration is refused like a message.
   */
  | { readonly kind: 'offer', readonly cut: Cut }
  /** Begin classic ballots without waiting for the fast round: so many members cannot vote any more that it cannot succeed (rule M4). */
  | { readonly kind: 'recover' }
  /** The members that are now thought dead; replaces the set before. */
  | { readonly kind: 'suspects', readonly members: ReadonlySet<MemberId> }
  /** The record of that persist effect, and of all before it, is durable. */
  | { readonly kind: 'persisted', readonly token: number }
  /** The time of the last timer effect has come. Also the first input of an instance that resumes from a record. */
  | { readonly kind: 'timer' }

/** Carry them out in order. What depends on a persist effect is held back until it is reported `persisted`. */
export type ConsensusEffect =
  /** Make the record durable, then report `persisted`. Writes must become durable in the order asked for. */
  | { readonly kind: 'persist', readonly record: ConsensusRecord, readonly token: number }
  | { readonly kind: 'send', readonly to: MemberId, readonly message: ConsensusMessage }
  /** To every other member. */
  | { readonly kind: 'broadcast', readonly message: ConsensusMessage }
  /** Emitted once; nothing follows it. Store it durably before telling anyone (rule M4). */
  | { readonly kind: 'decide', readonly decision: Decision }
  /** Replaces the timer before. */
  | { readonly kind: 'timer', readonly atMs: number }
