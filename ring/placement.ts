/**
 * What a placement is: for one epoch, the ordered list of stores that hold each partition; and what a strategy that makes
 * placements must offer, so that any other can take the place of the two shipped here.
 *
 * Rules R1 and R2 of the ring (see README.md). Pure.
 */
import type { Configuration, Member, StoreId } from '../membership/configuration.ts'
import type { Fold } from '../membership/fold.ts'
import { RingError } from './errors.ts'
import { isPartitionCount, PARTITIONS_MAX, type PartitionIndex } from './partition.ts'

/** The most replicas a partition can have. */
export const REPLICAS_MAX = 16

export interface PlacementOptions {
  /** Q: arcs of the hash circle; a power of two from 1 to 65,536, fixed for the life of the cluster. More of them spread load
   * more finely over more stores and cost a little memory each; 10 per store and more are good. @default 1024 */
  readonly partitions?: number
  /** R: stores that hold each partition, 1 to 16. A partition survives the loss of fewer than half of them. @default 3 */
  readonly replicas?: number
}

export const PLACEMENT_DEFAULTS: Required<PlacementOptions> = Object.freeze({ partitions: 1024, replicas: 3 })

/** What a placement reads of a member: nothing that changes when a store restarts under another id or address. */
export interface RosterEntry {
  readonly storeId: StoreId
  readonly incarnation: number
  readonly metadata: Pick<Member['metadata'], 'zone' | 'weight'>
}

/** What a placement reads of a configuration (rule R1). Every `Configuration` is one. */
export interface Roster {
  readonly epoch: number
  readonly members: readonly RosterEntry[]
}

/**
 * Why a partition is less safe than was asked for: `zone`, two of its stores share a zone; `replicas`, fewer than R stores
 * that are present and have weight hold a seat; `departed`, a store that is gone still holds a seat, as nobody could replace it.
 */
export interface Violation {
  readonly partition: PartitionIndex
  readonly kind: 'zone' | 'replicas' | 'departed'
}

/** Immutable. Two processes with equal digests have equal placements and will derive equal ones from equal configurations. */
export interface Placement {
  readonly epoch: number
  /** Q. */
  readonly partitions: number
  /** R. */
  readonly replicas: number
  /** The stores present in the configuration, those of weight 0 included, sorted. */
  readonly stores: readonly StoreId[]
  /**
   * Who holds a partition; the first is the preferred leader. min(R, stores with weight) of them are present and have weight
   * and come first; then stores that are gone, or were drained, and that nobody could replace yet (rule R2).
   */
  seats (partition: PartitionIndex): readonly StoreId[]
  /** Parallel to `seats`: the epoch since which that store has held this seat without a break. */
  seatEpochs (partition: PartitionIndex): readonly number[]
  /** Stores that lost their seat here in one of the last `FORMER_EPOCHS_MAX` epochs, the latest first. */
  formerHolders (partition: PartitionIndex): readonly StoreId[]
  /** The partitions in which a store has a seat, ascending. Empty for a store that is not known. */
  partitionsOf (store: StoreId): readonly PartitionIndex[]
  /** The weight of a store that is present; 0 for any other. */
  weightOf (store: StoreId): number
  /** The zone a store was last known in; '' for one that is not known. */
  zoneOf (store: StoreId): string
  /** The highest incarnation seen of a store, or undefined for one not known or forgotten (rule R3). */
  incarnationOf (store: StoreId): number | undefined
  /** The stores that are gone and remembered, each with the first epoch without it. */
  readonly departures: ReadonlyMap<StoreId, number>
  /** 32 hexadecimal digits over the whole state, departed stores and former holders included. */
  readonly digest: string
  /** By partition. Empty when all is as it should be. */
  readonly violations: readonly Violation[]
}

export interface PlacementStrategy<S extends Placement> {
  /** Names the algorithm; part of the encoded state. Processes with different algorithms cannot be in one cluster. */
  readonly name: string
  /** Changes whenever the same input would give another placement; part of the encoded state. */
  readonly version: number
  /**
   * The placement of a first configuration.
   * @throws {RingError} RING_INVALID_OPTIONS, RING_INVALID_CONFIGURATION
   */
  first (configuration: Roster, options?: PlacementOptions): S
  /**
   * The placement of the configuration that follows that of `previous`. Reads nothing but its arguments.
   * @throws {RingError} RING_OUT_OF_ORDER unless its epoch is the next one; RING_INVALID_CONFIGURATION
   */
  next (previous: S, configuration: Roster): S
  /** The whole state: equal states, and only those, have equal bytes. */
  encode (state: S): Uint8Array
  /** @throws {RingError} RING_INVALID_STATE */
  decode (bytes: Uint8Array): S
}

/**
 * Fills in defaults, then checks.
 * @throws {RingError} RING_INVALID_OPTIONS
 */
export function completeOptions (options: PlacementOptions = {}): Required<PlacementOptions> {
  const { partitions, replicas } = { ...PLACEMENT_DEFAULTS, ...options }
  if (!isPartitionCount(partitions)) {
    throw new RingError('RING_INVALID_OPTIONS', `partitions must be a power of two from 1 to ${PARTITIONS_MAX}, not ${String(partitions)}`)
  }
  if (!Number.isInteger(replicas) || replicas < 1 || replicas > REPLICAS_MAX) {
    throw new RingError('RING_INVALID_OPTIONS', `replicas must be an integer from 1 to ${REPLICAS_MAX}, not ${String(replicas)}`)
  }
  return { partitions, replicas }
}

/**
 * A strategy as the fold that membership keeps beside its configurations and hands to joiners.
 * @throws {RingError} RING_INVALID_OPTIONS
 */
export function placementFold<S extends Placement> (strategy: PlacementStrategy<S>, options?: PlacementOptions): Fold<S> {
  const complete = completeOptions(options)
  return {
    initial: (configuration: Configuration) => strategy.first(configuration, complete),
    next: (state: S, configuration: Configuration) => strategy.next(state, configuration),
    encode: (state: S) => strategy.encode(state),
    decode: (bytes: Uint8Array) => {
      const state = strategy.decode(bytes)
      if (state.partitions !== complete.partitions || state.replicas !== complete.replicas) {
        throw new RingError('RING_INVALID_STATE', `the placement has ${state.partitions} partitions of ${state.replicas} replicas, this process was told ${complete.partitions} of ${complete.replicas}`)
      }
      return state
    }
  }
}
