/**
 * The store under every fault that the simulator knows, checked as store-scenario.ts says. More seeds: `npm run soak -- --seeds N`.
 */
import { describe, expect, test } from 'vitest'
import { seedsToRun } from './simulation.ts'
import { runStoreScenario } from './store-scenario.ts'

const SEEDS_PER_TEST = 20

describe('the store keeps its promises', () => {
  const seeds = seedsToRun(Number(process.env.COTERIE_SEEDS ?? 200))
  for (let first = 0; first < seeds.length; first += SEEDS_PER_TEST) {
    const some = seeds.slice(first, first + SEEDS_PER_TEST)
    test(`seeds ${some[0]} to ${some.at(-1)}`, async () => {
      for (const seed of some) {
        const result = await runStoreScenario(seed)
        expect(result.operations, `seed ${seed} did some work`).toBeGreaterThan(50)
      }
    }, 300_000)
  }

  test('the same seed gives the same trace, byte for byte', async () => {
    for (const seed of [3, 8]) {
      const [one, two] = [await runStoreScenario(seed, 6000), await runStoreScenario(seed, 6000)]
      expect(two.traceDigest).toBe(one.traceDigest)
    }
  }, 120_000)
})
