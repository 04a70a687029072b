/**
 * Both strategies shipped keep what the interface of placements promises; and what is particular to the token ring.
 *
 * Mutations caught: seat epochs left out of the encoding, `decodeTable` without the check for canonical form, tokens not in
 * proportion to weight, the ring walked without regard to zones.
 */
import { describe, expect, test } from 'vitest'
import { foldPlacement, type PartitionIndex, placementFold, tokenRing } from '../../../ring/index.ts'
import type { Configuration } from '../../../membership/configuration.ts'
import { placementConformance } from './placement-conformance.ts'
import { counts, entry, flat, partitionIndexes, racks, roster, shuffled, seeded } from './rosters.ts'

describe('foldPlacement', () => placementConformance(foldPlacement))
describe('tokenRing', () => placementConformance(tokenRing))

test('a strategy refuses the state of another', () => {
  const bytes = tokenRing.encode(tokenRing.first(roster(1, flat(3))))
  expect(() => foldPlacement.decode(bytes)).toThrow(expect.objectContaining({ code: 'RING_INVALID_STATE' }) as Error)
})

test('an integer that takes more bytes than it needs is refused, so that equal states have equal bytes', () => {
  const state = foldPlacement.first(roster(1, []), { partitions: 1, replicas: 1 })
  const bytes = foldPlacement.encode(state)
  expect(bytes.at(-1)).toBe(0)
  const overlong = Uint8Array.of(...bytes.subarray(0, -1), 0x80, 0)
  expect(() => foldPlacement.decode(overlong)).toThrow('canonical')
})

describe('tokenRing', () => {
  test('depends on the configuration alone while there are enough stores', () => {
    const all = racks(4, 5)
    const direct = tokenRing.first(roster(1, all), { partitions: 128 })
    let state = tokenRing.first(roster(1, racks(2, 5)), { partitions: 128 })
    for (const members of [racks(4, 5).slice(3), racks(5, 5), shuffled(all, seeded(1))]) {
      state = tokenRing.next(state, roster(state.epoch + 1, members))
    }
    for (const partition of partitionIndexes(direct)) expect(state.seats(partition)).toEqual(direct.seats(partition))
  })

  test('keeps zones apart', () => {
    expect(tokenRing.first(roster(1, racks(3, 4)), { partitions: 256 }).violations).toEqual([])
  })

  test('gives seats roughly by weight', () => {
    const held = counts(tokenRing.first(roster(1, [...flat(20), entry('heavy', '', 4)]), { partitions: 4096, replicas: 1 }))
    const seats = [...held].filter(([store]) => store !== 'heavy').map(([, count]) => count.seats)
    const mean = seats.reduce((sum, count) => sum + count, 0) / seats.length
    expect(held.get('heavy' as never)!.seats / mean).toBeGreaterThan(2.5)
    expect(held.get('heavy' as never)!.seats / mean).toBeLessThan(6)
  })

  test('a joiner takes seats, and nobody else gains one', () => {
    const before = tokenRing.first(roster(1, flat(20)), { partitions: 512 })
    const after = tokenRing.next(before, roster(2, [...flat(20), entry('new')]))
    for (const partition of partitionIndexes(after)) {
      for (const store of after.seats(partition)) if (store !== 'new') expect(before.seats(partition)).toContain(store)
    }
  })
})

test('placementFold is the fold that membership keeps', () => {
  const fold = placementFold(foldPlacement, { partitions: 16, replicas: 2 })
  const configuration = roster(1, flat(3)) as Configuration
  const state = fold.next(fold.initial(configuration), roster(2, flat(4)) as Configuration)
  expect(fold.decode(fold.encode(state)).seats(0 as PartitionIndex).length).toBe(2)
  const other = placementFold(foldPlacement, { partitions: 32, replicas: 2 })
  expect(() => other.decode(fold.encode(state))).toThrow(expect.objectContaining({ code: 'RING_INVALID_STATE' }) as Error)
  expect(() => placementFold(foldPlacement, { partitions: 5 })).toThrow(expect.objectContaining({ code: 'RING_INVALID_OPTIONS' }) as Error)
})
