/** The clock that leaves out this process's own lateness (rule M10). */
import { describe, expect, test } from 'vitest'
import { LocalClock } from '../../../membership/local-clock.ts'

describe('M10: lateness of the local loop stretches timeouts, at most eightfold', () => {
  test('a process on time has real time', () => {
    const clock = new LocalClock()
    clock.read(1000)
    expect(clock.expect(1500)).toBe(1500)
    expect(clock.read(1500)).toBe(1500)
    expect(clock.read(1502)).toBe(1502)
  })

  test('waiting for nothing is no lateness', () => {
    const clock = new LocalClock()
    clock.read(1000)
    clock.expect(Infinity)
    expect(clock.read(60_000)).toBe(60_000)
  })

  test('the lateness of a timer does not count', () => {
    const clock = new LocalClock()
    clock.read(1000)
    clock.expect(1500)
    expect(clock.read(2500)).toBe(1500)
    expect(clock.expect(2000)).toBe(3000)
    expect(clock.read(3000)).toBe(2000)
  })

  test('time runs at an eighth at the least', () => {
    const clock = new LocalClock()
    clock.read(0)
    clock.expect(0)
    let last = 0
    for (let real = 100; real <= 8000; real += 100) {
      const local = clock.read(real)
      clock.expect(local)
      expect(local - last).toBeGreaterThanOrEqual(100 / 8 - 1e-9)
      last = local
    }
    expect(last).toBeCloseTo(1000, 5)
  })

  test('messages that arrive before the late timer are late, too', () => {
    const clock = new LocalClock()
    clock.read(0)
    clock.expect(100)
    expect(clock.read(1000)).toBeCloseTo(125, 5)
    expect(clock.read(1100)).toBeCloseTo(137.5, 5)
  })
})
