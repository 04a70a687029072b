/**
 * The stores a placement knows: those present, and those that are gone but may return.
 *
 * Rules R2 and R3: a departed store is remembered, with its highest incarnation, so that it finds its seats again. Pure.
 */
import type { StoreId } from '../membership/configuration.ts'
import { RingError } from './errors.ts'
import { seedOf } from './hash.ts'
import type { Roster } from './placement.ts'

/** How many departed stores without a seat are remembered; of more, those that left last. */
export const DEPARTED_STORES_MAX = 1024

/** The heaviest weight of a store. */
export const WEIGHT_MAX = 1000

export interface StoreRecord {
  readonly store: StoreId
  readonly zone: string
  readonly weight: number
  /** The highest ever seen. */
  readonly incarnation: number
  /** The first epoch without it; 0 while it is present. */
  readonly departedEpoch: number
  /** Breaks ties; derived from the store id. */
  readonly seed: number
}

export const compareText = (a: string, b: string): number => a < b ? -1 : a > b ? 1 : 0

/** Holds data, or is to hold data. */
export const isActive = (record: StoreRecord): boolean => record.departedEpoch === 0 && record.weight > 0

function checkRoster (roster: Roster): void {
  if (!Number.isInteger(roster.epoch) || roster.epoch < 1 || roster.epoch > 0xffff_ffff) {
    throw new RingError('RING_INVALID_CONFIGURATION', `epoch ${String(roster.epoch)} is not an integer from 1 to 4294967295`)
  }
  const seen = new Set<StoreId>()
  for (const { storeId, incarnation, metadata: { weight } } of roster.members) {
    if (seen.has(storeId)) throw new RingError('RING_INVALID_CONFIGURATION', `two members of epoch ${roster.epoch} have the store id ${storeId}`)
    seen.add(storeId)
    if (!Number.isInteger(weight) || weight < 0 || weight > WEIGHT_MAX) {
      throw new RingError('RING_INVALID_CONFIGURATION', `store ${storeId} has the weight ${String(weight)}, which is not an integer from 0 to ${WEIGHT_MAX}`)
    }
    if (!Number.isSafeInteger(incarnation) || incarnation < 0) {
      throw new RingError('RING_INVALID_CONFIGURATION', `store ${storeId} has the incarnation ${String(incarnation)}, which is not a whole number`)
    }
  }
}

/**
 * The stores known in the roster's epoch, sorted by store id: everybody present, and of the others those that `hasSeat` and
 * the `DEPARTED_STORES_MAX` that left last.
 * @throws {RingError} RING_INVALID_CONFIGURATION
 */
export function mergeStores (known: readonly StoreRecord[], hasSeat: (slot: number) => boolean, roster: Roster): StoreRecord[] {
  checkRoster(roster)
  const remembered = new Map(known.map(record => [record.store, record]))
  const present = roster.members.map(({ storeId, incarnation, metadata }): StoreRecord => {
    const before = remembered.get(storeId)
    return {
      store: storeId,
      zone: metadata.zone,
      weight: metadata.weight,
      incarnation: Math.max(incarnation, before?.incarnation ?? 0),
      departedEpoch: 0,
      seed: before?.seed ?? seedOf(storeId)
    }
  })
  const names = new Set(present.map(record => record.store))
  const seated: StoreRecord[] = []
  const unseated: StoreRecord[] = []
  for (const [slot, record] of known.entries()) {
    if (names.has(record.store)) continue
    const departed = record.departedEpoch === 0 ? { ...record, departedEpoch: roster.epoch } : record
    if (hasSeat(slot)) seated.push(departed)
    else unseated.push(departed)
  }
  unseated.sort((a, b) => b.departedEpoch - a.departedEpoch || compareText(a.store, b.store))
  return [...present, ...seated, ...unseated.slice(0, DEPARTED_STORES_MAX)].sort((a, b) => compareText(a.store, b.store))
}

/** For each record its failure domain, numbered from 0. A store that names no zone is a failure domain of its own. */
export function zoneIndexes (records: readonly StoreRecord[]): { readonly zones: Int32Array, readonly zoneCount: number } {
  const numbers = new Map<string, number>()
  const zones = new Int32Array(records.length)
  let zoneCount = 0
  for (const [slot, { zone }] of records.entries()) {
    const number = zone === '' ? zoneCount++ : numbers.get(zone) ?? zoneCount++
    if (zone !== '') numbers.set(zone, number)
    zones[slot] = number
  }
  return { zones, zoneCount }
}
