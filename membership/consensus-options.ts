/** The timing of consensus: defaults and limits. Safety depends on none of it. Pure. */
import { MembershipError } from './errors.ts'

export interface ConsensusOptions {
  /**
   * T: how long after the first sign of a vote recovery is due at the latest, in milliseconds. Raising it gives stragglers more
   * time to complete a fast round. @default 1000
   */
  readonly recoveryTimeoutMs?: number
  /**
   * d: a member of rank r starts recovery r times this after it is due, in milliseconds. Should exceed the time a message takes,
   * or coordinators get in each other's way. @default 50
   */
  readonly rankDelayMs?: number
  /** How long the first ballot is waited out before a higher one is started; doubles with each round, in milliseconds. @default 200 */
  readonly ballotTimeoutMs?: number
  /** The most that waiting out a ballot grows to, in milliseconds. @default 5000 */
  readonly ballotTimeoutMaxMs?: number
  /** When an undecided member first repeats what it said; doubles with each repetition, in milliseconds. @default 200 */
  readonly retransmitMs?: number
  /** The most that the pause between repetitions grows to, in milliseconds. @default 2000 */
  readonly retransmitMaxMs?: number
}

export const CONSENSUS_DEFAULTS: Required<ConsensusOptions> = Object.freeze({
  recoveryTimeoutMs: 1000,
  rankDelayMs: 50,
  ballotTimeoutMs: 200,
  ballotTimeoutMaxMs: 5000,
  retransmitMs: 200,
  retransmitMaxMs: 2000
})

/** @throws {MembershipError} MEMBERSHIP_INVALID_OPTIONS unless every time is positive and every maximum at least its minimum. */
export function checkConsensusOptions (options: Required<ConsensusOptions>): void {
  const refuse = (why: string): never => { throw new MembershipError('MEMBERSHIP_INVALID_OPTIONS', why) }
  for (const [name, value] of Object.entries(options)) {
    if (!Number.isFinite(value) || value <= 0) refuse(`${name} must be a positive number of milliseconds; it is ${value}.`)
  }
  if (options.ballotTimeoutMaxMs < options.ballotTimeoutMs) refuse('ballotTimeoutMaxMs must not be less than ballotTimeoutMs.')
  if (options.retransmitMaxMs < options.retransmitMs) refuse('retransmitMaxMs must not be less than retransmitMs.')
}
