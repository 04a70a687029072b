/**
 * How a rebalance is said to get on.
 *
 * Mutations that these tests caught: a window that never moves, or does not begin anew; bytes that are no progress; a grace that counts
 * as left.
 */
import { describe, expect, test } from 'vitest'
import type { StoreId } from '../../../membership/configuration.ts'
import type { PendingHandovers } from '../../../store/pending-handovers.ts'
import { Progress } from '../../../store/progress.ts'

const NOTHING = { grace: 0, majority: 0, place: 0, rate: 0, silent: 0, copying: 0, ending: 0 }
const D = 'D' as StoreId
const waiting = (pending: Partial<PendingHandovers['pending']>, stores: readonly StoreId[] = []): PendingHandovers => ({ pending: { ...NOTHING, ...pending }, stores })

describe('progress', () => {
  test('has the rate of the last seconds, and the time that the rest takes at it', () => {
    const progress = new Progress()
    expect(progress.look(0, waiting({ copying: 40 }), 0)).toEqual({ handoversLeft: 40, handoversPerSecond: 0 })
    for (let second = 1; second <= 10; second++) progress.look(second * 1000, waiting({ copying: 40 - second }), second * 100)
    // From now on it is twice as fast; ten seconds later only that counts.
    let status
    for (let second = 11; second <= 20; second++) status = progress.look(second * 1000, waiting({ copying: 30 - 2 * (second - 10) }), second * 100)
    expect(status).toMatchObject({ handoversLeft: 10, leftMs: 5000, handoversPerSecond: 2 })
  })

  test('begins anew when there is more to do, and has nothing to say of the time when nothing was done yet', () => {
    const progress = new Progress()
    progress.look(0, waiting({ copying: 10 }), 0)
    progress.look(1000, waiting({ copying: 1 }), 0)
    expect(progress.look(2000, waiting({ copying: 20 }), 0)).toEqual({ handoversLeft: 20, handoversPerSecond: 0 })
    expect(progress.look(3000, waiting({ copying: 18 }), 0)).toMatchObject({ handoversPerSecond: 2, leftMs: 9000 })
  })

  test('says what most wait for, and for whom, once nothing has got on for a while', () => {
    const progress = new Progress()
    progress.look(0, waiting({ silent: 3, copying: 1 }, [D]), 0)
    expect(progress.look(4000, waiting({ silent: 3, copying: 1 }, [D]), 0)).not.toHaveProperty('standsStill')
    expect(progress.look(5000, waiting({ silent: 3, copying: 1 }, [D]), 0)).toMatchObject({ standsStill: { state: 'silent', stores: [D], forMs: 5000 } })
    expect(progress.look(6000, waiting({ silent: 3, copying: 1 }, [D]), 1), 'a byte was sent').not.toHaveProperty('standsStill')
    expect(progress.look(12_000, waiting({ silent: 2 }), 1), 'one is done').not.toHaveProperty('standsStill')
  })

  test('does not count what waits for a store that may come back', () => {
    const progress = new Progress()
    progress.look(0, waiting({ grace: 5 }), 0)
    expect(progress.look(100_000, waiting({ grace: 5 }), 0)).toEqual({ handoversLeft: 0, handoversPerSecond: 0 })
    // Only now there is something that could get on.
    expect(progress.look(101_000, waiting({ copying: 5 }), 0)).not.toHaveProperty('standsStill')
  })
})
