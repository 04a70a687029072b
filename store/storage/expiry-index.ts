/**
 * The index of what expires, in the order of time, beside the data of each copy: where a leader looks for what is due.
 *
 * A record is written in the batch of the value that it speaks of, and is not touched when the value is overwritten or deleted: it names
 * the version that it is about, and whoever finds another version of the key lets it be. It goes when its time has been swept. So a
 * write reads nothing, and no store keeps anything about values that expire in memory.
 *
 * Owns nothing: the iterators that it opens are closed before it answers.
 */
import type { Database } from '../../membership/environment/environment.ts'
import type { Expiring } from '../group/effects.ts'
import { BINARY, copyRange, decodeExpiring, expiryKey } from './layout.ts'

const NO_KEY = new Uint8Array(0)

export class ExpiryIndex {
  readonly #database: Database

  constructor (database: Database) {
    this.#database = database
  }

  /** The records of a copy after one of them, or from the first on, up to `limit`. */
  async read (partition: number, copy: number, after: Expiring | null, limit: number): Promise<Expiring[]> {
    const { gte, lt } = copyRange('expiry', partition, copy)
    const range = after === null ? { gte, lt } : { gt: expiryKey(partition, copy, after.expires, after.key), lt }
    const records = await this.#database.iterator<Uint8Array, Uint8Array>({ ...range, limit, ...BINARY }).all()
    return records.map(([key, record]) => decodeExpiring(key, record))
  }

  /** Removes the records up to a time. */
  async forget (partition: number, copy: number, time: number): Promise<void> {
    const { gte } = copyRange('expiry', partition, copy)
    await this.#database.clear({ gte, lt: expiryKey(partition, copy, time + 1, NO_KEY), keyEncoding: 'view' })
  }
}
