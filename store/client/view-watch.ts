/**
 * While calls pause, because nobody could serve them, one question for the next view of the cluster waits at a node, which answers as soon as
 * its configuration changes: after the crash of a leader a call goes on when there is a new one, and not at the end of a pause.
 *
 * It does nobody's work: calls go on by themselves at the ends of their pauses, whether it is answered or not.
 *
 * Pure.
 */
import type { Address } from '../../membership/environment/environment.ts'

/** A node that says nothing for so long is asked no more, but another one: it may hang, or be cut off from the others. */
export const VIEW_WATCH_MS = 5000

export class ViewWatch {
  readonly #pauseMs: number
  #asked: { readonly request: number, readonly to: Address, readonly endsAt: number } | undefined
  /** When the next question is due. */
  #startAt = Infinity
  /** The earliest time for it: after one that was lost, or told nothing new. */
  #earliest = -Infinity

  constructor (pauseMs: number) {
    this.#pauseMs = pauseMs
  }

  /** When `advance` must be called. */
  get wakeAt (): number {
    return this.#asked?.endsAt ?? this.#startAt
  }

  /** The node where the question waits. */
  get askedNode (): Address | undefined {
    return this.#asked?.to
  }

  /** A call pauses. */
  want (now: number): void {
    if (this.#asked === undefined) this.#startAt = Math.min(this.#startAt, Math.max(now, this.#earliest))
  }

  /**
   * The node to put the question to, if it is time for that. The caller sends it.
   * @param wanted whether any call pauses
   * @param node chooses one
   */
  advance (now: number, request: number, wanted: boolean, node: () => Address | undefined): Address | undefined {
    if (this.#asked !== undefined && now >= this.#asked.endsAt) {
      this.#asked = undefined
      this.#startAt = now
    }
    if (this.#asked !== undefined || now < this.#startAt) return undefined
    this.#startAt = Infinity
    const to = wanted ? node() : undefined
    if (to !== undefined) this.#asked = { request, to, endsAt: now + VIEW_WATCH_MS }
    return to
  }

  isAnswer (request: number): boolean {
    return this.#asked?.request === request
  }

  /** It was answered. With news calls go on at once, and say so when they pause again; what brought none is asked again after a pause. */
  answered (now: number, news: boolean): void {
    this.#asked = undefined
    this.#earliest = news ? now : now + this.#pauseMs
    this.#startAt = news ? Infinity : this.#earliest
  }

  /** Its connection is gone: another node is asked at once. */
  lost (now: number): void {
    this.#asked = undefined
    this.#startAt = now
  }
}
