/**
 * Clusters of stores in the simulator: starts, crashes, restarts and stops nodes, and knows when a cluster is at rest.
 *
 * Owns: the nodes and clients it starts, and the oracle that watches them.
 */
import type { StoreId } from '../../membership/configuration.ts'
import type { Environment } from '../../membership/environment/environment.ts'
import { SeededRandom } from '../../membership/environment/seeded-random.ts'
import { Client } from '../../store/client/client.ts'
import type { GroupMessage } from '../../store/group/messages.ts'
import { StoreNode } from '../../store/node.ts'
import { BodyBytes } from '../../store/body-bytes.ts'
import { type Packet, unpack } from '../../store/peer-messages.ts'
import type { NodeOptions } from '../../store/options.ts'
import type { CrashOptions, SimulatedHost } from './host.ts'
import { Simulation, type SimulationOptions } from './simulation.ts'
import { StoreOracle } from './store-oracle.ts'
import { ViewMemory } from './view-memory.ts'

export interface StoreClusterOptions extends SimulationOptions {
  readonly partitions: number
  readonly replicas?: number
  /** Number of nodes that form the cluster. */
  readonly size: number
  readonly zones?: number
  readonly replication?: NodeOptions['replication']
  /** Of every node. @default 'sync' */
  readonly durability?: NonNullable<NodeOptions['durability']>
  /** How far apart, at most, the clocks of two nodes run. Of each host the rate is drawn once. @default 2 */
  readonly driftPercent?: number
}

/** Where a node is, unless it has moved. */
export const addressOf = (index: number): string => `10.1.0.${index + 1}:7000`

/** Everything a store says about a partition goes through here, so that the oracle hears it. */
function overheard (environment: Environment, heard: (partition: number, message: GroupMessage) => void): Environment {
  const { transport } = environment
  const send: typeof transport.send = (to, channel, message, stream) => {
    const { m: packet } = message as { m?: Packet }
    if (packet !== undefined) for (const { partition, message } of unpack(packet, new BodyBytes())) heard(partition, message)
    transport.send(to, channel, message, stream)
  }
  const tapped = new Proxy(transport, {
    get (target, name) {
      if (name === 'send') return send
      const value: unknown = Reflect.get(target, name, target)
      return typeof value === 'function' ? value.bind(target) as unknown : value
    }
  })
  return { ...environment, transport: tapped }
}

export class StoreCluster {
  readonly simulation: Simulation
  readonly oracle: StoreOracle
  readonly options: StoreClusterOptions
  /** The running nodes, by index. */
  readonly nodes = new Map<number, StoreNode>()
  /** Starts that are under way or over, by index; a start may fail or never end, in a cluster under faults. */
  readonly starts = new Map<number, Promise<void>>()
  /** Called with everything that a node says to another about a partition, before it is sent. */
  onMessage: (index: number, message: GroupMessage) => void = () => {}
  /** Nodes whose store the test makes fail; any other's failure ends the simulation. */
  readonly mayFail = new Set<number>()
  readonly failed = new Map<number, Error>()
  /** Called when one of them has failed. */
  onFailure: (index: number) => void = () => {}
  readonly #failures: Error[] = []
  readonly #addresses = new Map<StoreId, string>()
  /** Where the nodes are that have moved, by index. */
  readonly #moved = new Map<number, string>()
  readonly #views = new ViewMemory()
  #clients = 0

  constructor (options: StoreClusterOptions) {
    this.options = options
    this.simulation = new Simulation(options)
    this.oracle = new StoreOracle({
      nodes: () => this.nodes.values(),
      clock: node => this.simulation.host(node.address).environment.clock,
      disk: store => {
        const address = this.#addresses.get(store)
        return address === undefined ? undefined : this.simulation.host(address).disk('data').content
      },
      synced: store => {
        const address = this.#addresses.get(store)
        return address === undefined ? undefined : this.simulation.host(address).disk('data').synced
      }
    })
    this.simulation.addInvariant(() => {
      if (this.#failures.length > 0) throw this.#failures[0]!
      this.oracle.check()
    })
  }

  /** Where a node is. */
  addressOf (index: number): string {
    return this.#moved.get(index) ?? addressOf(index)
  }

  #host (index: number): SimulatedHost {
    const { driftPercent = 2, seed } = this.options
    const drift = new SeededRandom(seed).fork(`clock ${index}`).next() - 0.5
    return this.simulation.host(this.addressOf(index), { clockRate: 1 + drift * driftPercent / 100 })
  }

