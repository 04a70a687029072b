/**
 * Agreement on the one cut that follows a configuration. (Bodies follow.)
 */
import { type Configuration, type Cut, type MemberId } from './configuration.ts'
import { type Decision } from './consensus-decision.ts'
import { type ConsensusMessage, type ConsensusRecord } from './consensus-messages.ts'

export { type Decision } from './consensus-decision.ts'
export { type ConsensusMessage, type ConsensusRecord } from './consensus-messages.ts'

export interface ConsensusOptions {
  /** T: how long after the first sign of a vote recovery is due at the latest, in milliseconds. @default 1000 */
  readonly recoveryTimeoutMs?: number
  /** d: a member of rank r starts recovery r times this after it is due, in milliseconds. @default 50 */
  readonly rankDelayMs?: number
  /** How long a ballot is waited out before a higher one is started; doubles with each round, in milliseconds. @default 200 */
  readonly ballotTimeoutMs?: number
  /** The most that waiting out a ballot grows to, in milliseconds. @default 5000 */
  readonly ballotTimeoutMaxMs?: number
  /** When an undecided member first repeats what it said; doubles with each repetition, in milliseconds. @default 200 */
  readonly retransmitMs?: number
  /** The most that the pause between repetitions grows to, in milliseconds. @default 2000 */
  readonly retransmitMaxMs?: number
}

export type ConsensusInput =
  /** This member's own proposal, for which it casts its one fast vote. Later ones are ignored. */
  | { readonly kind: 'propose', readonly cut: Cut }
  /** A validated message of this configuration. */
  | { readonly kind: 'message', readonly from: MemberId, readonly message: ConsensusMessage }
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

export interface ConsensusComponents {
  readonly configuration: Configuration
  readonly self: MemberId
  /** What this member's former process left behind. */
  readonly durable?: ConsensusRecord
}

export class Consensus {
  constructor (_components: ConsensusComponents, _options: ConsensusOptions = {}) {}

  get decision (): Decision | undefined { return undefined }

  apply (_now: number, _input: ConsensusInput): ConsensusEffect[] { throw new Error('bodies follow') }

  /** @throws Error when a local invariant is broken. */
  invariants (): void {}
}

/** @throws {MembershipError} MEMBERSHIP_INVALID_MESSAGE */
export function validateConsensusMessage (_value: unknown): ConsensusMessage { throw new Error('bodies follow') }
