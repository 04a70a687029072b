/**
 * The fold's promise: every store within one of its share, replicas and leaders alike; zones apart; the fewest moves (rules R1, R2).
 *
 * Mutations caught: all who hold an extra seat ranked alike in `chooseTargets`, with or without regard to what they would give back;
 * `fill` without `takeBack`, without `repair` or without `exchange`; `admits` without its check of zones; `chooseLeaders` without
 * `even`; a seat's epoch renewed in place.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { foldPlacement, type FoldState, type PartitionIndex, plan, type RosterEntry } from '../../../ring/index.ts'
import { counts, entry, flat, partitionIndexes, racks, roster, seeded, shuffled, storeId } from './rosters.ts'
import { expectRules, expectStep } from './model.ts'

/** Applies one configuration after the other, checking every placement and every step. Returns the last and its plan. */
function follow (
  before: FoldState, ...configurations: RosterEntry[][]
): { state: FoldState, moves: number, lowerBound: number, leaderChanges: number } {
  let state = before
  let last = { moves: 0, lowerBound: 0, leaderChanges: 0 }
  for (const members of configurations) {
    const next = foldPlacement.next(state, roster(state.epoch + 1, members))
    expectRules(next, roster(state.epoch + 1, members))
    expectStep(state, next)
    const { moves, lowerBound, leaderChanges } = plan(state, next)
    last = { moves: moves.length, lowerBound, leaderChanges }
    expect(last.moves).toBeGreaterThanOrEqual(lowerBound)
    state = next
  }
  return { state, ...last }
}

function formed (members: RosterEntry[], partitions = 1024, replicas = 3): FoldState {
  const first = foldPlacement.first(roster(1, members), { partitions, replicas })
  expectRules(first, roster(1, members))
  return first
}

/** At most 5 % above the bound. */
function expectNear ({ moves, lowerBound }: { moves: number, lowerBound: number }): void {
  expect(moves).toBeLessThanOrEqual(Math.ceil(lowerBound * 1.05))
}

describe('ten zones of ten, Q = 1024, R = 3', () => {
  const all = racks(10, 10)

  test('formation behind a gate: the founder alone, then everybody', () => {
    const founded = formed(all.slice(0, 1))
    const { state, moves, lowerBound } = follow(founded, all)
    expect(moves).toBe(lowerBound)
    expect(state.violations).toEqual([])
  })

  test('two zones of ten join at once', () => {
    const result = follow(formed(all), [...all, ...racks(2, 10, 10)])
    expectNear(result)
    expect(result.lowerBound).toBe(500)
    expect(result.state.violations).toEqual([])
  })

  test('one zone of ten crashes at once', () => {
    const result = follow(formed(all), all.slice(10))
    expectNear(result)
    expect(result.state.violations).toEqual([])
  })

  test('single joins and leaves', () => {
    for (let index = 0; index < all.length; index += 9) {
      const without = all.filter((_, other) => other !== index)
      expectNear(follow(formed(without), all))
      expectNear(follow(formed(all), without))
    }
  })

  test('200 steps of random churn', () => {
    const random = seeded(7)
    const pool = racks(12, 10)
    let present = pool.slice(0, 100)
    let state = formed(present)
    let [moves, bound] = [0, 0]
    for (let step = 0; step < 200; step++) {
      const size = 1 + Math.floor(random() * 4)
      const away = pool.filter(member => !present.includes(member))
      present = random() < 0.5 && present.length > 60
        ? shuffled(present, random).slice(size)
        : [...present, ...shuffled(away, random).slice(0, size)]
      const result = follow(state, present)
      state = result.state
      moves += result.moves
      bound += result.lowerBound
      expect(state.violations).toEqual([])
      expectNear(result)
    }
    expect(moves / bound).toBeLessThanOrEqual(1.01)
  })

  test('the partitions of a store that fails spread over many peers', () => {
    const before = formed(all)
    const { state } = follow(before, all.slice(1))
    const takers = new Set(plan(before, state).moves.map(move => move.to))
    expect(takers.size).toBeGreaterThanOrEqual(29)
    const peers = new Set(before.partitionsOf(all[0]!.storeId).flatMap(partition => before.seats(partition)))
    // 62 draws among 90 stores of other zones: 45 distinct are expected.
    expect(peers.size).toBeGreaterThan(35)
  })
})

