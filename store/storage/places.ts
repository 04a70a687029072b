/**
 * A number of places for work on the disk: whoever finds none free waits, and gets one in the order of asking.
 *
 * Owns the places.
 */
export class Places {
  #free: number
  readonly #waiting: (() => void)[] = []
  #stopped = false

  constructor (places: number) {
    this.#free = places
  }

  /** Does something once a place is free. @throws {Error} when `stop` came first */
  async use<Result> (work: () => Promise<Result>): Promise<Result> {
    if (this.#free > 0) this.#free--
    else await new Promise<void>(resolve => { this.#waiting.push(resolve) })
    try {
      if (this.#stopped) throw new Error('the store stopped before this was read')
      return await work()
    } finally {
      // A place is passed on, or given back.
      const next = this.#waiting.shift()
      if (next === undefined) this.#free++
      else next()
    }
  }

  /** What waits for a place fails. */
  stop (): void {
    this.#stopped = true
  }
}
