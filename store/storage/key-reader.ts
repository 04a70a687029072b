/**
 * Reads the values of keys from the data of the copies: what is asked for in one turn as one question, and long lists in parts, so that a list of
 * large values does not take all of them into memory.
 *
 * Owns nothing.
 */
import type { Database } from '../../membership/environment/environment.ts'
import type { Found } from '../group/effects.ts'
import { BINARY, dataKey, decodeValue } from './layout.ts'

/** Keys of a copy to read; with `bytesMax`, the first ones are enough if they have so many bytes. */
export interface KeysWanted {
  readonly partition: number
  readonly copy: number
  readonly keys: readonly Uint8Array[]
  readonly bytesMax?: number
}

/** A longer list is read so many keys at a time, up to the part in which it has its bytes: that is all that it holds. */
export const KEYS_AT_ONCE_MAX = 32

/** True for a list that is read in parts. */
export const isLongRead = ({ keys, bytesMax }: KeysWanted): boolean => keys.length > KEYS_AT_ONCE_MAX && bytesMax !== undefined

export class KeyReader {
  readonly #database: Database
  #stopped = false

  constructor (database: Database) {
    this.#database = database
  }

  /** The values of all keys of some lists, one list behind the other. */
  async read (lists: readonly KeysWanted[]): Promise<Found> {
    const wanted = lists.flatMap(({ partition, copy, keys }) => keys.map(key => dataKey(partition, copy, key)))
    const found = await this.#database.getMany(wanted, BINARY) as (Uint8Array | undefined)[]
    return found.map((record, index) => record === undefined ? null : decodeValue(wanted[index]!, record))
  }

  /** The values of the first keys of a list, at least of one. */
  async readInParts ({ partition, copy, keys, bytesMax = Infinity }: KeysWanted): Promise<Found> {
    const values: Found[number][] = []
    for (let bytes = 0; values.length < keys.length && bytes < bytesMax && !this.#stopped;) {
      const found = await this.read([{ partition, copy, keys: keys.slice(values.length, values.length + KEYS_AT_ONCE_MAX) }])
      values.push(...found)
      for (const item of found) bytes += item?.value.length ?? 0
    }
    return values
  }

  /** Begins no further part. */
  stop (): void {
    this.#stopped = true
  }
}