describe('without zones the number of moves is the lower bound', () => {
  test('joins and leaves of any size, N = 100', () => {
    const random = seeded(11)
    let present = flat(100)
    let state = formed(present)
    for (let step = 0; step < 40; step++) {
      const size = 1 + Math.floor(random() * 20)
      present = step % 2 === 0
        ? shuffled(present, random).slice(size)
        : [...present, ...Array.from({ length: size }, (_, index) => entry(`new${step}-${index}`))]
      const result = follow(state, present)
      expect(result.moves).toBe(result.lowerBound)
      state = result.state
    }
  })

  test('growth from 1 to 10 one at a time, and back', () => {
    const all = flat(10)
    let state = formed(all.slice(0, 1), 256)
    for (let size = 2; size <= 10; size++) {
      const result = follow(state, all.slice(0, size))
      expect(result.moves).toBe(result.lowerBound)
      state = result.state
    }
    for (let size = 9; size >= 3; size--) {
      const result = follow(state, all.slice(10 - size))
      expectNear(result)
      state = result.state
    }
  })
})

test('a store that leaves and returns gets its own seats back, and its partitions are as they were', () => {
  for (const all of [racks(10, 10), flat(100), racks(3, 10)]) {
    const before = follow(formed(all.slice(0, 1)), all).state
    for (const index of [0, 42, 99]) {
      const gone = all[index % all.length]!
      const { state, moves, lowerBound } = follow(before, all.filter(member => member !== gone), all)
      expect(moves).toBe(lowerBound)
      const held = before.partitionsOf(gone.storeId)
      expect(state.partitionsOf(gone.storeId).every(partition => held.includes(partition))).toBe(true)
      const group = (placement: FoldState, partition: PartitionIndex): string => [...placement.seats(partition)].sort().join()
      const changed = partitionIndexes(state).filter(partition => group(state, partition) !== group(before, partition))
      // It may come back with one seat less, as others keep their extra one.
      expect(changed.length).toBeLessThanOrEqual(1)
    }
  }
})

test('stores that return together, while another crashes, each take back what they held', () => {
  const all = racks(10, 10)
  const before = follow(formed(all.slice(0, 1)), all).state
  const { state } = follow(before, all.slice(10), all.filter((_, index) => index !== 42))
  let [held, regained] = [0, 0]
  for (const { storeId } of all.slice(0, 10)) {
    const former = before.partitionsOf(storeId)
    held += state.partitionsOf(storeId).length
    regained += state.partitionsOf(storeId).filter(partition => former.includes(partition)).length
  }
  expect(regained / held).toBeGreaterThan(0.9)
})

describe('weights', () => {
  test('weight 0 holds nothing, and a drained store hands over all it has', () => {
    const all = [...flat(9), entry('empty', '', 0)]
    const before = formed(all, 256)
    expect(before.partitionsOf(storeId('empty'))).toEqual([])
    const drained = all.map(member => member.storeId === 's0' ? entry('s0', '', 0) : member)
    const { state, moves, lowerBound } = follow(before, drained)
    expect(state.partitionsOf(storeId('s0'))).toEqual([])
    expect(moves).toBe(lowerBound)
  })

  test('heavy and light stores share partitions, rather than each kind among its own', () => {
    const members = Array.from({ length: 100 }, (_, index) => entry(`s${index}`, '', index % 5 === 0 ? 20 : 1))
    const placement = formed(members)
    const onlyLight = partitionIndexes(placement).filter(partition => placement.seats(partition).every(store => placement.weightOf(store) === 1))
    // Light stores have a sixth of the seats: 5 of 1024 rows would be all light by chance.
    expect(onlyLight.length).toBeLessThan(40)
  })

  test('shares follow the weights up to one seat in each partition', () => {
    const placement = formed([entry('a', '', 1000), entry('b', '', 3), entry('c', '', 2), entry('d', '', 1)], 1024, 2)
    const held = counts(placement)
    expect(held.get(storeId('a'))!.seats).toBe(1024)
    expect(held.get(storeId('b'))!.seats).toBe(512)
    expect(held.get(storeId('d'))!.seats).toBeGreaterThanOrEqual(170)
  })
})

