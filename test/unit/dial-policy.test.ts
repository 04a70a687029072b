/** Whom a transport dials next, and how long it leaves an address alone after a failure. */
import { describe, expect, test } from 'vitest'
import { DialPolicy } from '../../membership/transport/dial-policy.ts'

describe('dial policy', () => {
  test('a few attempts at a time; the others wait for their turn', () => {
    const policy = new DialPolicy(2, 100)
    policy.began()
    expect(policy.hasTurn).toBe(true)
    policy.began()
    policy.enqueue('a:1', undefined)
    expect(policy.hasTurn).toBe(false)
    expect(policy.next()).toBeUndefined()
    policy.ended()
    expect(policy.next()).toBe('a:1')
    expect(policy.next()).toBeUndefined()
  })

  test('addresses above the own one go first, each group in the order of arrival', () => {
    const policy = new DialPolicy(10, 100)
    for (const address of ['b:1', 'x:1', 'a:1', 'y:1']) policy.enqueue(address, 'm:1')
    expect(Array.from({ length: 4 }, () => policy.next())).toEqual(['x:1', 'y:1', 'b:1', 'a:1'])
  })

  test('pauses double up to sixteen times the first; what is urgent waits for the first alone', () => {
    const policy = new DialPolicy(10, 100)
    let now = 0
    for (const pauseMs of [100, 200, 400, 800, 1600, 1600, 1600]) {
      policy.failed(now, 'a:1')
      expect(policy.isPausing(now + pauseMs - 1, 'a:1', false)).toBe(true)
      expect(policy.isPausing(now + pauseMs, 'a:1', false)).toBe(false)
      expect(policy.isPausing(now + 99, 'a:1', true)).toBe(true)
      expect(policy.isPausing(now + 100, 'a:1', true)).toBe(false)
      now += 10_000
    }
    expect(policy.isPausing(now, 'b:1', false)).toBe(false)
  })

  test('an address that was reached starts anew', () => {
    const policy = new DialPolicy(10, 100)
    policy.failed(0, 'a:1')
    policy.failed(1000, 'a:1')
    policy.reached('a:1')
    expect(policy.isPausing(1000, 'a:1', false)).toBe(false)
    policy.failed(2000, 'a:1')
    expect(policy.isPausing(2100, 'a:1', false)).toBe(false)
  })
})
