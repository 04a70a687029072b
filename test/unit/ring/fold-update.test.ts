/**
 * Placements after an update of metadata (rule M13): a weight or a zone that a member changes while it runs is one configuration like any
 * other, and leads to one plan, the same at every process, with the fewest moves.
 */
import { describe, expect, test } from 'vitest'
import {
  foundingConfiguration, nextConfiguration, normalizeCut, type ClusterId, type Configuration, type Member, type MemberId, type Metadata, type Update
} from '../../../membership/configuration.ts'
import { foldPlacement, type FoldState, plan } from '../../../ring/index.ts'
import { expectRules } from './model.ts'
import { partitionIndexes, storeId } from './rosters.ts'

const OPTIONS = { partitions: 256, replicas: 3 }

const member = (index: number, zone = ''): Member => ({
  id: `member ${index}` as MemberId, address: `10.0.0.${index + 1}:7000`, storeId: storeId(`s${index}`), incarnation: 1,
  metadata: { zone, weight: 2, tags: {} }, metadataVersion: 0
})

/** A cluster of `count` stores, as formation makes it. */
function cluster (count: number, zoneOf: (index: number) => string = () => ''): { configuration: Configuration, placement: FoldState } {
  const [founder, ...others] = Array.from({ length: count }, (_, index) => member(index, zoneOf(index)))
  const configuration = nextConfiguration(foundingConfiguration('c' as ClusterId, 'test', {}, founder!), normalizeCut(others, []))
  return { configuration, placement: foldPlacement.first(configuration, OPTIONS) }
}

function updated (configuration: Configuration, changes: ReadonlyMap<number, Partial<Metadata>>): Configuration {
  const updates = [...changes].map(([index, change]): Update => {
    const { id, metadata, metadataVersion } = configuration.members.find(({ storeId: store }) => store === storeId(`s${index}`))!
    return { member: id, version: metadataVersion + 1, metadata: { ...metadata, ...change } }
  })
  return nextConfiguration(configuration, normalizeCut([], [], updates))
}

describe('an update', () => {
  test('of a weight moves as many replicas as the shares differ by, and no more', () => {
    const { configuration, placement } = cluster(8)
    for (const weight of [0, 1, 3, 4]) {
      const next = updated(configuration, new Map([[3, { weight }]]))
      const after = foldPlacement.next(placement, next)
      const { moves, lowerBound, epoch } = plan(placement, after)
      expect(epoch).toBe(3)
      expect(moves.length).toBeGreaterThan(0)
      expect(moves).toHaveLength(lowerBound)
      for (const move of moves) expect(weight > 2 ? move.to : move.from).toBe(storeId('s3'))
      expectRules(after, next)
    }
  })

  test('of tags alone moves nothing', () => {
    const { configuration, placement } = cluster(8)
    const after = foldPlacement.next(placement, updated(configuration, new Map([[3, { tags: { rack: '7' } }]])))
    expect(plan(placement, after)).toEqual({ epoch: 3, moves: [], lowerBound: 0, leaderChanges: 0 })
  })

  test('of a zone takes replicas out of the zone that would have two', () => {
    const zones = ['a', 'b', 'c', 'd']
    const { configuration, placement } = cluster(8, index => zones[index % 4]!)
    const next = updated(configuration, new Map([[3, { zone: 'a' }]]))
    const after = foldPlacement.next(placement, next)
    const zoneOf = new Map(next.members.map(({ storeId: store, metadata: { zone } }) => [store, zone]))
    for (const partition of partitionIndexes(after)) {
      expect(new Set(after.seats(partition).map(store => zoneOf.get(store))).size).toBe(3)
    }
    const together = partitionIndexes(placement).filter(partition => new Set(placement.seats(partition).map(store => zoneOf.get(store))).size < 3)
    expect(together.length).toBeGreaterThan(0)
    const { moves } = plan(placement, after)
    for (const partition of together) expect(moves.some(move => move.partition === partition)).toBe(true)
  })

  test('of several weights, with a join and a removal in the same cut, gives one plan; a process that is handed the state agrees', () => {
    const { configuration, placement } = cluster(8)
    const [gone] = configuration.members.filter(({ storeId: store }) => store === storeId('s6'))
    const heavy = { zone: '', weight: 6, tags: {} }
    const updates = configuration.members.slice(0, 2).map(({ id }): Update => ({ member: id, version: 1, metadata: heavy }))
    const next = nextConfiguration(configuration, normalizeCut([member(20)], [gone!.id], updates))
    const after = foldPlacement.next(placement, next)
    expect(foldPlacement.next(foldPlacement.decode(foldPlacement.encode(placement)), next).digest).toBe(after.digest)
    expectRules(after, next)
  })
})