describe('zones', () => {
  test('all stores in one zone: reported for every partition, balanced all the same', () => {
    const placement = formed(racks(1, 7), 128)
    expect(placement.violations).toEqual(partitionIndexes(placement).map(partition => ({ partition, kind: 'zone' })))
  })

  test('with exactly R zones of unequal size each zone holds one replica of everything', () => {
    const members = [...racks(1, 5), ...racks(1, 2, 1), ...racks(1, 1, 2)]
    const placement = formed(members, 256)
    expect(placement.violations).toEqual([])
    expect(placement.partitionsOf(storeId('z2-s0')).length).toBe(256)
  })

  test('two zones share three replicas two to one', () => {
    const placement = formed(racks(2, 4), 256)
    expect(placement.violations.length).toBe(256)
  })

  test('a third zone appears: replicas part', () => {
    const { state } = follow(formed(racks(2, 4), 256), racks(3, 4))
    expect(state.violations).toEqual([])
  })

  test('a store that changes its zone leaves the partitions it may no longer hold', () => {
    const all = racks(4, 3)
    const moved = all.map((member, index) => index === 0 ? entry(member.storeId, 'z1') : member)
    const { state } = follow(formed(all, 256), moved)
    expect(state.violations).toEqual([])
  })
})

test('any sequence of configurations keeps every rule', () => {
  const member = fc.record({
    name: fc.integer({ min: 0, max: 11 }),
    weight: fc.constantFrom(0, 1, 1, 1, 2, 5, 100),
    zone: fc.constantFrom('', 'a', 'b', 'c', 'd')
  })
  const configuration = fc.uniqueArray(member, { minLength: 1, maxLength: 12, selector: value => value.name })
  const scripts = fc.record({
    replicas: fc.integer({ min: 1, max: 5 }),
    partitions: fc.constantFrom(1, 2, 8, 32, 64),
    steps: fc.array(configuration, { minLength: 1, maxLength: 8 })
  })
  fc.assert(fc.property(scripts, ({ replicas, partitions, steps }) => {
    const configurations = steps.map(members => members.map(({ name, weight, zone }) => entry(`s${name}`, zone, weight)))
    follow(formed(configurations[0]!, partitions, replicas), ...configurations.slice(1))
  }), { numRuns: 400 })
})

describe('rule R1: determinism', () => {
  const steps = [racks(5, 4), racks(5, 4).slice(3), racks(6, 4), racks(6, 4).slice(4)]
  const run = (order: (members: RosterEntry[]) => RosterEntry[]): FoldState => {
    let state = foldPlacement.first(roster(1, order(steps[0]!)), { partitions: 256 })
    for (const members of steps.slice(1)) state = foldPlacement.next(state, roster(state.epoch + 1, order(members)))
    return state
  }

  test('the order in which a configuration lists its members does not matter', () => {
    const random = seeded(3)
    expect(run(members => shuffled(members, random)).digest).toBe(run(members => members).digest)
  })

  test('a joiner that goes on from the encoded state derives what the others derive', () => {
    const encoded = (members: RosterEntry[][]): FoldState => {
      let state = foldPlacement.first(roster(1, members[0]!), { partitions: 256 })
      for (const next of members.slice(1)) {
        state = foldPlacement.next(foldPlacement.decode(foldPlacement.encode(state)), roster(state.epoch + 1, next))
      }
      return state
    }
    expect(encoded(steps).digest).toBe(run(members => members).digest)
  })
})
