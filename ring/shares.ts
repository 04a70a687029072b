/**
 * How many partitions each store should hold: shares by weight, as exact fractions, under the limits that zones set.
 *
 * A share is proportional to the weight, except that no store can hold more than Q partitions (one seat in each), and no zone
 * more than `depth` seats in each: with as many zones as replicas the depth is 1, so that replicas lie in distinct zones and a
 * small zone takes a whole replica of everything (safety before evenness). What a limit withholds goes to the others, in
 * proportion (water-filling). The counts floor(share) or ceil(share) can always be met exactly: the uniform fractional placement
 * is a flow within all limits, which are integers, so an integral one exists.
 *
 * Rule R1: integers only. Pure.
 */
import { RingError } from './errors.ts'
import { mix } from './hash.ts'

/** Stores whose shares add up to a whole number: those of one full zone, or all the others together. */
interface Group { readonly slots: number[], total: number }

export interface Shares {
  /** Seats that present stores with weight hold in each partition: min(R, such stores). */
  readonly replicas: number
  /** The most seats that one zone may have in one partition. */
  readonly depth: number
  /** Per slot, the share rounded down. */
  readonly floor: Int32Array
  /** Per slot, the share as numerator / denominator. */
  readonly numerator: Float64Array
  readonly denominator: Float64Array
  /** Disjoint; together all stores with a share. */
  readonly groups: readonly { readonly slots: readonly number[], /** Stores to get one more than the floor. */ readonly extras: number }[]
  /** Per zone, the most seats it may hold in all. */
  readonly zoneLimit: Float64Array
}

const divide = (numerator: number, denominator: number): number => (numerator - numerator % denominator) / denominator

/** The smallest k such that k seats per zone and partition are room enough for all replicas. */
function zoneDepth (storesPerZone: Int32Array, replicas: number): number {
  for (let depth = 1; depth < replicas; depth++) {
    let room = 0
    for (const stores of storesPerZone) room += Math.min(depth, stores)
    if (room >= replicas) return depth
  }
  return Math.max(1, replicas)
}

/**
 * The shares of all slots.
 * @param weights per slot; 0 for a store that is to hold nothing.
 * @param zones per slot, the number of its zone.
 */
export function computeShares (weights: Int32Array, zones: Int32Array, zoneCount: number, partitions: number, replicasWanted: number): Shares {
  const slots: number[] = []
  const storesPerZone = new Int32Array(zoneCount)
  for (let slot = 0; slot < weights.length; slot++) {
    if (weights[slot] === 0) continue
    slots.push(slot)
    storesPerZone[zones[slot]!]!++
  }
  const replicas = Math.min(replicasWanted, slots.length)
  const depth = zoneDepth(storesPerZone, replicas)
  const zoneLimit = Float64Array.from(storesPerZone, stores => Math.min(depth, stores) * partitions)

  const open: Group = { slots, total: replicas * partitions }
  const full = fillZones(open, weights, zones, zoneLimit, partitions)

  const floor = new Int32Array(weights.length)
  const numerator = new Float64Array(weights.length)
  const denominator = new Float64Array(weights.length).fill(1)
  const groups: { slots: number[], extras: number }[] = []
  for (const group of [open, ...full]) {
    let { total } = group
    let weight = group.slots.reduce((sum, slot) => sum + weights[slot]!, 0)
    let rest = group.slots
    for (;;) {
      // A store that reaches Q stays there, as the others' shares only grow when it is taken out.
      const capped = rest.filter(slot => weights[slot]! * total >= partitions * weight)
      if (capped.length === 0) break
      for (const slot of capped) {
        floor[slot] = numerator[slot] = partitions
        total -= partitions
        weight -= weights[slot]!
      }
      rest = rest.filter(slot => floor[slot] !== partitions)
    }
    let extras = total
    for (const slot of rest) {
      numerator[slot] = weights[slot]! * total
      denominator[slot] = weight
      floor[slot] = divide(numerator[slot]!, weight)
      extras -= floor[slot]!
    }
    if (rest.length > 0) groups.push({ slots: rest, extras })
    if (extras < 0 || (rest.length === 0 && extras !== 0)) throw new RingError('RING_INVARIANT', `shares leave ${extras} seats over`)
  }
  return { replicas, depth, floor, numerator, denominator, groups, zoneLimit }
}

