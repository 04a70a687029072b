/**
 * The immutable state of a placement: seats, since when they are held, who held them before, and the stores known.
 *
 * Both strategies shipped here produce one. Pure: what is derived is computed at first use and kept.
 */
import { createHash } from 'node:crypto'
import type { StoreId } from '../membership/configuration.ts'
import type { PartitionIndex } from './partition.ts'
import type { Placement, Violation } from './placement.ts'
import { compareText, isActive, type StoreRecord, zoneIndexes } from './stores.ts'
import { EMPTY, type TableData } from './table-data.ts'
import { encodeTable } from './table-codec.ts'

export class PlacementTable implements Placement {
  /** The raw state, for strategies and codecs. Read-only. */
  readonly data: TableData
  #stores: readonly StoreId[] | undefined
  #digest: string | undefined
  #departures: ReadonlyMap<StoreId, number> | undefined
  #violations: readonly Violation[] | undefined
  #partitionsOf: PartitionIndex[][] | undefined
  readonly #rows: (readonly StoreId[] | undefined)[] = []

  constructor (data: TableData) {
    this.data = data
  }

  get epoch (): number { return this.data.epoch }
  get partitions (): number { return this.data.partitions }
  get replicas (): number { return this.data.replicas }

  get stores (): readonly StoreId[] {
    return this.#stores ??= Object.freeze(this.data.records.filter(record => record.departedEpoch === 0).map(record => record.store))
  }

  seats (partition: PartitionIndex): readonly StoreId[] {
    return this.#rows[partition] ??= Object.freeze(this.#names(this.data.seats, partition * this.replicas, this.#end(partition)))
  }

  seatEpochs (partition: PartitionIndex): readonly number[] {
    return Array.from(this.data.seatEpochs.subarray(partition * this.replicas, this.#end(partition)))
  }

  formerHolders (partition: PartitionIndex): readonly StoreId[] {
    const { offsets, slots } = this.data.former
    return this.#names(slots, offsets[partition]!, offsets[partition + 1]!)
  }

  partitionsOf (store: StoreId): readonly PartitionIndex[] {
    const slot = this.slotOf(store)
    return slot === undefined ? [] : (this.#partitionsOf ??= this.#invert())[slot]!
  }

  weightOf (store: StoreId): number {
    const record = this.#record(store)
    return record?.departedEpoch === 0 ? record.weight : 0
  }

  zoneOf (store: StoreId): string {
    return this.#record(store)?.zone ?? ''
  }

  incarnationOf (store: StoreId): number | undefined {
    return this.#record(store)?.incarnation
  }

  get departures (): ReadonlyMap<StoreId, number> {
    const departed = (): StoreRecord[] => this.data.records.filter(record => record.departedEpoch > 0)
    return this.#departures ??= new Map(departed().map(record => [record.store, record.departedEpoch]))
  }

  get digest (): string {
    return this.#digest ??= createHash('sha256').update(encodeTable(this.data)).digest('hex').slice(0, 32)
  }

  get violations (): readonly Violation[] {
    return this.#violations ??= Object.freeze(this.#findViolations())
  }

  /** The number of a store in `data.records`, or undefined. */
  slotOf (store: StoreId): number | undefined {
    const { records } = this.data
    let low = 0
    let high = records.length - 1
    while (low <= high) {
      const middle = (low + high) >>> 1
      const order = compareText(records[middle]!.store, store)
      if (order === 0) return middle
      if (order < 0) low = middle + 1
      else high = middle - 1
    }
    return undefined
  }

  #record (store: StoreId): StoreRecord | undefined {
    const slot = this.slotOf(store)
    return slot === undefined ? undefined : this.data.records[slot]
  }

  /** The index in `data.seats` just after the last seat of a partition. */
  #end (partition: number): number {
    const { seats, replicas } = this.data
    let end = partition * replicas
    while (end < (partition + 1) * replicas && seats[end] !== EMPTY) end++
    return end
  }

  #names (slots: Int32Array, from: number, to: number): StoreId[] {
    const names: StoreId[] = []
    for (let index = from; index < to; index++) names.push(this.data.records[slots[index]!]!.store)
    return names
  }

  #invert (): PartitionIndex[][] {
    const { records, seats, replicas } = this.data
    const lists = records.map((): PartitionIndex[] => [])
    for (let index = 0; index < seats.length; index++) {
      if (seats[index] !== EMPTY) lists[seats[index]!]!.push(Math.trunc(index / replicas) as PartitionIndex)
    }
    for (const list of lists) Object.freeze(list)
    return lists
  }

  #findViolations (): Violation[] {
    const { records, seats, partitions, replicas } = this.data
    const { zones } = zoneIndexes(records)
    const found: Violation[] = []
    for (let index = 0; index < partitions; index++) {
      const partition = index as PartitionIndex
      const row = seats.subarray(index * replicas, this.#end(index))
      const active = row.filter(slot => isActive(records[slot]!))
      if (new Set(active.map(slot => zones[slot]!)).size < active.length) found.push({ partition, kind: 'zone' })
      if (active.length < replicas) found.push({ partition, kind: 'replicas' })
      if (row.some(slot => records[slot]!.departedEpoch > 0)) found.push({ partition, kind: 'departed' })
    }
    return found
  }
}
