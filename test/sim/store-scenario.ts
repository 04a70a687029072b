/**
 * One random life of a store, from one seed: a cluster forms, clients work, and meanwhile nodes join, leave, crash, restart and
 * pause, links fail, messages are lost, doubled and overtaken. Then everything heals, and everything must be as it should be.
 *
 * During the run the oracle checks its invariants after every event. Afterwards: the cluster comes to rest, the history is
 * linearizable per key, versions rise, every acknowledged write is readable, every copy equals the replay of the history, and the ledger
 * shows no transfer twice.
 */
import { checkHistory } from '../../store/verify/checker.ts'
import type { HistoryOperation } from '../../store/verify/history.ts'
import { checkVersions } from '../../store/verify/versions.ts'
import type { SeededRandom } from '../../membership/environment/seeded-random.ts'
import { partitionOf } from '../../ring/index.ts'
import type { Client } from '../../store/client/client.ts'
import { StoreError } from '../../store/errors.ts'
import type { StoreNode } from '../../store/node.ts'
import type { Durability } from '../../store/group/synced-log.ts'
import type { GroupMessage } from '../../store/group/messages.ts'
import { checkSessions, type ClientRead } from './session-check.ts'
import { SimulatedWatch } from './simulated-watch.ts'
import { addressOf, StoreCluster } from './store-cluster.ts'
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

/** Faults per second of virtual time, about. */
const FAULT_PAUSE_MS = [200, 2500] as const

/** The keys whose history is checked. */
const PREFIX = 'w'
const KEYS = 10

/** Few, since each takes as much time as hundreds of others; and up to five times as long as a piece of a message. */
const LARGE_VALUES = Object.freeze({ probability: 0.03, lengthMax: 320 * 1024 })

class Scenario {
  readonly cluster: StoreCluster
  readonly seed: number
  readonly #faults: Record<string, number> = {}
  readonly #paused = new Set<number>()
  /** Nodes that are down and will come back. */
  readonly #down = new Set<number>()
  /** Nodes that lost their power, and may not have everything again that they had acknowledged. */
  readonly #weak = new Set<number>()
  /** Nodes whose next write fails. */
  readonly #failing = new Set<number>()
  /** Drains that will be taken back, by the node that drains. */
  readonly #draining = new Map<number, StoreNode>()
  /** Nodes whose disk is slow for a while. */
  readonly #slow = new Set<number>()
  /** Nodes that are on their way in or out. */
  readonly #busy = new Set<number>()
  #healed = false
  /** What went wrong with a drain that may not. */
  #unexpected: Error | undefined
  /** Session and stale reads that were checked. */
  #localReads = 0
  /** The next leader that proposes a stop sign crashes on it. */
  #lurking = false
  #next: number