/** Takes the zones that are full out of `open`, until none of the zones left in it would exceed its limit. */
function fillZones (open: Group, weights: Int32Array, zones: Int32Array, zoneLimit: Float64Array, partitions: number): Group[] {
  const full: Group[] = []
  const zoneCount = zoneLimit.length
  for (;;) {
    // The level (seats per weight) of the open stores when none of them may exceed Q.
    let { total } = open
    let weight = open.slots.reduce((sum, slot) => sum + weights[slot]!, 0)
    const capped = new Set<number>()
    for (let before = -1; before !== capped.size && weight > 0;) {
      before = capped.size
      const [levelTotal, levelWeight] = [total, weight]
      for (const slot of open.slots) {
        if (capped.has(slot) || weights[slot]! * levelTotal < partitions * levelWeight) continue
        capped.add(slot)
        total -= partitions
        weight -= weights[slot]!
      }
    }
    const cappedSeats = new Float64Array(zoneCount)
    const openWeight = new Float64Array(zoneCount)
    for (const slot of open.slots) {
      if (capped.has(slot)) cappedSeats[zones[slot]!]! += partitions
      else openWeight[zones[slot]!]! += weights[slot]!
    }
    const byZone = new Map<number, Group>()
    for (const slot of open.slots) {
      const zone = zones[slot]!
      const limit = zoneLimit[zone]!
      const isFull = weight > 0 ? openWeight[zone]! * total >= (limit - cappedSeats[zone]!) * weight : cappedSeats[zone]! >= limit
      if (!isFull) continue
      const group = byZone.get(zone) ?? { slots: [], total: limit }
      group.slots.push(slot)
      byZone.set(zone, group)
    }
    if (byZone.size === 0) return full
    for (const group of byZone.values()) {
      full.push(group)
      open.total -= group.total
    }
    open.slots.splice(0, open.slots.length, ...open.slots.filter(slot => !byZone.has(zones[slot]!)))
  }
}

/**
 * The exact count for each store, floor(share) or one more, such that the fewest seats must move: who holds more than the floor
 * already gets the extra first; among those, a store that has seats to give back to one that returned comes last.
 * @param counts per slot, the seats held now.
 * @param willing per slot, seats that it would give back to a store that returned.
 */
export function chooseTargets (
  shares: Shares, counts: Int32Array, willing: Int32Array, zones: Int32Array, seeds: Int32Array, salt: number
): Int32Array {
  const targets = shares.floor.slice()
  const room = shares.zoneLimit.slice()
  for (let slot = 0; slot < targets.length; slot++) if (targets[slot]! > 0) room[zones[slot]!]! -= targets[slot]!
  for (const { slots, extras } of shares.groups) {
    const order = slots
      .filter(slot => shares.numerator[slot]! % shares.denominator[slot]! !== 0)
      .map(slot => {
        const above = counts[slot]! - shares.floor[slot]!
        // What it must give up in any case comes first out of what it would give back.
        const rank = above <= 0 ? 2 : willing[slot]! > above - 1 ? 1 : 0
        return { slot, rank, tie: mix(seeds[slot]!, salt) }
      })
      .sort((a, b) => a.rank - b.rank || a.tie - b.tie || a.slot - b.slot)
    let left = extras
    for (const { slot } of order) {
      if (left === 0) break
      if (room[zones[slot]!]! === 0) continue
      room[zones[slot]!]!--
      targets[slot]!++
      left--
    }
    if (left !== 0) throw new RingError('RING_INVARIANT', `${left} seats found no store with room in its zone`)
  }
  return targets
}

/** The fewest seats that must be newly given so that every count becomes floor(share) or ceil(share). */
export function fewestMoves (shares: Shares, counts: Int32Array): number {
  let moves = 0
  for (let slot = 0; slot < counts.length; slot++) moves += Math.max(0, shares.floor[slot]! - counts[slot]!)
  for (const { slots, extras } of shares.groups) {
    const holders = slots.filter(slot => counts[slot]! > shares.floor[slot]! && shares.numerator[slot]! % shares.denominator[slot]! !== 0)
    moves += Math.max(0, extras - holders.length)
  }
  return moves
}
