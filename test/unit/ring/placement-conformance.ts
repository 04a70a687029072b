/**
 * What every placement strategy must do, whatever it optimizes: a kit to run on one's own strategy as on those shipped.
 *
 * Promised by the interface and relied on by the store: determinism, whole and canonical state, groups that never shrink, epochs of
 * seats that last as long as the seat, former holders, order and errors.
 */
import { expect, test } from 'vitest'
import type { Placement, PlacementStrategy, RosterEntry } from '../../../ring/index.ts'
import { entry, flat, partitionIndexes, racks, roster, seeded, shuffled } from './rosters.ts'
import { expectStep } from './model.ts'

const OPTIONS = { partitions: 64, replicas: 3 }

/** A cluster's life: growth, a zone lost, restarts, drains, a fall below R, and back. */
const life: readonly RosterEntry[][] = [
  flat(1), flat(3), [...flat(3), ...racks(3, 2)], racks(3, 2), racks(4, 2), racks(4, 2).slice(2),
  racks(4, 2).map((member, index) => entry(member.storeId, member.metadata.zone, index % 3, 2)),
  racks(1, 2), racks(1, 1), flat(2), [...flat(2), ...racks(3, 2)]
]

export function placementConformance<S extends Placement> (strategy: PlacementStrategy<S>): void {
  const follow = (each: (before: S | undefined, after: S, members: RosterEntry[]) => void, order = (members: RosterEntry[]) => members): S => {
    let state: S | undefined
    for (const [index, members] of life.entries()) {
      const configuration = roster(index + 1, order([...members]))
      const after: S = state === undefined ? strategy.first(configuration, OPTIONS) : strategy.next(state, configuration)
      each(state, after, members)
      state = after
    }
    return state!
  }
  const nothing = (): void => undefined

  test('the face agrees with itself', () => {
    follow((_, after, members) => {
      expect([after.partitions, after.replicas]).toEqual([64, 3])
      expect(after.stores).toEqual(members.map(member => member.storeId).sort())
      const weighted = members.filter(member => member.metadata.weight > 0).length
      const byStore = new Map<string, number[]>()
      for (const partition of partitionIndexes(after)) {
        const seats = after.seats(partition)
        for (const store of seats) byStore.set(store, [...byStore.get(store) ?? [], partition])
        const active = seats.filter(store => after.weightOf(store) > 0)
        expect(active.length).toBe(Math.min(3, weighted))
        expect(seats.slice(0, active.length)).toEqual(active)
        expect(after.seatEpochs(partition).length).toBe(seats.length)
      }
      for (const [store, partitions] of byStore) expect(after.partitionsOf(store as never)).toEqual(partitions)
      for (const { storeId, metadata } of members) {
        expect([after.weightOf(storeId), after.zoneOf(storeId)]).toEqual([metadata.weight, metadata.zone])
      }
    })
  })

  test('rule R2: seats keep their epoch, groups never shrink, former holders are remembered', () => {
    follow((before, after) => { if (before !== undefined) expectStep(before, after) })
  })

  test('rule R1: the order of members does not matter, and another run gives the same digests', () => {
    const digests: string[] = []
    follow((_, after) => { digests.push(after.digest) })
    const random = seeded(5)
    const again: string[] = []
    follow((_, after) => { again.push(after.digest) }, members => shuffled(members, random))
    expect(again).toEqual(digests)
    expect(new Set(digests).size).toBe(life.length)
    for (const digest of digests) expect(digest).toMatch(/^[0-9a-f]{32}$/)
  })

  test('encoding is the whole state: decoded, it has the same digest, the same bytes, and the same future', () => {
    follow((before, after, members) => {
      const bytes = strategy.encode(after)
      const decoded = strategy.decode(bytes)
      expect(decoded.digest).toBe(after.digest)
      expect(strategy.encode(decoded)).toEqual(bytes)
      for (const partition of partitionIndexes(after)) {
        expect(decoded.seats(partition)).toEqual(after.seats(partition))
        expect(decoded.formerHolders(partition)).toEqual(after.formerHolders(partition))
      }
      if (before === undefined) return
      const future = strategy.next(strategy.decode(strategy.encode(before)), roster(after.epoch, members))
      expect(future.digest).toBe(after.digest)
    })
  })

  test('bytes that are not a state are refused with RING_INVALID_STATE', () => {
    const bytes = strategy.encode(follow(nothing))
    const refused = (candidate: Uint8Array): void => {
      expect(() => strategy.decode(candidate)).toThrow(expect.objectContaining({ code: 'RING_INVALID_STATE' }) as Error)
    }
    for (let length = 0; length < bytes.length; length += 7) refused(bytes.subarray(0, length))
    refused(Uint8Array.of(...bytes, 0))
    const random = seeded(9)
    for (let attempt = 0; attempt < 300; attempt++) {
      const damaged = bytes.slice()
      damaged[Math.floor(random() * bytes.length)]! ^= 1 << Math.floor(random() * 8)
      // Damage may hit a name or a number where any value is legal; then another state is read, never the same one.
      let digest: string | undefined
      try {
        digest = strategy.decode(damaged).digest
      } catch (error) {
        expect(error).toMatchObject({ code: 'RING_INVALID_STATE' })
      }
      expect(digest).not.toBe(strategy.decode(bytes).digest)
    }
  })

  test('an input is never changed', () => {
    follow((before, after, members) => {
      if (before === undefined) return
      const digest = before.digest
      const bytes = strategy.encode(before)
      strategy.next(before, roster(after.epoch, members))
      expect(strategy.encode(before)).toEqual(bytes)
      expect(before.digest).toBe(digest)
    })
  })

  test('a configuration that does not follow is refused', () => {
    const state = follow(nothing)
    for (const epoch of [state.epoch - 1, state.epoch, state.epoch + 2]) {
      expect(() => strategy.next(state, roster(epoch, flat(3)))).toThrow(expect.objectContaining({ code: 'RING_OUT_OF_ORDER' }) as Error)
    }
  })
}
