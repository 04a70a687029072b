/**
 * One node as the main job sees it, whether it lives in this process or in one of its own.
 *
 * Pure: types, and what a handle remembers of its node's events.
 */
import type { NodeStatus } from 'coterie'

export interface NodeSpec {
  readonly name: string
  readonly zone: string
  readonly directory: string
  readonly listen: string
  readonly seeds: readonly string[]
  readonly partitions: number
  readonly replicas: number
  /** Set for the founder alone: it holds the others until so many are present. */
  readonly expect?: number
}

/** A configuration, and when (this process's performance.now()) the node was seen to have it. */
export interface SeenConfiguration {
  readonly epoch: number
  readonly id: string
  readonly size: number
  /** Why it came about, as that node knows it. */
  readonly reason: string
  readonly atMs: number
}

export interface SeenPlan {
  readonly epoch: number
  readonly moves: number
  readonly lowerBound: number
  /** How many of the moves give a seat to each store. */
  readonly targets: Readonly<Record<string, number>>
}

export type NodeEvent =
  | { readonly kind: 'configuration', readonly configuration: Omit<SeenConfiguration, 'atMs'> }
  | { readonly kind: 'plan', readonly plan: SeenPlan }
  | { readonly kind: 'failed', readonly message: string }

/** The configurations and plans that one node has announced. */
export class NodeHistory {
  readonly configurations: SeenConfiguration[] = []
  readonly plans: SeenPlan[] = []
  readonly failures: string[] = []

  add (event: NodeEvent): void {
    switch (event.kind) {
      case 'configuration': this.configurations.push({ ...event.configuration, atMs: performance.now() }); break
      case 'plan': this.plans.push(event.plan); break
      case 'failed': this.failures.push(event.message); break
    }
  }

  get last (): SeenConfiguration | undefined { return this.configurations.at(-1) }
}

export interface NodeHandle {
  readonly spec: NodeSpec
  readonly history: NodeHistory
  /** Does everything that comes before the node opens its directory and its port: for a process, it is started and has loaded its program. */
  prepare (signal: AbortSignal): Promise<void>
  /** Prepares the node where that has not been done, and starts it. Resolves when the node is a member. */
  start (signal: AbortSignal): Promise<void>
  status (): Promise<NodeStatus>
  /** The node dies without a word: its sockets break, and nothing more is written. */
  kill (): Promise<void>
  /** Gives everything back. May be called at any time, several times. */
  close (): Promise<void>
  /** The same without waiting, for a process that ends right now. */
  abandon (): void
}

export type NodeFactory = (spec: NodeSpec) => NodeHandle
