/**
 * The plan of one rebalance: the difference of two placements as a list of moves, beside the fewest that were possible. Pure.
 */
import type { StoreId } from '../membership/configuration.ts'
import { RingError } from './errors.ts'
import type { PartitionIndex } from './partition.ts'
import type { Placement } from './placement.ts'
import { computeShares, fewestMoves } from './shares.ts'

/** One store gets a seat. (epoch, partition, to) names this transfer for ever. */
export interface Move {
  readonly partition: PartitionIndex
  /** The store whose seat it takes; undefined where the group grows. */
  readonly from: StoreId | undefined
  readonly to: StoreId
  /** The epoch in which `to` got the seat. */
  readonly epoch: number
}

export interface Plan {
  /** The epoch of the placement that is to be reached. */
  readonly epoch: number
  /** By partition, then in the order of its seats. */
  readonly moves: readonly Move[]
  /**
   * No placement in which every store has its share by weight (rounded down or up, zones kept apart) is fewer moves away. Counts
   * alone are considered, so where zones constrain it may be out of reach.
   */
  readonly lowerBound: number
  /** Partitions whose preferred leader becomes another store. */
  readonly leaderChanges: number
}

/** The plans between placements that are still in use, by the later one: nodes that share a process share its placements. */
const plans = new WeakMap<Placement, WeakMap<Placement, Plan>>()

/**
 * What must happen to get from one placement to another of the same partitions. Computed once for two placements.
 * @throws {RingError} RING_MISMATCH when the numbers of partitions differ.
 */
export function plan (before: Placement, after: Placement): Plan {
  let known = plans.get(after)
  if (known === undefined) plans.set(after, known = new WeakMap())
  let difference = known.get(before)
  if (difference === undefined) known.set(before, difference = compare(before, after))
  return difference
}

function compare (before: Placement, after: Placement): Plan {
  if (before.partitions !== after.partitions) {
    throw new RingError('RING_MISMATCH', `a placement of ${before.partitions} partitions cannot become one of ${after.partitions}`)
  }
  const moves: Move[] = []
  let leaderChanges = 0
  for (let index = 0; index < after.partitions; index++) {
    const partition = index as PartitionIndex
    const [old, seats] = [before.seats(partition), after.seats(partition)]
    if (old[0] !== seats[0]) leaderChanges++
    // Most partitions keep their seats, whatever changes.
    if (seats.every(store => old.includes(store))) continue
    const left = old.filter(store => !seats.includes(store))
    const epochs = after.seatEpochs(partition)
    for (const [seat, to] of seats.entries()) {
      if (!old.includes(to)) moves.push({ partition, from: left.shift(), to, epoch: epochs[seat]! })
    }
  }
  return Object.freeze({ epoch: after.epoch, moves: Object.freeze(moves), lowerBound: lowerBound(before, after), leaderChanges })
}

/** The fewest moves from `before` to any balanced placement for the stores of `after`. */
function lowerBound (before: Placement, after: Placement): number {
  const zoneNumbers = new Map<string, number>()
  const stores = after.stores
  const weights = Int32Array.from(stores, store => after.weightOf(store))
  const zones = Int32Array.from(stores, store => {
    const zone = after.zoneOf(store)
    // No zone: a failure domain of its own. The prefixes keep names of zones and of stores apart.
    const key = zone === '' ? `store ${store}` : `zone ${zone}`
    const number = zoneNumbers.get(key) ?? zoneNumbers.size
    zoneNumbers.set(key, number)
    return number
  })
  const counts = Int32Array.from(stores, store => before.partitionsOf(store).length)
  return fewestMoves(computeShares(weights, zones, zoneNumbers.size, after.partitions, after.replicas), counts)
}
