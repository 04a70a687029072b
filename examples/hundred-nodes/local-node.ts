/**
 * Nodes that share this process: each has its own port, its own directory and its own state, and all share one event loop.
 *
 * The placement of a configuration is the same at every node, so nodes of one process share the fold and compute it once.
 */
import { type AgreedState, createAgreedStateFold, createNode, type KillableNode, type NodeOptions } from 'coterie'
import { type Fold, formatExplanation, type Log } from 'coterie/membership'
import { type NodeEvent, type NodeFactory, type NodeHandle, NodeHistory, type NodeSpec } from './node-handle.ts'

export function nodeOptions (spec: NodeSpec): NodeOptions {
  const { directory, listen, zone, name, seeds, partitions, replicas, expect } = spec
  const common: NodeOptions = { directory, listen, zone, partitions, replicas, tags: { name }, clusterName: 'hundred-nodes', membership: PATIENCE, replication: EAGER }
  return expect === undefined ? { ...common, seeds } : { ...common, found: true, expect }
}

/** Nothing that crashes here comes back, so the copies that it held are replaced at once. */
const EAGER = Object.freeze({ rereplicateAfterMs: 0 })

/** Whoever starts so many processes on one machine knows that all will come, and waits for them. */
const PATIENCE = Object.freeze({ expectDeadlineMs: 120_000, joinTimeoutMs: 120_000 })

/** Tells an observer what the main job needs to know of a node's events. */
export function observe (node: KillableNode, tell: (event: NodeEvent) => void): void {
  node.on('view-change', ({ configuration: { epoch, id, members }, reason }) => {
    tell({ kind: 'configuration', configuration: { epoch, id, size: members.length, reason: formatExplanation(reason) } })
  })
  node.on('rebalance', ({ plan: { epoch, moves, lowerBound } }) => {
    const targets: Record<string, number> = {}
    for (const { to } of moves) targets[to] = (targets[to] ?? 0) + 1
    tell({ kind: 'plan', plan: { epoch, moves: moves.length, lowerBound, targets } })
  })
  node.on('failed', error => { tell({ kind: 'failed', message: error.message }) })
}

class LocalNode implements NodeHandle {
  readonly spec: NodeSpec
  readonly history = new NodeHistory()
  readonly #node: KillableNode

  constructor (spec: NodeSpec, fold: Fold<AgreedState>, log: Log | undefined) {
    this.spec = spec
    this.#node = createNode(nodeOptions(spec), log === undefined ? { fold } : { fold, log })
    observe(this.#node, event => { this.history.add(event) })
  }

  prepare (): Promise<void> { return Promise.resolve() }
  start (signal: AbortSignal): Promise<void> { return this.#node.start(signal) }
  status (): ReturnType<NodeHandle['status']> { return Promise.resolve(this.#node.status()) }
  kill (): Promise<void> { return this.#node.kill() }
  close (): Promise<void> { return this.#node.close() }
  abandon (): void { /* It ends with this process. */ }
}

export function localNodes (log: Log | undefined): NodeFactory {
  const fold = createAgreedStateFold()
  return spec => new LocalNode(spec, fold, log)
}
