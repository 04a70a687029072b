/**
 * Quorum sizes of Fast Paxos for N members, the smallest that are safe.
 *
 * Lamport, "Fast Paxos" (2006), section 2: any two classic quorums intersect, and any classic quorum intersects the
 * intersection of any two fast quorums. Suresh et al., "Stable and Consistent Membership at Scale with Rapid" (ATC '18),
 * section 4.3, uses the same fast quorum of three quarters.
 *
 * Pure.
 */

/** c = floor(N/2) + 1: two of these share a member. */
export function classicQuorum (memberCount: number): number {
  return Math.floor(memberCount / 2) + 1
}

/**
 * f = floor((2N - c)/2) + 1, which is ceil(3N/4): the least f with 2f + c > 2N, so that two fast quorums and one classic quorum
 * share a member. Whatever classic quorum recovery asks, at most one value can then look as if f members had voted for it.
 */
export function fastQuorum (memberCount: number): number {
  return Math.floor((2 * memberCount - classicQuorum(memberCount)) / 2) + 1
}
