/**
 * Traffic on a real cluster while things happen to it: a seeded workload that runs until it is told to stop, and data that was
 * loaded before and must be there after.
 *
 * Owns nothing.
 */
import type { AbstractBatchOperation } from 'abstract-level'
import { createSystemClock } from '../../membership/environment/system.ts'
import { SeededRandom } from '../../membership/environment/seeded-random.ts'
import type { Client } from '../../store/client/client.ts'
import { runWorkload, type WorkloadResult } from '../../store/verify/workload.ts'
import type { WorkloadDatabase } from '../../store/verify/workload-steps.ts'
import { eventually, PATIENCE_MS } from '../../store/verify/eventually.ts'

const WORKERS = 12
const KEYS = 40
const THINK_MS = 20
const LOADED = 300

const loadedKey = (index: number): string => `loaded-${index}`
const loadedValue = (index: number): string => `value ${index}`

export async function load (client: Client): Promise<void> {
  await client.batch(Array.from({ length: LOADED }, (_, index) => ({ type: 'put' as const, key: loadedKey(index), value: loadedValue(index) })))
}

/** @returns the keys that do not have the value that `load` gave them. */
export async function missing (client: Client): Promise<string[]> {
  const keys = Array.from({ length: LOADED }, (_, index) => loadedKey(index))
  const values = await client.getMany(keys)
  return keys.filter((_, index) => values[index] !== loadedValue(index))
}

export class Traffic {
  readonly #running: Promise<WorkloadResult>
  #stopped = false
  #succeeded = 0

  constructor (clients: readonly Client[], seed: number) {
    this.#running = runWorkload({ clock: createSystemClock(), random: new SeededRandom(seed) }, {
      clients: clients.map(client => this.#counted(client)), workers: WORKERS, keys: KEYS, operationsPerWorker: Infinity, thinkMs: THINK_MS,
      stopped: () => this.#stopped
    })
    // Who waits for progress must not hang when the workload has failed; `stop()` tells why.
    this.#running.catch(() => { this.#stopped = true })
  }

  #counted (client: Client): WorkloadDatabase {
    const count = async <T>(operation: Promise<T>): Promise<T> => {
      const value = await operation
      this.#succeeded++
      return value
    }
    return {
      get: (key: string) => count(client.get(key)),
      getMany: (keys: string[]) => count(client.getMany(keys)),
      put: (key: string, value: string) => count(client.put(key, value)),
      del: (key: string) => count(client.del(key)),
      batch: (operations: AbstractBatchOperation<Client, string, string>[]) => count(client.batch(operations))
    } as WorkloadDatabase
  }

  /** Waits until so many further operations have succeeded. */
  async progress (operations: number): Promise<void> {
    const aim = this.#succeeded + operations
    await eventually(PATIENCE_MS, () => {
      const left = aim - this.#succeeded
      return Promise.resolve(left <= 0 || this.#stopped ? undefined : `${left} of ${operations} operations have not succeeded yet`)
    })
  }

  /** @throws what no database may throw */
  stop (): Promise<WorkloadResult> {
    this.#stopped = true
    return this.#running
  }
}