  /** Starts a node on its host, or starts it again on the same disk. */
  start (index: number, options: Partial<NodeOptions> = {}): StoreNode {
    const host = this.#host(index)
    const environment = host.running ? host.environment : host.restart()
    const seeds = [...this.nodes.keys()].map(other => this.addressOf(other))
    const { zones = 1000, replication, durability } = this.options
    const heard = (partition: number, message: GroupMessage): void => {
      this.#addresses.set(node.storeId, this.addressOf(index))
      try {
        this.oracle.sent(partition, node.storeId, message)
      } catch (error) {
        // The sender could take it for an error of its own; it is the simulation's.
        this.#failures.push(error as Error)
      }
      this.onMessage(index, message)
    }
    const node: StoreNode = new StoreNode({ environment: overheard(environment, heard), bootId: host.bootId }, {
      directory: 'data',
      listen: this.addressOf(index),
      seeds,
      zone: `zone ${index % zones}`,
      membership: { joinTimeoutMs: 600_000 },
      ...(replication === undefined ? {} : { replication }),
      ...(durability === undefined ? {} : { durability }),
      ...options
    })
    this.nodes.set(index, node)
    node.on('view-change', change => {
      try {
        this.#views.saw(change)
      } catch (error) {
        // The node would take it for a listener's error.
        this.#failures.push(error as Error)
      }
    })
    node.on('failed', error => {
      if (this.nodes.get(index) !== node) return
      if (this.mayFail.delete(index)) {
        this.failed.set(index, error)
        this.onFailure(index)
      } else this.#failures.push(error)
    })
    const started = node.start()
    started.catch((error: unknown) => { this.simulation.trace(this.addressOf(index), `start failed: ${String(error)}`) })
    this.starts.set(index, started)
    return node
  }

  /** Founds the cluster and waits until everybody is in. */
  async form (): Promise<void> {
    const { size, partitions, replicas = 3 } = this.options
    this.start(0, { found: true, expect: size, partitions, replicas, seeds: [] })
    for (let index = 1; index < size; index++) this.start(index, { seeds: [addressOf(0)] })
    await this.simulation.settle(Promise.all(this.starts.values()))
  }

  crash (index: number, silent = false, options: CrashOptions = {}): void {
    const storeId = this.nodes.get(index)?.storeId
    const host = this.simulation.host(this.addressOf(index))
    if (storeId !== undefined && options.losesUnsynced !== false) this.oracle.losesPower(storeId, host.disk('data').content)
    this.nodes.delete(index)
    host.crash({ silent, ...options })
  }