  constructor (seed: number, durability: Durability) {
    this.seed = seed
    // Small limits, so that compaction, windows and pieces of snapshots all happen with little data.
    this.cluster = new StoreCluster({
      seed,
      size: 3 + seed % 5,
      partitions: 1 << seed % 4,
      zones: seed % 3 === 0 ? 3 : 1000,
      durability,
      // Where batches are not synced, a store whose disk loses some before later ones is damaged, and that is another test.
      disk: { rotationProbability: durability === 'sync' ? 0.05 : 0 },
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
    this.#next = this.cluster.options.size
    this.cluster.onFailure = index => { this.#failed(index) }
    this.cluster.onMessage = (index, message) => { this.#ambush(index, message) }
  }

  #count (fault: string): void {
    this.#faults[fault] = (this.#faults[fault] ?? 0) + 1
    this.cluster.simulation.trace('test', fault)
  }

  async run (durationMs: number): Promise<ScenarioResult> {
    const { cluster } = this
    const { simulation } = cluster
    const { random } = simulation
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
      weights: { put: 2, putFor: 2, getEntry: 3, get: 3, putIf: 4, delIf: 1, batchIf: 2, scan: 2 },
      ttlMsMax: 1500,
      prefix: PREFIX,
      largeValues: LARGE_VALUES,
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
      await simulation.runFor(random.between(...FAULT_PAUSE_MS))
      await this.#disturb()
    }
    this.#heal()
    // Clients go on while the cluster comes to rest, so that the rebalances of the end happen under load too.
    await simulation.runFor(3000)
    stopped = true
    const result = await simulation.settle(work)
    const sessionReads = (await simulation.settle(Promise.all(sessions))).flat()
    await simulation.run({ untilMs: simulation.nowMs + 120_000, until: () => this.#busy.size === 0, everyMs: 100 })
    await cluster.rest()
    if (this.#unexpected !== undefined) throw this.#unexpected
    await this.#restartAtRest(clients[0]!)
    const reads = await this.#readAll(clients[0]!)
    const check = checkHistory([...result.history, ...reads])
    if (!check.ok) {
      const operations = JSON.stringify(check.operations, null, 1)
      throw new Error(`seed ${this.seed}: key ${check.key} is not linearizable: ${check.reason}\n${operations}\n${simulation.failureReport()}`)
    }
    const wrong = checkVersions([...result.history, ...reads])
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
      faults: this.#faults,
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
    this.#crash(index, true)
    this.#restart(index)
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

  get #up (): number[] {
    const hindered = [this.#paused, this.#busy, this.#failing, this.#slow]
    return [...this.cluster.nodes.keys()].filter(index => !hindered.some(some => some.has(index)))
  }

  async #disturb (): Promise<void> {
    const { cluster } = this
    const { simulation } = cluster
    const { random, network } = simulation
    const members = cluster.nodes.size + this.#down.size
    // A majority of the members stays: without one nothing is decided, and that is another test.
    const away = this.#down.size + this.#paused.size + this.#busy.size + this.#failing.size + this.#slow.size
    const spare = Math.ceil(members / 2) - 1 - away
    const quiet = away === 0
    const choice = random.below(18)
    const victim = this.#up.length > 0 ? random.pick(this.#up) : undefined
    const mayFail = victim !== undefined && spare > 0 && this.#affordable(victim)
    if (choice <= 1 && mayFail) {
      const silent = random.chance(0.3)
      this.#count(silent ? 'power loss' : 'crash')
      this.#crash(victim, silent)
    } else if (choice <= 3 && this.#down.size > 0) {
      this.#restart(random.pick([...this.#down]))
    } else if (choice === 4 && cluster.nodes.size < 9) {
      const joiners = 1 + random.below(2)
      for (let i = 0; i < joiners; i++) this.#join()
    } else if (choice === 5 && victim !== undefined && quiet && cluster.nodes.size > 4 && cluster.unrest() === undefined) {
      this.#leave(victim)
    } else if (choice === 6 && mayFail) {
      const suspended = random.chance(0.3)
      this.#count(suspended ? 'suspend' : 'pause')
      this.#paused.add(victim)
      if (suspended) simulation.host(addressOf(victim)).suspend()
      else simulation.host(addressOf(victim)).pause()
      this.#later(random.between(100, random.chance(0.3) ? 10_000 : 4000), () => { this.#resume(victim) })
    } else if (choice === 7 && mayFail) {
      const others = [...cluster.nodes.keys()].filter(index => index !== victim).map(addressOf)
      const oneWay = random.chance(0.5)
      this.#count(oneWay ? 'one-way partition' : 'partition')
      if (oneWay) network.faults.block([addressOf(victim)], others)
      else network.faults.partition([addressOf(victim)], others)
      this.#later(random.between(100, 4000), () => {
        for (const other of others) {
          network.faults.setLink(addressOf(victim), other, {})
          network.faults.setLink(other, addressOf(victim), {})
        }
      })
    } else if (choice === 8 && victim !== undefined) {
      this.#count('reset')
      simulation.host(addressOf(victim)).breakLinks()
    } else if (choice === 9) {
      this.#lurking = true
    } else if (choice === 10 && victim !== undefined) {
      this.#count('wall clock set')
      simulation.host(addressOf(victim)).setWallClock(random.between(-600_000, 600_000))
    } else if (choice === 11 && mayFail) {
      // What it hears is old: an answer says less about the present than it seems to.
      this.#count('slow ingress')
      const address = addressOf(victim)
      network.faults.setIngress(address, { latencyMs: random.between(100, 2000) })
      this.#later(random.between(1000, 5000), () => { network.faults.setIngress(address, {}) })
    } else if (choice === 12 && mayFail) {
      this.#count('failing write')
      this.#failing.add(victim)
      cluster.mayFail.add(victim)
      simulation.host(addressOf(victim)).disk('data').failNextWrite()
    } else if (choice === 13 && mayFail) {
      this.#count('slow disk')
      this.#slow.add(victim)
      simulation.host(addressOf(victim)).disk('data').slowness = random.between(20, 500)
      this.#later(random.between(1000, 5000), () => { this.#mendDisk(victim) })
    } else if (choice === 14 && mayFail) {
      // The store stops at its next write. Somebody has made room by the time its process ends.
      this.#count('full disk')
      this.#failing.add(victim)
      cluster.mayFail.add(victim)
      simulation.host(addressOf(victim)).disk('data').full = true
    } else if (choice === 15 && victim !== undefined && !this.#draining.has(victim)) {
      this.#drain(victim)
    } else if (choice >= 16 && spare > 1) {
      this.#hunt(random.below(cluster.options.partitions))
    }
  }

  /**
   * Isolates a partition's leader, waits until another one takes over, and has that one crash while it does, just when the first
   * comes back with entries that nobody else has: what elections by the end of a history are for (rule S3).
   */
  #hunt (partition: number): void {
    const { cluster } = this
    const { simulation } = cluster
    const first = this.#leaderOf(partition)
    if (first === undefined || !this.#up.includes(first)) return
    const others = [...cluster.nodes.keys()].filter(index => index !== first).map(addressOf)
    if (!this.#affordable(first)) return
    this.#count('hunted leader')
    // Clients still reach it, and go on writing for a while.
    simulation.network.faults.partition([addressOf(first)], others)
    this.#busy.add(first)
    // Half of the time both lead for a while, as far as they know, and only the second may answer anybody.
    const grace = simulation.random.chance(0.5) ? simulation.random.between(0, 30) : simulation.random.between(300, 2000)
    const end = simulation.nowMs + 5000
    const look = (): void => {
      const second = this.#leaderOf(partition, first)
      if (second === undefined && simulation.nowMs < end) { this.#later(5, look); return }
      this.#later(grace, () => {
        this.#busy.delete(first)
        for (const other of others) {
          simulation.network.faults.setLink(addressOf(first), other, {})
          simulation.network.faults.setLink(other, addressOf(first), {})
        }
        if (second === undefined || this.#healed || !this.#up.includes(second) || !this.#affordable(second)) return
        this.#crash(second)
      })
    }
    look()
  }

  /** Has a leader crash about when its stop sign reaches the first follower, so that the next one must propose it again (rule S3). */
  #ambush (index: number, message: GroupMessage): void {
    if (!this.#lurking || message.kind !== 'append' || message.entries.at(-1)?.body.kind !== 'stop') return
    this.#lurking = false
    const { simulation } = this.cluster
    this.#later(simulation.random.between(0, 3), () => {
      if (this.#healed || !this.#up.includes(index) || !this.#affordable(index)) return
      this.#count('crash at a stop sign')
      this.#crash(index)
    })
  }

  /** True when a majority of the configuration that a node knows is up without it. */
  #affordable (index: number): boolean {
    const { configuration } = this.cluster.nodes.get(index)!.membership
    const up = new Set(this.#up.filter(other => other !== index).map(other => this.cluster.nodes.get(other)!.membership.self.id))
    return configuration !== undefined && configuration.members.filter(({ id }) => up.has(id)).length > configuration.members.length / 2
  }

  /** The node that leads a partition, or is about to, if any does besides `except`. */
  #leaderOf (partition: number, except?: number): number | undefined {
    for (const [index, node] of this.cluster.nodes) {
      if (index === except) continue
      const phase = node.replicas.get(partition)?.leader?.phase
      if (phase !== undefined && phase !== 'sealing' && phase !== 'deferring') return index
    }
    return undefined
  }

  #later (delayMs: number, run: () => void): void {
    this.cluster.simulation.schedule(delayMs, undefined, run)
  }

  #resume (index: number): void {
    if (!this.#paused.delete(index)) return
    this.cluster.simulation.host(addressOf(index)).resume()
  }

  /** Drains a node for a while, as far as it gets: it may stop meanwhile, and the others may be too few. */
  #drain (index: number): void {
    this.#count('drain')
    const { simulation, nodes } = this.cluster
    const node = nodes.get(index)!
    this.#draining.set(index, node)
    node.drain().catch((error: unknown) => { this.#expectEnd(index, node, 'drain', error) })
    this.#later(simulation.random.between(0, 5000), () => { this.#undrain(index) })
  }

  #undrain (index: number): void {
    const node = this.#draining.get(index)
    this.#draining.delete(index)
    if (node === undefined || this.cluster.nodes.get(index) !== node) return
    node.undrain().catch((error: unknown) => { this.#expectEnd(index, node, 'undrain', error) })
  }

  /** A drain may be refused, stand still, be taken back or end with its process; anything else ends the simulation. */
  #expectEnd (index: number, node: StoreNode, what: string, error: unknown): void {
    this.cluster.simulation.trace(addressOf(index), `${what} failed: ${String(error)}`)
    if (error instanceof StoreError && ['STORE_TOO_FEW_STORES', 'STORE_ABORTED', 'STORE_CLOSED'].includes(error.code)) return
    // Its process is gone, has left, or was taken for dead: then its weight is the next one's.
    if (this.cluster.nodes.get(index) !== node || this.#busy.has(index) || this.#failing.has(index)) return
    this.#unexpected ??= new Error(`${what} at ${addressOf(index)} failed: ${String(error)}`, { cause: error })
  }

  /** A slow disk is as fast as the others again. */
  #mendDisk (index: number): void {
    if (!this.#slow.delete(index)) return
    this.cluster.simulation.host(addressOf(index)).disk('data').slowness = 1
  }

  /** A write failed, and the store has stopped; its process ends a little later. */
  #failed (index: number): void {
    this.#later(this.cluster.simulation.random.between(0, 50), () => {
      if (!this.#failing.delete(index)) return
      this.cluster.simulation.host(addressOf(index)).disk('data').full = false
      this.#crash(index)
    })
  }

  /**
   * Ends a process. Where everything that was acknowledged is synced, its machine may lose its power with it; else only if no other store has
   * to be brought up to date after that.
   */
  #crash (index: number, silent = false): void {
    const { cluster } = this
    this.#down.add(index)
    for (const weak of this.#weak) {
      const node = cluster.nodes.get(weak)
      if (node !== undefined && !this.#busy.has(weak) && ![...node.replicas.values()].some(({ doubted }) => doubted)) this.#weak.delete(weak)
    }
    const affordable = cluster.options.durability === 'sync' || this.#weak.size === 0 || (this.#weak.size === 1 && this.#weak.has(index))
    if (affordable) this.#weak.add(index)
    if (affordable && cluster.options.durability === 'os') this.#count('loss of what was not synced')
    cluster.crash(index, silent, { losesUnsynced: affordable })
  }

  #restart (index: number): void {
    this.#count('restart')
    this.#down.delete(index)
    this.cluster.start(index)
    this.#whileStarting(index)
  }

