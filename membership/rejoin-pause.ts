/**
 * The pause before a process that was removed joins again.
 *
 * A process that flaps costs the others two view changes each time, so it waits longer each time; one that is removed once in a
 * while does not. Hence the pause doubles with each removal of the last `rejoinForgetMs`, and earlier ones are forgotten. Not in the
 * paper, whose removed processes stay away.
 *
 * Pure: the time is an argument.
 */
import type { MembershipTuning } from './tuning.ts'

/** Removals that are remembered. After as many doublings any pause is at its maximum. */
const REMEMBERED_MAX = 20

export class RejoinPause {
  readonly #tuning: Pick<MembershipTuning, 'rejoinDelayMs' | 'rejoinDelayMaxMs' | 'rejoinForgetMs'>
  /** When this process was removed lately, ascending. Invariant: length <= REMEMBERED_MAX. */
  #removedAtMs: readonly number[] = []

  constructor (tuning: Pick<MembershipTuning, 'rejoinDelayMs' | 'rejoinDelayMaxMs' | 'rejoinForgetMs'>) {
    this.#tuning = tuning
  }

  /** How long a process that was removed just now waits, in milliseconds; jitter is the caller's. */
  next (now: number): number {
    const { rejoinDelayMs, rejoinDelayMaxMs, rejoinForgetMs } = this.#tuning
    const recent = this.#removedAtMs.filter(atMs => now - atMs < rejoinForgetMs)
    this.#removedAtMs = [...recent, now].slice(-REMEMBERED_MAX)
    return Math.min(rejoinDelayMs * 2 ** recent.length, rejoinDelayMaxMs)
  }
}
