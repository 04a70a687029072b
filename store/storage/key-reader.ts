/**
 * Reads the values of keys from the data of the copies: at once, or by threads. Those are asked for what is wanted in one turn together, for
 * long lists in parts, and a few questions at a time, so that neither a list of large values nor many reads of single ones take all
 * of them into memory.
 *
 * Owns nothing.
 */
import type { Database } from '../../membership/environment/environment.ts'
import type { Found } from '../group/effects.ts'
import { BINARY, dataKey, decodeValue } from './layout.ts'
import { Places } from './places.ts'

/** Keys of a copy to read; with `bytesMax`, the first ones are enough if they have so many bytes. */
export interface KeysWanted {
  readonly partition: number
  readonly copy: number
  readonly keys: readonly Uint8Array[]
  readonly bytesMax?: number
}

/** A longer list is read so many keys at a time, up to the part in which it has its bytes; short lists are put together up to so many. */
export const KEYS_AT_ONCE_MAX = 16
/** Questions to the disk at a time; the others wait. */
export const QUESTIONS_AT_ONCE_MAX = 4

/** True for a list that is read in parts. */
export const isLongRead = ({ keys, bytesMax }: KeysWanted): boolean => keys.length > KEYS_AT_ONCE_MAX && bytesMax !== undefined

/** Puts lists together that make one question each; a list that is longer by itself is a question of its own. */
export function questionsOf<List extends KeysWanted> (lists: readonly List[]): List[][] {
  const questions: List[][] = []
  let room = 0
  for (const list of lists) {
    const { length } = list.keys
    if (questions.length === 0 || length > room) {
      questions.push([])
      room = KEYS_AT_ONCE_MAX
    }
    questions.at(-1)!.push(list)
    room -= length
  }
  return questions
}

export class KeyReader {
  readonly #database: Database
  readonly #places = new Places(QUESTIONS_AT_ONCE_MAX)

  constructor (database: Database) {
    this.#database = database
  }

  /** The database can be asked without a thread. */
  get answersAtOnce (): boolean { return (this.#database.supports as { getSync?: boolean }).getSync === true }

  /** The values of the keys of a list, or of the first ones that have its bytes, read on the event loop. Only where the database `answersAtOnce`. */
  readNow ({ partition, copy, keys, bytesMax = Infinity }: KeysWanted): Found {
    const values: Found[number][] = []
    let bytes = 0
    for (const key of keys) {
      const wanted = dataKey(partition, copy, key)
      const record = this.#database.getSync<Uint8Array, Uint8Array>(wanted, BINARY)
      const item = record === undefined ? null : decodeValue(wanted, record)
      values.push(item)
      bytes += item?.value.length ?? 0
      if (bytes >= bytesMax) break
    }
    return values
  }

  /** The values of all keys of some lists, one list behind the other: one question. @throws {Error} when `stop` came first */
  read (lists: readonly KeysWanted[]): Promise<Found> {
    return this.#places.use(() => this.#read(lists))
  }

  async #read (lists: readonly KeysWanted[]): Promise<Found> {
    const wanted = lists.flatMap(({ partition, copy, keys }) => keys.map(key => dataKey(partition, copy, key)))
    const found = await this.#database.getMany(wanted, BINARY) as (Uint8Array | undefined)[]
    return found.map((record, index) => record === undefined ? null : decodeValue(wanted[index]!, record))
  }

  /** The values of the first keys of a list, at least of one. */
  async readInParts ({ partition, copy, keys, bytesMax = Infinity }: KeysWanted): Promise<Found> {
    const values: Found[number][] = []
    for (let bytes = 0; values.length < keys.length && bytes < bytesMax;) {
      const found = await this.read([{ partition, copy, keys: keys.slice(values.length, values.length + KEYS_AT_ONCE_MAX) }])
      values.push(...found)
      for (const item of found) bytes += item?.value.length ?? 0
    }
    return values
  }

  /** Asks nothing more: what waits, or has parts left, fails. */
  stop (): void {
    this.#places.stop()
  }
}
