/** The pause before a removed process joins again: it doubles with each removal that is not forgotten yet. */
import { expect, test } from 'vitest'
import { RejoinPause } from '../../../membership/rejoin-pause.ts'

const MINUTE_MS = 60_000
const make = (): RejoinPause => new RejoinPause({ rejoinDelayMs: 500, rejoinDelayMaxMs: 30_000, rejoinForgetMs: 10 * MINUTE_MS })

test('doubles with each removal within the window, up to the maximum', () => {
  const pause = make()
  expect(Array.from({ length: 9 }, (_, i) => pause.next(i * MINUTE_MS))).toEqual([500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000])
  for (let i = 9; i < 2000; i++) expect(pause.next(9 * MINUTE_MS + i)).toBe(30_000)
})

test('forgets a removal when the window is over, and only then', () => {
  const pause = make()
  pause.next(0)
  pause.next(MINUTE_MS)
  expect(pause.next(10 * MINUTE_MS - 1)).toBe(2000)
  // The first is forgotten, the second and third are not.
  expect(pause.next(10 * MINUTE_MS)).toBe(2000)
})

test('a process that is removed once a week never waits longer', () => {
  const pause = make()
  for (let week = 0; week < 52; week++) expect(pause.next(week * 7 * 24 * 60 * MINUTE_MS)).toBe(500)
})
