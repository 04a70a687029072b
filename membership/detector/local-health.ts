/**
 * How slow this process itself is: the factor by which it stretches the timeouts it applies to others.
 *
 * Dadgar et al., "Lifeguard: Local Health Awareness for More Accurate Failure Detection" (DSN 2018), reduced to its simplest
 * signal: how late timers run. Rule M10 bounds the stretch at eightfold. A process that was late once is likely to be late
 * again, and what it missed meanwhile still waits in its sockets: so the stretch fades over seconds, not with the next timer.
 *
 * Pure: the time is an argument.
 */
const STRETCH_MAX = 8

export class LocalHealth {
  readonly #unitMs: number
  readonly #halfLifeMs: number
  /** Invariant: 0 <= excess <= STRETCH_MAX - 1. */
  #excess = 0
  #observedAtMs = 0

  /**
   * @param unitMs lateness that doubles the timeouts.
   * @param halfLifeMs time after which half of an earlier lateness is forgiven.
   */
  constructor (unitMs: number, halfLifeMs: number) {
    this.#unitMs = unitMs
    this.#halfLifeMs = halfLifeMs
  }

  /** Reports that a timer ran `lateMs` after it was due. */
  observe (now: number, lateMs: number): void {
    const faded = this.#excess * 0.5 ** ((now - this.#observedAtMs) / this.#halfLifeMs)
    this.#excess = Math.min(STRETCH_MAX - 1, Math.max(lateMs / this.#unitMs, faded))
    this.#observedAtMs = now
  }

  /** 1 for a process that keeps up, at most 8. */
  get stretch (): number {
    return 1 + this.#excess
  }
}
