/**
 * What a replica says to a client that it does not serve: why, and who does, as far as it knows.
 *
 * Pure: a part of the replica core.
 */
import type { StoreId } from '../../membership/configuration.ts'
import type { Answer } from './effects.ts'
import type { Replica } from './replica.ts'

/** Too many members of the group are missing, or those that are there are too few to tell what was acknowledged: it waits for these stores. */
export function unavailable (replica: Replica, waitingFor: readonly StoreId[]): Answer {
  const what = replica.missingMajority() === undefined
    ? 'replicas lost their power, and the others are too few to tell what these had acknowledged'
    : 'no majority of the partition\'s replicas is in the cluster'
  const message = `${what}; it waits for ${waitingFor.join(', ')}`
  return { kind: 'error', code: 'PARTITION_UNAVAILABLE', message, definite: true, epoch: replica.view!.epoch, waitingFor }
}

/** The shell turns the stores in the hints into addresses. */
export function redirect (replica: Replica, now: number): Answer {
  const { group, view, self, isMember, election } = replica
  const epoch = view?.epoch ?? 0
  const error = { kind: 'error', definite: true, epoch } as const
  const hint = (stores: readonly StoreId[]): { hints: { storeId: StoreId, address: string }[] } =>
    ({ hints: stores.filter(store => store !== self).map(storeId => ({ storeId, address: '' })) })
  if (group === undefined) return { ...error, code: 'NOT_OWNER', message: 'this store does not hold the partition', ...hint([]) }
  const waitingFor = isMember ? replica.missingMajority() : undefined
  if (waitingFor !== undefined) return unavailable(replica, waitingFor)
  const leader = election.expected()
  if (leader === self) return { ...error, code: 'NOT_READY', message: 'this store is about to lead' }
  // A client that comes here has usually found the leader silent: make sure that there is one.
  if (isMember) election.doubt(now)
  const others = group.members.filter(member => member !== leader)
  const stores = leader === undefined ? others : [leader, ...others]
  return { ...error, code: isMember ? 'NOT_LEADER' : 'NOT_OWNER', message: 'another store leads the partition', ...hint(stores) }
}
