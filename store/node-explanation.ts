/**
 * Why the configuration of an epoch came about, as one node tells it to people and tools.
 *
 * Pure.
 */
import type { MemberId } from '../membership/configuration.ts'
import type { Explanation, Membership } from '../membership/index.ts'

/** All of it can be written as JSON. Times are milliseconds of that node's monotonic clock. */
export interface NodeExplanation extends Explanation {
  /** Where the members of the node's present configuration listen; those that are gone are not among them. */
  readonly addresses: Readonly<Record<MemberId, string>>
}

/** @returns null where the node did not see that epoch, or has forgotten it */
export function nodeExplanation (membership: Pick<Membership<unknown>, 'explain' | 'configuration'>, epoch: number): NodeExplanation | null {
  const explanation = membership.explain(epoch)
  if (explanation === undefined) return null
  const { members = [] } = membership.configuration ?? {}
  return { ...explanation, addresses: Object.fromEntries(members.map(({ id, address }) => [id, address])) }
}
