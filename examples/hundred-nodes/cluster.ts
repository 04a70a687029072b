/**
 * All nodes of the main job: starts them in parallel, kills some, waits for what all of them must come to, and ends them all.
 *
 * Owns the nodes and the directory that holds their data.
 */
import type { NodeStatus } from 'coterie'
import { rmSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { NodeFactory, NodeHandle, NodeSpec } from './node-handle.ts'
import { type Options, rackOf } from './options.ts'
import { freePorts } from './ports.ts'

/** Nodes whose addresses every node is given, the founder among them: any one that answers is enough. */
const SEEDS_MAX = 3
/** Between two looks at all nodes: so long at least, and so many times what a look takes. */
const PAUSE_MS_MIN = 100
const PAUSE_FACTOR = 10

export interface ClusterComponents {
  readonly create: NodeFactory
  readonly signal: AbortSignal
}

export class Cluster {
  readonly #components: ClusterComponents
  readonly #options: Options
  readonly #directory: string
  readonly #ports: readonly number[]
  /** In the order in which they were created, the dead included. */
  readonly #nodes: NodeHandle[] = []
  readonly #dead = new Set<NodeHandle>()

  private constructor (components: ClusterComponents, options: Options, directory: string, ports: readonly number[]) {
    this.#components = components
    this.#options = options
    this.#directory = directory
    this.#ports = ports
  }

  static async prepare (components: ClusterComponents, options: Options): Promise<Cluster> {
    const ports = await freePorts(Math.min(SEEDS_MAX, options.nodes))
    return new Cluster(components, options, await mkdtemp(join(tmpdir(), 'coterie-hundred-nodes-')), ports)
  }

  get nodes (): readonly NodeHandle[] { return this.#nodes }
  get live (): NodeHandle[] { return this.#nodes.filter(node => !this.#dead.has(node)) }
  get seeds (): string[] { return this.#ports.map(port => `127.0.0.1:${port}`) }

  /**
   * Makes `count` more nodes, and starts them all at once when the function that it returns is called, in random order; that resolves
   * when each of them is a member. Nodes that are processes are started before, so that they do not join one by one as the
   * machine gets round to loading their programs.
   */
  async prepareToGrow (count: number): Promise<() => Promise<void>> {
    const added = this.#create(count)
    await Promise.all(added.map(node => node.prepare(this.#components.signal)))
    return () => this.#start(added)
  }

  /** Makes and starts `count` more nodes at once. Resolves when each of them is a member. */
  async grow (count: number): Promise<void> {
    await this.#start(this.#create(count))
  }

  #create (count: number): NodeHandle[] {
    const first = this.#nodes.length
    const added = Array.from({ length: count }, (_, offset) => this.#components.create(this.#spec(first + offset)))
    this.#nodes.push(...added)
    return added
  }

  async #start (added: readonly NodeHandle[]): Promise<void> {
    // The founder takes its turn among the others: whoever starts earlier waits for it.
    const order = added.map(node => ({ node, at: Math.random() })).sort((a, b) => a.at - b.at)
    await Promise.all(order.map(({ node }) => node.start(this.#components.signal)))
  }

  #spec (index: number): NodeSpec {
    const { partitions, replicas, nodes } = this.#options
    const name = `node-${index + 1}`
    const port = this.#ports[index] ?? 0
    const spec = {
      name,
      zone: rackOf(index, this.#options),
      directory: join(this.#directory, name),
      listen: `127.0.0.1:${port}`,
      seeds: this.seeds.filter(seed => seed !== `127.0.0.1:${port}`),
      partitions,
      replicas
    }
    return index === 0 ? { ...spec, expect: nodes } : spec
  }

  /** Kills the first `count` nodes of the first rack at once: the rack of the founder, which is a node like any other. */
  async crash (count: number): Promise<void> {
    const rack = this.#nodes[0]!.spec.zone
    const doomed = this.live.filter(node => node.spec.zone === rack).slice(0, count)
    for (const node of doomed) this.#dead.add(node)
    await Promise.all(doomed.map(node => node.kill()))
  }

  async statuses (): Promise<NodeStatus[]> {
    return Promise.all(this.live.map(node => node.status()))
  }

  /** What ended a node that nobody killed. */
  get failures (): string[] {
    return this.#nodes.flatMap(node => node.history.failures.map(message => `${node.spec.name} failed: ${message}`))
  }

  /** Which configurations the live nodes have, and how many of them each. */
  get configurations (): string {
    const counts = new Map<string, number>()
    for (const { history: { last } } of this.live) {
      const name = last === undefined ? 'none' : `number ${last.epoch} of size ${last.size}`
      counts.set(name, (counts.get(name) ?? 0) + 1)
    }
    return [...counts].map(([name, count]) => `${count} nodes have ${name}`).join(', ')
  }

  /** When the last live node got the configuration that all of them have, or undefined while they differ or are not `size`. */
  agreedAtMs (size: number): number | undefined {
    const last = this.live.map(node => node.history.last)
    const id = last[0]?.id
    if (id === undefined || last.some(seen => seen?.id !== id || seen.size !== size)) return undefined
    return Math.max(...last.map(seen => seen!.atMs))
  }

  /**
   * Asks again and again until `look` has an answer. `what` tells what is waited for, and how far it has come.
   * @throws {Error} when a node fails, when `deadlineMs` have passed, and when the job is aborted.
   */
  async until<T> (what: () => string, deadlineMs: number, look: () => Promise<T | undefined>): Promise<T> {
    const { signal } = this.#components
    const endMs = performance.now() + deadlineMs
    for (;;) {
      const askedMs = performance.now()
      const answer = await look()
      // A question to a hundred nodes must not be what they spend their time on.
      const pauseMs = Math.max(PAUSE_MS_MIN, PAUSE_FACTOR * (performance.now() - askedMs))
      if (answer !== undefined) return answer
      if (this.failures.length > 0) throw new Error(this.failures.join('; '))
      if (performance.now() > endMs) throw new Error(`${what()}, and no more within ${deadlineMs / 1000} s`)
      await delay(pauseMs, undefined, { signal })
    }
  }

  /** Ends every node and deletes their data. */
  async close (): Promise<void> {
    const ended = await Promise.allSettled(this.#nodes.map(node => node.close()))
    await rm(this.#directory, { recursive: true, force: true })
    const errors = ended.filter(result => result.status === 'rejected').map(result => result.reason as unknown)
    if (errors.length > 0) throw new AggregateError(errors, `${errors.length} nodes could not be ended in good order`)
  }

  /** The same at once, for a process that cannot wait any more. */
  abandon (): void {
    for (const node of this.#nodes) node.abandon()
    rmSync(this.#directory, { recursive: true, force: true, maxRetries: 10 })
  }
}
