/**
 * The benchmark of membership at a small size: its driver is deterministic, and each scenario comes out as the paper's does.
 *
 * Mutations that were tried and are caught here: no limit to the configurations that one member sends of its own accord; joiners that
 * offer theirs to nobody; messages that never travel as differences; gossip that passes everything on at once; a recovery that waits for its
 * timeout although the fast quorum is out of reach; the windowed ping among three members that lose messages; no quiet windows before a
 * proposal, or one window at most for joins alone; observers that name the observers to who asks the right ones.
 */
import { describe, expect, test } from 'vitest'
import { Driver } from '../../bench/membership/driver.ts'
import { conflictRates } from '../../bench/membership/conflicts.ts'
import { modeCost } from '../../bench/membership/centralized.ts'
import { broadcastCost } from '../../bench/membership/broadcasts.ts'
import { type FaultName, inflict } from '../../bench/membership/faults.ts'
import { form } from '../../bench/membership/formation.ts'
import { join } from '../../bench/membership/joins.ts'
import { summary } from '../../bench/membership/rows.ts'
import { detectionMs, removalsInAnHour } from '../../bench/membership/small.ts'
import { chart } from '../../bench/membership/svg.ts'
import { mean, median, quantile } from '../../bench/samples.ts'
import { phiAccrual } from '../../../membership/detector/phi-accrual.ts'
import type { MembershipMessage } from '../../../membership/messages.ts'

const NODES = 60
/** Fewer than L, so that no healthy member can have L faulty observers. */
const FAULTY = 2
const IDLE_S = 20
const FRAME_HEADER_BYTES = 6

describe('the lean driver', () => {
  test('does the same twice with one seed, whether or not bytes are counted, and another thing with another', () => {
    const run = (seed: number, countBytes: boolean): readonly [number, string] => {
      const { driver } = inflict('flipFlop', { seed, nodes: NODES, countBytes }, FAULTY)
      return [driver.eventCount, driver.digest]
    }
    const first = run(1, false)
    expect(run(1, true)).toEqual(first)
    expect(run(2, false)).not.toEqual(first)
  })

  test('counts as many bytes received as sent where nothing is lost', () => {
    const { driver, processes } = form({ seed: 1, nodes: NODES, countBytes: true }, true)
    driver.run(driver.nowMs + 2500)
    const total = (direction: 'sent' | 'received'): number => {
      return driver.traffic.perSecond(direction, 0, driver.nowMs, processes.map(({ index }) => index)).reduce((sum, bytes) => sum + bytes, 0)
    }
    expect(total('sent')).toBeGreaterThan(10_000)
    // Messages on their way when a second ends are received in the next one.
    expect(Math.abs(total('sent') / total('received') - 1)).toBeLessThan(0.02)
  })
})

