/**
 * A watch in the simulator that lives through everything: it goes on by its cursor after errors and now and then by itself, begins
 * anew when the history is gone, and is compared in the end with what the oracle knows to be committed.
 *
 * What must hold: between the place where it began and the one where it ended, exactly the committed changes of its keys were
 * delivered, in the order of each partition; and when all is quiet nothing is missing.
 */
import type { Random } from '../../membership/environment/environment.ts'
import { partitionOf } from '../../ring/index.ts'
import { decodeCursor, type WatchPlace } from '../../store/client/watch-cursor.ts'
import type { Client } from '../../store/client/client.ts'
import type { Entry } from '../../store/group/history.ts'
import type { StoreCluster } from './store-cluster.ts'

/** What a watch delivered without a gap. */
interface Stretch {
  readonly start: string
  end: string
  readonly events: { readonly key: string, readonly value: string | undefined, readonly version: number }[]
}

/** How often a watch that has nothing to complain about is left for its cursor all the same. */
const LEAVING = 0.03

export class SimulatedWatch {
  readonly #cluster: StoreCluster
  readonly #client: Client
  readonly #prefix: string
  readonly #random: Random
  readonly #stretches: Stretch[] = []
  readonly #controller = new AbortController()

  constructor (cluster: StoreCluster, client: Client, prefix: string, random: Random) {
    this.#cluster = cluster
    this.#client = client
    this.#prefix = prefix
    this.#random = random
  }

  get delivered (): number {
    return this.#stretches.reduce((sum, { events }) => sum + events.length, 0)
  }

  stop (): void {
    this.#controller.abort()
  }

  /** Watches until it is stopped. @throws what a watch must not end with */
  async run (): Promise<void> {
    const { signal } = this.#controller
    let stretch: Stretch | undefined
    while (!signal.aborted) {
      // A question that the network lost is asked again soon: the logs here are short.
      const options = { signal, waitMs: 300 }
      const watcher = this.#client.watch(this.#prefix, stretch === undefined ? options : { ...options, since: stretch.end })
      try {
        await watcher.ready()
        if (stretch === undefined) this.#stretches.push(stretch = { start: watcher.cursor!, end: watcher.cursor!, events: [] })
        for await (const { key, value, version, cursor } of watcher) {
          stretch.events.push({ key, value, version })
          if (this.#random.next() >= LEAVING) continue
          stretch.end = cursor
          break
        }
      } catch (error) {
        // Deliveries and the cursor go together: what was delivered is in it.
        if (stretch !== undefined) stretch.end = watcher.cursor!
        const { code } = error as { code?: unknown }
        if (code === 'WATCH_TOO_OLD') stretch = undefined
        else if (code !== 'STORE_DEADLINE_EXCEEDED' && code !== 'PARTITION_UNAVAILABLE' && code !== 'STORE_ABORTED') throw error
      }
    }
  }

  /** Compares what was delivered with what was committed. @throws {Error} naming the first difference */
  check (): void {
    const { partitions } = this.#cluster.options
    const last = this.#stretches.at(-1)
    for (const stretch of this.#stretches) {
      const { start, end } = { start: this.#place(stretch.start), end: this.#place(stretch.end) }
      for (let partition = 0; partition < partitions; partition++) {
        const entries = this.#cluster.oracle.committed(partition)
        const to = stretch === last ? Math.max(0, ...entries.keys()) : end.positions[partition]!
        const expected: string[] = []
        for (let seq = start.positions[partition]! + 1; seq <= to; seq++) expected.push(...this.#changes(entries.get(seq)!))
        const skip = end.skips.get(partition)
        if (stretch !== last && skip !== undefined) expected.push(...this.#changes(entries.get(to + 1)!).slice(0, skip))
        const found = stretch.events.filter(({ key }) => partitionOf(key, partitions) === partition)
          .map(({ key, value, version }) => `${version} ${key}=${value ?? 'deleted'}`)
        const difference = expected.findIndex((change, index) => change !== found[index])
        if (difference < 0 && found.length === expected.length) continue
        const index = difference < 0 ? expected.length : difference
        throw new Error(`a watch of partition ${partition} from ${start.positions[partition]} to ${to} delivered ${found[index]} in place of ${expected[index]}\n` +
          this.#cluster.simulation.failureReport())
      }
    }
  }

  #place (cursor: string): WatchPlace {
    const scope = {
      clusterId: this.#client.view!.clusterId,
      prefix: Buffer.from(this.#prefix),
      partitions: Array.from({ length: this.#cluster.options.partitions }, (_, partition) => partition)
    }
    return decodeCursor(cursor, scope)
  }

  /** What an entry changed of the keys that are watched: of several operations on one key the last. */
  #changes ({ seq, body }: Entry): string[] {
    if (body.kind !== 'write') return []
    if (body.operations === null) throw new Error(`the oracle never saw the values of entry ${seq}`)
    const operations = body.operations.map(operation => ({ key: Buffer.from(operation.key).toString(), operation }))
    return operations.filter(({ key }, index) => key.startsWith(this.#prefix) && !operations.slice(index + 1).some(later => later.key === key))
      .map(({ key, operation }) => `${seq} ${key}=${operation.kind === 'put' ? Buffer.from(operation.value).toString() : 'deleted'}`)
  }
}
