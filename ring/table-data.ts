/**
 * The bare state of a placement, as arrays of integers over numbered stores.
 *
 * Stores are numbered by their place in `records` (a slot); names appear only at the face, in `PlacementTable`. Pure.
 */
import type { StoreRecord } from './stores.ts'

/** A former holder is remembered for this many epochs. */
export const FORMER_EPOCHS_MAX = 256

/** Of the former holders of one partition, the latest this many are remembered. */
export const FORMER_HOLDERS_MAX = 8

/** In a row of seats: no more seats. */
export const EMPTY = -1

/** Former holders of all partitions; those of partition p are the entries offsets[p] to offsets[p + 1], the latest first. */
export interface FormerHolders {
  readonly offsets: Uint32Array
  readonly slots: Int32Array
  /** The first epoch in which the store no longer had the seat. */
  readonly lostEpochs: Uint32Array
}

export interface TableData {
  readonly strategy: string
  readonly version: number
  readonly epoch: number
  readonly partitions: number
  readonly replicas: number
  /** Sorted by store id. */
  readonly records: readonly StoreRecord[]
  /** Q rows of R slots in order, filled up with EMPTY. Invariant: no slot twice in one row; none after an EMPTY. */
  readonly seats: Int32Array
  /** Parallel to `seats`. */
  readonly seatEpochs: Uint32Array
  readonly former: FormerHolders
}
