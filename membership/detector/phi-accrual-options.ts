/**
 * The options of the phi accrual detector: what each means, its range, and its default.
 *
 * Hayashibara, Défago, Yared, Katayama, "The φ Accrual Failure Detector" (SRDS 2004), section 4. Why there are deviations is told in phi-accrual.ts.
 *
 * Pure.
 */
import { MembershipError } from '../errors.ts'
import type { MembershipTuning } from '../tuning.ts'
import { deviationsOf } from './normal-tail.ts'

/** Times are in milliseconds; defaults are derived from the tuning of the membership. */
export interface PhiAccrualOptions {
  /** The phi from which an edge is faulty. 0.1 to 300. Raising it makes false verdicts rarer and true ones later. @default 8 */
  readonly threshold?: number
  /** Intervals that are judged by. 2 to 10000. Raising it makes the detector slower to adapt and surer. @default 100 */
  readonly sampleWindow?: number
  /** The least standard deviation that a link is thought to have. @default a tenth of `probeIntervalMs` */
  readonly minStandardDeviationMs?: number
  /**
   * Silence beyond the mean interval that is never held against the subject.
   * @default `probeTimeoutMs` and two and a half probe intervals, so that on a quiet link the verdict on a crashed subject takes as
   * long as that of the windowed ping: about four seconds with the preset `lan`
   */
  readonly acceptablePauseMs?: number
  /** The interval expected before the first was seen; its standard deviation is taken to be a quarter of it. @default `probeIntervalMs` */
  readonly firstIntervalMs?: number
  /** Silence of a subject that once answered is a verdict after this long. @default two and a half times the interval and pause together */
  readonly silenceMaxMs?: number
}

const DAY_MS = 86_400_000
const DEFAULT_THRESHOLD = 8

const BOUNDS: Readonly<Record<keyof PhiAccrualOptions, readonly [number, number]>> = Object.freeze({
  threshold: [0.1, 300],
  sampleWindow: [2, 10_000],
  minStandardDeviationMs: [0.001, DAY_MS],
  acceptablePauseMs: [0, DAY_MS],
  firstIntervalMs: [1, DAY_MS],
  silenceMaxMs: [1, DAY_MS]
})

function refuse (message: string): never {
  throw new MembershipError('MEMBERSHIP_INVALID_OPTIONS', message)
}

/** @throws {MembershipError} MEMBERSHIP_INVALID_OPTIONS naming the first option that is unknown or out of its range. */
export function checkPhiAccrualOptions (options: PhiAccrualOptions): void {
  for (const [name, value] of Object.entries(options) as [keyof PhiAccrualOptions, unknown][]) {
    if (!Object.hasOwn(BOUNDS, name)) refuse(`phiAccrual has no option ${name}`)
    const [low, high] = BOUNDS[name]
    const fits = typeof value === 'number' && value >= low && value <= high && (name !== 'sampleWindow' || Number.isInteger(value))
    if (value !== undefined && !fits) refuse(`phiAccrual: ${name} must be ${name === 'sampleWindow' ? 'an integer' : 'a number'} from ${low} to ${high}`)
  }
}

/** Standard deviations at which phi reaches the threshold. */
export function thresholdOf ({ threshold = DEFAULT_THRESHOLD }: PhiAccrualOptions): number {
  return deviationsOf(threshold)
}

/** @param options checked ones */
export function fillPhiAccrualOptions (options: PhiAccrualOptions, tuning: MembershipTuning): Required<PhiAccrualOptions> {
  const { probeIntervalMs, probeTimeoutMs } = tuning
  const { threshold = DEFAULT_THRESHOLD, sampleWindow = 100, firstIntervalMs = probeIntervalMs } = options
  const { minStandardDeviationMs = probeIntervalMs / 10 } = options
  const { acceptablePauseMs = probeTimeoutMs + 2.5 * probeIntervalMs, silenceMaxMs = 2.5 * (firstIntervalMs + acceptablePauseMs) } = options
  return { threshold, sampleWindow, minStandardDeviationMs, acceptablePauseMs, firstIntervalMs, silenceMaxMs }
}
