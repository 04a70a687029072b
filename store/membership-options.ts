/**
 * How a node takes part in membership: what follows from its options and from what its directory says of earlier runs.
 *
 * Pure.
 */
import type { Metadata, StoreId } from '../membership/configuration.ts'
import type { Address } from '../membership/environment/environment.ts'
import type { MembershipOptions } from '../membership/index.ts'
import { foldPlacement } from '../ring/index.ts'
import type { ResolvedNodeOptions } from './options.ts'
import type { Identity } from './storage/layout.ts'

/** @param here where the node listens, and all its tags */
export function membershipOptions (options: ResolvedNodeOptions, identity: Identity, here: { readonly address: Address, readonly tags: Metadata['tags'] }): MembershipOptions {
  const { clusterName, seeds, found, zone, weight, role, membership, partitions, replicas, expect } = options
  // A directory that was in a cluster before returns to that one: founding is for the first start alone.
  const returning = identity.clusterId !== undefined
  const founding = found && !returning
  const named = { ...(partitions === undefined ? {} : { partitions }), ...(replicas === undefined ? {} : { replicas }) }
  // Rule R1: a process that would place partitions in another way is refused, with this as the reason.
  const placement = `${foldPlacement.name} ${foldPlacement.version}`
  const settings = { placement, ...(founding ? { partitions: 1024, replicas: 3, expect: expect ?? 1 } : {}), ...named }
  const known = [...new Set([...seeds, ...identity.addresses])].filter(seed => seed !== here.address)
  return {
    ...membership,
    clusterName,
    seeds: known,
    // One that was alone resumes its cluster without anybody's help.
    found: founding || (returning && known.length === 0),
    settings,
    storeId: identity.storeId as StoreId,
    incarnation: identity.incarnation,
    role,
    metadata: { zone, weight, tags: here.tags },
    ...(founding && expect !== undefined ? { expect } : {}),
    ...(returning ? { clusterId: identity.clusterId as NonNullable<MembershipOptions['clusterId']> } : {})
  }
}
