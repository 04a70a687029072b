/**
 * The trace of a simulation: one line per thing that happened, digested as it grows, so that "same seed, same run, byte for
 * byte" is one comparison. The last lines are kept for whoever reads a failure.
 *
 * Owns: the lines.
 */
import { createHash, type Hash } from 'node:crypto'

/** Lines wait in memory until there are this many, and are then digested together. */
const DIGEST_LINES = 512

export class Trace {
  readonly #hash: Hash = createHash('sha256')
  readonly #keptMax: number
  /** The last lines; trimmed once it is twice as long as it has to be. */
  #kept: string[] = []
  #pending: string[] = []
  #count = 0

  /** @param keptMax how many of the last lines `lines()` gives. */
  constructor (keptMax: number) {
    this.#keptMax = keptMax
  }

  add (timeMs: number, host: string, what: string): void {
    const line = `${timeMs.toFixed(3)} ${host} ${what}`
    this.#count++
    this.#pending.push(line)
    if (this.#pending.length >= DIGEST_LINES) this.#digestPending()
    if (this.#keptMax > 0) {
      this.#kept.push(line)
      if (this.#kept.length >= 2 * this.#keptMax && this.#keptMax !== Infinity) this.#kept = this.#kept.slice(-this.#keptMax)
    }
  }

  #digestPending (): void {
    if (this.#pending.length === 0) return
    this.#hash.update(this.#pending.join('\n') + '\n')
    this.#pending = []
  }

  get count (): number {
    return this.#count
  }

  /** The last lines, oldest first. */
  lines (): string[] {
    return this.#keptMax === 0 ? [] : this.#kept.slice(-Math.min(this.#keptMax, this.#kept.length))
  }

  /** SHA-256 over all lines so far. */
  digest (): string {
    this.#digestPending()
    return this.#hash.copy().digest('hex')
  }
}
