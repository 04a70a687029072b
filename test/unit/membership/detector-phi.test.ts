/**
 * The phi accrual detector (Hayashibara et al., SRDS 2004, section 4) and the tail of the normal distribution that it needs.
 *
 * What every detector has to do is in detector-conformance.test.ts.
 *
 * Mutations that were tried and are caught here: the silence before a verdict as a sample; answers to hurried probes as samples, and the
 * intervals after them; no bound on the silence; a threshold of four fifths of the deviations; a verdict that an answer does not take
 * back; no least deviation; no pause by default; no patience with a first contact; the series and the fraction of the tail cut
 * short or with a wrong divisor.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Detector } from '../../../membership/detector/detector.ts'
import { deviationsOf, surprise } from '../../../membership/detector/normal-tail.ts'
import { PhiAccrual, phiAccrual } from '../../../membership/detector/phi-accrual.ts'
import type { PhiAccrualOptions } from '../../../membership/detector/phi-accrual-options.ts'
import { WindowedPing } from '../../../membership/detector/windowed-ping.ts'
import { SeededRandom } from '../../../membership/environment/seeded-random.ts'
import { LAN, TEST, WAN } from '../../../membership/tuning.ts'

const HOUR_MS = 3_600_000
/** Membership wakes so often at least while an answer is awaited. */
const TICK_MS = 50

describe('the upper tail of the normal distribution', () => {
  test('agrees with tables', () => {
    // Abramowitz and Stegun, tables 26.1 and 26.2.
    expect(10 ** -surprise(0)).toBeCloseTo(0.5, 12)
    expect(10 ** -surprise(1)).toBeCloseTo(0.158655253931457, 12)
    expect(10 ** -surprise(-1)).toBeCloseTo(1 - 0.158655253931457, 12)
    expect(10 ** -surprise(2)).toBeCloseTo(0.022750131948179, 12)
    expect(surprise(5)).toBeCloseTo(6.54265, 5)
    expect(surprise(10)).toBeCloseTo(23.11805, 5)
    expect(surprise(50)).toBeCloseTo(544.96634, 4)
  })

  test('grows with its argument, and is finite however far out', () => {
    fc.assert(fc.property(fc.double({ min: -1e6, max: 1e6, noNaN: true }), fc.double({ min: 0, max: 1e3, noNaN: true }), (low, step) => {
      const [before, after] = [surprise(low), surprise(low + step)]
      expect(Number.isFinite(after)).toBe(true)
      expect(after).toBeGreaterThanOrEqual(before * (1 - 1e-12))
    }))
  })

  test('deviationsOf is its inverse', () => {
    fc.assert(fc.property(fc.double({ min: 0.1, max: 300, noNaN: true }), level => {
      expect(surprise(deviationsOf(level))).toBeCloseTo(level, 6)
    }))
  })
})

/** Answers every probe after what `latencyMs` says; undefined is a lost one. Polls every TICK_MS. Returns the last time. */
function converse (detector: Detector, fromMs: number, untilMs: number, latencyMs: (index: number) => number | undefined): number {
  const answers: { readonly atMs: number, readonly sequence: number }[] = []
  let index = 0
  for (let now = fromMs; now <= untilMs; now += TICK_MS) {
    answers.sort((a, b) => a.atMs - b.atMs)
    while (answers.length > 0 && answers[0]!.atMs <= now) {
      const { atMs, sequence } = answers.shift()!
      detector.replied(atMs, sequence)
    }
    const sequence = detector.poll(now)
    if (sequence === undefined) continue
    const latency = latencyMs(index++)
    if (latency !== undefined) answers.push({ atMs: now + latency, sequence })
  }
  return untilMs
}

/** How long after `fromMs` silence becomes a verdict. */
function verdictAfterMs (detector: Detector, fromMs: number): number {
  for (let now = fromMs; now < fromMs + 120_000; now += 10) {
    detector.poll(now)
    if (detector.faulty) return now - fromMs
  }
  return Infinity
}

/** How long a silence after an answer becomes a verdict. */
function patienceMs (detector: Detector, fromMs: number): number {
  for (let now = fromMs; ; now += 10) {
    const sequence = detector.poll(now)
    if (sequence === undefined) continue
    detector.replied(now, sequence)
    return verdictAfterMs(detector, now)
  }
}

function opened (options: PhiAccrualOptions = {}, tuning = LAN): PhiAccrual {
  const detector = new PhiAccrual(0, tuning, options)
  detector.link(0, 'opened')
  return detector
}

