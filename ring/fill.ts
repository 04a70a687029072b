/**
 * Gives every store its exact count of partitions by moving as few seats as possible.
 *
 * Four passes, each of which leaves less to do, and none of which moves a seat that it need not: stores that returned take back
 * what they held (rule R2); free seats go to the stores that need most; stores with too much hand over to those with too little;
 * what zones have blocked is untangled along augmenting paths (`repair`). At last, new seats are exchanged among each other, which
 * costs nothing and spreads every store's partitions over many peers. Pure.
 */
import { DeficitQueue } from './deficit-queue.ts'
import type { Draft } from './draft.ts'
import { mix } from './hash.ts'
import { repair } from './repair.ts'
import { EMPTY, type FormerHolders } from './table-data.ts'

/** Stores with too few seats, the neediest zone first and in it the neediest store. */
class Deficits {
  readonly #draft: Draft
  readonly #zones: DeficitQueue
  readonly #stores = new Map<number, DeficitQueue>()

  constructor (draft: Draft, targets: Int32Array) {
    this.#draft = draft
    const needs = new Map<number, Map<number, number>>()
    for (let slot = 0; slot < targets.length; slot++) {
      const need = targets[slot]! - draft.counts[slot]!
      if (need <= 0) continue
      const zone = draft.zones[slot]!
      const inZone = needs.get(zone) ?? new Map<number, number>()
      needs.set(zone, inZone.set(slot, need))
    }
    const totals = new Map<number, number>()
    for (const [zone, inZone] of needs) {
      this.#stores.set(zone, new DeficitQueue(inZone))
      totals.set(zone, [...inZone.values()].reduce((sum, need) => sum + need, 0))
    }
    this.#zones = new DeficitQueue(totals)
  }

  /** The store to take a free seat of `partition`, or the seat in cell `instead`; it is no longer counted as needy for one. */
  take (partition: number, instead = EMPTY): number | undefined {
    const { zones, shares } = this.#draft
    const hash = mix(partition, instead)
    const slot = this.#zones.pick(hash, zone => {
      if (this.#draft.zoneSeats(partition, zone, instead) >= shares.depth) return undefined
      return this.#stores.get(zone)!.pick(hash, candidate => this.#draft.holds(partition, candidate) ? undefined : candidate)
    })
    if (slot === undefined) return undefined
    const zone = zones[slot]!
    this.#zones.decrement(zone)
    this.#stores.get(zone)!.decrement(slot)
    return slot
  }
}

/** A seat that a store short of seats held before. */
interface Claim { readonly partition: number, readonly slot: number, readonly lostEpoch: number }

/** The claims of all stores with fewer seats than `wanted`, those on seats lost last first. */
function claimsOf (draft: Draft, former: FormerHolders, wanted: Int32Array): Claim[] {
  const claims: Claim[] = []
  for (let partition = 0; partition < draft.partitions; partition++) {
    for (let entry = former.offsets[partition]!; entry < former.offsets[partition + 1]!; entry++) {
      const slot = former.slots[entry]!
      if (draft.counts[slot]! < wanted[slot]!) claims.push({ partition, slot, lostEpoch: former.lostEpochs[entry]! })
    }
  }
  return claims.sort((a, b) => b.lostEpoch - a.lostEpoch || a.partition - b.partition || a.slot - b.slot)
}

/** How many seats each store holds that a returning store, which is now short of seats, will want back. */
export function seatsToReturn (draft: Draft, former: FormerHolders): Int32Array {
  const willing = new Int32Array(draft.counts.length)
  const { floor } = draft.shares
  const claimed = new Int32Array(draft.counts.length)
  for (const { partition, slot, lostEpoch } of claimsOf(draft, former, floor)) {
    if (draft.counts[slot]! + claimed[slot]! >= floor[slot]!) continue
    for (const holder of draft.row(partition)) {
      if (draft.seatEpoch(partition, holder) < lostEpoch) continue
      willing[holder]!++
      claimed[slot]!++
      break
    }
  }
  return willing
}

/** Frees seats where a zone has more of them than it may, which happens after a zone or a store's zone has changed. */
export function partZones (draft: Draft, targets: Int32Array): void {
  for (let partition = 0; partition < draft.partitions; partition++) {
    const start = partition * draft.replicas
    for (let index = 0; index < draft.held[partition]!;) {
      const zone = draft.zones[draft.cells[start + index]!]!
      if (draft.zoneSeats(partition, zone) <= draft.shares.depth) {
        index++
        continue
      }
      const excess = (cell: number): number => draft.counts[draft.cells[cell]!]! - targets[draft.cells[cell]!]!
      let worst = EMPTY
      for (let cell = start; cell < start + draft.held[partition]!; cell++) {
        if (draft.zones[draft.cells[cell]!] === zone && (worst === EMPTY || excess(cell) > excess(worst))) worst = cell
      }
      draft.remove(worst)
      index = 0
    }
  }
}

