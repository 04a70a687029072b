/** The production environment and the seeded generator. */
import { describe, expect, test } from 'vitest'
import { SeededRandom } from '../../membership/environment/seeded-random.ts'
import { createJsonLog, createSystemClock, createSystemRandom } from '../../membership/environment/system.ts'

describe('seeded generator', () => {
  test('equal seeds give equal numbers, others and forks others', () => {
    const draw = (random: SeededRandom): number[] => Array.from({ length: 20 }, () => random.next())
    expect(draw(new SeededRandom(5))).toEqual(draw(new SeededRandom(5)))
    expect(draw(new SeededRandom(5))).not.toEqual(draw(new SeededRandom(6)))
    expect(draw(new SeededRandom(5))).not.toEqual(draw(new SeededRandom(5 + 2 ** 32)))
    expect(draw(new SeededRandom(5).fork('a'))).not.toEqual(draw(new SeededRandom(5).fork('b')))
  })

  test('a fork does not depend on what was drawn before', () => {
    const [a, b] = [new SeededRandom(5), new SeededRandom(5)]
    a.next()
    expect(a.fork('x').id()).toBe(b.fork('x').id())
  })

  test('is uniform: chi-squared over 64 cells of 64,000 draws stays below its 99.9 % quantile', () => {
    for (const seed of [0, 1, 2, 12345]) {
      const random = new SeededRandom(seed)
      const cells = new Array<number>(64).fill(0)
      for (let draw = 0; draw < 64_000; draw++) cells[random.below(64)]!++
      expect(cells.reduce((sum, count) => sum + (count - 1000) ** 2 / 1000, 0)).toBeLessThan(103.4)
    }
  })

  test('ids are 32 hexadecimal digits and do not repeat', () => {
    for (const random of [new SeededRandom(1), createSystemRandom()]) {
      const ids = new Set(Array.from({ length: 2000 }, () => random.id()))
      expect(ids.size).toBe(2000)
      for (const id of ids) expect(id).toMatch(/^[0-9a-f]{32}$/)
    }
  })
})

describe('system', () => {
  test('a timer never fires early, and a cancelled one never', async () => {
    const clock = createSystemClock()
    let cancelledFired = false
    const cancel = clock.setTimer(1, () => { cancelledFired = true })
    cancel()
    cancel()
    for (const delayMs of [0, 0.5, 1, 1.9, 7.3]) {
      const beganMs = clock.now()
      const firedMs = await new Promise<number>(resolve => { clock.setTimer(delayMs, () => resolve(clock.now())) })
      expect(firedMs - beganMs).toBeGreaterThanOrEqual(delayMs)
    }
    expect(cancelledFired).toBe(false)
  })

  test('a delay beyond what the platform holds does not fire at once', async () => {
    const clock = createSystemClock()
    let fired = false
    const cancel = clock.setTimer(2 ** 40, () => { fired = true })
    await new Promise<void>(resolve => { clock.setTimer(20, resolve) })
    cancel()
    expect(fired).toBe(false)
  })

  test('the log writes one JSON object per line, drops what is below its level, and survives any field', () => {
    const lines: string[] = []
    const log = createJsonLog({ level: 'warn', write: line => { lines.push(line) }, fields: { node: 'a:1' } })
    log.info({}, 'dropped')
    log.warn({ error: new TypeError('bad', { cause: 'worse' }), count: 2n }, 'text')
    const cycle: Record<string, unknown> = {}
    cycle.self = cycle
    log.error(cycle, 'cycle')
    const [first, second] = lines.map(line => JSON.parse(line) as Record<string, unknown>)
    expect(lines).toHaveLength(2)
    expect(first).toMatchObject({ level: 'warn', message: 'text', node: 'a:1', count: '2', error: { name: 'TypeError', message: 'bad', cause: 'worse' } })
    expect(second).toMatchObject({ level: 'error', message: 'cycle' })
  })
})
