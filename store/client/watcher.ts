/**
 * A watch: the changes of all keys with a prefix, each committed one once, those of one partition in their order.
 *
 * Every partition that may have such keys is asked for what comes after a position, and the question waits at its leader until there
 * is something. The next question follows when what the last one brought has been taken. So a consumer that is slow holds at most one
 * answer per partition, and what it has not taken stays in the stores' logs; where these have forgotten it, the watch ends with
 * WATCH_TOO_OLD. Nothing is passed over.
 *
 * Owns: its questions, until it is ended.
 */
import { setMaxListeners } from 'node:events'
import { WIRE_LIMITS, type ChangedEntry, type WatchSpec } from '../client-protocol.ts'
import { StoreError } from '../errors.ts'
import { pageBytes } from './merged-scan.ts'
import { decodeCursor, type WatchPlace, WatchProgress, type WatchScope } from './watch-cursor.ts'

/** How long a question waits at a leader for a change, in milliseconds, unless the options say otherwise. */
export const WATCH_WAIT_MS = 5000

export interface WatchEvent<K, V> {
  readonly type: 'put' | 'del'
  readonly key: K
  /** Undefined for a deletion. */
  readonly value: V | undefined
  /** Of a deletion: whether somebody deleted the key, or its time was over. */
  readonly reason: 'deleted' | 'expired' | undefined
  /** The number of the write in its partition; the same for all keys of an atomic batch. Rises with every change of a key. */
  readonly version: number
  /** Resumes a watch of the same prefix right after this event, whichever other events were delivered before it. */
  readonly cursor: string
}

export interface Changes { readonly entries: readonly ChangedEntry[], readonly upTo: number }

export interface WatcherComponents<K, V> {
  readonly scope: WatchScope
  /** How long a question waits at a leader for a change, in milliseconds. */
  readonly waitMs: number
  readonly poll: (partition: number, watch: WatchSpec, signal: AbortSignal) => Promise<Changes>
  readonly decodeKey: (key: Uint8Array) => K
  readonly decodeValue: (value: Uint8Array) => V
}

/** An answer that was not delivered to its end. */
interface Batch { readonly index: number, readonly entries: readonly ChangedEntry[], readonly upTo: number, entry: number, change: number }

/** What abstract-level says when bytes are not what an encoding makes. */
class DecodeError extends Error {
  readonly code = 'LEVEL_DECODE_ERROR'

  constructor (cause: unknown) {
    super('Could not decode the key or the value of a change; the watch has ended before it', { cause })
  }
}

/** A `next()` that waits for an answer. */
interface Waiter { readonly resolve: () => void }

export class Watcher<K, V> implements AsyncIterableIterator<WatchEvent<K, V>, undefined> {
  readonly #components: WatcherComponents<K, V>
  readonly #since: string | undefined
  readonly #controller = new AbortController()
  readonly #bytesMax: number
  #progress: WatchProgress | undefined
  #starting: Promise<void> | undefined
  /** Answers in the order of their coming; at most one for each partition. */
  #batches: Batch[] = []
  #failure: unknown
  #ended = false
  #waiter: Waiter | undefined

