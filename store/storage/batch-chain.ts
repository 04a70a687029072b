/**
 * The numbers of the batches that a store has written, so that one that LevelDB lost on the way is missed.
 *
 * At opening LevelDB replays its logs, and passes over what is damaged in them without a word, also in the middle: later batches stay,
 * whose state records speak of data that went with the lost one. So each batch carries its number as a key of its own, and drops the
 * numbers of batches so old that they are in tables. What is left at opening must be contiguous.
 *
 * That finds a gap. It cannot find an end that is missing: that is an older state of the store, which looks like one.
 *
 * Pure.
 */
import { damaged } from './checksum.ts'

/**
 * LevelDB's two logs, one that is filled and one that becomes a table meanwhile, hold less than this, with its `writeBufferSize` of 4 MiB. Whoever
 * raises that has to raise this as much, or a batch can get lost whose number is dropped already.
 */
const LOGS_BYTES = 16 * 1024 * 1024
/** No batch counts for more: a log is full with it, and the next batch begins another. */
const BATCH_BYTES_MAX = LOGS_BYTES / 4

export class BatchChain {
  #last: number
  /** The batches whose numbers are on the disk, oldest first, from `#from` on; those before it are dropped. */
  #kept: { readonly number: number, readonly bytes: number }[] = []
  #from = 0
  /** Bytes of the kept batches. */
  #bytes = 0

  /** @param last the number of the last batch of an earlier run; 0 for none */
  constructor (last: number) {
    this.#last = last
    if (last > 0) this.#kept.push({ number: last, bytes: 0 })
  }

  /** Adds a batch. Returns its number, and the numbers that need not be kept any longer. */
  append (bytes: number): { readonly number: number, readonly expired: readonly number[] } {
    const number = ++this.#last
    const counted = Math.min(bytes, BATCH_BYTES_MAX)
    const expired: number[] = []
    while (this.#bytes >= LOGS_BYTES) {
      const { number: old, bytes: oldBytes } = this.#kept[this.#from]!
      if (this.#bytes - oldBytes < LOGS_BYTES) break
      this.#bytes -= oldBytes
      this.#from++
      expired.push(old)
    }
    // A queue in an array: the dropped part goes when it is the larger one.
    if (this.#from > this.#kept.length / 2) {
      this.#kept = this.#kept.slice(this.#from)
      this.#from = 0
    }
    this.#kept.push({ number, bytes: counted })
    this.#bytes += counted
    return { number, expired }
  }
}

/**
 * Checks the numbers found at opening, in order, and returns the last one; 0 where there is none.
 * @throws {StoreError} STORE_DIRECTORY_DAMAGED when one is missing
 */
export function lastBatch (numbers: readonly number[]): number {
  numbers.forEach((number, index) => {
    const expected = numbers[0]! + index
    if (number !== expected) throw damaged(`batch ${expected} is missing, and later ones are there`)
  })
  return numbers.at(-1) ?? 0
}
