/**
 * Quorums of Fast Paxos: the table, and the intersections that safety rests on.
 *
 * Mutations caught: one more or one less in either formula; rounding up instead of down.
 */
import { describe, expect, it } from 'vitest'
import { classicQuorum, fastQuorum } from '../../../membership/quorum.ts'

const sizes = Array.from({ length: 2000 }, (_, i) => i + 1)

describe('quorums', () => {
  it('are those of the table', () => {
    expect(sizes.slice(0, 10).map(classicQuorum)).toEqual([1, 2, 2, 3, 3, 4, 4, 5, 5, 6])
    expect(sizes.slice(0, 10).map(fastQuorum)).toEqual([1, 2, 3, 3, 4, 5, 6, 6, 7, 8])
  })

  it('two classic quorums share a member, and are the smallest that do', () => {
    for (const n of sizes) {
      expect(2 * classicQuorum(n)).toBeGreaterThan(n)
      expect(2 * (classicQuorum(n) - 1)).toBeLessThanOrEqual(n)
    }
  })

  it('two fast quorums and a classic one share a member, and the fast one is the smallest that does', () => {
    for (const n of sizes) {
      expect(2 * fastQuorum(n) + classicQuorum(n)).toBeGreaterThan(2 * n)
      expect(2 * (fastQuorum(n) - 1) + classicQuorum(n)).toBeLessThanOrEqual(2 * n)
      expect(fastQuorum(n)).toBe(Math.ceil(3 * n / 4))
    }
  })

  it('M1: whatever c or more members promise, at most one value can have f - (N - |Q|) of their votes', () => {
    for (const n of sizes.slice(0, 200)) {
      for (let promisers = classicQuorum(n); promisers <= n; promisers++) {
        const needed = fastQuorum(n) - (n - promisers)
        expect(needed).toBeGreaterThan(0)
        expect(2 * needed).toBeGreaterThan(promisers)
      }
    }
  })
})
