/**
 * How long to wait for an answer before asking again: twice as long as answers take, and twice as long as the last time after a
 * question that got none.
 *
 * The retransmission timer of TCP (Jacobson, "Congestion Avoidance and Control", SIGCOMM 1988; Karn and Partridge, SIGCOMM 1987) at
 * its simplest. A fixed delay that is shorter than what an answer takes on a busy machine asks for everything several times,
 * which makes the machine busier; and where only the answer to the last question counts, it never gets one.
 *
 * Pure.
 */
import { NOT_SLOW, type Slowness } from '../pace.ts'

export class RoundTrip {
  readonly #leastMs: number
  readonly #mostMs: number
  readonly #slowness: Slowness
  /** Invariant: leastMs <= delayMs <= mostMs. */
  #delayMs: number
  /** The next answer may be one to an earlier question: how long it took is not known. */
  #ambiguous = false

  /** @param factorMax the longest delay, as a multiple of the least: how long, at most, a loss may go unnoticed after a slow time */
  constructor (leastMs: number, factorMax: number, slowness: Slowness = NOT_SLOW) {
    this.#slowness = slowness
    this.#leastMs = leastMs
    this.#mostMs = factorMax * leastMs
    this.#delayMs = leastMs
  }

  get delayMs (): number { return this.#delayMs * this.#slowness.factor }

  /** An answer came, so long after the last question. */
  answered (tookMs: number): void {
    if (!this.#ambiguous) this.#delayMs = Math.min(Math.max(this.#leastMs, this.#delayMs / 2, 2 * tookMs), this.#mostMs)
    this.#ambiguous = false
  }

  /** What is asked next has nothing to do with what was asked before. */
  reset (): void {
    this.#delayMs = this.#leastMs
    this.#ambiguous = false
  }

  /** No answer came within `delayMs`, and the question is asked again. */
  missed (): void {
    this.#delayMs = Math.min(2 * this.#delayMs, this.#mostMs)
    this.#ambiguous = true
  }
}
