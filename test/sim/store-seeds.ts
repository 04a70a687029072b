/**
 * Tests that run seeds of the store's scenario. They are spread over two files, since test files run side by side and tests do not.
 *
 * `COTERIE_SEED=n` runs one seed alone; `npm run soak` runs as many as wanted, and longer ones.
 */
import { expect, test } from 'vitest'
import { seedsToRun } from './simulation.ts'
import { runStoreScenario } from './store-scenario.ts'

const SEEDS_PER_TEST = 10
/** Ends what hangs: several times what ten lives take on a machine of which others take most. */
const TIMEOUT_MS = 900_000
/** Virtual time under faults of one seed. */
const DURATION_MS = 12_000

export function testSeeds (count: number, from: number): void {
  const seeds = seedsToRun(count, from)
  for (let first = 0; first < seeds.length; first += SEEDS_PER_TEST) {
    const some = seeds.slice(first, first + SEEDS_PER_TEST)
    test(`seeds ${some[0]} to ${some.at(-1)}`, async () => {
      let [operations, watched, longMessages] = [0, 0, 0]
      for (const seed of some) {
        const result = await runStoreScenario(seed, DURATION_MS)
        // Faults may take the whole group of a cluster with one partition for most of a life; then this is all that succeeds.
        expect(result.operations, `seed ${seed} did some work`).toBeGreaterThan(0)
        operations += result.operations
        watched += result.watched
        longMessages += result.longMessages
      }
      // One seed alone is run to see what happens in it.
      if (seeds.length === 1) return
      expect(operations, 'the seeds did work worth checking').toBeGreaterThan(150 * some.length)
      expect(watched, 'the watches saw some of it').toBeGreaterThan(50 * some.length)
      expect(longMessages, 'some of it went in pieces').toBeGreaterThan(10 * some.length)
    }, TIMEOUT_MS)
  }
}
