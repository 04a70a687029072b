/**
 * How long clients wait for a key while something happens to its partition, in virtual time.
 *
 * Owns its client.
 */
import { expect } from 'vitest'
import type { Client } from '../../store/client/client.ts'
import { partitionOf } from '../../ring/index.ts'
import type { StoreCluster } from './store-cluster.ts'

/** Between two operations on a key, so that the test does not take long. Not part of what is measured. */
const PAUSE_MS = 6
/** One operation does not wait longer than this for its answer. */
const DEADLINE_MS = 60_000

/** A time without success on one key: from the end of one operation to the end of the next, less the pause between. */
export interface Gap {
  readonly key: string
  readonly ms: number
  readonly endedMs: number
}

/** Puts and gets some keys, each in turn, until it is stopped, and remembers the longest gap of each. */
export class GapMeter {
  readonly #cluster: StoreCluster
  readonly #client: Client
  readonly #loops: Promise<unknown>
  readonly #longest = new Map<string, Gap>()
  #stopped = false

  /** @param keys so many, in as many partitions as chance has it */
  constructor (cluster: StoreCluster, keys: number) {
    this.#cluster = cluster
    this.#client = cluster.client(DEADLINE_MS)
    this.#loops = Promise.all(Array.from({ length: keys }, (_, index) => this.#watch(`watched ${index}`)))
  }

  async #watch (key: string): Promise<void> {
    const { simulation } = this.#cluster
    const { clock } = simulation.client('the pauses between operations')
    await this.#client.open()
    let succeededMs = simulation.nowMs
    for (let turn = 0; !this.#stopped; turn++) {
      if (turn % 2 === 0) await this.#client.put(key, String(turn))
      else expect(await this.#client.get(key)).toBe(String(turn - 1))
      const gap = { key, ms: simulation.nowMs - succeededMs - (turn === 0 ? 0 : PAUSE_MS), endedMs: simulation.nowMs }
      if (gap.ms > (this.#longest.get(key)?.ms ?? -Infinity)) this.#longest.set(key, gap)
      succeededMs = simulation.nowMs
      await new Promise<void>(resolve => { clock.setTimer(PAUSE_MS, resolve) })
    }
  }

  /** Forgets what was so far. A gap that is under way counts from its beginning. */
  reset (): void {
    this.#longest.clear()
  }

  /** The longest gap of each key. */
  get gaps (): readonly Gap[] {
    return [...this.#longest.values()]
  }

  partitionOf ({ key }: Gap): number {
    return partitionOf(Buffer.from(key), this.#cluster.options.partitions)
  }

  async stop (): Promise<void> {
    this.#stopped = true
    await this.#cluster.simulation.settle(this.#loops)
    await this.#client.close()
  }
}
