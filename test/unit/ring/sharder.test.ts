/**
 * The sharder: each partition acquired and released once per configuration, and with one replica exactly one holder at any epoch.
 *
 * Mutations caught: a configuration applied twice, a removed process that keeps seats nobody could take over.
 */
import { expect, test } from 'vitest'
import { foldPlacement, type FoldState, type PartitionIndex, RingError, type RosterEntry, Sharder, type SharderOptions } from '../../../ring/index.ts'
import { flat, racks, roster, storeId } from './rosters.ts'

/** A sharder that writes down its callbacks and checks that they alternate. */
function watched (self: string, options: SharderOptions<FoldState> = { partitions: 32 }) {
  const calls: string[] = []
  const held = new Set<PartitionIndex>()
  const sharder = new Sharder({
    self: storeId(self),
    acquire: (partition, from) => {
      expect(held.has(partition)).toBe(false)
      held.add(partition)
      calls.push(`+${partition}<${from ?? ''}`)
    },
    release: (partition, to) => {
      expect(held.delete(partition)).toBe(true)
      calls.push(`-${partition}>${to ?? ''}`)
    }
  }, options)
  return { sharder, calls, held }
}

test('over a cluster\'s life every partition has exactly one holder, and hand-overs name both sides alike', () => {
  const life: RosterEntry[][] = [flat(1), flat(4), flat(4).slice(1), racks(2, 3), [...racks(2, 3), ...flat(4)], flat(4)]
  const names = new Set(life.flat().map(member => member.storeId))
  const all = new Map([...names].map(name => [name, watched(name)]))
  for (const [index, members] of life.entries()) {
    for (const { calls } of all.values()) calls.length = 0
    for (const { sharder } of all.values()) expect(sharder.apply(roster(index + 1, members))).toBe(true)
    const owners = new Map<PartitionIndex, number>()
    for (const [name, { held, sharder, calls }] of all) {
      expect(new Set(sharder.held)).toEqual(held)
      if (!members.some(member => member.storeId === name)) expect(held.size).toBe(0)
      for (const partition of held) owners.set(partition, (owners.get(partition) ?? 0) + 1)
      for (const call of calls) {
        const [, partition, other] = /^[+-](\d+)[<>](.*)$/.exec(call)!
        if (other !== '') expect(all.get(storeId(other!))!.calls).toContain(call.startsWith('+') ? `-${partition}>${name}` : `+${partition}<${name}`)
      }
      const kinds = calls.map(call => call[0])
      expect(kinds, 'releases come first').toEqual([...kinds].sort().reverse())
    }
    expect([...owners.values()]).toEqual(new Array(32).fill(1))
  }
})

test('a configuration applied before is ignored; one that skips others is refused', () => {
  const { sharder, calls } = watched('s0')
  expect(sharder.apply(roster(1, flat(1)))).toBe(true)
  expect(calls.length).toBe(32)
  expect(sharder.apply(roster(1, flat(1)))).toBe(false)
  expect(calls.length).toBe(32)
  expect(() => sharder.apply(roster(3, flat(2)))).toThrow(expect.objectContaining({ code: 'RING_OUT_OF_ORDER' }) as Error)
  expect(sharder.placement!.epoch).toBe(1)
})

test('a process that joins begins from the placement it is handed', () => {
  const founder = watched('s0')
  founder.sharder.apply(roster(1, flat(1)))
  founder.sharder.apply(roster(2, flat(2)))
  const joiner = watched('s1')
  joiner.sharder.restore(foldPlacement.decode(foldPlacement.encode(founder.sharder.placement!)))
  expect(joiner.held.size + founder.held.size).toBe(32)
  expect(() => joiner.sharder.restore(founder.sharder.placement!)).toThrow(expect.objectContaining({ code: 'RING_OUT_OF_ORDER' }) as Error)
  joiner.sharder.apply(roster(3, flat(1)))
  expect(joiner.held.size).toBe(0)
  expect(joiner.calls.at(-1)).toMatch(/^-\d+>s0$/)
})

test('with more replicas several processes hold a partition', () => {
  const all = flat(5).map(member => watched(member.storeId, { partitions: 16, replicas: 3 }))
  for (const { sharder } of all) sharder.apply(roster(1, flat(5)))
  expect(all.reduce((sum, { held }) => sum + held.size, 0)).toBe(48)
})

test('a process that was removed releases everything, also seats that nobody could take over', () => {
  const { sharder, held, calls } = watched('s0', { partitions: 4, replicas: 3 })
  sharder.apply(roster(1, flat(3)))
  expect(held.size).toBe(4)
  sharder.apply(roster(2, flat(3).slice(1)))
  expect(sharder.placement!.partitionsOf(storeId('s0')).length).toBe(4)
  expect(held.size).toBe(0)
  expect(calls.slice(4)).toEqual(['-0>', '-1>', '-2>', '-3>'])
})

test('a callback that throws keeps no other from being called, and the configuration counts as applied', () => {
  const called: number[] = []
  const sharder = new Sharder({
    self: storeId('s0'),
    acquire: partition => {
      called.push(partition)
      if (partition % 2 === 0) throw new Error(`no room for ${partition}`)
    },
    release: () => undefined
  }, { partitions: 8 })
  let failure: unknown
  try {
    sharder.apply(roster(1, flat(1)))
  } catch (error) {
    failure = error
  }
  expect(failure).toBeInstanceOf(RingError)
  expect(failure).toMatchObject({ code: 'RING_CALLBACK_FAILED' })
  expect(((failure as RingError).cause as AggregateError).errors.length).toBe(4)
  expect(called).toEqual([0, 1, 2, 3, 4, 5, 6, 7])
  expect(sharder.apply(roster(1, flat(1)))).toBe(false)
})
