/**
 * From one placement to the next: takes over what is known into new slots, and turns a finished draft into a table.
 *
 * Here, once for all strategies, are the parts of rule R2: seats keep their epoch for as long as they are held without a break;
 * departed and drained stores keep their seats until others replace them; former holders are remembered. Pure.
 */
import { RingError } from './errors.ts'
import { Draft } from './draft.ts'
import type { Roster } from './placement.ts'
import { computeShares } from './shares.ts'
import { isActive, mergeStores, type StoreRecord, zoneIndexes } from './stores.ts'
import { EMPTY, FORMER_EPOCHS_MAX, FORMER_HOLDERS_MAX, type FormerHolders, type TableData } from './table-data.ts'
import { PlacementTable } from './table.ts'

const NONE: readonly number[] = []

/** A step from one placement to the next: what was, in the slots of what will be, and the draft to fill. */
export interface Step {
  readonly previous: TableData
  readonly epoch: number
  readonly records: readonly StoreRecord[]
  readonly before: Int32Array
  readonly beforeEpochs: Uint32Array
  /** Without stores that are no longer remembered. */
  readonly former: FormerHolders
  readonly draft: Draft
}

/** A placement of no stores, from which the first one is derived. */
export function emptyTable (strategy: string, version: number, partitions: number, replicas: number): TableData {
  return {
    strategy, version, epoch: 0, partitions, replicas, records: [],
    seats: new Int32Array(partitions * replicas).fill(EMPTY),
    seatEpochs: new Uint32Array(partitions * replicas),
    former: { offsets: new Uint32Array(partitions + 1), slots: new Int32Array(0), lostEpochs: new Uint32Array(0) }
  }
}

/** @throws {RingError} RING_OUT_OF_ORDER, RING_INVALID_CONFIGURATION */
export function beginStep (previous: TableData, roster: Roster): Step {
  if (previous.epoch > 0 && roster.epoch !== previous.epoch + 1) {
    throw new RingError('RING_OUT_OF_ORDER', `the configuration of epoch ${roster.epoch} does not follow the placement of epoch ${previous.epoch}`)
  }
  const { partitions, replicas } = previous
  const hasSeat = new Uint8Array(previous.records.length)
  for (const slot of previous.seats) if (slot !== EMPTY) hasSeat[slot] = 1
  const records = mergeStores(previous.records, slot => hasSeat[slot] === 1, roster)
  const slots = new Map(records.map((record, slot) => [record.store, slot]))
  const moved = Int32Array.from(previous.records, record => slots.get(record.store) ?? EMPTY)
  const before = previous.seats.map(slot => slot === EMPTY ? EMPTY : moved[slot]!)
  const { zones, zoneCount } = zoneIndexes(records)
  const weights = Int32Array.from(records, record => isActive(record) ? record.weight : 0)
  const shares = computeShares(weights, zones, zoneCount, partitions, replicas)
  const seeds = Int32Array.from(records, record => record.seed)
  const beforeEpochs = previous.seatEpochs
  const draft = new Draft({ partitions, replicas, shares, zones, seeds, before, beforeEpochs })
  return { previous, epoch: roster.epoch, records, before, beforeEpochs, former: carryFormer(previous, moved), draft }
}

/** Former holders in new slots. */
function carryFormer ({ former, partitions }: TableData, moved: Int32Array): FormerHolders {
  const carried = new FormerBuilder(partitions)
  for (let partition = 0; partition < partitions; partition++) {
    for (let entry = former.offsets[partition]!; entry < former.offsets[partition + 1]!; entry++) {
      const slot = moved[former.slots[entry]!]!
      if (slot !== EMPTY) carried.add(slot, former.lostEpochs[entry]!)
    }
    carried.endPartition(partition)
  }
  return carried.finish()
}

/** Writes the seats that a draft has in `partition` into `row`, the preferred leader first. */
export type Order = (partition: number, row: Int32Array) => void

