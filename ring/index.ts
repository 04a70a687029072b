/** The public face of the ring: where every key lives, and what must move when the cluster changes. */
export { RingError, type RingErrorCode } from './errors.ts'
export { foldPlacement, type FoldState } from './fold-placement.ts'
export { isPartitionCount, PARTITIONS_MAX, type PartitionIndex, partitionOf, routingKey } from './partition.ts'
export {
  completeOptions, type Placement, PLACEMENT_DEFAULTS, placementFold, type PlacementOptions, type PlacementStrategy,
  REPLICAS_MAX, type Roster, type RosterEntry, type Violation
} from './placement.ts'
export { type Move, plan, type Plan } from './plan.ts'
export { Sharder, type SharderComponents, type SharderOptions } from './sharder.ts'
export { DEPARTED_STORES_MAX, WEIGHT_MAX } from './stores.ts'
export { FORMER_EPOCHS_MAX, FORMER_HOLDERS_MAX } from './table-data.ts'
export { TOKENS_PER_STORE, tokenRing, type TokenRingState } from './token-ring.ts'
export { type Change, type Load, whatIf, type WhatIf, type WhatIfOptions } from './what-if.ts'
