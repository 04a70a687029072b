/**
 * The store under every fault that the simulator knows, checked as store-scenario.ts says. More seeds: `npm run soak -- --seeds N`;
 * the other half of the seeds of `npm test` is in store-more.test.ts.
 *
 * What this would notice is known: `npm run mutants` breaks the core in the ways of mutant-list.ts, one rule at a time, and runs seeds
 * until one fails.
 */
import { describe, expect, test } from 'vitest'
import { runStoreScenario } from './store-scenario.ts'
import { testSeeds } from './store-seeds.ts'

describe('the store keeps its promises', () => {
  testSeeds(100, 1)

  test('the same seed gives the same trace, byte for byte', async () => {
    for (const seed of [3, 8]) {
      const [one, two] = [await runStoreScenario(seed, 6000), await runStoreScenario(seed, 6000)]
      expect(two.traceDigest).toBe(one.traceDigest)
    }
  })
})
