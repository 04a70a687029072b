/**
 * The default failure detector in whole clusters: lossy networks cost nobody its place, and a crash is noticed soon.
 */
import { describe, expect, test } from 'vitest'
import { addressOf, MembershipCluster } from './membership-harness.ts'
import { seedsToRun } from './simulation.ts'

describe('loss and crashes (section 6, rules M5 and M10)', () => {
  // The smallest cluster in which two observers remove a third is the most exposed one: nobody else has to agree.
  for (const [size, loss, minutes] of [[3, 5, 60], [10, 10, 5], [30, 10, 2]] as const) {
    test(`${loss} % loss everywhere removes none of ${size} in ${minutes} minutes`, async () => {
      for (const seed of seedsToRun(2)) {
        const cluster = new MembershipCluster({ seed })
        await cluster.form(size)
        cluster.simulation.network.faults.setEverywhere({ lossProbability: loss / 100 })
        await cluster.simulation.runFor(minutes * 60_000)
        expect(cluster.epoch).toBe(2)
        cluster.finish()
      }
    })
  }

  test('one of three crashes: the others agree within a second in the median', async () => {
    const took: number[] = []
    for (const seed of seedsToRun(21)) {
      const cluster = new MembershipCluster({ seed })
      await cluster.form(3)
      await cluster.simulation.runFor(5000 + seed * 47)
      cluster.crash(addressOf(seed % 3))
      took.push(await cluster.converge(2))
      cluster.finish()
    }
    const median = took.sort((a, b) => a - b)[Math.floor(took.length / 2)]
    expect(median).toBeLessThan(1000)
  })
})
