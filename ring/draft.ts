/**
 * A placement in the making: the seats of the stores that are present and have weight, open to change.
 *
 * Strategies fill it; `carry` turns it into an immutable table. Every change is O(R), whatever N and Q. Pure.
 */
import { RingError } from './errors.ts'
import type { Shares } from './shares.ts'
import { EMPTY } from './table-data.ts'

export interface DraftInput {
  readonly partitions: number
  /** R: the length of a row. */
  readonly replicas: number
  readonly shares: Shares
  /** Per slot. */
  readonly zones: Int32Array
  /** Per slot: breaks ties. */
  readonly seeds: Int32Array
  /** The rows of the placement before, in this roster's slots. */
  readonly before: Int32Array
  /** Parallel to `before`. */
  readonly beforeEpochs: Uint32Array
}

export class Draft {
  readonly partitions: number
  readonly replicas: number
  readonly shares: Shares
  readonly zones: Int32Array
  readonly seeds: Int32Array
  /** Q rows of R slots. Row p has `held[p]` seats. */
  readonly cells: Int32Array
  readonly held: Uint8Array
  /** Per slot: seats held. Invariant: the length of the slot's list of cells. */
  readonly counts: Int32Array
  readonly #before: Int32Array
  readonly #beforeEpochs: Uint32Array
  /** The cells of each slot as a doubly linked list, so that taking a seat and giving it up are O(1). */
  readonly #first: Int32Array
  readonly #next: Int32Array
  readonly #previous: Int32Array

  constructor ({ partitions, replicas, shares, zones, seeds, before, beforeEpochs }: DraftInput) {
    this.partitions = partitions
    this.replicas = replicas
    this.shares = shares
    this.zones = zones
    this.seeds = seeds
    this.#before = before
    this.#beforeEpochs = beforeEpochs
    this.cells = new Int32Array(partitions * replicas).fill(EMPTY)
    this.held = new Uint8Array(partitions)
    this.counts = new Int32Array(zones.length)
    this.#first = new Int32Array(zones.length).fill(EMPTY)
    this.#next = new Int32Array(partitions * replicas)
    this.#previous = new Int32Array(partitions * replicas)
  }

  partitionOfCell (cell: number): number {
    return Math.trunc(cell / this.replicas)
  }

  holds (partition: number, slot: number): boolean {
    const start = partition * this.replicas
    for (let cell = start; cell < start + this.held[partition]!; cell++) if (this.cells[cell] === slot) return true
    return false
  }

  /** Seats of a zone in a partition, not counting the seat in cell `except`. */
  zoneSeats (partition: number, zone: number, except = EMPTY): number {
    const start = partition * this.replicas
    let seats = 0
    for (let cell = start; cell < start + this.held[partition]!; cell++) {
      if (cell !== except && this.zones[this.cells[cell]!] === zone) seats++
    }
    return seats
  }

  /** True when `slot` may take a seat in `partition`: a free one, or the one in cell `instead`. */
  admits (partition: number, slot: number, instead = EMPTY): boolean {
    return !this.holds(partition, slot) && this.zoneSeats(partition, this.zones[slot]!, instead) < this.shares.depth
  }

  /** Where a slot sat in a row before, as an index of the cells before, or EMPTY. */
  seatBefore (partition: number, slot: number): number {
    const start = partition * this.replicas
    for (let index = start; index < start + this.replicas; index++) if (this.#before[index] === slot) return index
    return EMPTY
  }

  /** The epoch since which a slot has held a seat in a row; 0 for a seat that is new in this draft. */
  seatEpoch (partition: number, slot: number): number {
    const seat = this.seatBefore(partition, slot)
    return seat === EMPTY ? 0 : this.#beforeEpochs[seat]!
  }

  /** The first seat of a row before, or EMPTY. */
  firstBefore (partition: number): number {
    return this.#before[partition * this.replicas]!
  }

  /** The row of the placement before. A view: not for loops over all partitions, where making views is what costs. */
  rowBefore (partition: number): Int32Array {
    return this.#before.subarray(partition * this.replicas, (partition + 1) * this.replicas)
  }

  /** The seats of a row. A view, as above. */
  row (partition: number): Int32Array {
    return this.cells.subarray(partition * this.replicas, partition * this.replicas + this.held[partition]!)
  }

  /** The cells of a slot, in an order that depends on nothing but the calls made. */
  cellsOf (slot: number): number[] {
    const cells: number[] = []
    for (let cell = this.#first[slot]!; cell !== EMPTY; cell = this.#next[cell]!) cells.push(cell)
    return cells
  }

  add (partition: number, slot: number): void {
    const held = this.held[partition]!
    if (held >= this.replicas) throw new RingError('RING_INVARIANT', `partition ${partition} has no free seat`)
    this.held[partition] = held + 1
    this.#link(partition * this.replicas + held, slot)
  }

  replace (cell: number, slot: number): void {
    this.#unlink(cell)
    this.#link(cell, slot)
  }

  /** Frees a seat. The last seat of the row moves into its cell. */
  remove (cell: number): void {
    const partition = this.partitionOfCell(cell)
    const last = partition * this.replicas + --this.held[partition]!
    this.#unlink(cell)
    if (last === cell) return
    const moved = this.cells[last]!
    this.#unlink(last)
    this.#link(cell, moved)
  }

  #link (cell: number, slot: number): void {
    this.cells[cell] = slot
    this.counts[slot]!++
    const first = this.#first[slot]!
    this.#next[cell] = first
    this.#previous[cell] = EMPTY
    if (first !== EMPTY) this.#previous[first] = cell
    this.#first[slot] = cell
  }

  #unlink (cell: number): void {
    const slot = this.cells[cell]!
    const [next, previous] = [this.#next[cell]!, this.#previous[cell]!]
    if (previous === EMPTY) this.#first[slot] = next
    else this.#next[previous] = next
    if (next !== EMPTY) this.#previous[next] = previous
    this.cells[cell] = EMPTY
    this.counts[slot]!--
  }
}
