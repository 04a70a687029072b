/**
 * One random life of a store, from one seed: a cluster forms, clients work, and meanwhile nodes join, leave, drain, crash, restart and
 * pause, disks are slow or fail, links fail, messages are lost, doubled and overtaken. Then everything heals, and everything must be as it should be.
 *
 * During the run the oracle checks its invariants after every event. Afterwards: the cluster comes to rest, the history is linearizable per
 * key, pages of scans are each of one moment, versions rise, every acknowledged write is readable, every copy equals the replay of the
 * history, and the ledger shows no transfer twice.
 */
import { checkHistory } from '../../store/verify/checker.ts'
import type { HistoryOperation } from '../../store/verify/history.ts'
import { checkPages } from '../../store/verify/pages.ts'
import { checkVersions } from '../../store/verify/versions.ts'
import type { SeededRandom } from '../../membership/environment/seeded-random.ts'
import { partitionOf } from '../../ring/index.ts'
import type { Client } from '../../store/client/client.ts'
import { StoreError } from '../../store/errors.ts'
import type { Durability } from '../../store/group/synced-log.ts'
import { checkSessions, type ClientRead } from './session-check.ts'
import { SimulatedWatch } from './simulated-watch.ts'
import { StoreCluster } from './store-cluster.ts'
import { StoreFaults } from './store-faults.ts'
import { runWorkload } from '../../store/verify/workload.ts'
import { workloadKey } from '../../store/verify/workload-steps.ts'

export interface ScenarioResult {
  readonly seed: number
  readonly traceDigest: string
  readonly virtualMs: number
  readonly events: number
  readonly faults: Readonly<Record<string, number>>
  readonly operations: number
  readonly failedDefinite: number
  readonly failedIndefinite: number
  /** Changes that the watches delivered. */
  readonly watched: number
  /** Values whose time was over. */
  readonly expired: number
  readonly generations: number
  readonly leasedReads: number
  readonly localReads: number
  /** Messages that went in pieces. */
  readonly longMessages: number
  readonly viewChanges: number
  readonly moves: { readonly planned: number, readonly done: number, readonly superseded: number, readonly restarted: number }
}

/** Virtual time between two faults in a small cluster; in a large one they come so many times as often. */
const FAULT_PAUSE_MS = [200, 2500] as const
const LARGE_FAULTS = 3

/** The keys whose history is checked. */
const PREFIX = 'w'
const KEYS = 10

/**
 * Few, since each takes as much time as hundreds of others; and up to five times as long as a piece of a message. Every fourth life has none:
 * there a page has all keys of a tag, and is looked at as a whole.
 */
const LARGE_VALUES = Object.freeze({ probability: 0.03, lengthMax: 320 * 1024 })

/** Clusters are small or have at least so many nodes. */
const SIZE_LARGE = 12

/** Three to seven nodes, and in every twentieth life twelve to thirty. */
function sizeOf (seed: number): number {
  return seed % 20 === 7 ? SIZE_LARGE + Math.floor(seed / 20) * 7 % 19 : 3 + seed % 5
}

class Scenario {
  readonly cluster: StoreCluster
  readonly seed: number
  readonly #faults: StoreFaults
  /** Session and stale reads that were checked. */
  #localReads = 0

  constructor (seed: number, durability: Durability) {
    this.seed = seed
    const size = sizeOf(seed)
    // Small limits, so that compaction, windows and pieces of snapshots all happen with little data.
    this.cluster = new StoreCluster({
      seed,
      size,
      partitions: size < SIZE_LARGE ? 1 << seed % 4 : 16,
      zones: seed % 3 === 0 ? 3 : 1000,
      durability,
      disk: {
        // Where batches are not synced, a store whose disk loses some before later ones is damaged, and that is another test.
        rotationProbability: durability === 'sync' ? 0.05 : 0,
        readsAtOnce: Math.floor(seed / 3) % 3 === 1
      },
      replication: {
        logEntriesMax: 24, logBytesMax: 600, batchEntriesMax: 8, chunkBytes: 64, transfersMax: 2, expiryBatchMax: 2, expiryStampMs: 300,
        ...seed % 2 === 0 ? {} : { patienceMs: 500 },
        // Copying begins at once, while the store may be back any moment, or after it is.
        rereplicateAfterMs: [0, 1000, 6000][seed % 3]!,
        // Some leases are so long that whatever happens to a node falls into one.
        leaseReadsMin: 1,
        ...seed % 4 === 1 ? {} : { leaseMs: 3000 }
      }
    })
    this.#faults = new StoreFaults(this.cluster)
  }