/** Makes the count of every store equal to its target, and every row `shares.replicas` long. */
export function fill (draft: Draft, targets: Int32Array, former: FormerHolders): void {
  takeBack(draft, targets, former)
  const deficits = new Deficits(draft, targets)
  for (let partition = 0; partition < draft.partitions; partition++) {
    while (draft.held[partition]! < draft.shares.replicas) {
      const slot = deficits.take(partition)
      if (slot === undefined) break
      draft.add(partition, slot)
    }
  }
  shed(draft, targets, deficits)
  repair(draft, targets)
  exchange(draft, former)
}

/** Stores short of seats take those they held before, the ones lost last first: free seats, or from a holder with too many. */
function takeBack (draft: Draft, targets: Int32Array, former: FormerHolders): void {
  for (const { partition, slot, lostEpoch } of claimsOf(draft, former, targets)) {
    if (draft.counts[slot]! >= targets[slot]! || draft.holds(partition, slot)) continue
    if (draft.held[partition]! < draft.shares.replicas && draft.admits(partition, slot)) {
      draft.add(partition, slot)
      continue
    }
    let giver = EMPTY
    let since = -1
    for (const [index, holder] of draft.row(partition).entries()) {
      const cell = partition * draft.replicas + index
      const epoch = draft.seatEpoch(partition, holder)
      if (epoch < lostEpoch || epoch <= since || draft.counts[holder]! <= targets[holder]! || !draft.admits(partition, slot, cell)) continue
      giver = cell
      since = epoch
    }
    if (giver !== EMPTY) draft.replace(giver, slot)
  }
}

/** Stores with too many seats hand some over, the youngest first, as their copies are the least likely to be complete. */
function shed (draft: Draft, targets: Int32Array, deficits: Deficits): void {
  const rich: number[] = []
  for (let slot = 0; slot < targets.length; slot++) if (draft.counts[slot]! > targets[slot]!) rich.push(slot)
  rich.sort((a, b) => (draft.counts[b]! - targets[b]!) - (draft.counts[a]! - targets[a]!) || draft.seeds[a]! - draft.seeds[b]! || a - b)
  for (const slot of rich) {
    const cells = draft.cellsOf(slot).map(cell => {
      const partition = draft.partitionOfCell(cell)
      return { cell, partition, epoch: draft.seatEpoch(partition, slot), tie: mix(draft.seeds[slot]!, partition) }
    })
    cells.sort((a, b) => b.epoch - a.epoch || a.tie - b.tie || a.cell - b.cell)
    for (const { cell, partition } of cells) {
      if (draft.counts[slot]! === targets[slot]!) break
      const taker = deficits.take(partition, cell)
      if (taker !== undefined) draft.replace(cell, taker)
    }
  }
}

/** Lets pairs of new seats swap their stores where the rules allow it. No count and no number of moves changes. */
function exchange (draft: Draft, former: FormerHolders): void {
  const fresh: number[] = []
  for (let cell = 0; cell < draft.cells.length; cell++) {
    const slot = draft.cells[cell]!
    const partition = draft.partitionOfCell(cell)
    if (slot !== EMPTY && draft.seatBefore(partition, slot) === EMPTY && !isFormer(former, partition, slot)) fresh.push(cell)
  }
  for (const [index, cell] of fresh.entries()) {
    const other = fresh[mix(index, fresh.length) % fresh.length]!
    const [slot, otherSlot] = [draft.cells[cell]!, draft.cells[other]!]
    const [partition, otherPartition] = [draft.partitionOfCell(cell), draft.partitionOfCell(other)]
    if (slot === otherSlot || partition === otherPartition) continue
    if (!draft.admits(partition, otherSlot, cell) || !draft.admits(otherPartition, slot, other)) continue
    draft.replace(cell, otherSlot)
    draft.replace(other, slot)
  }
}

function isFormer (former: FormerHolders, partition: number, slot: number): boolean {
  for (let entry = former.offsets[partition]!; entry < former.offsets[partition + 1]!; entry++) if (former.slots[entry] === slot) return true
  return false
}
