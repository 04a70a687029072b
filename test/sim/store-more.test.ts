/** The second half of the seeds; see store.test.ts. */
import { describe } from 'vitest'
import { testSeeds } from './store-seeds.ts'

describe('the store keeps its promises', () => {
  testSeeds(100, 101)
})
