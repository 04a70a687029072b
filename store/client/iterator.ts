/**
 * abstract-level's iterator over a merged scan. Key and value iterators are made from it by abstract-level itself.
 *
 * Each page it reads is linearizable at its partition; the whole is no snapshot: a write that is acknowledged while the iterator
 * is open is seen or not, and of two such writes to different partitions the later one may be seen without the earlier.
 */
import { AbstractIterator } from 'abstract-level'
import { WIRE_LIMITS } from '../client-protocol.ts'
import { StoreError } from '../errors.ts'
import { type KeyRange, successor } from '../scan-range.ts'
import type { MergedScan } from './merged-scan.ts'
import type { CallOptions } from './options.ts'

/** abstract-level's range options, bounds encoded. */
export interface RangeBounds {
  readonly gt?: Uint8Array
  readonly gte?: Uint8Array
  readonly lt?: Uint8Array
  readonly lte?: Uint8Array
  readonly reverse: boolean
  /** -1 for none. */
  readonly limit: number
}

export interface IteratorOptions extends RangeBounds, CallOptions {
  readonly keys: boolean
  readonly values: boolean
  readonly snapshot?: unknown
}

/** @throws {StoreError} STORE_INVALID_KEY for a bound that no key could have */
function checkBound (bound: Uint8Array): Uint8Array {
  if (bound.length <= WIRE_LIMITS.keyBytesMax) return bound
  throw new StoreError('STORE_INVALID_KEY', `a bound of a range has at most ${WIRE_LIMITS.keyBytesMax} bytes, this one ${bound.length}`)
}

/** An inclusive bound goes before an exclusive one, as in LevelDB. @throws {StoreError} STORE_INVALID_KEY */
export function rangeOf ({ gt, gte, lt, lte }: RangeBounds): KeyRange {
  const from = gte !== undefined ? checkBound(gte) : gt !== undefined ? successor(checkBound(gt)) : new Uint8Array(0)
  const to = lte !== undefined ? successor(checkBound(lte)) : lt !== undefined ? checkBound(lt) : null
  return { from, to }
}

/** What abstract-level says when a signal ends an iterator's read. */
class AbortError extends Error {
  readonly code = 'LEVEL_ABORTED'

  constructor (cause: unknown) {
    super('Operation has been aborted', { cause })
    this.name = 'AbortError'
  }
}

type Entry<K, V> = [key: K, value: V]
type Options<Database, K, V> = ConstructorParameters<typeof AbstractIterator<Database, K, V>>[1]

export class ClientIterator<Database, K, V> extends AbstractIterator<Database, K, V> {
  /** Begins the scan, at the first read: abstract-level cannot close an iterator that was refused when it was made. */
  readonly #begin: () => MergedScan
  #scan: MergedScan | undefined
  readonly #signal: AbortSignal | null | undefined

  constructor (database: Database, begin: () => MergedScan, options: IteratorOptions) {
    super(database, options as Options<Database, K, V>)
    this.#begin = begin
    this.#signal = options.signal
  }

  async _next (): Promise<Entry<K, V> | undefined> {
    return (await this._nextv(1))[0]
  }

  async _nextv (size: number): Promise<Entry<K, V>[]> {
    try {
      const items = await (this.#scan ??= this.#begin()).take(size)
      // abstract-level decodes the bytes.
      return items.map(([key, value]) => [asBuffer(key), value === undefined ? value : asBuffer(value)]) as Entry<K, V>[]
    } catch (error) {
      if (this.#signal?.aborted === true && error instanceof StoreError && error.code === 'STORE_ABORTED') throw new AbortError(error)
      throw error
    }
  }

  _seek (target: Uint8Array): void {
    ;(this.#scan ??= this.#begin()).seek(target)
  }
}

/** The same bytes as a Buffer. */
export const asBuffer = (bytes: Uint8Array): Buffer => Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
