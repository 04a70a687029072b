/**
 * The data directory of a node that has ended, opened to be looked at with the store's own reading code: every record is checked against
 * its checksum, and nothing is changed but what LevelDB itself does when it opens.
 *
 * Owns the database, until `close()`.
 */
import type { Database, StorageFactory } from '../../membership/environment/environment.ts'
import { levelStorage } from '../start-node.ts'
import { damaged } from '../storage/checksum.ts'
import { BINARY, copyRange, decodeExpiring, decodeIdentity, decodeValue, identityKey, userKeyOf } from '../storage/layout.ts'
import { openDatabase } from '../storage/open.ts'
import { copiesIn, loadPartitions, type StoredPartition } from '../storage/stored-copies.ts'

/** A value as the data has it: with the number of the entry that wrote it, and when it expires. */
export interface StoredValue {
  readonly seq: number
  readonly value: Uint8Array
  readonly expires?: number | undefined
}

export class StoppedDirectory {
  readonly storeId: string
  /** Of each partition the store knows: its state record, and the log of its live copy. */
  readonly partitions: ReadonlyMap<number, StoredPartition>
  readonly #database: Database

  private constructor (database: Database, storeId: string, partitions: ReadonlyMap<number, StoredPartition>) {
    this.#database = database
    this.storeId = storeId
    this.partitions = partitions
  }

  /** @throws {StoreError} STORE_DIRECTORY_LOCKED when its node runs; STORE_DIRECTORY_INVALID; STORE_DIRECTORY_DAMAGED */
  static async open (directory: string, storage: StorageFactory = levelStorage): Promise<StoppedDirectory> {
    const database = storage(directory)
    await openDatabase(database, directory)
    try {
      const identity = await database.get(identityKey, BINARY) as Uint8Array | undefined
      if (identity === undefined) throw damaged(`${directory} has no identity`)
      return new StoppedDirectory(database, decodeIdentity(identity).storeId, await loadPartitions(database))
    } catch (error) {
      await database.close()
      throw error
    }
  }

  /** The data of a copy, by key in hexadecimal. @throws {StoreError} STORE_DIRECTORY_DAMAGED */
  async data (partition: number, copy: number): Promise<Map<string, StoredValue>> {
    const data = new Map<string, StoredValue>()
    for await (const [key, record] of this.#database.iterator<Uint8Array, Uint8Array>({ ...copyRange('data', partition, copy), ...BINARY })) {
      data.set(hex(userKeyOf(key)), decodeValue(key, record))
    }
    return data
  }

  /** What the index of a copy has of values that expire: the time, the key in hexadecimal and the number of each. @throws as `data` */
  async index (partition: number, copy: number): Promise<Set<string>> {
    const index = new Set<string>()
    for await (const [key, record] of this.#database.iterator<Uint8Array, Uint8Array>({ ...copyRange('expiry', partition, copy), ...BINARY })) {
      const expiring = decodeExpiring(key, record)
      index.add(indexed(hex(expiring.key), expiring))
    }
    return index
  }

  /** Logs, data and indexes that belong to no live copy, in words. */
  async strays (): Promise<string[]> {
    const strays: string[] = []
    for await (const { kind, partition, copy } of copiesIn(this.#database)) {
      if (this.partitions.get(partition)?.state.copy !== copy) strays.push(`the ${kind} of copy ${copy} of partition ${partition}`)
    }
    return strays
  }

  async close (): Promise<void> {
    await this.#database.close()
  }
}

export const hex = (bytes: Uint8Array): string => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')

/** A record of the index as `index` names it. */
export const indexed = (key: string, { seq, expires }: { readonly seq: number, readonly expires: number }): string => `${expires} ${key} ${seq}`
