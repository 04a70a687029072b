/**
 * Numbered items by how much each still needs, the neediest first: pick and decrement in constant time.
 *
 * The items lie sorted by need, so that all with one need are a contiguous bucket; taking one from an item swaps it with the last
 * of its bucket and moves the border between two buckets. Pure.
 */
import { RingError } from './errors.ts'

export class DeficitQueue {
  /** Invariant: needs[order[i]] >= needs[order[i + 1]], and order[positions.get(item)] = item. */
  readonly #order: Int32Array
  readonly #positions = new Map<number, number>()
  readonly #needs = new Map<number, number>()
  /** #above[n]: how many items need more than n. */
  readonly #above: Int32Array

  constructor (needs: ReadonlyMap<number, number>) {
    const items = [...needs].sort((a, b) => b[1] - a[1] || a[0] - b[0])
    this.#order = Int32Array.from(items, ([item]) => item)
    const most = items[0]?.[1] ?? 0
    this.#above = new Int32Array(most + 1)
    for (const [position, [item, need]] of items.entries()) {
      this.#positions.set(item, position)
      this.#needs.set(item, need)
      if (need > 0) this.#above[need - 1] = position + 1
    }
    for (let need = most - 1; need >= 0; need--) this.#above[need] = Math.max(this.#above[need]!, this.#above[need + 1]!)
  }

  need (item: number): number {
    return this.#needs.get(item) ?? 0
  }

  /** Notes that an item got one of what it needs. */
  decrement (item: number): void {
    const need = this.need(item)
    if (need <= 0) throw new RingError('RING_INVARIANT', `item ${item} needs nothing`)
    const position = this.#positions.get(item)!
    const last = --this.#above[need - 1]!
    const other = this.#order[last]!
    this.#order[last] = item
    this.#order[position] = other
    this.#positions.set(item, last)
    this.#positions.set(other, position)
    this.#needs.set(item, need - 1)
  }

  /**
   * The neediest item that is acceptable, and needs anything at all. Among equals the search begins at a place chosen by `hash`.
   * @returns the result of the first `accept` that is not undefined.
   */
  pick<Result> (hash: number, accept: (item: number) => Result | undefined): Result | undefined {
    for (let start = 0; start < this.#order.length;) {
      const need = this.#needs.get(this.#order[start]!)!
      if (need === 0) return undefined
      const size = this.#above[need - 1]! - start
      for (let step = 0; step < size; step++) {
        const result = accept(this.#order[start + (hash + step) % size]!)
        if (result !== undefined) return result
      }
      start += size
    }
    return undefined
  }
}