  #join (): void {
    this.#count('join')
    const index = this.#next++
    this.cluster.start(index)
    this.#whileStarting(index)
  }

  #whileStarting (index: number): void {
    this.#busy.add(index)
    const done = (): void => { this.#busy.delete(index) }
    this.cluster.starts.get(index)!.then(done, done)
  }

  #leave (index: number): void {
    this.#count('leave')
    const { cluster } = this
    this.#busy.add(index)
    const node = cluster.nodes.get(index)!
    const done = (): void => {
      this.#busy.delete(index)
      cluster.nodes.delete(index)
      cluster.simulation.host(addressOf(index)).crash()
    }
    // Most drain first, under whatever goes on meanwhile; what cannot be drained crashes.
    node.leave({ deadlineMs: 60_000, drain: index % 4 !== 0 || this.cluster.options.durability === 'os' }).then(done, (error: unknown) => {
      cluster.simulation.trace(addressOf(index), `leave failed: ${String(error)}`)
      done()
    })
  }

  #heal (): void {
    this.#healed = true
    this.cluster.simulation.network.faults.heal()
    for (const index of [...this.#paused]) this.#resume(index)
    for (const index of [...this.#slow]) this.#mendDisk(index)
    for (const index of [...this.#draining.keys()]) this.#undrain(index)
    for (const index of [...this.#failing]) {
      this.#failing.delete(index)
      this.cluster.simulation.host(addressOf(index)).disk('data').full = false
      this.cluster.mayFail.delete(index)
      this.#crash(index)
    }
    for (const index of [...this.#down]) this.#restart(index)
  }
}

/** Runs one seed. @throws when anything is not as it must be. */
export async function runStoreScenario (seed: number, durationMs = 20_000, durability: Durability = 'sync'): Promise<ScenarioResult> {
  return await new Scenario(seed, durability).run(durationMs)
}
