/**
 * When a stand-in answers for the main thread: only while that is blocked, and with how long it has been.
 *
 * Rule M10. A main thread that runs answers its probes itself, and if its answers do not arrive the network is at fault, which nobody may
 * hide. So a question is kept until the main thread has been blocked for as long as the asker thinks worth an excuse, and is given up
 * after twice that time: a main thread that ran for half of it had the time to answer.
 *
 * The main thread counts its beats, and this object sees the counter whenever it is called: "blocked for" is the time since it
 * first saw the present count, which may be less than the truth by the time between two calls, and is never more.
 *
 * Pure: the time is an argument.
 */

/** Questions kept at a time, over all askers: more than one per probe interval from each of a great many observers. */
const WAITING_MAX = 1024

/** Who waits for an answer: whatever the socket needs to send it. */
interface Waiting<Asker> {
  readonly asker: Asker
  readonly ticket: number
  readonly patienceMs: number
  readonly givenUpMs: number
}

export interface StandInAnswer<Asker> {
  readonly asker: Asker
  readonly ticket: number
  readonly blockedMs: number
}

export class StandInResponder<Asker> {
  #beats: number | undefined
  #beatsSinceMs = 0
  /** Invariant: size <= WAITING_MAX. */
  #waiting: Waiting<Asker>[] = []

  /** A question came; `beats` is the main thread's count now. Beyond what can be kept it is dropped, like a lost datagram. */
  ask (now: number, beats: number, asker: Asker, ticket: number, patienceMs: number): void {
    this.#see(now, beats)
    if (this.#waiting.length < WAITING_MAX) this.#waiting.push({ asker, ticket, patienceMs, givenUpMs: now + 2 * patienceMs })
  }

  /** The answers that are due. Call it after `ask`, and at `nextAtMs`. */
  due (now: number, beats: number): StandInAnswer<Asker>[] {
    this.#see(now, beats)
    const answers: StandInAnswer<Asker>[] = []
    const blockedMs = now - this.#beatsSinceMs
    this.#waiting = this.#waiting.filter(({ asker, ticket, patienceMs, givenUpMs }) => {
      if (blockedMs < patienceMs) return this.#beatsSinceMs + patienceMs <= givenUpMs
      answers.push({ asker, ticket, blockedMs })
      return false
    })
    return answers
  }

  /** Infinity while nobody waits. */
  get nextAtMs (): number {
    let next = Infinity
    for (const { patienceMs } of this.#waiting) next = Math.min(next, this.#beatsSinceMs + patienceMs)
    return next
  }

  #see (now: number, beats: number): void {
    if (beats === this.#beats) return
    this.#beats = beats
    this.#beatsSinceMs = now
  }
}
