/**
 * What a change of the cluster would cost, before anybody makes it: moves, bytes, load, and how thin it gets on the way. Pure.
 */
import type { StoreId } from '../membership/configuration.ts'
import { RingError } from './errors.ts'
import { foldPlacement, type FoldState } from './fold-placement.ts'
import type { PartitionIndex } from './partition.ts'
import type { Placement, PlacementStrategy, RosterEntry } from './placement.ts'
import { plan, type Plan } from './plan.ts'

export interface Change {
  /** Stores that come; members of a configuration will do. */
  readonly join?: readonly RosterEntry[]
  /** Stores that go without notice, or that have crashed: their copies are gone at once. */
  readonly remove?: readonly StoreId[]
  /** Stores that stay but are to hold nothing (weight 0): their copies serve until they are replaced. */
  readonly drain?: readonly StoreId[]
}

export interface WhatIfOptions<S extends Placement> {
  /** The one that made the placement. @default foldPlacement */
  readonly strategy?: PlacementStrategy<S>
  /** Bytes that one replica of a partition holds: one number for all, or by partition. @default 0 */
  readonly partitionBytes?: number | ((partition: PartitionIndex) => number)
}

export interface Load {
  readonly store: StoreId
  /** Seats, and how many of them lead. */
  readonly replicas: number
  readonly leaders: number
  readonly bytes: number
}

export interface WhatIf<S extends Placement> {
  /** The placement that would result. */
  readonly after: S
  readonly plan: Plan
  /** To be copied in all. */
  readonly bytes: number
  /** Of each store present afterwards, sorted by store id. */
  readonly load: readonly Load[]
  /** The fewest replicas that any partition has on present stores between the change and the end of its copying. */
  readonly fewestLiveReplicas: number
  /** Partitions that lose their majority, hence stand still until enough of the removed stores return. */
  readonly withoutMajority: readonly PartitionIndex[]
}

/**
 * Works out a change to the configuration of `placement`.
 * @throws {RingError} RING_MISMATCH when a store that is to go is not present, or one that is to come is; what `next` throws.
 */
export function whatIf (placement: FoldState, change: Change, options?: Omit<WhatIfOptions<FoldState>, 'strategy'>): WhatIf<FoldState>
export function whatIf<S extends Placement> (
  placement: S, change: Change, options: WhatIfOptions<S> & { readonly strategy: PlacementStrategy<S> }
): WhatIf<S>
export function whatIf<S extends Placement> (placement: S, change: Change, options: WhatIfOptions<S> = {}): WhatIf<S> {
  // Without a strategy the placement is the default one's, as the overloads demand.
  const strategy = options.strategy ?? foldPlacement as unknown as PlacementStrategy<S>
  const { partitionBytes = 0 } = options
  const bytesOf = typeof partitionBytes === 'number' ? () => partitionBytes : partitionBytes
  const removed = new Set(change.remove)
  const after = strategy.next(placement, { epoch: placement.epoch + 1, members: rosterAfter(placement, change, removed) })
  const planned = plan(placement, after)

  let fewestLiveReplicas = Infinity
  const withoutMajority: PartitionIndex[] = []
  const present = new Set(after.stores)
  const leaders = new Map<StoreId, number>()
  for (let index = 0; index < placement.partitions; index++) {
    const partition = index as PartitionIndex
    const group = placement.seats(partition)
    const live = group.filter(store => present.has(store)).length
    fewestLiveReplicas = Math.min(fewestLiveReplicas, live)
    if (live * 2 <= group.length) withoutMajority.push(partition)
    const leader = after.seats(partition)[0]
    if (leader !== undefined) leaders.set(leader, (leaders.get(leader) ?? 0) + 1)
  }
  const load = after.stores.map((store): Load => {
    const partitions = after.partitionsOf(store)
    const bytes = partitions.reduce((sum, partition) => sum + bytesOf(partition), 0)
    return { store, replicas: partitions.length, leaders: leaders.get(store) ?? 0, bytes }
  })
  const bytes = planned.moves.reduce((sum, move) => sum + bytesOf(move.partition), 0)
  return { after, plan: planned, bytes, load, fewestLiveReplicas, withoutMajority }
}

function rosterAfter (placement: Placement, { join = [], drain = [] }: Change, removed: ReadonlySet<StoreId>): RosterEntry[] {
  const present = new Set(placement.stores)
  for (const store of [...removed, ...drain]) {
    if (!present.has(store)) throw new RingError('RING_MISMATCH', `store ${store} is not in the placement of epoch ${placement.epoch}`)
  }
  for (const { storeId } of join) {
    if (present.has(storeId)) throw new RingError('RING_MISMATCH', `store ${storeId} is in the placement of epoch ${placement.epoch} already`)
  }
  const drained = new Set(drain)
  const stay = placement.stores.filter(store => !removed.has(store)).map((store): RosterEntry => ({
    storeId: store,
    incarnation: placement.incarnationOf(store) ?? 0,
    metadata: { zone: placement.zoneOf(store), weight: drained.has(store) ? 0 : placement.weightOf(store) }
  }))
  return [...stay, ...join]
}
