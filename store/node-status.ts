/**
 * What a node says about itself: for the CLI, for tools, and for whoever waits for a rebalance to end.
 *
 * Pure. Plain data: it crosses the wire as it is.
 */
import type { Configuration, StoreId } from '../membership/configuration.ts'
import type { MembershipMetrics } from '../membership/index.ts'
import type { DepartureStatus } from './departure.ts'
import type { DrainStatus } from './drain.ts'
import type { Replica } from './group/replica.ts'
import type { Ledger, LedgerPage } from './ledger.ts'
import type { TransfersStatus } from './rebalance-watch.ts'

export interface RebalanceStatus extends LedgerPage {
  readonly epoch: number
  /** Moves of the whole plan of that epoch, all stores together, and the fewest that any placement could do with. */
  readonly moves: number
  readonly lowerBound: number
}

export interface NodeStatus {
  readonly storeId: string
  readonly address: string
  readonly state: 'joining' | 'ready' | 'waiting' | 'failed' | 'closed'
  readonly membership: string
  readonly clusterId: string
  readonly epoch: number
  readonly configurationId: string
  readonly members: number
  readonly placementDigest: string
  readonly partitions: {
    /** Of the whole cluster. */
    readonly total: number
    /** Those this store is a replica of, in the placement. */
    readonly seats: number
    /** Those it leads and serves. */
    readonly leading: number
    /** Of these, those whose group is the placement's, with every member level: nothing is left to move. */
    readonly settled: number
    /** Copies here that neither the group nor the placement wants any more. */
    readonly leftovers: number
    /** Partitions of which this is the first live replica and which lack a majority. */
    readonly unavailable: number
    /**
     * Where something is under way: entries that a member of the group lacks or that are not in the data yet, a handover, values that will
     * expire; and copies that are being deleted. With 0 at every node, and nobody writing, what is on the disks stays as it is.
     */
    readonly busy: number
  }
  /** Whether this store is being emptied; absent before it is a member. */
  readonly drain?: DrainStatus
  /** How far its leaving is; absent while nobody has asked for that. */
  readonly leaving?: DepartureStatus
  readonly operationsInFlight: number
  /** The copies that this store sends, as the leader of their partitions, what its handovers wait for, and how they get on. */
  readonly transfers: TransfersStatus
  /** What happened at this node as a member, in numbers; absent before it is about to be one. */
  readonly membershipMetrics?: MembershipMetrics
  /** This store's part of each rebalance; the moves in it are those that gave this store a seat. */
  readonly rebalances: readonly RebalanceStatus[]
}

type Counts = Omit<NodeStatus['partitions'], 'total'>

/** @param deletions copies that are being deleted */
export function partitionCounts (self: StoreId, configuration: Configuration | undefined, replicas: Iterable<Replica>, deletions: number): Counts {
  let seats = 0
  let leading = 0
  let settled = 0
  let leftovers = 0
  let unavailable = 0
  let busy = deletions
  const live = new Set(configuration?.members.map(member => member.storeId))
  for (const replica of replicas) {
    const { view, leader, group, isMember } = replica
    const seated = view?.seats.includes(self) === true
    if (seated) seats++
    if (leader?.serving === true) {
      leading++
      if (leader.settledEpoch === view?.epoch && leader.handover.allLevel()) settled++
    }
    if (replica.copy !== undefined && !isMember && !seated) leftovers++
    if (isMember && replica.missingMajority() !== undefined && group!.members.find(member => live.has(member)) === self) unavailable++
    if (!replica.quiet) busy++
  }
  return { seats, leading, settled, leftovers, unavailable, busy }
}

type PlanSizes = ReadonlyMap<number, { readonly moves: number, readonly lowerBound: number }>

export function rebalanceStatus (ledger: Ledger, plans: PlanSizes): RebalanceStatus[] {
  const epochs = new Set([...plans.keys(), ...ledger.epochs()])
  return [...epochs].sort((a, b) => a - b).map(epoch => ({ epoch, moves: 0, lowerBound: 0, ...plans.get(epoch), ...ledger.page(epoch) }))
}
