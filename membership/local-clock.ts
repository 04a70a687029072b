/**
 * The time that this process had for its work: real time without what it lost to its own lateness.
 *
 * Dadgar et al., "Lifeguard: Local Health Awareness for More Accurate Failure Detection" (DSN 2018) stretch timeouts while the
 * local process is slow. Here the clock itself slows down: when a timer runs late, answers wait unread in the sockets for just as
 * long, so the lateness does not count, for any timeout of the machine alike. Rule M10 bounds the stretch at eightfold: this
 * clock runs at an eighth of real time at the least, so that a process that is always late still detects, decides and retries.
 *
 * Pure: it is told the real time.
 */
const RATE_MIN = 1 / 8
/** Lateness that every timer has; not a sign of anything. */
const TOLERANCE_MS = 5

export class LocalClock {
  /** Invariant: never falls, and never by more than 7/8 of the real time between two readings rises. */
  #lostMs = 0
  #lastMs: number | undefined
  /** When the pending timer is due, in real time; Infinity when there is none. */
  #dueMs = Infinity

  /** What this process lost to its lateness so far. */
  get lostMs (): number {
    return this.#lostMs
  }

  /** The local time at a real time, which must not go back. */
  read (realMs: number): number {
    const lastMs = this.#lastMs ?? realMs
    this.#lastMs = realMs
    const lateMs = realMs - Math.max(this.#dueMs, lastMs)
    if (lateMs > TOLERANCE_MS) this.#lostMs += Math.min(lateMs, (realMs - lastMs) * (1 - RATE_MIN))
    return realMs - this.#lostMs
  }

  /** A timer was set for a local time. Returns the real time to set it for. */
  expect (localMs: number): number {
    this.#dueMs = localMs + this.#lostMs
    return this.#dueMs
  }
}