describe('phi (section 4)', () => {
  test('never falls while the subject is silent, and passes every threshold in the end', () => {
    const history = fc.array(fc.option(fc.integer({ min: 0, max: 900 }), { nil: undefined }), { minLength: 1, maxLength: 60 })
    fc.assert(fc.property(history, fc.array(fc.integer({ min: 0, max: 5000 }), { maxLength: 50 }), (latencies, steps) => {
      const detector = opened({ threshold: 300 })
      let now = converse(detector, 0, latencies.length * 1000, index => latencies[index])
      let phi = detector.phi(now)
      for (const step of steps) {
        now += step
        detector.poll(now)
        expect(detector.phi(now)).toBeGreaterThanOrEqual(phi * (1 - 1e-12))
        phi = detector.phi(now)
      }
      expect(detector.phi(now + HOUR_MS)).toBeGreaterThan(300)
    }))
  })

  test('the verdict falls when phi reaches the threshold', () => {
    for (const threshold of [1, 4, 8, 16]) {
      const detector = opened({ threshold })
      const last = converse(detector, 0, 200_000, () => 3)
      let now = last
      while (!detector.faulty) {
        expect(detector.phi(now)).toBeLessThan(threshold)
        now += 10
        detector.poll(now)
      }
      expect(detector.phi(now)).toBeGreaterThanOrEqual(threshold)
      expect(detector.phi(now)).toBeLessThan(threshold + 2)
    }
  })

  test('an answer takes the verdict back', () => {
    const detector = opened()
    converse(detector, 0, 60_000, () => 3)
    const sequences: number[] = []
    for (let now = 60_010; now < 70_000; now += 10) {
      const sequence = detector.poll(now)
      if (sequence !== undefined) sequences.push(sequence)
    }
    expect(detector.faulty).toBe(true)
    detector.replied(70_000, sequences.at(-1)!)
    expect([detector.faulty, detector.failing]).toEqual([false, false])
  })

  test('a failure does not make it more patient with the next one', () => {
    const [fresh, recovered] = [opened(), opened()]
    converse(fresh, 0, 200_000, () => 3)
    converse(recovered, 0, 200_000, index => index >= 150 && index < 180 ? undefined : 3)
    expect(patienceMs(recovered, 200_010)).toBe(patienceMs(fresh, 200_010))
  })

  test('intervals from and to the answers to hurried probes after a close are no samples', () => {
    const [calm, flapping] = [opened(), opened()]
    const lastMs = converse(calm, 0, 200_000, () => 3)
    let now = 0
    while (now < lastMs) {
      now = converse(flapping, now, now + 2300, () => 3)
      flapping.link(now, 'closed')
      flapping.replied(now + 5, flapping.poll(now)!)
    }
    expect(Math.abs(patienceMs(flapping, now + 10) - patienceMs(calm, lastMs + 10))).toBeLessThanOrEqual(20)
  })

  test('a subject that was never reached gets more patience: its connection has to be opened first', () => {
    const { probeTimeoutMs } = LAN
    const [unreached, reached] = [new PhiAccrual(0, LAN), opened()]
    expect(verdictAfterMs(unreached, 0)).toBeGreaterThan(20 * probeTimeoutMs)
    expect(verdictAfterMs(reached, 0)).toBeGreaterThan(8 * probeTimeoutMs + LAN.probeIntervalMs)
    const refused = new PhiAccrual(0, LAN)
    refused.poll(0)
    refused.link(1, 'refused')
    expect(verdictAfterMs(refused, 10)).toBeLessThan(6000)
  })
})

describe('adapting', () => {
  test('a slow and irregular link earns patience; a regular one is judged sooner', () => {
    const random = new SeededRandom(1)
    const [regular, irregular] = [opened(), opened()]
    converse(regular, 0, 200_000, () => 3)
    converse(irregular, 0, 200_000, () => 100 + 700 * random.next())
    const [soon, late] = [verdictAfterMs(regular, 200_000), verdictAfterMs(irregular, 200_000)]
    expect(late).toBeGreaterThan(soon + 500)
  })

  test('a link whose answers always take longer than the timeout is no failure, unlike for the windowed ping', () => {
    const [phi, ping] = [opened(), new WindowedPing(0, LAN)]
    ping.link(0, 'opened')
    for (const detector of [phi, ping]) converse(detector, 0, 60_000, index => index < 5 ? 3 : 3 * LAN.probeTimeoutMs)
    expect([phi.faulty, ping.faulty]).toEqual([false, true])
  })

  test('however irregular the link was, silence is a verdict after silenceMaxMs', () => {
    fc.assert(fc.property(fc.array(fc.integer({ min: 0, max: 3000 }), { minLength: 1, maxLength: 200 }), latencies => {
      const detector = opened()
      // The last answer comes at the very end at the latest.
      const last = converse(detector, 0, latencies.length * 1000 + 3000, index => latencies[index])
      expect(verdictAfterMs(detector, last)).toBeLessThanOrEqual(2.5 * (1000 + 3000) + 10)
    }))
  })
})

