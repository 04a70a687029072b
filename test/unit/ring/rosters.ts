/** What the tests of the ring share: rosters in short, counts of a placement, a seeded generator. */
import type { StoreId } from '../../../membership/configuration.ts'
import type { PartitionIndex, Placement, Roster, RosterEntry } from '../../../ring/index.ts'

export const storeId = (name: string): StoreId => name as StoreId

export const partitionIndexes = (placement: Placement): PartitionIndex[] =>
  Array.from({ length: placement.partitions }, (_, index) => index as PartitionIndex)

export function entry (name: string, zone = '', weight = 1, incarnation = 1): RosterEntry {
  return { storeId: storeId(name), incarnation, metadata: { zone, weight } }
}

export const roster = (epoch: number, members: readonly RosterEntry[]): Roster => ({ epoch, members })

/** `zones` zones of `size` stores each, the first zone being number `from`. */
export function racks (zones: number, size: number, from = 0): RosterEntry[] {
  return Array.from({ length: zones * size }, (_, index) => {
    const zone = from + Math.floor(index / size)
    return entry(`z${zone}-s${index % size}`, `z${zone}`)
  })
}

export const flat = (stores: number): RosterEntry[] => Array.from({ length: stores }, (_, index) => entry(`s${index}`))

/** Per store that is present: seats and leaderships. */
export function counts (placement: Placement): Map<StoreId, { seats: number, leads: number }> {
  const result = new Map(placement.stores.map(store => [store, { seats: 0, leads: 0 }]))
  for (const partition of partitionIndexes(placement)) {
    for (const [index, store] of placement.seats(partition).entries()) {
      const count = result.get(store)
      if (count === undefined) continue
      count.seats++
      if (index === 0) count.leads++
    }
  }
  return result
}

export function groupBy<Item, Key> (items: readonly Item[], keyOf: (item: Item) => Key): Map<Key, Item[]> {
  const groups = new Map<Key, Item[]>()
  for (const item of items) groups.set(keyOf(item), [...groups.get(keyOf(item)) ?? [], item])
  return groups
}

/** Mulberry32: numbers in [0, 1) that follow from a seed. */
export function seeded (seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let value = Math.imul(state ^ (state >>> 15), 1 | state)
    value = (value + Math.imul(value ^ (value >>> 7), 61 | value)) ^ value
    return ((value ^ (value >>> 14)) >>> 0) / 2 ** 32
  }
}

/** A permutation that follows from the generator. */
export function shuffled<T> (items: readonly T[], random: () => number): T[] {
  const result = [...items]
  for (let index = result.length - 1; index > 0; index--) {
    const other = Math.floor(random() * (index + 1))
    const kept = result[index]!
    result[index] = result[other]!
    result[other] = kept
  }
  return result
}