  async run (durationMs: number): Promise<ScenarioResult> {
    const { cluster } = this
    const { simulation } = cluster
    const { random } = simulation
    const { victims } = this.#faults
    await cluster.form()
    const clients = [cluster.client(), cluster.client(3000)]
    await simulation.settle(Promise.all(clients.map(client => client.open())))
    let stopped = false
    const work = runWorkload({ clock: simulation.clock, random: random.fork('workload') }, {
      clients,
      workers: 6,
      keys: KEYS,
      operationsPerWorker: 100_000,
      thinkMs: 120,
      weights: { put: 2, putFor: 2, getEntry: 3, get: 3, putIf: 4, delIf: 1, batchIf: 2, scan: 1, scanTag: 2 },
      ttlMsMax: 1500,
      prefix: PREFIX,
      ...this.seed % 4 === 3 ? {} : { largeValues: LARGE_VALUES },
      stopped: () => stopped
    })
    const watches = clients.map(client => new SimulatedWatch(cluster, client, 'w-', random.fork('watch')))
    const watching = Promise.all(watches.map(watch => watch.run()))
    // An error must not pass unnoticed until the end.
    watching.catch((error: unknown) => { cluster.simulation.trace('test', `a watch failed: ${String(error)}`) })
    simulation.network.faults.setEverywhere(random.chance(0.5)
      ? { lossProbability: random.next() * 0.05, duplicateProbability: random.next() * 0.05, reorderProbability: random.next() * 0.05 }
      : {})
    const sessions = clients.map((client, index) => this.#readSession(client, index, random.fork(`session ${index}`), () => stopped))
    const end = simulation.nowMs + durationMs
    while (simulation.nowMs < end) {
      await simulation.runFor(random.between(...FAULT_PAUSE_MS) / (cluster.options.size < SIZE_LARGE ? 1 : LARGE_FAULTS))
      this.#faults.disturb()
    }
    this.#faults.heal()
    // Clients go on while the cluster comes to rest, so that the rebalances of the end happen under load too.
    await simulation.runFor(3000)
    stopped = true
    const result = await simulation.settle(work)
    const sessionReads = (await simulation.settle(Promise.all(sessions))).flat()
    await simulation.run({ untilMs: simulation.nowMs + 120_000, until: () => victims.busy.size === 0, everyMs: 100 })
    await cluster.rest()
    if (victims.unexpected !== undefined) throw victims.unexpected
    await this.#restartAtRest(clients[0]!)
    const reads = await this.#readAll(clients[0]!)
    const check = checkHistory([...result.history, ...reads])
    if (!check.ok) {
      const operations = JSON.stringify(check.operations, null, 1)
      throw new Error(`seed ${this.seed}: key ${check.key} is not linearizable: ${check.reason}\n${operations}\n${simulation.failureReport()}`)
    }
    const wrong = checkVersions([...result.history, ...reads]) ?? checkPages(result.history)
    if (wrong !== undefined) throw new Error(`seed ${this.seed}: ${wrong}\n${simulation.failureReport()}`)
    this.#checkSessions(sessionReads, result.history, clients.length)
    await this.#waitForExpiries()
    await cluster.compareData()
    // A watch may have been on a node that was silent, and asks again after some seconds.
    await simulation.runFor(12_000)
    for (const watch of watches) watch.stop()
    await simulation.settle(watching)
    for (const watch of watches) watch.check()
    return { ...this.#result(result), watched: watches.reduce((sum, watch) => sum + watch.delivered, 0) }
  }

  #result (result: Awaited<ReturnType<typeof runWorkload>>): Omit<ScenarioResult, 'watched'> {
    const { cluster } = this
    const moves = { planned: 0, done: 0, superseded: 0, restarted: 0 }
    let epoch = 0
    for (const node of cluster.nodes.values()) {
      const status = node.status()
      epoch = status.epoch
      for (const page of status.rebalances) {
        if (page.duplicates > 0) throw new Error(`invariant 29: ${page.duplicates} transfers of epoch ${page.epoch} were carried out twice at ${status.address}`)
        if (page.planned !== page.done + page.superseded) {
          throw new Error(`invariant 29: epoch ${page.epoch} at ${status.address}: ${page.planned} planned, ${page.done} done, ${page.superseded} superseded`)
        }
        moves.planned += page.planned
        moves.done += page.done
        moves.superseded += page.superseded
        moves.restarted += page.restarted
      }
    }
    return {
      seed: this.seed,
      traceDigest: cluster.simulation.traceDigest,
      virtualMs: cluster.simulation.nowMs,
      events: cluster.simulation.eventCount,
      faults: this.#faults.victims.counts,
      operations: result.succeeded,
      failedDefinite: result.failedDefinite,
      failedIndefinite: result.failedIndefinite,
      generations: cluster.oracle.generations,
      leasedReads: cluster.oracle.leasedReads,
      expired: cluster.oracle.expired,
      localReads: this.#localReads,
      longMessages: cluster.simulation.network.statistics.long,
      viewChanges: epoch,
      moves
    }
  }

  /**
   * One node loses its power about when it heard that the last writes are committed, before its data has them, and comes back: nothing
   * but its return makes the others speak to it. The keys are none of those whose history is checked.
   */
  async #restartAtRest (client: ReturnType<StoreCluster['client']>): Promise<void> {
    const { cluster } = this
    await cluster.simulation.settle(Promise.all(Array.from({ length: 10 }, (_, key) => client.put(`last ${key}`, 'written'))))
    await cluster.simulation.runFor(cluster.simulation.random.between(900, 1150))
    const index = cluster.simulation.random.pick([...cluster.nodes.keys()])
    this.#faults.victims.crash(index, true)
    this.#faults.victims.restart(index)
    await cluster.simulation.settle(cluster.starts.get(index)!)
    await cluster.rest()
  }