interface HourOfProbing {
  /** When the observer began to call the subject, which lives, faulty. */
  readonly falseVerdictsMs: readonly number[]
  /** How long after the hour, when the subject crashes and nothing but silence tells, the verdict falls. */
  readonly crashVerdictMs: number
}

/** One observer's hour: a part of the answers is lost, the others take 20 ms and an exponential jitter of 40 ms in the mean. */
function hourOfProbing (detector: Detector, random: SeededRandom, loss: number): HourOfProbing {
  detector.link(0, 'opened')
  const falseVerdictsMs: number[] = []
  let faulty = false
  const answers: { readonly atMs: number, readonly sequence: number }[] = []
  for (let now = 0; now <= HOUR_MS; now += TICK_MS) {
    answers.sort((a, b) => a.atMs - b.atMs)
    while (answers.length > 0 && answers[0]!.atMs <= now) detector.replied(now, answers.shift()!.sequence)
    const sequence = detector.poll(now)
    if (detector.faulty && !faulty) falseVerdictsMs.push(now)
    faulty = detector.faulty
    if (sequence === undefined || random.next() < loss) continue
    answers.push({ atMs: now + 20 - 40 * Math.log(1 - random.next()), sequence })
  }
  return { falseVerdictsMs, crashVerdictMs: verdictAfterMs(detector, HOUR_MS) }
}

describe('an hour of probing with 5 % of the answers lost, and jitter; default options', () => {
  // A cut needs H = 9 of the 10 observers, and fewer than L = 3 remove nobody, so a single false verdict is harmless. The seeds are the
  // same for both detectors, so the differences are theirs.
  const observers = 10
  const hours = (make: () => Detector): HourOfProbing[] =>
    Array.from({ length: observers }, (_, seed) => hourOfProbing(make(), new SeededRandom(seed + 1), 0.05))

  test('phi accrual: none of the ten observers ever calls a live subject faulty, and all notice its crash within 6 s', () => {
    const results = hours(() => new PhiAccrual(0, LAN))
    expect(results.flatMap(({ falseVerdictsMs }) => falseVerdictsMs)).toEqual([])
    for (const { crashVerdictMs } of results) expect(crashVerdictMs).toBeLessThan(6000)
  })

  test('windowed ping: observers do now and then, but fewer than L within the time in which lone reports lapse', () => {
    const verdicts = hours(() => new WindowedPing(0, LAN)).map(({ falseVerdictsMs }) => falseVerdictsMs)
    expect(verdicts.flat().length).toBeGreaterThan(0)
    const lapseMs = 10 * LAN.unstableTimeoutMs
    const together = verdicts.flat().map(from => verdicts.filter(times => times.some(at => at >= from && at < from + lapseMs)).length)
    expect(Math.max(...together)).toBeLessThan(LAN.lowWatermark)
  })
})

describe('the verdict on a crashed subject with the presets', () => {
  test.each([['lan', LAN], ['wan', WAN], ['test', TEST]] as const)('%s: takes about as long as that of the windowed ping', (_name, tuning) => {
    const { probeIntervalMs } = tuning
    const [phi, ping] = [opened({}, tuning), new WindowedPing(0, tuning)]
    ping.link(0, 'opened')
    const [phiMs, pingMs] = [phi, ping].map(detector => {
      const last = converse(detector, 0, 200 * probeIntervalMs, () => 1)
      return verdictAfterMs(detector, last + 1)
    }) as [number, number]
    expect(Math.abs(phiMs - pingMs)).toBeLessThan(probeIntervalMs)
  })
})

describe('options', () => {
  test.each<[PhiAccrualOptions, RegExp]>([
    [{ threshold: 0 }, /threshold/], [{ threshold: Number.NaN }, /threshold/], [{ sampleWindow: 2.5 }, /sampleWindow must be an integer/],
    [{ minStandardDeviationMs: 0 }, /minStandardDeviationMs/], [{ treshold: 8 } as PhiAccrualOptions, /no option treshold/]
  ])('%o is refused', (options, message) => {
    expect(() => phiAccrual(options)).toThrow(expect.objectContaining({ code: 'MEMBERSHIP_INVALID_OPTIONS', message: expect.stringMatching(message) }))
  })
})
