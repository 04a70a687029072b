/**
 * Reads pages of ranges from the data of the copies, a few at a time: whoever iterates over everything asks for a page of every
 * partition at once, and each open iterator keeps a state of the database alive.
 *
 * Owns the iterators it opens, each for one page.
 */
import type { Database } from '../../membership/environment/environment.ts'
import type { Item } from '../group/messages.ts'
import type { ScanSpec } from '../scan-range.ts'
import { BINARY, copyRange, dataKey, decodeValue, userKeyOf } from './layout.ts'
import { Places } from './places.ts'

/** Pages read at once; the others wait. Those that wait are bounded by the operations that a node admits. */
const PAGES_AT_ONCE_MAX = 16
/** Items taken from the database at a time: bounds what is read beyond the bytes of a page. */
const ITEMS_AT_ONCE_MAX = 100

export interface RangeItems {
  readonly items: readonly Item[]
  /** There is no more in the range. */
  readonly done: boolean
}

export class RangeReader {
  readonly #database: Database
  readonly #places = new Places(PAGES_AT_ONCE_MAX)

  constructor (database: Database) {
    this.#database = database
  }

  /** The first items of a range of a copy, all from one state of the database, up to the limits of the page. */
  read (partition: number, copy: number, scan: ScanSpec): Promise<RangeItems> {
    return this.#places.use(() => this.#read(partition, copy, scan))
  }

  async #read (partition: number, copy: number, { from, to, reverse, limit, bytesMax }: ScanSpec): Promise<RangeItems> {
    const gte = dataKey(partition, copy, from)
    const lt = to === null ? copyRange('data', partition, copy).lt : dataKey(partition, copy, to)
    const options = { gte, lt, reverse, limit, highWaterMarkBytes: bytesMax, ...BINARY }
    const iterator = this.#database.iterator<Uint8Array, Uint8Array>(options)
    const items: Item[] = []
    let bytes = 0
    try {
      while (items.length < limit && bytes < bytesMax) {
        const entries = await iterator.nextv(Math.min(ITEMS_AT_ONCE_MAX, limit - items.length))
        if (entries.length === 0) return { items, done: true }
        for (const [key, record] of entries) {
          items.push({ key: userKeyOf(key), ...decodeValue(key, record) })
          bytes += key.length + record.length
        }
      }
      return { items, done: false }
    } finally {
      await iterator.close()
    }
  }

  /** Opens no iterator any more: what waits fails. */
  stop (): void {
    this.#places.stop()
  }
}
