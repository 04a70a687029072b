/**
 * Edge failure detectors (Rapid, ATC '18, section 6; rule M10).
 *
 * Mutations that were tried and are caught here: counting a refusal without a close before it; a verdict at the first refusal
 * after a close; a verdict at three failures; no patience with a first contact.
 */
import { describe, expect, test } from 'vitest'
import { WindowedPing } from '../../../membership/detector/windowed-ping.ts'
import { LAN } from '../../../membership/tuning.ts'

/** Probes every interval from 0 to `untilMs`; `answered` says which of them get a reply. */
function run (detector: WindowedPing, fromMs: number, untilMs: number, answered: (index: number) => boolean): void {
  let index = 0
  for (let now = fromMs; now <= untilMs; now += 50) {
    const sequence = detector.poll(now)
    if (sequence !== undefined && answered(index++)) detector.replied(now + 1, sequence)
  }
}

describe('windowed ping (section 6)', () => {
  test('an edge is faulty when four of the last ten probes failed, not at three', () => {
    const detector = new WindowedPing(0, LAN)
    const { probeIntervalMs, probeTimeoutMs } = LAN
    const last = 10 * probeIntervalMs
    run(detector, 0, last, () => true)
    expect(detector.faulty).toBe(false)
    // Probes go out after one, two, three and four intervals; each has failed a timeout later.
    run(detector, last + probeIntervalMs, last + 4 * probeIntervalMs, () => false)
    expect(detector.faulty).toBe(false)
    detector.poll(last + 4 * probeIntervalMs + probeTimeoutMs)
    expect(detector.faulty).toBe(true)
  })

  test('failures that left the window do not count', () => {
    const detector = new WindowedPing(0, LAN)
    run(detector, 0, 500, () => true)
    run(detector, 1000, 60_000, index => index % 4 !== 0)
    expect(detector.faulty).toBe(false)
  })

  test('a subject that was never reached gets more patience: its connection has to be opened first', () => {
    const reached = new WindowedPing(0, LAN)
    reached.link(0, 'opened')
    run(reached, 0, 0, () => true)
    const unreached = new WindowedPing(0, LAN)
    for (const detector of [reached, unreached]) run(detector, LAN.probeIntervalMs, 6 * LAN.probeIntervalMs, () => false)
    expect(reached.faulty).toBe(true)
    expect(unreached.faulty).toBe(false)
  })
})

describe('hard evidence (M10)', () => {
  const established = (): WindowedPing => {
    const detector = new WindowedPing(0, LAN)
    run(detector, 0, 1000, () => true)
    return detector
  }

  test('a close followed by refusals over 500 ms is a verdict, well before the window', () => {
    const detector = established()
    detector.link(1100, 'closed')
    for (let now = 1101; now <= 1600; now += 100) detector.link(now, 'refused')
    expect(detector.faulty).toBe(false)
    detector.link(1601, 'refused')
    expect(detector.faulty).toBe(true)
  })

  test('a close makes it ask at once, then often, then when the span ends, and then no more often than before', () => {
    const detector = established()
    detector.link(1100, 'closed')
    const asked: number[] = []
    while (!detector.faulty) {
      const now = detector.nextAtMs
      expect(detector.poll(now)).toBeDefined()
      asked.push(now)
      detector.link(now + 1, 'refused')
    }
    const { refusalProbeMs, refusalSpanMs, probeIntervalMs } = LAN
    expect(asked).toEqual([1100, 1100 + refusalProbeMs, 1101 + refusalSpanMs])
    detector.poll(detector.nextAtMs)
    expect(detector.nextAtMs - asked.at(-1)!).toBeGreaterThanOrEqual(probeIntervalMs)
  })

  test('refusals without an established connection before them count only as failed probes', () => {
    const detector = new WindowedPing(0, LAN)
    for (let now = 0; now <= 700; now += 100) {
      detector.poll(now)
      detector.link(now + 1, 'refused')
    }
    expect(detector.faulty).toBe(false)
  })

  test('a connection that opens again takes the evidence back', () => {
    const detector = established()
    detector.link(1100, 'closed')
    detector.link(1101, 'refused')
    detector.link(1300, 'opened')
    detector.link(1700, 'refused')
    expect(detector.faulty).toBe(false)
  })

  test('a later process of the same store is a verdict at once', () => {
    const detector = established()
    detector.succeeded()
    expect(detector.faulty).toBe(true)
  })
})
