/**
 * Keeps the client's view of the cluster fresh: asks one node after the other for it, one request at a time.
 *
 * A refresh that somebody waits for goes on, with pauses, until it succeeds; one that was merely suggested (an answer spoke of
 * a newer epoch, a node was lost) asks everyone known at most once, and no more often than every `REFRESH_INTERVAL_MIN_MS`.
 *
 * Pure.
 */
import type { Address } from '../../membership/environment/environment.ts'

/** Milliseconds between two refreshes that nobody waits for. */
export const REFRESH_INTERVAL_MIN_MS = 50

export class ViewRefresh {
  readonly #attemptTimeoutMs: number
  readonly #pauseMs: number
  /** Who is asked next, best first. */
  #queue: Address[] = []
  /** The one request under way. */
  #asked: { readonly request: number, readonly to: Address, readonly endsAt: number } | undefined
  /** When the next refresh begins, if one is wanted. */
  #startAt = Infinity
  /** The earliest time for a refresh that nobody waits for. */
  #earliest = -Infinity
  #preferred: Address | undefined
  /** Somebody waits: do not give up. */
  insistent = false

  constructor (attemptTimeoutMs: number, pauseMs: number) {
    this.#attemptTimeoutMs = attemptTimeoutMs
    this.#pauseMs = pauseMs
  }

  /** When `advance` must be called. */
  get wakeAt (): number {
    return this.#asked?.endsAt ?? this.#startAt
  }

  /** The node asked at present. */
  get askedNode (): Address | undefined {
    return this.#asked?.to
  }

  /** Suggests a refresh, soon. @param preferred a node that is known to know more */
  suggest (now: number, preferred?: Address): void {
    if (preferred !== undefined) this.#preferred = preferred
    if (this.#asked === undefined) this.#startAt = Math.min(this.#startAt, Math.max(now, this.#earliest))
  }

  /** Wants a refresh now, and until it succeeds. */
  insist (now: number): void {
    this.insistent = true
    if (this.#asked === undefined) this.#startAt = now
  }

  /**
   * The next node to ask, if it is time to ask one. The caller sends the request.
   * @param everyone lists whom to ask, best first
   */
  advance (now: number, request: number, everyone: () => Address[]): Address | undefined {
    if (this.#asked !== undefined && now >= this.#asked.endsAt) this.lost(now)
    if (this.#asked !== undefined || now < this.#startAt) return undefined
    if (this.#queue.length === 0) {
      const preferred = this.#preferred
      this.#preferred = undefined
      this.#queue = everyone().filter(address => address !== preferred)
      if (preferred !== undefined) this.#queue.unshift(preferred)
      this.#earliest = now + REFRESH_INTERVAL_MIN_MS
    }
    const to = this.#queue.shift()
    if (to === undefined) {
      this.#startAt = Infinity
      return undefined
    }
    this.#asked = { request, to, endsAt: now + this.#attemptTimeoutMs }
    return to
  }

  isAnswer (request: number): boolean {
    return this.#asked?.request === request
  }

  /** The node asked did not answer, or with nothing of use: the next one, if any is left, is asked at once. */
  lost (now: number): void {
    this.#asked = undefined
    if (this.#queue.length > 0) this.#startAt = now
    else this.#startAt = this.insistent ? now + this.#pauseMs : Infinity
  }

  /** A view came. */
  done (): void {
    this.#asked = undefined
    this.#queue = []
    this.#startAt = Infinity
    this.insistent = false
  }
}
