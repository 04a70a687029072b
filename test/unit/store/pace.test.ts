/**
 * How slow a process is by its own ticks, and that what waits for answers waits as much longer.
 *
 * Mutations that these tests caught: the factor is not bounded; it does not fall; a round trip does not heed it.
 */
import { expect, test } from 'vitest'
import { RoundTrip } from '../../../store/group/round-trip.ts'
import { Pace } from '../../../store/pace.ts'

test('ticks that come in time say that nothing is slow', () => {
  const pace = new Pace(0, 100)
  for (let tick = 1; tick <= 10; tick++) {
    pace.tick(100 * tick)
    expect(pace.factor).toBe(1)
  }
})

test('one late tick counts at once, is forgotten within ten that come in time, and is bounded', () => {
  const pace = new Pace(0, 100)
  pace.tick(400)
  expect(pace.factor).toBe(4)
  for (let tick = 1; tick <= 10; tick++) {
    const before = pace.factor
    pace.tick(400 + 100 * tick)
    expect(pace.factor).toBeLessThanOrEqual(before)
  }
  expect(pace.factor).toBe(1)
  pace.tick(1e9)
  expect(pace.factor).toBe(8)
})

test('a question is asked again after its delay, times the slowness of the moment', () => {
  const pace = new Pace(0, 100)
  const roundTrip = new RoundTrip(300, 4, pace)
  expect(roundTrip.delayMs).toBe(300)
  pace.tick(300)
  expect(roundTrip.delayMs).toBe(900)
  roundTrip.missed()
  expect(roundTrip.delayMs).toBe(1800)
  roundTrip.reset()
  expect(roundTrip.delayMs).toBe(900)
})
