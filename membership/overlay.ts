/**
 * The monitoring overlay: who observes whom in one configuration.
 *
 * Rapid (Suresh et al., ATC '18), section 4.1: the members stand on K pseudo-random rings, and on each ring a member observes
 * its successor. The union of the rings is an expander, so the correct members keep watch over any set of faulty ones.
 *
 * Deviation: where the predecessor of a member on a ring observes that member already, on an earlier ring, the next one
 * further back takes its place. So each member has exactly min(K, N - 1) different observers, and watermarks that count
 * distinct observers (rule M5) mean the same for every member; up to N = K + 1 everyone observes everyone.
 *
 * Pure: a function of the member ids and K. Every process computes the same overlay.
 */
import { type Configuration, type MemberId } from './configuration.ts'

/** K. @default 10 */
export const RING_COUNT = 10

export class Overlay {
  constructor (_configuration: Configuration, _ringCount: number = RING_COUNT) {}

  /** The min(K, N - 1) different members that observe `subject`. Empty for who is no member. */
  observersOf (_subject: MemberId): readonly MemberId[] { throw new Error('bodies follow') }

  /** The members that `observer` observes. Empty for who is no member. */
  subjectsOf (_observer: MemberId): readonly MemberId[] { throw new Error('bodies follow') }

  /** The min(K, N) different members that would observe `joiner`, and hence report it. Never empty. */
  observersOfJoiner (_joiner: MemberId): readonly MemberId[] { throw new Error('bodies follow') }
}
