/**
 * The client of a cluster: an abstract-level database whose data lives on the cluster's stores.
 *
 * It computes by itself which store leads a key's partition (one hop), follows redirects when that has changed, retries within
 * a deadline, and carries every write out once however often it had to be sent (rule S9).
 *
 * What differs from a local database: `batch` is atomic per partition and not across partitions (keys with the same `{tag}`
 * share one); `getMany` is linearizable per key but no snapshot; what an iterator yields is linearizable page by page (see
 * `merged-scan.ts`), and `clear` deletes what it finds that way.
 *
 * Owns: its transport, and through `Runner` one timer.
 */
import { AbstractLevel, type AbstractBatchOperation, type AbstractBatchOptions, type AbstractChainedBatch, type AbstractDatabaseOptions,
  type AbstractDelOptions, type AbstractGetManyOptions, type AbstractGetOptions, type AbstractPutOptions } from 'abstract-level'
import type { Address, Clock, Log, Random, Transport } from '../../membership/environment/environment.ts'
import { createSystemClock, createSystemRandom, silentLog } from '../../membership/environment/system.ts'
import type { TransportTls } from '../../membership/transport/tls.ts'
import { createWebSocketTransport } from '../../membership/transport/websocket.ts'
import { checkAddress } from '../address-check.ts'
import type { ClusterView } from '../client-protocol.ts'
import { StoreError } from '../errors.ts'
import { type BatchEntry, type ByteReadOptions, type Bytes, type ByteWriteOptions, delOf, putOf, readMany, readOne, writeBatch, writeOne } from './byte-operations.ts'
import { ClientIterator, type IteratorOptions } from './iterator.ts'
import type { MergedScan } from './merged-scan.ts'
import { callDeadlineMs, type DelConditions, fillSessionOptions, foreignOptions, type CallOptions, notSupported, type ReadOptions,
  refuseUnknownOptions, type FilledSessionOptions, type PutOptions, type SessionOptions } from './options.ts'
import { type WatchOptions, watchPrefix } from './prefix-watch.ts'
import { scanRange } from './range-scan.ts'
import { Runner } from './runner.ts'
import { collecting, type VersionedEntry } from './versions.ts'
import type { Watcher } from './watcher.ts'

export interface ClientComponents {
  /**
   * A transport that is not started and need not listen; the client starts it, and closes it with itself. A function makes a new
   * one at each open(), which a client that is closed and opened again needs.
   */
  readonly transport: Transport | (() => Transport)
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
}

export type ClientOptions<K = string, V = string> = Omit<SessionOptions, 'seeds'> & Pick<AbstractDatabaseOptions<K, V>, 'keyEncoding' | 'valueEncoding'>

export interface ConnectOptions<K = string, V = string> extends ClientOptions<K, V> {
  /** Where the client reports what it cannot tell by an error. @default nothing is logged */
  readonly log?: Log
  /** For a cluster that speaks TLS: what to accept, and what to show. @default plain TCP */
  readonly tls?: TransportTls
}

/** An operation of a batch: abstract-level's, with what it depends on. */
export type ClientBatchOperation<DB, K, V> = AbstractBatchOperation<DB, K, V> & PutOptions

/** What abstract-level offers those who extend it, and does not declare. @throws {Error} LEVEL_INVALID_KEY for null and undefined */
interface KeyCheck { readonly _assertValidKey: (key: unknown) => void }

/** Keys that `clear` deletes at a time. */
const CLEAR_KEYS_MAX = 1000

export class Client<K = string, V = string> extends AbstractLevel<Buffer | Uint8Array, K, V> {
  readonly #components: ClientComponents
  readonly #options: FilledSessionOptions
  #transport: Transport | undefined
  /** Aborted when the client begins to close. */
  #closing = new AbortController()
  /** Defined exactly while the client is open or opening. */
  #runner: Runner | undefined
  /** What the session was told, by partition. It lasts as long as this object, closed or open. */
  readonly #seen = new Map<number, number>()
  /** The cluster that it was told by. */
  #clusterId: string | undefined

