/**
 * A seeded random generator: the same seed gives the same numbers, on every machine.
 *
 * xoshiro128** of Blackman and Vigna, "Scrambled Linear Pseudorandom Number Generators" (ACM TOMS 47(4), 2021), with its
 * state filled from the seed by splitmix32. Not for secrets.
 *
 * Pure: its state is its own.
 */
import type { Random } from './environment.ts'

const rotateLeft = (word: number, bits: number): number => (word << bits) | (word >>> (32 - bits))

/** FNV-1a over the UTF-16 units of a text: turns names into seeds. */
export function hashText (text: string): number {
  let hash = 0x811c9dc5
  for (let index = 0; index < text.length; index++) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193)
  return hash >>> 0
}

/** A sequence of well mixed words from a weak seed, for filling the state of a better generator. */
function splitmix32 (seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x9e3779b9) >>> 0
    let word = state
    word = Math.imul(word ^ (word >>> 16), 0x21f0aaad)
    word = Math.imul(word ^ (word >>> 15), 0x735a2d97)
    return (word ^ (word >>> 15)) >>> 0
  }
}

export class SeededRandom implements Random {
  readonly #seed: number
  /** Invariant: not all four words are zero. */
  #a: number
  #b: number
  #c: number
  #d: number

  /** @param seed any number or text; numbers are taken modulo 2^53, both halves count. */
  constructor (seed: number | string) {
    this.#seed = typeof seed === 'string' ? hashText(seed) : ((seed >>> 0) ^ Math.imul(Math.floor(Math.abs(seed) / 2 ** 32), 0x9e3779b9)) >>> 0
    const fill = splitmix32(this.#seed)
    this.#a = fill()
    this.#b = fill()
    this.#c = fill()
    this.#d = fill() | 1
  }

  /** A uniform integer in [0, 2^32). */
  word (): number {
    const result = Math.imul(rotateLeft(Math.imul(this.#b, 5), 7), 9) >>> 0
    const shifted = this.#b << 9
    this.#c ^= this.#a
    this.#d ^= this.#b
    this.#b ^= this.#c
    this.#a ^= this.#d
    this.#c ^= shifted
    this.#d = rotateLeft(this.#d, 11)
    return result
  }

  next (): number {
    return ((this.word() >>> 5) * 0x4000000 + (this.word() >>> 6)) / 0x20000000000000
  }

  id (): string {
    let text = ''
    for (let part = 0; part < 4; part++) text += this.word().toString(16).padStart(8, '0')
    return text
  }

  /** A uniform integer in [0, limit). */
  below (limit: number): number {
    return Math.floor(this.next() * limit)
  }

  /** Uniform in [low, high). */
  between (low: number, high: number): number {
    return low + this.next() * (high - low)
  }

  /** True with this probability. Draws nothing for 0, so that a fault that is switched off does not move the sequence. */
  chance (probability: number): boolean {
    return probability > 0 && this.next() < probability
  }

  /** One element of a list that is not empty. */
  pick<Value> (values: readonly Value[]): Value {
    if (values.length === 0) throw new RangeError('cannot pick from an empty list')
    return values[this.below(values.length)]!
  }

  /** A new list with the same elements in random order (Fisher and Yates). */
  shuffle<Value> (values: readonly Value[]): Value[] {
    const shuffled = [...values]
    for (let last = shuffled.length - 1; last > 0; last--) {
      const other = this.below(last + 1)
      const value = shuffled[last]!
      shuffled[last] = shuffled[other]!
      shuffled[other] = value
    }
    return shuffled
  }

  /** An independent generator, named: what one consumer draws does not move what another sees. */
  fork (name: string): SeededRandom {
    return new SeededRandom((this.#seed ^ hashText(name)) >>> 0)
  }
}
