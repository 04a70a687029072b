/**
 * What every failure `Detector` has to do, as one suite: run it on an implementation to find out whether it is good enough.
 *
 * Rapid (ATC '18), section 4.1, leaves the detector to the user; rule M10 says what counts as hard evidence. What a detector makes of
 * silence is its own affair, within the bounds that its expectations name.
 */
import { describe, expect, test } from 'vitest'
import type { Detector, DetectorFactory, LinkEvidence } from '../../membership/detector/detector.ts'
import { SeededRandom } from '../../membership/environment/seeded-random.ts'
import { LAN, type MembershipTuning } from '../../membership/tuning.ts'
import { Drive, prompt, silent, SUBJECT, type Answering } from './detector-drive.ts'
import { heapBytes } from './heap.ts'

/** What is this detector's own to choose. */
export interface DetectorExpectations {
  /** A subject that answered before and falls silent is faulty so long after its last answer at the latest. */
  readonly silenceVerdictMs: number
  /** A subject to which a connection was opened and that never answers is faulty so long after that at the latest. */
  readonly firstContactVerdictMs: number
  /** Whether a close and repeated refusals are a verdict (rule M10). A detector may ignore connections. @default true */
  readonly hardEvidence?: boolean
  /** @default LAN */
  readonly tuning?: MembershipTuning
}

interface Setting extends Required<DetectorExpectations> {
  readonly factory: DetectorFactory
}

export interface DetectorCheck {
  readonly name: string
  /** Throws when the detector does not hold it. */
  readonly run: (setting: Setting) => void
}

const SEEDS = 5
/** Verdicts are looked for at the polls, which are this far apart at the most while an answer is awaited. */
const GRAIN_MS = 50
const MEMORY_PROBES = 40_000
const MEMORY_GROWTH_BYTES_MAX = 1_000_000

/** A drive with an open connection. */
function connected ({ factory, tuning }: Setting, startMs = 0): Drive {
  const drive = new Drive(factory, tuning, startMs)
  drive.link('opened')
  return drive
}

/** A drive whose subject has answered so many probes. */
function answered (setting: Setting, probes: number): Drive {
  const drive = connected(setting)
  drive.run(Infinity, prompt, () => drive.probes.length === probes)
  drive.run(drive.now + 1, prompt)
  return drive
}

/** Runs on, and fails at the first verdict. */
function expectNoVerdict (drive: Drive, untilMs: number, answering: Answering): void {
  expect(drive.run(untilMs, answering, () => drive.detector.faulty), `a verdict at ${drive.now} ms`).toBe(false)
}

function expectVerdict (drive: Drive, withinMs: number, answering: Answering = silent): void {
  expect(drive.run(drive.now + withinMs + GRAIN_MS, answering, () => drive.detector.faulty), `a verdict within ${withinMs} ms`).toBe(true)
}

/** Calls of every kind at random times; what the detector says after each of them. */
function script (detector: Detector, seed: number, startMs: number, tuning: MembershipTuning): unknown[] {
  const random = new SeededRandom(seed)
  const said: unknown[] = []
  const evidence: LinkEvidence[] = ['opened', 'closed', 'refused', 'unreachable']
  let elapsedMs = 0
  let last = 0
  for (let step = 0; step < 2000; step++) {
    const now = startMs + elapsedMs
    const choice = random.next()
    if (choice < 0.1) detector.link(now, evidence[Math.floor(random.next() * 4)]!)
    else if (choice < 0.4) detector.replied(now, last - Math.floor(random.next() * 3))
    else if (choice > 0.999) detector.succeeded(now)
    const sequence = detector.poll(now)
    last = sequence ?? last
    // With another origin the last digits may differ.
    said.push([sequence, Math.round((detector.nextAtMs - startMs) * 1000) / 1000, detector.failing, detector.faulty])
    elapsedMs += Math.floor(random.next() * tuning.probeIntervalMs / 2)
  }
  return said
}

