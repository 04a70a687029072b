/**
 * The identity record of an open directory: what the store says of itself, and how that changes while it runs.
 *
 * Changes are written one after the other, each as a complete record. Owns the record until the directory is closed.
 */
import type { Database } from '../../membership/environment/environment.ts'
import { StoreError } from '../errors.ts'
import type { Identity } from './layout.ts'
import { writeIdentity } from './open.ts'

export class IdentityKeeper {
  readonly #database: Database
  readonly #failed: (error: StoreError) => void
  #identity: Identity
  #writes: Promise<void> = Promise.resolve()

  /** @param failed is called when a change could not be written */
  constructor (database: Database, identity: Identity, failed: (error: StoreError) => void) {
    this.#database = database
    this.#identity = identity
    this.#failed = failed
  }

  get identity (): Identity { return this.#identity }

  /** Resolves when the change is durable, and everything before it. */
  update (change: Partial<Identity>): Promise<void> {
    this.#identity = { ...this.#identity, ...change }
    const write = this.#writes.then(() => writeIdentity(this.#database, this.#identity))
    this.#writes = write.catch((cause: unknown) => {
      this.#failed(new StoreError('STORE_FAILED', `the identity could not be written: ${(cause as Error).message}`, { cause }))
    })
    return write
  }

  /**
   * Notes that the run has ended in order, so that the next start need not doubt what it acknowledged.
   * @param sync makes everything durable that was acknowledged
   */
  async endRun (sync: () => Promise<void>): Promise<void> {
    if (this.#identity.unsynced === undefined) return
    await sync()
    const { unsynced: _, ...identity } = this.#identity
    this.#identity = identity
    await this.update({})
  }

  /** Resolves when nothing is being written any more. */
  settled (): Promise<void> {
    return this.#writes
  }
}