  /** @throws {StoreError} STORE_INVALID_OPTIONS */
  constructor (components: ClientComponents, options: ClientOptions<K, V> & Pick<SessionOptions, 'seeds'>) {
    const { keyEncoding, valueEncoding, ...session } = options
    const filled = fillSessionOptions(session)
    super({
      encodings: { buffer: true },
      implicitSnapshots: false,
      explicitSnapshots: false,
      has: true,
      permanence: true,
      signals: { iterators: true },
      additionalMethods: { watch: true, nodeStatus: true, refresh: true, getEntry: true, getEntries: true, putEntry: true, batchEntries: true }
    }, { keyEncoding, valueEncoding, ...foreignOptions(session) })
    // Iterators end at once, and not when an answer comes that may never come.
    this.on('closing', () => { this.#closing.abort() })
    this.on('opening', () => { this.#closing = new AbortController() })
    this.#components = components
    this.#options = filled
  }

  /** The cluster as this client knows it at present, or undefined while it is not open. */
  get view (): ClusterView | undefined {
    return this.#runner?.router.view
  }

  /**
   * Asks the cluster for its view, from any node that answers.
   * @returns the newest view this client knows then.
   * @throws {StoreError} STORE_NO_SEED when no node answered before the deadline; STORE_CLOSED; STORE_INVALID_OPTIONS
   */
  async refresh (options?: Pick<CallOptions, 'deadlineMs'>): Promise<ClusterView> {
    return this.#open().refresh(callDeadlineMs(options, this.#options.deadlineMs))
  }

  /**
   * Asks one node for its status, for people and tools. (`status`, without more, is abstract-level's word for open or closed.)
   * @throws {StoreError} STORE_DEADLINE_EXCEEDED when it did not answer; STORE_ABORTED; STORE_OVERLOADED; STORE_CLOSED; STORE_INVALID_OPTIONS
   */
  async nodeStatus (address: Address, options?: CallOptions): Promise<unknown> {
    checkAddress('the address of a node', address)
    const response = await this.#open().perform({ kind: 'status', address }, -1, 0, options)
    return response.kind === 'status' ? response.status : undefined
  }

  /**
   * Follows the changes of all keys that begin with `prefix`, encoded like a key: each committed change once, those of one key and
   * of one partition in their order, those of an atomic batch in one partition one after the other. There is no order between
   * partitions. It begins with the first `next()`, or `ready()`.
   * @throws {StoreError} STORE_CLOSED; STORE_INVALID_OPTIONS; STORE_INVALID_KEY. What ends the watch later is thrown by its `next()`.
   * @throws {Error} LEVEL_INVALID_KEY for null and undefined
   */
  watch (prefix: K, options?: WatchOptions | null): Watcher<K, V> {
    const runner = this.#open()
    // An encoding would make a text of them, and the watch would wait for keys that begin with that.
    ;(this as unknown as KeyCheck)._assertValidKey(prefix)
    const [keyEncoding, valueEncoding] = [this.keyEncoding(), this.valueEncoding()]
    return watchPrefix<K, V>({
      runner,
      closing: this.#closing.signal,
      deadlineMs: this.#options.deadlineMs,
      prefix: keyEncoding.encode(prefix) as unknown as Uint8Array,
      decodeKey: key => keyEncoding.decode(key as never),
      decodeValue: value => valueEncoding.decode(value as never)
    }, options ?? {})
  }

  /** What must hold at any time; for tests and simulation. @throws {Error} naming what does not. */
  checkInvariants (): void {
    this.#runner?.checkInvariants()
  }

  // abstract-level's public interface, with the options and the errors that are this client's own

  /**
   * Reads one key, linearizably unless `consistency` says otherwise.
   * @returns undefined when the key has no value.
   * @throws {StoreError} STORE_INVALID_KEY; STORE_INVALID_OPTIONS; STORE_NOT_SUPPORTED for a snapshot; STORE_DEADLINE_EXCEEDED;
   * PARTITION_UNAVAILABLE with `waitingFor`; STORE_ABORTED; STORE_OVERLOADED; STORE_CLOSED when the client is closed meanwhile
   * @throws {Error} LEVEL_INVALID_KEY for null and undefined; LEVEL_DATABASE_NOT_OPEN; LEVEL_DECODE_ERROR
   */
  override get (key: K): Promise<V | undefined>
  override get<K2 = K, V2 = V> (key: K2, options: AbstractGetOptions<K2, V2> & ReadOptions): Promise<V2 | undefined>
  override get (key: K, options?: AbstractGetOptions<K, V> & ReadOptions): Promise<V | undefined> {
    return super.get(key, options!)
  }

  /**
   * Reads many keys, each linearizably unless `consistency` says otherwise; together they are no snapshot. One request per partition.
   * What has more than 8 MiB in one partition comes in several answers.
   * @throws as `get`
   */
  override getMany (keys: K[]): Promise<(V | undefined)[]>
  override getMany<K2 = K, V2 = V> (keys: K2[], options: AbstractGetManyOptions<K2, V2> & ReadOptions): Promise<(V2 | undefined)[]>
  override getMany (keys: K[], options?: AbstractGetManyOptions<K, V> & ReadOptions): Promise<(V | undefined)[]> {
    return super.getMany(keys, options!)
  }

  /**
   * Sets one key; with `ttlMs`, for a time. Key and value, if they are given as bytes, must not be changed before the promise settles.
   * @throws {StoreError} CONDITION_FAILED with `version` when `ifVersion` or `ifAbsent` did not hold: then nothing was written;
   * STORE_INVALID_KEY; STORE_INVALID_VALUE; STORE_INVALID_OPTIONS; STORE_DEADLINE_EXCEEDED; PARTITION_UNAVAILABLE
   * with `waitingFor`; OPERATION_EXPIRED; STORE_ABORTED; STORE_OVERLOADED; STORE_CLOSED when the client is closed meanwhile. Each
   * says in `definite` whether the write certainly had no effect.
   * @throws {Error} LEVEL_INVALID_KEY and LEVEL_INVALID_VALUE for null and undefined; LEVEL_DATABASE_NOT_OPEN
   */
  override put (key: K, value: V): Promise<void>
  override put<K2 = K, V2 = V> (key: K2, value: V2, options: AbstractPutOptions<K2, V2> & PutOptions & CallOptions): Promise<void>
  override put (key: K, value: V, options?: AbstractPutOptions<K, V> & PutOptions & CallOptions): Promise<void> {
    return super.put(key, value, options!)
  }

  /**
   * Deletes one key.
   * @throws as `put`
   */
  override del (key: K): Promise<void>
  override del<K2 = K> (key: K2, options: AbstractDelOptions<K2> & DelConditions & CallOptions): Promise<void>
  override del (key: K, options?: AbstractDelOptions<K> & DelConditions & CallOptions): Promise<void> {
    return super.del(key, options!)
  }

  /**
   * Carries out a list of operations, atomically within each partition and not across partitions: when it fails, some partitions
   * may have their part and others not, and the error is definite only if none has. Keys with the same `{tag}` share a partition.
   *
   * Operations may have the conditions of `put` and `del`; then all keys must share a partition. All conditions are decided on what
   * was there before the batch, and unless all of them hold nothing is written. A condition among the options of the batch is one
   * of each of its operations.
   * @throws as `put`; CONDITION_FAILED says in `operation` which condition failed; also STORE_INVALID_VALUE for more than 100,000
   * operations or 16 MiB in one partition, STORE_INVALID_OPTIONS for conditions in several partitions
   */
  override batch (): AbstractChainedBatch<this, K, V>
  override batch (operations: Array<ClientBatchOperation<this, K, V>>): Promise<void>
  override batch<K2 = K, V2 = V> (
    operations: Array<ClientBatchOperation<this, K2, V2>>,
    options: AbstractBatchOptions<K2, V2> & PutOptions & CallOptions
  ): Promise<void>
  override batch (...args: [] | [unknown] | [unknown, unknown]): AbstractChainedBatch<this, K, V> & Promise<void> {
    // The base class tells a chained batch by the number of arguments.
    return (super.batch as (...args: unknown[]) => AbstractChainedBatch<this, K, V> & Promise<void>)(...args)
  }

  // The same with versions

  /**
   * Reads one key with its version, linearizably.
   * @returns undefined when the key has no value.
   * @throws as `get`
   */
  async getEntry (key: K): Promise<VersionedEntry<V> | undefined>
  async getEntry<K2 = K, V2 = V> (key: K2, options: AbstractGetOptions<K2, V2> & CallOptions): Promise<VersionedEntry<V2> | undefined>
  async getEntry (key: K, options?: AbstractGetOptions<K, V> & CallOptions): Promise<VersionedEntry<V> | undefined> {
    const versions: number[] = []
    const value = await super.get(key, collecting(versions, options))
    return value === undefined ? undefined : { value, version: versions[0]! }
  }

  /**
   * Reads many keys with their versions, each linearizably; together they are no snapshot. One request per partition.
   * @throws as `getMany`
   */
  async getEntries (keys: K[]): Promise<(VersionedEntry<V> | undefined)[]>
  async getEntries<K2 = K, V2 = V> (keys: K2[], options: AbstractGetManyOptions<K2, V2> & CallOptions): Promise<(VersionedEntry<V2> | undefined)[]>
  async getEntries (keys: K[], options?: AbstractGetManyOptions<K, V> & CallOptions): Promise<(VersionedEntry<V> | undefined)[]> {
    const versions: number[] = []
    const values = await super.getMany(keys, collecting(versions, options))
    return values.map((value, index) => value === undefined ? undefined : { value, version: versions[index]! })
  }

  /**
   * As `put`, and tells the version that the key has by this write: what the next `ifVersion` depends on.
   * @throws as `put`
   */
  async putEntry (key: K, value: V): Promise<number>
  async putEntry<K2 = K, V2 = V> (key: K2, value: V2, options: AbstractPutOptions<K2, V2> & PutOptions & CallOptions): Promise<number>
  async putEntry (key: K, value: V, options?: AbstractPutOptions<K, V> & PutOptions & CallOptions): Promise<number> {
    const versions: number[] = []
    await super.put(key, value, collecting(versions, options))
    return versions[0]!
  }

  /**
   * As `del`, and tells the version of the deletion: higher than any that the key had before, and no read will show it.
   * @throws as `del`
   */
  async delEntry (key: K): Promise<number>
  async delEntry<K2 = K> (key: K2, options: AbstractDelOptions<K2> & DelConditions & CallOptions): Promise<number>
  async delEntry (key: K, options?: AbstractDelOptions<K> & DelConditions & CallOptions): Promise<number> {
    const versions: number[] = []
    await super.del(key, collecting(versions, options))
    return versions[0]!
  }

  /**
   * As `batch`, and tells the version that each operation gave its key. Those of one partition have the same, and a deletion has
   * one that no read will show.
   * @throws as `batch`
   */
  async batchEntries (operations: Array<ClientBatchOperation<this, K, V>>): Promise<number[]>
  async batchEntries<K2 = K, V2 = V> (
    operations: Array<ClientBatchOperation<this, K2, V2>>,
    options: AbstractBatchOptions<K2, V2> & PutOptions & CallOptions
  ): Promise<number[]>
  async batchEntries (
    operations: Array<ClientBatchOperation<this, K, V>>,
    options?: AbstractBatchOptions<K, V> & PutOptions & CallOptions
  ): Promise<number[]> {
    const versions: number[] = []
    await super.batch(operations, collecting(versions, options))
    return versions.slice(0, operations.length)
  }

  // abstract-level's private interface: keys and values are bytes, options are checked

  async _open (): Promise<void> {
    const { transport: given, clock, random, log } = this.#components
    if (typeof given !== 'function' && this.#transport !== undefined) {
      throw new StoreError('STORE_CLOSED', 'this client was closed with its transport: make a new one')
    }
    const transport = typeof given === 'function' ? given() : given
    this.#transport = transport
    try {
      await transport.start()
      this.#runner = new Runner({ transport, clock, random, log, seen: this.#seen }, this.#options)
      const { clusterId } = await this.#runner.refresh(this.#options.deadlineMs)
      if (clusterId !== this.#clusterId) this.#seen.clear()
      this.#clusterId = clusterId
    } catch (error) {
      await this._close()
      throw error
    }
  }

  async _close (): Promise<void> {
    this.#runner?.close()
    this.#runner = undefined
    await this.#transport?.close()
  }

  _get (key: Bytes, options?: ByteReadOptions): Promise<Buffer | undefined> {
    return readOne(this.#open(), key, options)
  }

  _getMany (keys: readonly Bytes[], options?: ByteReadOptions): Promise<(Buffer | undefined)[]> {
    return readMany(this.#open(), keys, options)
  }

  async _has (key: Bytes, options?: ReadOptions & { readonly snapshot?: unknown }): Promise<boolean> {
    return await this._get(key, options) !== undefined
  }

  async _hasMany (keys: readonly Bytes[], options?: ReadOptions & { readonly snapshot?: unknown }): Promise<boolean[]> {
    return (await this._getMany(keys, options)).map(value => value !== undefined)
  }

  _put (key: Bytes, value: Bytes, options?: ByteWriteOptions): Promise<void> {
    return writeOne(this.#open(), putOf(key, value, options), options)
  }

  _del (key: Bytes, options?: ByteWriteOptions): Promise<void> {
    return writeOne(this.#open(), delOf(key, options), options)
  }

  _batch (entries: readonly BatchEntry[], options?: ByteWriteOptions): Promise<void> {
    return writeBatch(this.#open(), entries, options)
  }

  _getSync (): never { return notSupported('synchronous reads') }
  _snapshot (): never { return notSupported('snapshots') }

  _iterator (options: IteratorOptions): ClientIterator<this, K, V> {
    return new ClientIterator<this, K, V>(this, () => this.#scan(options), options)
  }

  /** Deletes what an iterator over the range finds, in batches; other writes to the range meanwhile may be met, or not. */
  async _clear (options: Omit<IteratorOptions, 'keys' | 'values'>): Promise<void> {
    const scan = this.#scan({ ...options, values: false })
    let left = options.limit >= 0 ? options.limit : Infinity
    while (left > 0) {
      const found = await scan.take(Math.min(CLEAR_KEYS_MAX, left))
      if (found.length === 0) return
      left -= found.length
      await this._batch(found.map(([key]) => ({ type: 'del', key })), options)
    }
  }

  #scan (options: Omit<IteratorOptions, 'keys'>): MergedScan {
    return scanRange({ runner: this.#open(), closing: this.#closing.signal, deadlineMs: this.#options.deadlineMs }, options)
  }

  #open (): Runner {
    if (this.#runner === undefined) throw new StoreError('STORE_CLOSED', 'the client is not open')
    return this.#runner
  }
}

/**
 * Connects to a cluster by WebSocket.
 * @param seeds addresses (`host:port`) of some of its nodes; one that answers is enough
 * @throws {StoreError} STORE_NO_SEED when none answered before the deadline; STORE_INVALID_OPTIONS
 */
export async function connect<K = string, V = string> (seeds: readonly Address[], options: ConnectOptions<K, V> = {}): Promise<Client<K, V>> {
  refuseUnknownOptions(options)
  const { log = silentLog, tls, ...rest } = options
  const clock = createSystemClock()
  const random = createSystemRandom()
  const transport = (): Transport => createWebSocketTransport({ clock, log, ...(tls === undefined ? {} : { tls }) })
  const client = new Client<K, V>({ transport, clock, random, log }, { ...rest, seeds })
  try {
    await client.open()
  } catch (error) {
    // abstract-level wraps what went wrong into an error of its own.
    throw error instanceof Error && error.cause instanceof StoreError ? error.cause : error
  }
  return client
}
