/**
 * A cluster of node processes on this machine, each with a directory of its own.
 *
 * Owns: the processes and their directories; both are gone after `close()`.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Client } from '../client/client.ts'
import type { NodeStatus } from '../node-status.ts'
import { eventually, PATIENCE_MS } from './eventually.ts'
import { type NodeEvent, NodeProcess, runCli } from './node-process.ts'

export interface ClusterOptions {
  readonly nodes: number
  readonly partitions?: number
  readonly replicas?: number
  /** What else follows `coterie start`, at every node. */
  readonly args?: readonly string[]
  /** Options of Node.js itself, at every node. */
  readonly nodeArgs?: readonly string[]
  /** Data directories of nodes, by index, that are not to be below the cluster's own; whoever names one removes it. */
  readonly directories?: ReadonlyMap<number, string>
}

export class ProcessCluster {
  readonly root: string
  readonly #nodes = new Map<number, NodeProcess>()
  readonly #addresses: string[] = []
  readonly #args: readonly string[]
  readonly #nodeArgs: readonly string[]
  readonly #directories: ReadonlyMap<number, string>

  private constructor (root: string, { args = [], nodeArgs = [], directories = new Map() }: ClusterOptions) {
    this.root = root
    this.#args = args
    this.#nodeArgs = nodeArgs
    this.#directories = directories
  }

