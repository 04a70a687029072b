/**
 * Rule R2 and R3: groups never shrink on a crash, departed stores are replaced rather than dropped, and find their seats again.
 *
 * Mutations caught: kept seats dropped when too few stores are left, `gained` ignored in `keptSeats`, the last to leave replaced
 * first, former holders never forgotten, the incarnation of the latest member taken in place of the highest.
 */
import { describe, expect, test } from 'vitest'
import { foldPlacement, type FoldState, FORMER_EPOCHS_MAX, type PartitionIndex, plan, type RosterEntry } from '../../../ring/index.ts'
import { entry, flat, partitionIndexes, roster, storeId } from './rosters.ts'
import { expectRules, expectStep } from './model.ts'

const P0 = 0 as PartitionIndex

function next (state: FoldState, members: RosterEntry[]): FoldState {
  const after = foldPlacement.next(state, roster(state.epoch + 1, members))
  expectRules(after, roster(state.epoch + 1, members))
  expectStep(state, after)
  return after
}

const [a, b, c, d] = flat(4) as [RosterEntry, RosterEntry, RosterEntry, RosterEntry]
const three = (): FoldState => foldPlacement.first(roster(1, [a, b, c]), { partitions: 32 })

describe('rule R2', () => {
  test('with too few stores a departed store keeps its seat, last in order, and is reported', () => {
    const after = next(three(), [a, b])
    for (const partition of partitionIndexes(after)) {
      expect(after.seats(partition).length).toBe(3)
      expect(after.seats(partition)[2]).toBe(c.storeId)
    }
    expect(after.violations.filter(violation => violation.kind === 'departed').length).toBe(32)
    expect(after.violations.filter(violation => violation.kind === 'replicas').length).toBe(32)
    expect(plan(three(), after).moves).toEqual([])
  })

  test('a store that returns to seats it kept moves nothing, under a new incarnation too', () => {
    const back = next(next(three(), [a, b]), [a, b, entry(c.storeId, '', 1, 2)])
    expect(plan(three(), back).moves).toEqual([])
    expect(back.violations).toEqual([])
    expect(back.seatEpochs(P0)).toEqual([1, 1, 1])
  })

  test('a restart within one configuration changes nothing but the incarnation', () => {
    const before = three()
    const after = next(before, [a, entry(b.storeId, '', 1, 9), c])
    for (const partition of partitionIndexes(after)) expect(after.seats(partition)).toEqual(before.seats(partition))
    expect(after.incarnationOf(b.storeId)).toBe(9)
  })

  test('a newcomer replaces the departed store, everywhere and at once', () => {
    const after = next(next(three(), [a, b]), [a, b, d])
    for (const partition of partitionIndexes(after)) {
      expect([...after.seats(partition)].sort()).toEqual([a.storeId, b.storeId, d.storeId])
      expect(after.formerHolders(partition)).toEqual([c.storeId])
    }
    const moves = plan(next(three(), [a, b]), after).moves
    expect(moves.every(move => move.from === c.storeId && move.to === d.storeId && move.epoch === 3)).toBe(true)
    expect(moves.length).toBe(32)
  })

  test('of two departed stores the one that left first is replaced first', () => {
    const alone = next(next(three(), [a, b]), [a])
    expect(alone.seats(P0)).toEqual([a.storeId, b.storeId, c.storeId])
    const joined = next(alone, [a, d])
    expect(joined.seats(P0)).toEqual([a.storeId, d.storeId, b.storeId])
    expect(next(joined, [a, b, d]).formerHolders(P0)).toEqual([c.storeId])
  })

  test('everybody gone but strangers: the strangers replace them one by one', () => {
    const after = next(three(), [d])
    for (const partition of partitionIndexes(after)) {
      expect(after.seats(partition)[0]).toBe(d.storeId)
      expect(after.seats(partition).length).toBe(3)
    }
  })

  test('a store drained with nobody to replace it keeps serving behind the others, before those that are gone', () => {
    const after = next(next(three(), [a, entry(b.storeId, '', 0), c]), [a, entry(b.storeId, '', 0)])
    expect(after.seats(P0)).toEqual([a.storeId, b.storeId, c.storeId])
  })

  test('no store has weight: seats stay as they are', () => {
    const after = next(three(), [a, b, c].map(member => entry(member.storeId, '', 0)))
    expect(plan(three(), after).moves).toEqual([])
    expect(foldPlacement.first(roster(1, [entry('x', '', 0)]), { partitions: 4 }).seats(P0)).toEqual([])
  })

  test(`a former holder is forgotten after ${FORMER_EPOCHS_MAX} epochs`, () => {
    let state = next(next(three(), [a, b]), [a, b, d])
    for (let step = 1; step < FORMER_EPOCHS_MAX; step++) state = foldPlacement.next(state, roster(state.epoch + 1, [a, b, d]))
    expect(state.formerHolders(P0)).toEqual([c.storeId])
    state = foldPlacement.next(state, roster(state.epoch + 1, [a, b, d]))
    expect(state.formerHolders(P0)).toEqual([])
  })
})

describe('rule R3', () => {
  test('the highest incarnation is kept, also of a store that is gone', () => {
    let state = next(three(), [a, b, entry(c.storeId, '', 1, 5)])
    state = next(state, [a, b, d])
    expect(state.incarnationOf(c.storeId)).toBe(5)
    state = next(state, [a, b, entry(c.storeId, '', 1, 3)])
    expect(state.incarnationOf(c.storeId)).toBe(5)
    expect(state.incarnationOf(storeId('nobody'))).toBeUndefined()
  })
})

describe('what is refused', () => {
  test.each([
    ['a gap', roster(3, [a]), 'RING_OUT_OF_ORDER'],
    ['the same epoch', roster(1, [a]), 'RING_OUT_OF_ORDER'],
    ['a store id twice', roster(2, [a, a]), 'RING_INVALID_CONFIGURATION'],
    ['a fractional weight', roster(2, [entry('a', '', 0.5)]), 'RING_INVALID_CONFIGURATION'],
    ['too much weight', roster(2, [entry('a', '', 1001)]), 'RING_INVALID_CONFIGURATION']
  ])('%s', (_, configuration, code) => {
    expect(() => foldPlacement.next(three(), configuration)).toThrow(expect.objectContaining({ code }) as Error)
  })

  test.each([{ partitions: 3 }, { partitions: 0 }, { replicas: 0 }, { replicas: 17 }, { replicas: 1.5 }])('options %j', options => {
    expect(() => foldPlacement.first(roster(1, [a]), options)).toThrow(expect.objectContaining({ code: 'RING_INVALID_OPTIONS' }) as Error)
  })
})
