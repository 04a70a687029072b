/** The state that the store derives from configurations follows updates of metadata (rule M13): before genesis and after. */
import { describe, expect, test } from 'vitest'
import {
  foundingConfiguration, nextConfiguration, normalizeCut, type ClusterId, type Configuration, type Member, type MemberId, type StoreId
} from '../../../membership/configuration.ts'
import { plan } from '../../../ring/index.ts'
import { createAgreedStateFold } from '../../../store/agreed-state.ts'

const SETTINGS = { partitions: 64, replicas: 2, expect: 4 }

const member = (index: number): Member => ({
  id: `member ${index}` as MemberId, address: `10.0.0.${index + 1}:7000`, storeId: `store ${index}` as StoreId, incarnation: 1,
  metadata: { zone: '', weight: 1, tags: {} }, metadataVersion: 0
})

const weigh = (configuration: Configuration, index: number, weight: number): Configuration => {
  const { id, metadata, metadataVersion } = configuration.members[index]!
  return nextConfiguration(configuration, normalizeCut([], [], [{ member: id, version: metadataVersion + 1, metadata: { ...metadata, weight } }]))
}

describe('the agreed state', () => {
  test('a founder that updates before the others are there: genesis has its new weight, and comes with the others', () => {
    const fold = createAgreedStateFold()
    const founding = foundingConfiguration('c' as ClusterId, 'test', SETTINGS, member(0))
    const alone = weigh(founding, 0, 0)
    const second = fold.next(fold.initial(founding), alone)
    expect(second.genesisEpoch).toBe(0)
    const everybody = fold.next(second, nextConfiguration(alone, normalizeCut([1, 2, 3].map(member), [])))
    expect(everybody.genesisEpoch).toBe(3)
    expect(everybody.placement!.partitionsOf('store 0' as StoreId)).toEqual([])
  })

  test('an update after genesis leads to a plan, keeps genesis, and the same state is handed to joiners', () => {
    const fold = createAgreedStateFold()
    const founding = foundingConfiguration('c' as ClusterId, 'test', SETTINGS, member(0))
    const formed = nextConfiguration(founding, normalizeCut([1, 2, 3].map(member), []))
    const before = fold.next(fold.initial(founding), formed)
    const next = weigh(formed, 2, 0)
    const after = fold.next(before, next)
    expect(after.genesisEpoch).toBe(2)
    expect(after.placement!.partitionsOf('store 2' as StoreId)).toEqual([])
    const { moves, lowerBound } = plan(before.placement!, after.placement!)
    expect(moves).toHaveLength(before.placement!.partitionsOf('store 2' as StoreId).length)
    expect(moves).toHaveLength(lowerBound)
    const other = createAgreedStateFold()
    expect(other.next(other.decode(fold.encode(before)), next).placement!.digest).toBe(after.placement!.digest)
  })
})
