/**
 * Group commit: everything that waits for the disk goes out as one batch, one batch at a time.
 *
 * A batch is synced if anything in it must be, which under durability 'sync' is always so; and a sync covers all batches before it. Rule S8:
 * whatever waits for an fsync travels in the synced batch itself. After any write error the store acknowledges nothing more: LevelDB does
 * not poison itself, so this writer does.
 *
 * Owns the writes to the store's database (but for its identity and deletions).
 */
import type { Database } from '../../membership/environment/environment.ts'
import type { BodyBytes } from '../body-bytes.ts'
import type { StoreWrite } from '../group/effects.ts'
import { BatchChain } from './batch-chain.ts'
import { batchKey, BINARY, dataKey, encodeEntry, encodeExpiring, encodeRecord, encodeValue, expiryKey, logKey, stateKey } from './layout.ts'

type BatchOperation = { type: 'put', key: Uint8Array, value: Uint8Array } | { type: 'del', key: Uint8Array }

/** What an operation that waits takes besides its key and value, about. */
const OPERATION_BYTES = 64

export interface StoreWriterComponents {
  readonly database: Database
  readonly bodies: BodyBytes
  /** The number of the last batch that an earlier run wrote; 0 for none. */
  readonly lastBatch: number
  /** Makes earlier batches durable where the database's own sync may pass some over (see level-logs.ts). @default it passes over none */
  readonly syncEarlier?: (() => Promise<void>) | undefined
  /** Called right before a batch is put together, to add what rides with whatever is persisted by then. */
  readonly collect: () => void
  /** Called once, with the error that ended all writing. */
  readonly failed: (error: unknown) => void
}

export class StoreWriter {
  readonly #components: StoreWriterComponents
  readonly #chain: BatchChain
  #operations: BatchOperation[] = []
  /** The bytes of their keys and values. */
  #bytes = 0
  /** What `unwrittenBytes` counts of the batch under way. */
  #writingBytes = 0
  #callbacks: (() => void)[] = []
  /** Something that was collected must be synced. */
  #mustSync = false
  /** Batches were written since the last sync. */
  #unsynced = false
  #writing: Promise<void> | undefined
  #stopped = false
  /** Batches written, and operations in them; for metrics. */
  batches = 0
  operations = 0

  constructor (components: StoreWriterComponents) {
    this.#components = components
    this.#chain = new BatchChain(components.lastBatch)
  }

  /**
   * Adds the writes of one partition; `done` is called, in the order of the calls, once they are durable, with everything before them; or, if
   * they need not be `synced`, once the operating system has them.
   */
  persist (partition: number, writes: readonly StoreWrite[], done: () => void, synced = true): void {
    if (synced) this.#mustSync = true
    for (const write of writes) this.#encode(partition, write)
    this.#callbacks.push(done)
  }

  /** Adds a record to the batch that is being put together. */
  put (key: Uint8Array, value: unknown): void {
    this.#put(key, encodeRecord(key, value))
  }

  #put (key: Uint8Array, value: Uint8Array): void {
    this.#operations.push({ type: 'put', key, value })
    this.#bytes += key.length + value.length
  }

  #delete (key: Uint8Array): void {
    this.#operations.push({ type: 'del', key })
    this.#bytes += key.length
  }

  #encode (partition: number, write: StoreWrite): void {
    switch (write.kind) {
      case 'state': this.put(stateKey(partition), write.state); return
      case 'entry': {
        const key = logKey(partition, write.copy, write.entry.seq)
        this.#put(key, encodeEntry(key, write.entry.ballot, this.#components.bodies.of(write.entry.body)))
        return
      }
      case 'dropEntries':
        for (let seq = write.from; seq <= write.to; seq++) this.#delete(logKey(partition, write.copy, seq))
        return
      case 'item': {
        const key = dataKey(partition, write.copy, write.key)
        if (write.value === null) { this.#delete(key); return }
        this.#put(key, encodeValue(key, write.seq, write.value, write.expires))
        if (write.expires === undefined) return
        const index = expiryKey(partition, write.copy, write.expires, write.key)
        this.#put(index, encodeExpiring(index, write.seq))
      }
    }
  }

  /** Adds the number of the batch that is being put together. */
  #number (): void {
    const { number, expired } = this.#chain.append(this.#bytes)
    this.put(batchKey(number), null)
    for (const old of expired) this.#delete(batchKey(old))
  }

  /** What waits for the disk, the batch under way included: bytes of keys and values, and a little for each operation. */
  get unwrittenBytes (): number {
    return this.#writingBytes + this.#bytes + OPERATION_BYTES * this.#operations.length
  }

  /** Starts writing what has been collected, unless a batch is under way: then it follows that one. */
  flush (): void {
    if (this.#writing !== undefined || this.#stopped || this.#callbacks.length === 0) return
    this.#writing = this.#run().finally(() => { this.#writing = undefined; this.flush() })
  }

  async #run (): Promise<void> {
    this.#components.collect()
    const sync = this.#mustSync
    // Without anything to write a sync needs a batch all the same, for those before it.
    if (this.#operations.length > 0 || (sync && this.#unsynced)) this.#number()
    const operations = this.#operations
    const callbacks = this.#callbacks
    this.#writingBytes = this.unwrittenBytes
    this.#operations = []
    this.#bytes = 0
    this.#callbacks = []
    this.#mustSync = false
    try {
      if (operations.length > 0) {
        if (sync && this.#unsynced) await this.#components.syncEarlier?.()
        await this.#write(operations, sync)
        this.#unsynced = !sync
        this.batches++
        this.operations += operations.length
      }
    } catch (error) {
      if (this.#stopped) return
      this.#stopped = true
      this.#components.failed(error)
      return
    }
    this.#writingBytes = 0
    for (const callback of callbacks) if (!this.#stopped) callback()
  }

  /** As a chained batch, which costs a third of the time that an array takes, since each operation goes to the database as it is. */
  #write (operations: readonly BatchOperation[], sync: boolean): Promise<void> {
    const batch = this.#components.database.batch()
    for (const operation of operations) {
      if (operation.type === 'put') batch.put(operation.key, operation.value, BINARY)
      else batch.del(operation.key, BINARY)
    }
    return batch.write({ sync } as object)
  }

  /** Takes nothing more and calls nothing back; resolves when the batch under way has ended. */
  async stop (): Promise<void> {
    this.#stopped = true
    await this.#writing
  }
}
