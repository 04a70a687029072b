/**
 * Group commit: everything that waits for the disk goes out as one synced batch, one batch at a time.
 *
 * Rule S8: whatever waits for an fsync travels in the synced batch itself. After any write error the store acknowledges nothing more:
 * LevelDB does not poison itself, so this writer does.
 *
 * Owns the writes to the store's database (but for its identity and deletions).
 */
import type { Database } from '../../membership/environment/environment.ts'
import type { StoreWrite } from '../group/effects.ts'
import { BINARY } from './open.ts'
import { dataKey, encodeRecord, encodeValue, logKey, stateKey } from './layout.ts'

type BatchOperation = { type: 'put', key: Uint8Array, value: Uint8Array } | { type: 'del', key: Uint8Array }

export interface StoreWriterComponents {
  readonly database: Database
  /** Called right before a batch is put together, to add what rides with whatever is persisted by then. */
  readonly collect: () => void
  /** Called once, with the error that ended all writing. */
  readonly failed: (error: unknown) => void
}

export class StoreWriter {
  readonly #components: StoreWriterComponents
  #operations: BatchOperation[] = []
  #callbacks: (() => void)[] = []
  #writing: Promise<void> | undefined
  #stopped = false
  /** Batches written, and operations in them; for metrics. */
  batches = 0
  operations = 0

  constructor (components: StoreWriterComponents) {
    this.#components = components
  }

  /** Adds the writes of one partition; `done` is called, in the order of the calls, once they are durable. */
  persist (partition: number, writes: readonly StoreWrite[], done: () => void): void {
    for (const write of writes) this.#encode(partition, write)
    this.#callbacks.push(done)
  }

  /** Adds a record to the batch that is being put together. */
  put (key: Uint8Array, value: unknown): void {
    this.#operations.push({ type: 'put', key, value: encodeRecord(value) })
  }

  #encode (partition: number, write: StoreWrite): void {
    const operations = this.#operations
    switch (write.kind) {
      case 'state': operations.push({ type: 'put', key: stateKey(partition), value: encodeRecord(write.state) }); return
      case 'entry': operations.push({ type: 'put', key: logKey(partition, write.copy, write.entry.seq), value: encodeRecord(write.entry) }); return
      case 'dropEntries':
        for (let seq = write.from; seq <= write.to; seq++) operations.push({ type: 'del', key: logKey(partition, write.copy, seq) })
        return
      case 'item': {
        const key = dataKey(partition, write.copy, write.key)
        operations.push(write.value === null ? { type: 'del', key } : { type: 'put', key, value: encodeValue(write.seq, write.value) })
      }
    }
  }

  /** Starts writing what has been collected, unless a batch is under way: then it follows that one. */
  flush (): void {
    if (this.#writing !== undefined || this.#stopped || this.#callbacks.length === 0) return
    this.#writing = this.#run().finally(() => { this.#writing = undefined; this.flush() })
  }

  async #run (): Promise<void> {
    this.#components.collect()
    const operations = this.#operations
    const callbacks = this.#callbacks
    this.#operations = []
    this.#callbacks = []
    try {
      if (operations.length > 0) {
        await this.#components.database.batch(operations, { ...BINARY, sync: true } as object)
        this.batches++
        this.operations += operations.length
      }
    } catch (error) {
      if (this.#stopped) return
      this.#stopped = true
      this.#components.failed(error)
      return
    }
    for (const callback of callbacks) if (!this.#stopped) callback()
  }

  /** Takes nothing more and calls nothing back; resolves when the batch under way has ended. */
  async stop (): Promise<void> {
    this.#stopped = true
    await this.#writing
  }
}
