/**
 * Which entry of a log carries which client operation, so that a retry is known (rule S9).
 *
 * Only a leader asks, so the index is made of the log when somebody asks first, and kept from then on. It has a map for each client,
 * with numbers for keys: joining both to a text costs more than looking twice.
 *
 * Pure: a part of a copy.
 */
import type { OperationId } from '../client-protocol.ts'
import type { Entry } from './history.ts'

export class OperationMemory {
  /** By client and the number that it gave. Invariant: no map in it is empty. */
  #seqs: Map<string, Map<number, number>> | undefined

  /**
   * The number of the entry that carries an operation, if the log remembers it.
   * @param entries the log
   */
  find ({ client, number }: OperationId, entries: readonly Entry[]): number | undefined {
    if (this.#seqs === undefined) {
      this.#seqs = new Map()
      for (const entry of entries) this.add(entry)
    }
    return this.#seqs.get(client)?.get(number)
  }

  /** An entry was appended to the log. */
  add ({ seq, body }: Entry): void {
    if (this.#seqs === undefined || body.kind !== 'write') return
    const { client, number } = body.id
    const known = this.#seqs.get(client)
    if (known === undefined) this.#seqs.set(client, new Map([[number, seq]]))
    else known.set(number, seq)
  }

  /** The log forgot an entry, or it was undone. */
  remove ({ seq, body }: Entry): void {
    if (this.#seqs === undefined || body.kind !== 'write') return
    const { client, number } = body.id
    const known = this.#seqs.get(client)
    if (known?.get(number) !== seq) return
    known.delete(number)
    if (known.size === 0) this.#seqs.delete(client)
  }
}