/** The table of a step whose draft is filled. Kept seats of drained and departed stores come after those of the draft. */
export function finishStep (step: Step, order: Order): PlacementTable {
  const { previous, epoch, records, before, beforeEpochs, former: known, draft } = step
  const { strategy, version, partitions, replicas } = previous
  const seats = new Int32Array(partitions * replicas).fill(EMPTY)
  const seatEpochs = new Uint32Array(partitions * replicas)
  const active = records.map(isActive)
  const former = new FormerBuilder(partitions)
  const row = new Int32Array(replicas)
  for (let partition = 0; partition < partitions; partition++) {
    const start = partition * replicas
    const held = draft.held[partition]!
    order(partition, row)
    let gained = 0
    for (let index = 0; index < held; index++) {
      const seat = draft.seatBefore(partition, row[index]!)
      if (seat === EMPTY) gained++
      seats[start + index] = row[index]!
      seatEpochs[start + index] = seat === EMPTY ? epoch : beforeEpochs[seat]!
    }
    let end = start + held
    for (const slot of keptSeats(step, active, partition, gained)) {
      seats[end] = slot
      seatEpochs[end++] = beforeEpochs[draft.seatBefore(partition, slot)]!
    }
    const isSeated = (slot: number): boolean => {
      for (let index = start; index < end; index++) if (seats[index] === slot) return true
      return false
    }
    for (let index = start; index < start + replicas; index++) {
      if (before[index] !== EMPTY && !isSeated(before[index]!)) former.add(before[index]!, epoch)
    }
    for (let entry = known.offsets[partition]!; entry < known.offsets[partition + 1]!; entry++) {
      const lostEpoch = known.lostEpochs[entry]!
      if (epoch - lostEpoch < FORMER_EPOCHS_MAX && !isSeated(known.slots[entry]!)) former.add(known.slots[entry]!, lostEpoch)
    }
    former.endPartition(partition)
  }
  return new PlacementTable({ strategy, version, epoch, partitions, replicas, records, seats, seatEpochs, former: former.finish() })
}

/** Collects former holders, partition by partition, the latest first; of each partition no more than are remembered. */
class FormerBuilder {
  readonly #offsets: Uint32Array
  readonly #slots: number[] = []
  readonly #lostEpochs: number[] = []
  #start = 0

  constructor (partitions: number) {
    this.#offsets = new Uint32Array(partitions + 1)
  }

  add (slot: number, lostEpoch: number): void {
    if (this.#slots.length - this.#start >= FORMER_HOLDERS_MAX) return
    this.#slots.push(slot)
    this.#lostEpochs.push(lostEpoch)
  }

  endPartition (partition: number): void {
    this.#start = this.#offsets[partition + 1] = this.#slots.length
  }

  finish (): FormerHolders {
    return { offsets: this.#offsets, slots: Int32Array.from(this.#slots), lostEpochs: Uint32Array.from(this.#lostEpochs) }
  }
}

/**
 * The stores without weight, or gone, that keep their seat in a partition: all but as many as new stores have come in place of
 * them. Who left first is replaced first, and a store that is present later than any that is gone.
 */
function keptSeats ({ before, records, draft }: Step, active: readonly boolean[], partition: number, gained: number): readonly number[] {
  let kept = NONE
  for (let seat = partition * draft.replicas; seat < (partition + 1) * draft.replicas; seat++) {
    const slot = before[seat]!
    if (slot !== EMPTY && !active[slot]!) kept = [...kept, slot]
  }
  if (kept.length === 0) return kept
  const since = (slot: number): number => records[slot]!.departedEpoch === 0 ? Infinity : records[slot]!.departedEpoch
  const latestFirst = kept.toSorted((a, b) => since(a) === since(b) ? a - b : since(b) - since(a))
  return latestFirst.slice(0, Math.max(0, latestFirst.length - gained))
}
