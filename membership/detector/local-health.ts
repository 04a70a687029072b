/**
 * How slow this process itself is: the factor by which it stretches the timeouts it applies to others.
 *
 * Dadgar et al., "Lifeguard: Local Health Awareness for More Accurate Failure Detection" (DSN 2018), reduced to its simplest
 * signal: how late timers run. Rule M10 bounds the stretch at eightfold.
 *
 * Pure.
 */
const STRETCH_MAX = 8
/** Each timer that is on time halves what is left of an earlier lateness. */
const DECAY = 0.5

export class LocalHealth {
  readonly #unitMs: number
  /** Invariant: 0 <= excess <= STRETCH_MAX - 1. */
  #excess = 0

  /** @param unitMs lateness that doubles the timeouts. */
  constructor (unitMs: number) {
    this.#unitMs = unitMs
  }

  /** Reports that a timer ran `lateMs` after it was due. */
  observe (lateMs: number): void {
    this.#excess = Math.min(STRETCH_MAX - 1, Math.max(lateMs / this.#unitMs, this.#excess * DECAY))
  }

  /** 1 for a process that keeps up, at most 8. */
  get stretch (): number {
    return 1 + this.#excess
  }
}
