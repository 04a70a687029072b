/** The settings of the cut detector, their defaults and their limits. Pure. */
import type { Address } from './environment/environment.ts'
import { MembershipError } from './errors.ts'

export interface CutDetectorOptions {
  /**
   * H: of K observers, how many must report a subject to make it stable. L <= H <= K. Raising it makes cuts larger and rarer,
   * and needs more observers alive. @default 9
   */
  readonly highWatermark?: number
  /** L: of K observers, how many reports are more than noise. 1 <= L <= H. Raising it tolerates more bad observers. @default 3 */
  readonly lowWatermark?: number
  /** How long unstable joins may hold a cut back, in milliseconds. Raising it puts more joiners into one cut. @default 100 */
  readonly batchWindowMs?: number
  /** How long a tally may stay between L and H before its observers are asked to echo, in milliseconds. @default 2000 */
  readonly unstableTimeoutMs?: number
  /** Addresses of joiners that have had their delay in an earlier configuration. @default none */
  readonly delayedAddresses?: Iterable<Address>
}

export const CUT_DETECTOR_DEFAULTS: Required<CutDetectorOptions> = Object.freeze({
  highWatermark: 9,
  lowWatermark: 3,
  batchWindowMs: 100,
  unstableTimeoutMs: 2000,
  delayedAddresses: Object.freeze([])
})

/** @throws {MembershipError} MEMBERSHIP_INVALID_OPTIONS */
export function checkCutDetectorOptions (options: Required<CutDetectorOptions>, ringCount: number): void {
  const { batchWindowMs, highWatermark, lowWatermark, unstableTimeoutMs } = options
  const refuse = (why: string): never => { throw new MembershipError('MEMBERSHIP_INVALID_OPTIONS', why) }
  if (!Number.isInteger(lowWatermark) || !Number.isInteger(highWatermark) ||
    lowWatermark < 1 || lowWatermark > highWatermark || highWatermark > ringCount) {
    refuse(`The watermarks must be integers with 1 <= L <= H <= K; L is ${lowWatermark}, H is ${highWatermark}, K is ${ringCount}.`)
  }
  if (!Number.isFinite(batchWindowMs) || batchWindowMs < 0) refuse(`batchWindowMs must not be negative; it is ${batchWindowMs}.`)
  if (!Number.isFinite(unstableTimeoutMs) || unstableTimeoutMs <= 0) refuse(`unstableTimeoutMs must be positive; it is ${unstableTimeoutMs}.`)
}
