/**
 * Plans and what-if: the difference of two placements, its lower bound, and the cost of a change before it is made.
 *
 * Mutations caught: every move of a partition taking the same seat, a lower bound that ignores who holds more than its floor
 * (compared with exhaustive search), half of a group counted as a majority.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { foldPlacement, type PartitionIndex, type Placement, plan, tokenRing, whatIf } from '../../../ring/index.ts'
import { counts, entry, flat, partitionIndexes, racks, roster, storeId } from './rosters.ts'
import { modelShares } from './model.ts'

/** The fewest moves by trying every combination of floors and ceilings. */
function exhaustiveBound (before: Placement, members: ReturnType<typeof flat>, partitions: number, replicasWanted: number): number {
  const { shares, replicas } = modelShares(members, partitions, replicasWanted)
  const stores = [...shares]
  let best = Infinity
  for (let choice = 0; choice < 2 ** stores.length; choice++) {
    let [total, moves] = [0, 0]
    for (const [index, [store, share]] of stores.entries()) {
      const floor = Math.floor(share + 1e-6)
      const isFractional = share - floor > 1e-5
      const extra = (choice >> index) & 1
      if (extra === 1 && !isFractional) total = Infinity
      total += floor + extra
      moves += Math.max(0, floor + extra - before.partitionsOf(store).length)
    }
    if (total === replicas * partitions) best = Math.min(best, moves)
  }
  return best
}

describe('plan', () => {
  test('lists exactly the seats gained, each with the seat it takes and its epoch', () => {
    const before = foldPlacement.first(roster(1, racks(4, 3)), { partitions: 128 })
    const after = foldPlacement.next(before, roster(2, racks(6, 3).slice(7)))
    const { moves, epoch, leaderChanges } = plan(before, after)
    expect(partitionIndexes(after).some(partition => moves.filter(move => move.partition === partition).length > 1)).toBe(true)
    expect(epoch).toBe(2)
    expect(leaderChanges).toBe(partitionIndexes(after).filter(partition => before.seats(partition)[0] !== after.seats(partition)[0]).length)
    for (const partition of partitionIndexes(after)) {
      const here = moves.filter(move => move.partition === partition)
      const replaced = before.seats(partition).map(store => here.find(move => move.from === store)?.to ?? store)
      expect([...replaced].sort()).toEqual([...after.seats(partition)].sort())
      for (const move of here) expect(move.epoch).toBe(2)
    }
    expect(plan(after, after)).toEqual({ epoch: 2, moves: [], lowerBound: 0, leaderChanges: 0 })
  })

  test('a growing group takes nobody\'s seat', () => {
    const before = foldPlacement.first(roster(1, flat(1)), { partitions: 8 })
    const after = foldPlacement.next(before, roster(2, flat(2)))
    expect(plan(before, after).moves.map(move => [move.partition, move.from, move.to])).toEqual(
      partitionIndexes(after).map(partition => [partition, undefined, 's1']))
  })

  test('the lower bound is that of exhaustive search', () => {
    const weights = fc.array(fc.constantFrom(0, 1, 1, 1, 2, 3), { minLength: 1, maxLength: 7 })
    fc.assert(fc.property(weights, weights, fc.integer({ min: 1, max: 3 }), (first, second, replicas) => {
      const members = (list: number[]) => list.map((weight, index) => entry(`s${index}`, '', weight))
      const before = foldPlacement.first(roster(1, members(first)), { partitions: 16, replicas })
      const after = foldPlacement.next(before, roster(2, members(second)))
      const { lowerBound, moves } = plan(before, after)
      expect(lowerBound).toBe(exhaustiveBound(before, members(second), 16, replicas))
      expect(moves.length).toBeGreaterThanOrEqual(lowerBound)
    }), { numRuns: 300 })
  })

  test('placements of different sizes do not compare', () => {
    const [small, large] = [8, 16].map(partitions => foldPlacement.first(roster(1, flat(3)), { partitions }))
    expect(() => plan(small!, large!)).toThrow(expect.objectContaining({ code: 'RING_MISMATCH' }) as Error)
  })
})

describe('whatIf', () => {
  const all = racks(4, 3)
  const placement = foldPlacement.first(roster(1, all), { partitions: 64 })

  test('says what then happens', () => {
    const change = { join: racks(1, 3, 4), remove: [storeId('z0-s0')] }
    const result = whatIf(placement, change, { partitionBytes: 1000 })
    const real = foldPlacement.next(placement, roster(2, [...all.slice(1), ...racks(1, 3, 4)]))
    expect(result.after.digest).toBe(real.digest)
    expect(result.plan).toEqual(plan(placement, real))
    expect(result.bytes).toBe(result.plan.moves.length * 1000)
    const held = counts(real)
    for (const { store, replicas, leaders, bytes } of result.load) {
      expect({ seats: replicas, leads: leaders }).toEqual(held.get(store))
      expect(bytes).toBe(replicas * 1000)
    }
    expect(result.load.map(load => load.store)).toEqual(real.stores)
  })

  test('one store of three gone leaves two replicas and every majority', () => {
    const result = whatIf(placement, { remove: [storeId('z0-s0')] })
    expect(result.fewestLiveReplicas).toBe(2)
    expect(result.withoutMajority).toEqual([])
  })

  test('two stores of one partition gone: it stands still, and is named', () => {
    const [first, second] = placement.seats(0 as PartitionIndex)
    const result = whatIf(placement, { remove: [first!, second!] })
    expect(result.fewestLiveReplicas).toBe(1)
    expect(result.withoutMajority).toEqual(partitionIndexes(placement).filter(partition => {
      const seats = placement.seats(partition)
      return seats.includes(first!) && seats.includes(second!)
    }))
  })

  test('half of an even group is no majority', () => {
    const two = foldPlacement.first(roster(1, flat(2)), { partitions: 4, replicas: 2 })
    expect(whatIf(two, { remove: [storeId('s0')] }).withoutMajority.length).toBe(4)
  })

  test('a drained store keeps serving until it is replaced', () => {
    const result = whatIf(placement, { drain: [storeId('z0-s0')] }, { partitionBytes: partition => partition })
    expect(result.fewestLiveReplicas).toBe(3)
    expect(result.after.partitionsOf(storeId('z0-s0'))).toEqual([])
    expect(result.bytes).toBe(result.plan.moves.reduce((sum, move) => sum + move.partition, 0))
  })

  test('works with any strategy', () => {
    const ring = tokenRing.first(roster(1, all), { partitions: 64 })
    const result = whatIf(ring, { remove: [storeId('z0-s0')] }, { strategy: tokenRing })
    expect(result.after.digest).toBe(tokenRing.next(ring, roster(2, all.slice(1))).digest)
  })

  test('refuses to remove a stranger or to join a store that is there', () => {
    for (const change of [{ remove: [storeId('x')] }, { drain: [storeId('x')] }, { join: [all[0]!] }]) {
      expect(() => whatIf(placement, change)).toThrow(expect.objectContaining({ code: 'RING_MISMATCH' }) as Error)
    }
  })
})
