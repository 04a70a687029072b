/**
 * The spread of a decision to those who had no vote in it: the logically centralized mode.
 *
 * Suresh et al. (USENIX ATC '18), section 5; rule M13. Votes travel among the voters only, so whoever enters the next configuration tells
 * the decision to some of the members that it observes; the overlay is an expander, and a few hops reach nearly everybody. Those who are
 * missed, or whose message is lost, hear of the later epoch with the next probe and fetch the decision (rule M12).
 *
 * Pure.
 */
import type { MemberId } from './configuration.ts'
import { hash32 } from './hash.ts'
import type { View } from './view.ts'

/**
 * Agents that one member tells. Were they drawn at random, a share x with x = exp(-4 (1 - x)) would be told by nobody: 2 %. Raising
 * it costs as many more messages per member and view change.
 */
const SPREAD_FANOUT = 4

/** Whom a member tells that has gone from one configuration to the next. Joiners are welcomed by their observers instead. */
export function listenersOf (before: View, after: View): MemberId[] {
  if (!before.electorate.isPartial) return []
  return after.subjects
    .filter(id => before.member(id) !== undefined && before.electorate.indexOf(id) < 0)
    .map(id => ({ id, rank: hash32(`${after.self.id} ${id} ${after.epoch}`, 5n) }))
    .sort((a, b) => a.rank - b.rank)
    .slice(0, SPREAD_FANOUT)
    .map(({ id }) => id)
}
