/**
 * From one placement to the next: takes over what is known into new slots, and turns a finished draft into a table.
 *
 * Here, once for all strategies, are the parts of rule R2: seats keep their epoch for as long as they are held without a break;
 * departed and drained stores keep their seats until others replace them; former holders are remembered. Pure.
 */
import { RingError } from './errors.ts'
import { Draft } from './draft.ts'
import { type Roster } from './placement.ts'
import { computeShares } from './shares.ts'
import { isActive, mergeStores, type StoreRecord, zoneIndexes } from './stores.ts'
import { EMPTY, FORMER_EPOCHS_MAX, FORMER_HOLDERS_MAX, type FormerHolders, type TableData } from './table-data.ts'
import { PlacementTable } from './table.ts'

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
  const offsets = new Uint32Array(partitions + 1)
  const slots: number[] = []
  const lostEpochs: number[] = []
  for (let partition = 0; partition < partitions; partition++) {
    for (let entry = former.offsets[partition]!; entry < former.offsets[partition + 1]!; entry++) {
      const slot = moved[former.slots[entry]!]!
      if (slot === EMPTY) continue
      slots.push(slot)
      lostEpochs.push(former.lostEpochs[entry]!)
    }
    offsets[partition + 1] = slots.length
  }
  return { offsets, slots: Int32Array.from(slots), lostEpochs: Uint32Array.from(lostEpochs) }
}

/**
 * The table of a step whose draft is filled. `order` gives the order of a partition's seats in the draft, the preferred leader
 * first; kept seats of drained and departed stores come after them.
 */
export function finishStep (step: Step, order: (partition: number) => Iterable<number>): PlacementTable {
  const { previous, epoch, records, before, beforeEpochs, draft } = step
  const { strategy, version, partitions, replicas } = previous
  const seats = new Int32Array(partitions * replicas).fill(EMPTY)
  const seatEpochs = new Uint32Array(partitions * replicas)
  const offsets = new Uint32Array(partitions + 1)
  const slots: number[] = []
  const lostEpochs: number[] = []
  for (let partition = 0; partition < partitions; partition++) {
    const start = partition * replicas
    let end = start
    let gained = 0
    const sit = (slot: number): void => {
      const seat = draft.seatBefore(partition, slot)
      if (seat === EMPTY) gained++
      seats[end] = slot
      seatEpochs[end++] = seat === EMPTY ? epoch : beforeEpochs[seat]!
    }
    for (const slot of order(partition)) sit(slot)
    for (const slot of keptSeats(step, partition, gained)) sit(slot)

    const row = seats.subarray(start, end)
    const first = slots.length
    const remember = (slot: number, lostEpoch: number): void => {
      if (slots.length - first >= FORMER_HOLDERS_MAX || row.includes(slot)) return
      slots.push(slot)
      lostEpochs.push(lostEpoch)
    }
    for (const slot of before.subarray(start, start + replicas)) if (slot !== EMPTY) remember(slot, epoch)
    for (let entry = step.former.offsets[partition]!; entry < step.former.offsets[partition + 1]!; entry++) {
      const lostEpoch = step.former.lostEpochs[entry]!
      if (epoch - lostEpoch < FORMER_EPOCHS_MAX) remember(step.former.slots[entry]!, lostEpoch)
    }
    offsets[partition + 1] = slots.length
  }
  const former = { offsets, slots: Int32Array.from(slots), lostEpochs: Uint32Array.from(lostEpochs) }
  return new PlacementTable({ strategy, version, epoch, partitions, replicas, records, seats, seatEpochs, former })
}

/**
 * The stores without weight, or gone, that keep their seat in a partition: all but as many as new stores have come in place of
 * them. Who left first is replaced first, and a store that is present later than any that is gone.
 */
function keptSeats ({ before, records, draft }: Step, partition: number, gained: number): number[] {
  const kept: number[] = []
  for (const slot of before.subarray(partition * draft.replicas, (partition + 1) * draft.replicas)) {
    if (slot !== EMPTY && !isActive(records[slot]!)) kept.push(slot)
  }
  if (kept.length === 0) return kept
  const since = (slot: number): number => records[slot]!.departedEpoch === 0 ? Infinity : records[slot]!.departedEpoch
  const latestFirst = kept.sort((a, b) => since(a) === since(b) ? a - b : since(b) - since(a))
  return latestFirst.slice(0, Math.max(0, latestFirst.length - gained))
}