  /** Puts the disk of a node that does not run into a machine at another address; `start` goes on there. */
  move (index: number, address: string): void {
    const from = this.addressOf(index)
    const disk = this.simulation.host(from).unmount('data')
    this.#moved.set(index, address)
    this.#host(index).mount('data', disk)
    for (const [store, holder] of this.#addresses) if (holder === from) this.#addresses.set(store, address)
  }

  /** Whether a running store may lack what it had acknowledged when it lost its power. */
  get doubts (): boolean {
    return [...this.nodes.values()].some(node => [...node.replicas.values()].some(({ doubted }) => doubted))
  }

  /** A client on a host of its own, which knows where the nodes are now. */
  client (deadlineMs = 10_000): Client {
    const { transport, clock, random, log } = this.simulation.client(`client ${++this.#clients}`)
    const seeds = Array.from({ length: this.options.size }, (_, index) => this.addressOf(index))
    return new Client({ transport, clock, random, log }, { seeds, deadlineMs })
  }

  /** What is still in the way of rest, or undefined when all nodes agree and everything is where the placement wants it. */
  unrest (): string | undefined {
    const nodes = [...this.nodes.values()]
    const statuses = nodes.map(node => node.status())
    const first = statuses[0]!
    for (const status of statuses) {
      if (status.membership !== 'member') return `${status.address} is ${status.membership}`
      if (status.configurationId !== first.configurationId) return `${status.address} is in epoch ${status.epoch}, ${first.address} in ${first.epoch}`
      if (status.partitions.leftovers > 0) return `${status.address} keeps ${status.partitions.leftovers} leftovers`
    }
    if (first.members !== nodes.length) return `${first.members} members, ${nodes.length} processes`
    const settled = statuses.reduce((sum, status) => sum + status.partitions.settled, 0)
    return settled === this.options.partitions ? undefined : `${settled} of ${this.options.partitions} partitions are settled`
  }

  /** Runs until the cluster is at rest. @throws when it is not, after `limitMs` of virtual time. */
  async rest (limitMs = 120_000): Promise<void> {
    const { simulation } = this
    const end = await simulation.run({ untilMs: simulation.nowMs + limitMs, until: () => this.unrest() === undefined, everyMs: 100 })
    if (end !== 'condition') throw new Error(`not at rest after ${limitMs} ms: ${this.unrest()}\n${this.describe()}\n${simulation.failureReport()}`)
  }

  /** Compares the data of every replica with the replay of the history, and its position with the leader's. */
  async compareData (): Promise<void> {
    const { simulation } = this
    // Committed entries reach the followers and the data a little later than the answer; and a leader may log some of its own any time.
    await simulation.runFor(2000)
    await simulation.run({ untilMs: simulation.nowMs + 10_000, until: () => this.#behind() === undefined, everyMs: 10 })
    const behind = this.#behind()
    if (behind !== undefined) throw new Error(`${behind}\n${simulation.failureReport()}`)
    for (const { storeId, replicas } of this.nodes.values()) {
      for (const [partition, { copy }] of replicas) if (copy !== undefined) this.oracle.checkData(partition, storeId)
    }
    await this.#compareCopies()
  }

  /** The first copy that does not have, or know of, what its leader has committed. */
  #behind (): string | undefined {
    const commits = new Map<number, number>()
    for (const node of this.nodes.values()) {
      for (const [partition, { leader, copy }] of node.replicas) if (leader?.serving === true) commits.set(partition, copy!.commit)
    }
    for (const node of this.nodes.values()) {
      for (const [partition, { copy }] of node.replicas) {
        if (copy === undefined) continue
        const where = `partition ${partition} at ${node.address}`
        const commit = commits.get(partition)
        if (copy.commit !== commit) return `${where} knows the commit point ${copy.commit}; it is ${commit}`
        if (copy.applied !== copy.commit) return `${where}: data at ${copy.applied}, commit at ${copy.commit}`
      }
    }
    return undefined
  }

  /** What an older copy left may still be on its way out; once that is over, every disk has live copies alone. */
  async #compareCopies (): Promise<void> {
    const { simulation } = this
    const strays = (): string[] => [...this.nodes.values()].flatMap(({ address, storeId }) => {
      const stray = this.oracle.strayOn(storeId)
      return stray === undefined ? [] : [`${address} has ${stray}`]
    })
    await simulation.run({ untilMs: simulation.nowMs + 10_000, until: () => strays().length === 0, everyMs: 100 })
    const left = strays()
    if (left.length > 0) throw new Error(`copies that are no more are still on disks: ${left.join('; ')}\n${simulation.failureReport()}`)
  }

  /** Every partition at every store, for a person who looks for the reason of a failure. */
  describe (): string {
    const lines: string[] = []
    for (const node of this.nodes.values()) {
      const { epoch, membership, storeId } = node.status()
      lines.push(`${node.address} ${storeId.slice(0, 4)} epoch ${epoch} ${membership}`)
      for (const [partition, { group, copy, leader, view, seen, learner }] of node.replicas) {
        const names = (stores: readonly string[] = []): string => stores.map(store => store.slice(0, 4)).join(',')
        lines.push(`  p${partition} g${group?.generation} [${names(group?.members)}] base ${group?.base} wants [${names(view?.seats)}] seen ${seen.store.slice(0, 4)} ` +
          `copy ${copy?.number} ${copy?.floor}..${copy?.applied}/${copy?.commit}/${copy?.last} ${leader === undefined ? '' : `leads (${leader.phase})`} ${learner.active ? 'learns' : ''}`)
      }
    }
    return lines.join('\n')
  }
}