  /** Starts all nodes and waits until the cluster takes data. */
  static async form (options: ClusterOptions): Promise<ProcessCluster> {
    const { nodes, partitions = 64, replicas = 3 } = options
    const cluster = new ProcessCluster(await mkdtemp(join(tmpdir(), 'coterie-process-')), options)
    try {
      const settings = ['--found', '--expect', String(nodes), '--partitions', String(partitions), '--replicas', String(replicas)]
      const founder = cluster.#launch(0, '127.0.0.1:0', settings)
      cluster.#addresses[0] = (await founder.event('joined')).address
      const joiners = Array.from({ length: nodes - 1 }, (_, index) => cluster.#launch(index + 1, '127.0.0.1:0', ['--seed', cluster.address(0)]))
      for (const [index, joiner] of joiners.entries()) cluster.#addresses[index + 1] = (await joiner.event('ready')).address
      await founder.event('ready')
      return cluster
    } catch (error) {
      await cluster.close()
      throw error
    }
  }

  get size (): number { return this.#addresses.length }
  get addresses (): readonly string[] { return this.#addresses }
  address (index: number): string { return this.#addresses[index]! }
  directory (index: number): string { return this.#directories.get(index) ?? join(this.root, `node-${index}`) }
  node (index: number): NodeProcess { return this.#nodes.get(index)! }

  #launch (index: number, listen: string, args: readonly string[]): NodeProcess {
    // Whoever is killed here is waited for by the tests themselves.
    const fixed = ['--listen', listen, '--directory', this.directory(index), '--rereplicate-after-ms', '0']
    const node = new NodeProcess([...fixed, ...this.#args, ...args], this.#nodeArgs)
    this.#nodes.set(index, node)
    return node
  }

  /**
   * Starts so many further nodes at once. Resolves when all of them are members, and have a placement.
   * @param seed a node that runs
   */
  async grow (count: number, seed = this.address(0)): Promise<void> {
    const first = this.#addresses.length
    const joiners = Array.from({ length: count }, (_, index) => this.#launch(first + index, '127.0.0.1:0', ['--seed', seed]))
    for (const [index, joiner] of joiners.entries()) this.#addresses[first + index] = (await joiner.event('ready')).address
  }

  /** Has a node move everything away and ends its process, as an operator would. Resolves when it has ended. */
  async drain (index: number): Promise<void> {
    const { code, stderr } = await runCli(['drain', '--node', this.address(index)])
    if (code !== 0) throw new Error(`drain ended with ${code}: ${stderr}`)
    this.node(index).signal('SIGTERM')
    await this.node(index).exit()
  }

  /** Has a node leave the cluster, as an operator would. Resolves when its process has ended. @throws when that is refused */
  async leave (index: number): Promise<void> {
    const { code, stderr } = await runCli(['leave', '--node', this.address(index)])
    if (code !== 0) throw new Error(`leave ended with ${code}: ${stderr}`)
    const exit = await this.node(index).exit()
    if (exit.code !== 0) throw new Error(`the node that left ended with ${exit.code}: ${this.node(index).errors}`)
  }

  /** Starts a node that has ended again, on its directory; the directory knows whom to ask. */
  restart (index: number, listen = this.address(index)): NodeProcess {
    return this.#launch(index, listen, [])
  }

  /** Starts a node that has ended again, perhaps at another address; `joined` waits for it. */
  move (index: number, listen: string, args: readonly string[]): void {
    this.#launch(index, listen, args)
  }

  /** Waits until a node that was moved is a member, and learns where it is. */
  async joined (index: number): Promise<NodeEvent> {
    const event = await this.node(index).event('joined')
    this.#addresses[index] = event.address
    return event
  }

  /** What nodes say about themselves. @throws when one of them does not answer */
  async statuses (client: Pick<Client, 'nodeStatus'>, nodes: readonly number[] = this.#addresses.map((_, index) => index)): Promise<NodeStatus[]> {
    return await Promise.all(nodes.map(index => client.nodeStatus(this.address(index), { deadlineMs: 2000 }) as Promise<NodeStatus>))
  }

  /**
   * Waits until these nodes, and no others, are members of one and the same configuration, every partition is where it
   * belongs, and no store keeps a copy that nobody wants.
   * @param nodes all of them, unless told otherwise
   * @param missing what else is missing then
   */
  async settled (
    client: Pick<Client, 'nodeStatus'>, nodes?: readonly number[], timeoutMs = PATIENCE_MS,
    missing: (statuses: readonly NodeStatus[]) => string | undefined = () => undefined
  ): Promise<NodeStatus[]> {
    let statuses: NodeStatus[] = []
    await eventually(timeoutMs, async () => {
      try {
        statuses = await this.statuses(client, nodes)
      } catch (error) {
        return (error as Error).message
      }
      return unsettled(statuses) ?? missing(statuses)
    })
    return statuses
  }

  /**
   * As `settled`, and waits until nothing changes by itself any more: every member of every group has everything in its data, nothing will
   * expire, and no copy is being deleted.
   */
  async quiet (client: Pick<Client, 'nodeStatus'>, nodes?: readonly number[]): Promise<NodeStatus[]> {
    return await this.settled(client, nodes, PATIENCE_MS, statuses => {
      const busy = statuses.find(({ partitions }) => partitions.busy > 0)
      return busy === undefined ? undefined : `${busy.partitions.busy} partitions are busy at ${busy.address}`
    })
  }

  /** Ends all processes at one moment, so that none sees another one gone and does something about it. */
  async killAll (): Promise<void> {
    for (const node of this.#nodes.values()) node.signal('SIGSTOP')
    await Promise.all([...this.#nodes.values()].map(node => node.kill()))
  }

  /** Kills whatever still runs, stopped or not, and removes the directories. */
  async close (): Promise<void> {
    await this.killAll()
    await rm(this.root, { recursive: true, force: true })
  }
}

/** What is missing until the cluster is these nodes and at rest. */
function unsettled (statuses: readonly NodeStatus[]): string | undefined {
  const odd = statuses.find(({ state, membership, members }) => state !== 'ready' || membership !== 'member' || members !== statuses.length)
  if (odd !== undefined) return `${odd.address} is ${odd.state}, ${odd.membership}, in a configuration of ${odd.members}, not ${statuses.length}`
  if (new Set(statuses.map(({ configurationId }) => configurationId)).size > 1) return 'the nodes are in different configurations'
  const open = statuses.reduce((left, { partitions }) => left - partitions.settled, statuses[0]!.partitions.total)
  if (open !== 0) return `${open} partitions are not settled`
  const leftovers = statuses.reduce((sum, { partitions }) => sum + partitions.leftovers, 0)
  return leftovers === 0 ? undefined : `${leftovers} old copies are not deleted`
}
