/**
 * Calls of a user that wait for an effect of the membership machine: each has a token, under which it is settled.
 *
 * Owns: the listeners on the signals of the calls that wait.
 */

/** Settles a promise. */
export interface Waiter {
  resolve (): void
  reject (error: unknown): void
}

export class PendingCalls {
  readonly #waiting = new Map<number, Waiter>()
  #tokens = 0

  /**
   * @param begin asks for the effect, under the token it is given.
   * @param signal ends the wait, with its reason; what was asked for goes on.
   */
  async wait (begin: (token: number) => void, signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted()
    const token = ++this.#tokens
    const abort = (): void => { this.#waiting.get(token)?.reject(signal?.reason) }
    signal?.addEventListener('abort', abort, { once: true })
    try {
      await new Promise<void>((resolve, reject) => {
        this.#waiting.set(token, { resolve, reject })
        begin(token)
      })
    } finally {
      this.#waiting.delete(token)
      signal?.removeEventListener('abort', abort)
    }
  }

  /** What these calls asked for is done. Tokens of calls that were ended before are ignored. */
  done (tokens: readonly number[]): void {
    for (const token of tokens) this.#waiting.get(token)?.resolve()
  }

  /** None of the calls that wait will be answered any more. */
  fail (error: Error): void {
    for (const { reject } of this.#waiting.values()) reject(error)
  }
}
