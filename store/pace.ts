/**
 * How slow things may be before they count as lost: this process just now, by how late its own ticks come, and what is long.
 *
 * Where the event loop is busy for long, every answer waits for it, too: nothing was lost, and what is sent again only makes the loop busier.
 * So whoever waits for an answer waits that many times longer.
 *
 * Pure.
 */

/** However late the ticks are, nothing takes longer than so many times its time: a loss must be noticed some day. */
const SLOWNESS_MAX = 8
/** What is left of it after each tick that came in time. */
const DECAY = 0.8

/**
 * Bytes per millisecond that a slow link, or a slow disk, is still given time for: who waits for the answer to something long waits that much
 * longer, since sent again it would only be later.
 */
export const SLOW_BYTES_PER_MS = 4096

/** What a replica core knows of it. */
export interface Slowness {
  /** From 1, for ticks that come in time, to 8. */
  readonly factor: number
}

/** For a core that is driven without ticks of its own. */
export const NOT_SLOW: Slowness = Object.freeze({ factor: 1 })

export class Pace implements Slowness {
  readonly #tickMs: number
  #lastMs: number
  #factor = 1

  /** @param tickMs how often `tick` is to be called */
  constructor (now: number, tickMs: number) {
    this.#lastMs = now
    this.#tickMs = tickMs
  }

  get factor (): number { return this.#factor }

  tick (now: number): void {
    const late = (now - this.#lastMs) / this.#tickMs
    this.#lastMs = now
    this.#factor = Math.min(Math.max(1, late, this.#factor * DECAY), SLOWNESS_MAX)
  }
}