describe('formation (Figures 5 to 7, Table 1)', () => {
  test('through the gate everybody sees one size; nobody sends very many bytes of configurations (rule M11)', () => {
    for (const [seed, nodes] of [[1, NODES], [2, NODES], [3, 600]] as const) {
      const { driver, distinctSizes, steps } = form({ seed, nodes, countBytes: true }, true)
      expect(distinctSizes).toEqual([1, nodes])
      expect(steps).toHaveLength(2)
      const { messages, bytes } = driver.traffic.kinds.get('snapshot')!
      // One each, and few that crossed an offer.
      expect(messages).toBeLessThan(nodes * 1.5)
      const most = driver.traffic.perSecond('sent', 0, driver.nowMs + 1000, driver.processes.map(({ index }) => index)).at(-1)!
      // The founder sends 16 MiB, where that is less than all, and small messages to everybody.
      expect(most).toBeLessThan(18 * 2 ** 20)
      if (nodes > NODES) expect(most).toBeLessThan(bytes / 2)
    }
  })

  test('whoever has the configuration passes it on: the founder and half of those it told may die, messages may be lost (rules M8, M11)', () => {
    for (const seed of [1, 2, 3, 4, 5]) {
      const driver = new Driver({ seed, nodes: NODES })
      const { processes } = driver
      driver.start('found', NODES)
      for (let i = 1; i < NODES; i++) driver.start('join')
      for (const process of processes) process.ingressLoss = 0.1
      const told = (): typeof processes => processes.filter(({ configuration, index }) => index > 0 && configuration !== undefined)
      expect(driver.run(10_000, () => told().length >= 10, 0)).toBe(true)
      const dead = [processes[0]!, ...told().slice(0, 5)]
      for (const process of dead) driver.crash(process)
      const diedMs = driver.nowMs
      const alive = processes.filter(process => !dead.includes(process))
      // Without offers, only probes would bring the configuration to those that lack it, which takes many of them a second.
      const isSpread = driver.run(diedMs + 700, () => alive.every(({ configuration }) => configuration !== undefined))
      expect({ seed, isSpread }).toEqual({ seed, isSpread: true })
      for (const process of processes) process.ingressLoss = 0
      expect(driver.run(diedMs + 30_000, () => driver.agreed(alive, alive.length))).toBe(true)
    }
  })

  test('without the gate it takes a few steps, as in the paper', () => {
    const { distinctSizes } = form({ seed: 1, nodes: NODES }, false)
    expect(distinctSizes[0]).toBe(1)
    expect(distinctSizes.at(-1)).toBe(NODES)
    expect(distinctSizes.length).toBeLessThanOrEqual(8)
  })
})

test('many that join at once, by any members, are in after one view change or two, and nobody is removed', () => {
  for (const seed of [1, 2]) {
    const { steps, falseRemovals, ms } = join({ seed, nodes: NODES }, 200)
    expect(steps.flatMap(({ joined }) => joined)).toHaveLength(200)
    expect(steps.length).toBeLessThanOrEqual(2)
    expect(falseRemovals).toBe(0)
    expect(ms).toBeLessThan(5000)
  }
})

test('a thousand that join a hundred at once are in after one view change, by fast votes, and none of them asks twice', () => {
  const { driver, steps, falseRemovals, ms } = join({ seed: 1, nodes: 100 }, 1000)
  // Who proposes before the wave is over splits the votes, and a ballot has to decide.
  expect(steps.map(({ joined, reason: { fast } }) => [joined.length, fast])).toEqual([[1000, true]])
  expect(falseRemovals).toBe(0)
  const perJoiner = (kind: MembershipMessage['kind']): number => driver.traffic.kinds.get(kind)!.messages / 1000
  // Each learns its ten observers from the member that it asks, asks them, and is sent the configuration; few are sent it twice.
  expect([perJoiner('join-observers'), perJoiner('join-request')]).toEqual([1, 10])
  expect(perJoiner('snapshot')).toBeLessThan(1.5)
  expect(ms).toBeLessThan(5000)
})

test('where nothing happens, each of a hundred members sends and receives at most 0.7 KB/s, the headers of frames included', () => {
  const nodes = 100
  const { driver, processes } = form({ seed: 1, nodes, detector: phiAccrual(), countBytes: true }, true)
  driver.run(driver.nowMs + 10_000)
  const [fromMs, sent] = [driver.nowMs, driver.traffic.messages]
  driver.run(fromMs + IDLE_S * 1000)
  // If no two messages share a frame. What a client sends is masked, which takes the longer header.
  const headers = FRAME_HEADER_BYTES * (driver.traffic.messages - sent) / nodes / IDLE_S
  for (const direction of ['sent', 'received'] as const) {
    const perMember = processes.map(({ index }) => mean(driver.traffic.perSecond(direction, fromMs, driver.nowMs, [index])))
    expect(Math.min(...perMember)).toBeGreaterThan(20)
    expect(Math.max(...perMember) + headers).toBeLessThan(700)
  }
})