  constructor (components: WatcherComponents<K, V>, since: string | undefined) {
    this.#components = components
    this.#since = since
    // Every partition's question listens to it.
    setMaxListeners(0, this.#controller.signal)
    this.#bytesMax = Math.min(WIRE_LIMITS.scanBytesMax, pageBytes(components.scope.partitions.length))
  }

  /**
   * Resolves when the watch has its place in the history: every write that begins later is delivered, and a read that begins later
   * finds all that was committed before. The first `next()` does the same.
   * @throws as `next`
   */
  async ready (): Promise<this> {
    await (this.#starting ??= this.#start())
    return this
  }

  /** Resumes a watch of the same prefix right after the last event that was delivered. What `since` was, if anything, before `ready`. */
  get cursor (): string | undefined {
    return this.#progress?.mark()() ?? this.#since
  }

  /** Aborted when the watch has ended, for whatever reason. */
  get ended (): AbortSignal {
    return this.#controller.signal
  }

  async #start (): Promise<void> {
    let place: WatchPlace
    try {
      place = this.#since === undefined ? await this.#present() : decodeCursor(this.#since, this.#components.scope)
    } catch (error) {
      this.#fail(error)
      // Where the watch was ended meanwhile, that is why its questions failed.
      throw this.#failure ?? error
    }
    this.#progress = new WatchProgress(this.#components.scope, place)
    place.positions.forEach((position, index) => { this.#ask(index, position, place.skips.get(index) ?? 0) })
  }

  /** Where each partition is now. */
  async #present (): Promise<WatchPlace> {
    const { partitions } = this.#components.scope
    const positions = await Promise.all(partitions.map(async partition => (await this.#poll(partition, -1)).upTo))
    return { positions: Float64Array.from(positions), skips: new Map() }
  }

  #poll (partition: number, after: number): Promise<Changes> {
    const { poll, scope, waitMs } = this.#components
    return poll(partition, { prefix: scope.prefix, after, waitMs, bytesMax: this.#bytesMax }, this.#controller.signal)
  }

  /** Asks a partition for what comes after a position, until something does. @param skip changes of the first entry that were delivered */
  #ask (index: number, after: number, skip: number): void {
    const ask = async (): Promise<void> => {
      for (let position = after; !this.#ended;) {
        const { entries, upTo } = await this.#poll(this.#components.scope.partitions[index]!, position)
        if (entries.length > 0) {
          this.#batches.push({ index, entries, upTo, entry: 0, change: skip })
          this.#wake()
          return
        }
        position = upTo
        this.#progress!.advance(index, upTo)
      }
    }
    ask().catch((error: unknown) => { this.#fail(error) })
  }

  #fail (error: unknown): void {
    if (this.#ended) return
    this.#failure = error
    this.#end()
  }

  #end (): void {
    this.#ended = true
    this.#controller.abort()
    this.#wake()
  }

  #wake (): void {
    this.#waiter?.resolve()
    this.#waiter = undefined
  }

  /**
   * The next change. After an error the watch has ended; `cursor` resumes it.
   * @throws {StoreError} WATCH_TOO_OLD when changes are not remembered any more; STORE_ABORTED; STORE_CLOSED; STORE_INVALID_OPTIONS for
   * `since`; STORE_DEADLINE_EXCEEDED and PARTITION_UNAVAILABLE when a partition did not answer in time
   * @throws {Error} LEVEL_DECODE_ERROR, with its cause, for a key or value that the encodings do not take; `cursor` resumes before it
   */
  async next (): Promise<IteratorResult<WatchEvent<K, V>, undefined>> {
    await this.ready()
    for (;;) {
      const batch = this.#batches[0]
      if (batch !== undefined) {
        const event = this.#take(batch)
        if (event !== undefined) return { done: false, value: event }
      } else if (this.#failure !== undefined) {
        const failure = this.#failure
        this.#failure = undefined
        throw failure
      } else if (this.#ended) {
        return { done: true, value: undefined }
      } else {
        if (this.#waiter !== undefined) throw new StoreError('STORE_INVALID_OPTIONS', 'next() was called before the last one had ended')
        await new Promise<void>(resolve => { this.#waiter = { resolve } })
      }
    }
  }

  /** The next change of an answer. Undefined when all of it was delivered before; then the partition is asked on. */
  #take (batch: Batch): WatchEvent<K, V> | undefined {
    const { index, entries, upTo } = batch
    const entry = entries[batch.entry]
    const change = entry?.changes[batch.change]
    if (entry === undefined || change === undefined) {
      // A cursor in the middle of an entry may have been in its end.
      if (entry !== undefined && batch.entry + 1 < entries.length) {
        batch.entry++
        batch.change = 0
        return undefined
      }
      this.#batches.shift()
      this.#progress!.advance(index, upTo)
      if (!this.#ended) this.#ask(index, upTo, 0)
      return undefined
    }
    const { key, value } = this.#decode(change)
    // Only now: a cursor must not have passed what was not delivered.
    batch.change++
    const whole = batch.change === entry.changes.length
    this.#progress!.advance(index, whole ? entry.seq : entry.seq - 1, whole ? 0 : batch.change)
    if (whole) {
      batch.entry++
      batch.change = 0
    }
    const mark = this.#progress!.mark()
    const deleted = change.value === null
    return {
      type: deleted ? 'del' : 'put',
      key,
      value,
      reason: !deleted ? undefined : entry.expired === true ? 'expired' : 'deleted',
      version: entry.seq,
      get cursor () { return mark() }
    }
  }

  /** A change as its reader knows it. Where that cannot be done the watch is over, and its cursor before the change. */
  #decode ({ key, value }: ChangedEntry['changes'][number]): { key: K, value: V | undefined } {
    const { decodeKey, decodeValue } = this.#components
    try {
      return { key: decodeKey(key), value: value === null ? undefined : decodeValue(value) }
    } catch (cause) {
      this.#giveUp()
      throw new DecodeError(cause)
    }
  }

  /** Ends the watch, whatever it still has. */
  #giveUp (): void {
    this.#batches = []
    this.#failure = undefined
    if (!this.#ended) this.#end()
  }

  /** Ends the watch. */
  async return (): Promise<IteratorReturnResult<undefined>> {
    this.#giveUp()
    return await Promise.resolve({ done: true, value: undefined })
  }

  /** Ends the watch with an error, after what is already here was delivered. */
  abort (error: unknown): void {
    this.#fail(error)
  }

  [Symbol.asyncIterator] (): this {
    return this
  }

  async [Symbol.asyncDispose] (): Promise<void> {
    await this.return()
  }
}
