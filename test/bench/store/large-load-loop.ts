/** Writes and reads large values without a pause, one after the other, and checks what it reads. */
import { randomBytes } from 'node:crypto'
import type { Client } from '../../../store/client/client.ts'

export class LargeValues {
  readonly #client: Client<string, Uint8Array>
  readonly #keys: readonly string[]
  /** Such that nothing compresses it. */
  readonly #value: Uint8Array
  #moved = 0
  #stopped = false
  #running: Promise<void> | undefined

  constructor (client: Client<string, Uint8Array>, keys: readonly string[], valueBytes: number) {
    this.#client = client
    this.#keys = keys
    this.#value = randomBytes(valueBytes)
  }

  start (): void {
    this.#moved = 0
    this.#stopped = false
    this.#running = this.#run()
    // Whoever stops it hears of the error.
    this.#running.catch(() => {})
  }

  async #run (): Promise<void> {
    for (let turn = 0; !this.#stopped; turn++) {
      const key = this.#keys[turn % this.#keys.length]!
      await this.#client.put(key, this.#value)
      const found = await this.#client.get(key)
      if (found === undefined || Buffer.compare(found, this.#value) !== 0) throw new Error(`${key} has not the value that was written`)
      this.#moved += 2
    }
  }

  /** Resolves with how many values were written and read since the start. @throws whatever an operation threw */
  async stop (): Promise<number> {
    this.#stopped = true
    await this.#running
    return this.#moved
  }
}
