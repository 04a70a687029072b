/**
 * Has the cluster agree on an order to give up on stores, and finds out what became of it.
 *
 * Owns nothing.
 */
import type { Membership } from '../../membership/index.ts'
import type { AgreedState } from '../agreed-state.ts'
import { StoreError } from '../errors.ts'
import { type ForceOrder, withOrder } from './order.ts'

/**
 * Resolves once the order is part of a configuration and has taken effect there; at once where it has already.
 * @throws {StoreError} STORE_FORCE_REFUSED: definite when the order certainly has no effect
 * @throws {MembershipError} what `Membership.update` throws
 */
export async function carryOutForce (membership: Membership<AgreedState>, order: ForceOrder, signal?: AbortSignal): Promise<void> {
  if (inEffect(membership.state, order)) return
  const { epoch, members } = membership.configuration
  if (epoch !== order.epoch) throw new StoreError('STORE_FORCE_REFUSED', `the order was planned in epoch ${order.epoch}, and this is epoch ${epoch}: plan it anew`)
  const present = members.find(({ storeId }) => order.abandoned.includes(storeId))
  if (present !== undefined) throw new StoreError('STORE_FORCE_REFUSED', `store ${present.storeId} is in the cluster: it is not lost`)
  const tags = withOrder(membership.self.metadata.tags, order)
  await membership.update({ tags }, signal === undefined ? {} : { signal })
  if (inEffect(membership.state, order)) return
  throw new StoreError('STORE_FORCE_REFUSED', `the cluster changed before the order was agreed on, so it has no effect: plan it anew`)
}

/**
 * Whether the configuration after the one that the order was planned on followed it. That the stores were given up does not suffice: an order
 * of before may have named the same ones, for other partitions.
 */
function inEffect ({ abandoned, forced }: AgreedState, order: ForceOrder): boolean {
  return order.abandoned.every(store => abandoned.includes(store)) && order.survivors.every(({ partition, store, empty }) => {
    const decree = forced.get(partition)
    if (decree === undefined || decree.epoch <= order.epoch) return false
    // Of two orders that were planned on one configuration only one counts; and a force that came later still has passed over this one.
    return decree.epoch > order.epoch + 1 || (decree.store === store && decree.empty === empty)
  })
}