describe('faults (Figures 1, 8, 9 and 10)', () => {
  const names: readonly FaultName[] = ['crash', 'powerLoss', 'flipFlop', 'egressLoss', 'ingressLoss']
  test.each(names)('%s: the faulty are removed, nobody else is', name => {
    for (const seed of [1, 2]) {
      const { steps, falseRemovals, remaining, ms, distinctSizes } = inflict(name, { seed, nodes: NODES }, FAULTY)
      expect({ seed, falseRemovals, remaining }).toEqual({ seed, falseRemovals: 0, remaining: 0 })
      expect(ms).toBeLessThan(20_000)
      // What ends at once is noticed at once; who loses messages at random is noticed when chance has it.
      if (name === 'crash' || name === 'powerLoss' || name === 'flipFlop') {
        expect({ seed, steps: steps.length, distinctSizes }).toEqual({ seed, steps: 1, distinctSizes: 2 })
      }
    }
  })
})

describe('conflicts (Figure 11)', () => {
  test('conflicts are the rarer the further H and L are apart, and the more processes fail', () => {
    const rates = conflictRates({ seed: 1, nodes: 200, witnesses: 20, repetitions: 10 })
    const rate = (high: number, low: number, failures: number): number => {
      return rates.find(one => one.high === high && one.low === low && one.failures === failures)!.percent
    }
    expect(rates).toHaveLength(64)
    expect(rate(6, 4, 2)).toBe(Math.max(...rates.filter(({ failures }) => failures === 2).map(({ percent }) => percent)))
    expect(rate(6, 4, 2)).toBeGreaterThan(rate(6, 4, 16))
    expect(rate(9, 4, 2)).toBeLessThan(rate(7, 4, 2))
    expect(rate(9, 3, 2)).toBeLessThanOrEqual(3)
    expect(rate(9, 3, 16)).toBe(0)
  })
})

test('gossip costs some ten messages per edge of the overlay, however many members there are; unicast one per pair', () => {
  for (const nodes of [NODES, 2 * NODES]) {
    const perEdge = broadcastCost('gossip', nodes, 1).messages / (nodes * 10)
    expect({ nodes, perEdge, isFew: perEdge < 15 }).toMatchObject({ nodes, isFew: true })
  }
  expect(broadcastCost('unicastToAll', NODES, 1).messages / NODES ** 2).toBeGreaterThan(1)
})

describe('three members, each other\'s only observers (rule M5)', () => {
  test('a process that crashes is removed within a second', () => {
    for (let seed = 1; seed <= 20; seed++) expect(detectionMs('crash', seed)).toBeLessThan(1000)
  })

  test('an hour in which one message of twenty is lost removes nobody', () => {
    expect(removalsInAnHour(0.05, 1)).toBe(0)
  })
})

test('where three voters decide for all, a view change costs a fraction of the messages (rule M13)', () => {
  const [few, all] = [modeCost('centralized', NODES, FAULTY, 1), modeCost('allVote', NODES, FAULTY, 1)]
  expect([few.viewChanges, few.falseRemovals, all.viewChanges, all.falseRemovals]).toEqual([1, 0, 1, 0])
  expect(few.messages).toBeLessThan(all.messages / 3)
})

describe('what is made of the runs', () => {
  test('medians, quantiles, the worst', () => {
    expect(median([3, 1, 2])).toBe(2)
    expect(median([4, 1, 2, 3])).toBe(2.5)
    expect(summary([1, 5, 2])).toEqual({ ours: 2, worst: 5, runs: 3 })
    expect(quantile(Float64Array.of(1, 2, 3, 4), 0.5)).toBe(3)
    expect(quantile(Float64Array.of(1, 2, 3, 4), 1)).toBe(4)
  })

  test('a chart places its points within its axes, and survives no points at all', () => {
    const panel = { title: 'a < b', x: { label: 'x' }, y: { label: 'y', logarithmic: true } }
    const svg = chart([{ ...panel, series: [{ name: 's', style: 'dots', points: [[0, 1], [10, 1000]] }] }])
    expect(svg).toContain('a &lt; b')
    expect([...svg.matchAll(/cx="([\d.]+)" cy="([\d.]+)"/g)].map(([, x, y]) => [Number(x), Number(y)])).toEqual([[68, 274], [444, 34]])
    expect(chart([{ ...panel, series: [] }])).not.toContain('NaN')
  })
})