export const DETECTOR_CHECKS: readonly DetectorCheck[] = [
  {
    name: 'a subject that answers every probe in time is never failing, let alone faulty',
    run: setting => {
      for (let seed = 0; seed < SEEDS; seed++) {
        const random = new SeededRandom(seed)
        const drive = connected(setting)
        const inTime: Answering = () => [random.next() * setting.tuning.probeTimeoutMs * 0.9]
        expect(drive.run(500 * setting.tuning.probeIntervalMs, inTime, () => drive.detector.failing), `failing at ${drive.now} ms`).toBe(false)
      }
    }
  },
  {
    name: 'a single lost answer now and then is no verdict',
    run: setting => {
      expectNoVerdict(connected(setting), 500 * setting.tuning.probeIntervalMs, ({ index }) => index % 20 === 0 ? [] : [1])
    }
  },
  {
    name: 'silence is a verdict in time, and failing comes before it, however long the subject had answered',
    run: setting => {
      for (const probes of [1, 2, 3, 10, 11, 50, 300]) {
        const drive = answered(setting, probes)
        let failedFirst = false
        const until = drive.now + setting.silenceVerdictMs + GRAIN_MS
        const verdict = drive.run(until, silent, () => {
          failedFirst ||= drive.detector.failing && !drive.detector.faulty
          return drive.detector.faulty
        })
        expect(verdict, `a verdict within ${setting.silenceVerdictMs} ms of silence after ${probes} answers`).toBe(true)
        expect(failedFirst, 'failing before the verdict').toBe(true)
        expect(drive.run(drive.now + 20 * setting.tuning.probeIntervalMs, silent, () => !drive.detector.faulty), 'the verdict faded in silence').toBe(false)
      }
    }
  },
  {
    name: 'a subject that never answers is faulty in time',
    run: setting => { expectVerdict(connected(setting), setting.firstContactVerdictMs) }
  },
  {
    name: 'the first probe comes when it was asked for, the others once per interval, also while the subject is silent',
    run: ({ factory, tuning }) => {
      const { probeIntervalMs, probeTimeoutMs } = tuning
      const firstMs = 10_000 + Math.floor(0.7 * probeIntervalMs)
      for (const [answering, gapMaxMs] of [[prompt, 1.5 * probeIntervalMs], [silent, probeIntervalMs + probeTimeoutMs]] as const) {
        const drive = new Drive(factory, tuning, 10_000, firstMs)
        drive.run(firstMs, prompt)
        drive.link('opened')
        expect(drive.probes.map(({ atMs }) => atMs)).toEqual([firstMs])
        drive.run(drive.now + 1, prompt)
        drive.run(firstMs + 100 * probeIntervalMs, answering)
        for (const [index, { atMs }] of drive.probes.entries()) {
          if (index === 0) continue
          const gapMs = atMs - drive.probes[index - 1]!.atMs
          expect(gapMs).toBeGreaterThanOrEqual(0.5 * probeIntervalMs)
          expect(gapMs).toBeLessThanOrEqual(gapMaxMs)
        }
        expect(firstMs + 100 * probeIntervalMs - drive.probes.at(-1)!.atMs).toBeLessThanOrEqual(gapMaxMs)
      }
    }
  },
  {
    name: 'sequence numbers are whole, positive and never used twice',
    run: setting => {
      const drive = connected(setting)
      drive.run(200 * setting.tuning.probeIntervalMs, ({ index }) => index % 3 === 0 ? [] : [1])
      const sequences = drive.probes.map(({ sequence }) => sequence)
      for (const sequence of sequences) expect(Number.isSafeInteger(sequence) && sequence > 0, `${sequence} is a sequence number`).toBe(true)
      expect(new Set(sequences).size).toBe(sequences.length)
    }
  },
  {
    name: 'M10: an established connection that closed and refusals over refusalSpanMs are a verdict, not before and not much later',
    run: setting => {
      if (!setting.hardEvidence) return
      const { refusalSpanMs, refusalProbeMs } = setting.tuning
      const drive = answered(setting, 5)
      drive.onProbe = () => { drive.link('refused') }
      drive.link('closed')
      expect(drive.detector.faulty, 'a verdict at the close').toBe(false)
      expectNoVerdict(drive, drive.now + refusalSpanMs - 1, silent)
      expectVerdict(drive, 3 * refusalProbeMs)
    }
  },
  {
    name: 'M10: a reset alone is no verdict: the connection opens again and the subject answers',
    run: setting => {
      const { probeIntervalMs } = setting.tuning
      const drive = answered(setting, 5)
      for (let round = 0; round < 50; round++) {
        drive.link('closed')
        expectNoVerdict(drive, drive.now + 5, silent)
        drive.link('opened')
        expectNoVerdict(drive, drive.now + 3 * probeIntervalMs, prompt)
      }
    }
  },
  {
    name: 'M10: a refusal after a close is forgotten when the connection opens again',
    run: setting => {
      const drive = answered(setting, 5)
      drive.link('closed')
      drive.link('refused')
      drive.run(drive.now + 20, silent)
      drive.link('opened')
      expectNoVerdict(drive, drive.now + setting.tuning.refusalSpanMs, prompt)
      drive.link('refused')
      expectNoVerdict(drive, drive.now + 20 * setting.tuning.probeIntervalMs, prompt)
    }
  },
  {
    name: 'M10: refusals of further connections are no verdict on a subject that answers',
    run: setting => {
      const { probeIntervalMs } = setting.tuning
      const drive = answered(setting, 5)
      for (let round = 0; round < 200; round++) {
        drive.run(drive.now + probeIntervalMs / 10, prompt, () => drive.detector.faulty)
        drive.run(drive.now + 2, prompt)
        drive.link('refused')
        expect(drive.detector.faulty, `a verdict at ${drive.now} ms`).toBe(false)
      }
    }
  },
  {
    name: 'M10: a later process of the same store is a verdict at once and for good',
    run: setting => {
      for (const probes of [1, 5, 50]) {
        const drive = answered(setting, probes)
        drive.detector.succeeded(drive.now)
        expect(drive.detector.faulty).toBe(true)
      }
      const fresh = connected(setting)
      fresh.detector.succeeded(0)
      expect(fresh.detector.faulty).toBe(true)
    }
  },
  {
    name: 'an answer that comes late now and then is no verdict',
    run: setting => {
      const lateMs = 2.2 * setting.tuning.probeTimeoutMs
      expectNoVerdict(connected(setting), 500 * setting.tuning.probeIntervalMs, ({ index }) => [index % 15 === 7 ? lateMs : 1])
    }
  },
  {
    name: 'answers out of order and doubled ones are no verdict',
    run: setting => {
      const { probeIntervalMs } = setting.tuning
      const overtaken: Answering = ({ index }) => index % 15 === 7 ? [probeIntervalMs + 3] : [1]
      expectNoVerdict(connected(setting), 500 * probeIntervalMs, overtaken)
      expectNoVerdict(connected(setting), 500 * probeIntervalMs, () => [1, 1, 2, 3 * probeIntervalMs])
    }
  },
  {
    name: 'neither the last answer, however often repeated, nor answers to probes that were never sent are a sign of life',
    run: setting => {
      const known = answered(setting, 20)
      const unknown = answered(setting, 20)
      const last = known.probes.at(-1)!.sequence
      const gibberish = [0, -1, -last, 0.5, last + 1000, 2 ** 53 - 1, Number.NaN]
      const deadlineMs = known.now + setting.silenceVerdictMs + 2 * GRAIN_MS
      for (let nextMs = known.now; nextMs < deadlineMs; nextMs += GRAIN_MS / 2) {
        for (const drive of [known, unknown]) drive.run(nextMs, silent)
        known.reply(last)
        for (const sequence of gibberish) unknown.reply(sequence)
      }
      expect([known.detector.faulty, unknown.detector.faulty], 'verdicts on the repeated and on the made up').toEqual([true, true])
    }
  },
  {
    name: 'whatever happens, nextAtMs is a time to come after each poll',
    run: ({ factory, tuning }) => {
      const said = Array.from({ length: SEEDS }, (_, seed) => script(factory(SUBJECT, 0, tuning), seed, 0, tuning)).flat() as [unknown, number][]
      expect(said.every(([, nextAtMs]) => Number.isFinite(nextAtMs)), 'nextAtMs is finite').toBe(true)
      for (let seed = 0; seed < SEEDS; seed++) {
        const random = new SeededRandom(seed)
        const drive = new Drive(factory, tuning)
        const evidence: LinkEvidence[] = ['opened', 'closed', 'refused', 'unreachable']
        for (let step = 0; step < 500; step++) {
          drive.run(drive.now + random.next() * tuning.probeIntervalMs, () => random.next() < 0.5 ? [] : [random.next() * 2000])
          if (random.next() < 0.3) drive.link(evidence[Math.floor(random.next() * 4)]!)
        }
      }
    }
  },
  {
    name: 'the same calls give the same results, whatever the origin of time and whatever other detectors do',
    run: ({ factory, tuning }) => {
      for (let seed = 0; seed < SEEDS; seed++) {
        const first = script(factory(SUBJECT, 0, tuning), seed, 0, tuning)
        script(factory(SUBJECT, 0, tuning), seed + 1000, 0, tuning)
        expect(script(factory(SUBJECT, 0, tuning), seed, 0, tuning)).toEqual(first)
        for (const originMs of [1_000_003, -86_400_000]) expect(script(factory(SUBJECT, originMs, tuning), seed, originMs, tuning)).toEqual(first)
      }
    }
  },
  {
    name: 'it takes no more memory the longer it runs, be the subject silent or not',
    run: ({ factory, tuning }) => {
      for (const replies of [true, false]) {
        const detector = factory(SUBJECT, 0, tuning)
        detector.link(0, 'opened')
        let now = 0
        const probe = (count: number): void => {
          for (let index = 0; index < count; index++, now += tuning.probeIntervalMs) {
            const sequence = detector.poll(now)
            if (replies && sequence !== undefined) detector.replied(now + 1, sequence)
          }
        }
        probe(MEMORY_PROBES / 4)
        const before = heapBytes()
        probe(MEMORY_PROBES)
        const growth = heapBytes() - before
        expect(growth, `bytes after ${MEMORY_PROBES} more probes`).toBeLessThan(MEMORY_GROWTH_BYTES_MAX)
        // Used after the measurement, so that it was alive during it.
        expect(Number.isFinite(detector.nextAtMs)).toBe(true)
      }
    }
  }
]

/** Registers the whole suite with vitest. */
export function detectorConformance (name: string, factory: DetectorFactory, expectations: DetectorExpectations): void {
  const setting = settingOf(factory, expectations)
  describe(name, () => {
    for (const check of DETECTOR_CHECKS) test(check.name, () => { check.run(setting) })
  })
}

/** The names of the checks that a detector fails, of all or of some. */
export function failedChecks (factory: DetectorFactory, expectations: DetectorExpectations, checks = DETECTOR_CHECKS): string[] {
  const setting = settingOf(factory, expectations)
  return checks.filter(check => {
    try {
      check.run(setting)
      return false
    } catch {
      return true
    }
  }).map(check => check.name)
}

function settingOf (factory: DetectorFactory, expectations: DetectorExpectations): Setting {
  return { factory, hardEvidence: true, tuning: LAN, ...expectations }
}
