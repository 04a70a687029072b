/**
 * A signal that is aborted with the first of several, for work that is shorter than they are.
 *
 * `AbortSignal.any` would leave something in each of its sources for as long as these live: with every scan, in the signal that the whole
 * client has. This one listens to them only while something is under way that wants to know.
 *
 * Owns: its listeners, meanwhile.
 */
import { setMaxListeners } from 'node:events'

export class JointSignal {
  readonly #controller = new AbortController()
  readonly #sources: readonly AbortSignal[]
  #underWay = 0
  readonly #abort = (): void => {
    const source = this.#sources.find(({ aborted }) => aborted)
    if (source !== undefined) this.#controller.abort(source.reason)
  }

  constructor (sources: readonly AbortSignal[]) {
    this.#sources = sources
    // As many as work at once may listen to one source, and that is no leak.
    setMaxListeners(0, ...sources)
  }

  /** Aborted when a source was while something was under way, or before that began; nobody tells it in between. */
  get signal (): AbortSignal {
    return this.#controller.signal
  }

  /** Carries `work` out, with the signal listening to its sources for so long. Any number of them may be under way at once. */
  async during<T> (work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    if (this.#underWay++ === 0) {
      for (const source of this.#sources) source.addEventListener('abort', this.#abort)
      this.#abort()
    }
    try {
      return await work(this.#controller.signal)
    } finally {
      if (--this.#underWay === 0) for (const source of this.#sources) source.removeEventListener('abort', this.#abort)
    }
  }
}
