/**
 * The copies of partitions in the database, besides what is written to them in batches (store-writer.ts): reads them, and deletes what is not
 * needed any more.
 *
 * Owns the iterators that it opens, which are closed before it answers.
 */
import type { Database } from '../../membership/environment/environment.ts'
import type { Expiring, Found } from '../group/effects.ts'
import type { Item } from '../group/messages.ts'
import type { ScanSpec } from '../scan-range.ts'
import { ExpiryIndex } from './expiry-index.ts'
import { KeyReader, type KeysWanted } from './key-reader.ts'
import { BINARY, copyRange, dataKey, decodeValue, userKeyOf } from './layout.ts'
import { type RangeItems, RangeReader } from './range-reader.ts'

export class Copies {
  readonly #database: Database
  readonly #keys: KeyReader
  readonly #ranges: RangeReader
  readonly #expiries: ExpiryIndex

  constructor (database: Database) {
    this.#database = database
    this.#keys = new KeyReader(database)
    this.#ranges = new RangeReader(database)
    this.#expiries = new ExpiryIndex(database)
  }

  /** Whether `fetchNow` may be used: not every database can. */
  get answersAtOnce (): boolean { return this.#keys.answersAtOnce }

  /** The values of keys, read on the event loop. */
  fetchNow (wanted: KeysWanted): Found {
    return this.#keys.readNow(wanted)
  }

  /** The values of keys, of all copies in one read: one list per element of `wanted`. */
  async fetch (wanted: readonly KeysWanted[]): Promise<Found[]> {
    const found = await this.#keys.read(wanted)
    let from = 0
    return wanted.map(({ keys: { length } }) => found.slice(from, from += length))
  }

  /** The values of the first keys of a long list (`isLongRead`), until they have its bytes. */
  fetchFirst (wanted: KeysWanted): Promise<Found> {
    return this.#keys.readInParts(wanted)
  }

  /** The items of a copy after a key, or from its beginning, up to about `bytesMax`, and at least one if there is one. */
  async scan (partition: number, copy: number, after: Uint8Array | null, bytesMax: number): Promise<RangeItems> {
    const { gte, lt } = copyRange('data', partition, copy)
    const range = after === null ? { gte, lt } : { gt: dataKey(partition, copy, after), lt }
    const iterator = this.#database.iterator<Uint8Array, Uint8Array>({ ...range, ...BINARY })
    const items: Item[] = []
    let bytes = 0
    try {
      for await (const [key, record] of iterator) {
        items.push({ key: userKeyOf(key), ...decodeValue(key, record) })
        bytes += key.length + record.length
        if (bytes >= bytesMax) return { items, done: false }
      }
    } finally {
      await iterator.close()
    }
    return { items, done: true }
  }

  /** A page of a range, from one state of the data. */
  range (partition: number, copy: number, scan: ScanSpec): Promise<RangeItems> {
    return this.#ranges.read(partition, copy, scan)
  }

  /** What the index of what expires has after a record, or from its beginning, up to `limit`. */
  expiring (partition: number, copy: number, after: Expiring | null, limit: number): Promise<Expiring[]> {
    return this.#expiries.read(partition, copy, after, limit)
  }

  /** Removes what the index has up to a time. */
  forgetExpired (partition: number, copy: number, time: number): Promise<void> {
    return this.#expiries.forget(partition, copy, time)
  }

  /** Deletes a copy, data, log and index. */
  async delete (partition: number, copy: number): Promise<void> {
    for (const kind of ['data', 'log', 'expiry'] as const) {
      await this.#database.clear({ ...copyRange(kind, partition, copy), keyEncoding: 'view' })
    }
  }

  /** Opens no iterator for a page any more, and reads no further part of a list: what waits for a page fails. */
  stop (): void {
    this.#keys.stop()
    this.#ranges.stop()
  }
}
