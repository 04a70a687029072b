/**
 * Ballots: the totally ordered rounds of Paxos within one configuration.
 *
 * A classic ballot is a (round, member index) pair, so that no two members ever own the same one; the fast round of Rapid
 * (ATC '18, section 4.3), which has no owner, lies below them all (rule M1).
 *
 * Pure.
 */
export interface Ballot {
  /** 0 for the fast round, 1, 2, 3 ... for classic ballots. */
  readonly round: number
  /** The owner's index in `configuration.members`; 0 in the fast round. */
  readonly member: number
}

export const FAST_BALLOT: Ballot = Object.freeze({ round: 0, member: 0 })

/** Far beyond what any configuration can use up; a message that names a higher round is refused. */
export const ROUND_MAX = 2 ** 31

/** Negative, zero or positive, as for `Array.prototype.sort`. */
export function compareBallots (a: Ballot, b: Ballot): number {
  return a.round !== b.round ? a.round - b.round : a.member - b.member
}

export const isFast = (ballot: Ballot): boolean => ballot.round === 0

/** The lowest ballot owned by `member` that lies above `other`. */
export function ballotAbove (other: Ballot, member: number): Ballot {
  return { round: other.round + 1, member }
}