  /** One client reads one key after the other from whichever replica answers; it shares its client with workers that write. */
  async #readSession (client: Client, index: number, random: SeededRandom, stopped: () => boolean): Promise<ClientRead[]> {
    const { simulation, options: { partitions } } = this.cluster
    const reads: ClientRead[] = []
    while (!stopped()) {
      await new Promise<void>(resolve => { simulation.clock.setTimer(random.between(5, 80), resolve) })
      const key = workloadKey(PREFIX, random.below(KEYS))
      const consistency = random.chance(0.7) ? 'session' : 'stale'
      const start = simulation.nowMs
      try {
        const value = await client.get(key, { consistency })
        reads.push({ client: index, consistency, partition: partitionOf(Buffer.from(key), partitions), key, value, start, end: simulation.nowMs })
      } catch (error) {
        if (!(error instanceof StoreError)) throw error
      }
    }
    return reads
  }

  #checkSessions (reads: readonly ClientRead[], history: readonly HistoryOperation[], clients: number): void {
    const { oracle, options: { partitions } } = this.cluster
    const puts = history.flatMap(({ process, kind, key, input, end }) => kind !== 'put' || end === undefined
      ? []
      : [{ client: process % clients, partition: partitionOf(Buffer.from(key), partitions), key, value: input as string, end }])
    const wrong = checkSessions(reads, puts, (partition, key) => oracle.keyHistory(partition, key))
    if (wrong !== undefined) throw new Error(`seed ${this.seed}: ${wrong}`)
    this.#localReads = reads.length
  }

  /** Whatever has a time to live is gone soon after it. */
  async #waitForExpiries (): Promise<void> {
    const { simulation, oracle } = this.cluster
    await simulation.run({ untilMs: simulation.nowMs + 10_000, until: () => oracle.expiring === 0, everyMs: 100 })
    if (oracle.expiring > 0) throw new Error(`seed ${this.seed}: ${oracle.expiring} values should have expired and are there\n${simulation.failureReport()}`)
    // The index still has values that were written again before their time; leaders come across them, and rest then.
    await simulation.runFor(4000)
  }

  async #readAll (client: ReturnType<StoreCluster['client']>): Promise<HistoryOperation[]> {
    const { simulation } = this.cluster
    const reads: HistoryOperation[] = []
    for (let number = 0; number < KEYS; number++) {
      const key = workloadKey(PREFIX, number)
      const start = simulation.nowMs
      const entry = await simulation.settle(client.getEntry(key))
      reads.push({ process: -1, key, kind: 'get', ...(entry === undefined ? {} : { output: entry.value, version: entry.version }), start, end: simulation.nowMs + 1e-6 })
    }
    return reads
  }
}

/** Runs one seed. @throws when anything is not as it must be. */
export async function runStoreScenario (seed: number, durationMs = 20_000, durability: Durability = 'sync'): Promise<ScenarioResult> {
  return await new Scenario(seed, durability).run(durationMs)
}
