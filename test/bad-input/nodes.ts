/**
 * Nodes in this process with directories of their own, for tests of what must be refused.
 *
 * Owns: the nodes and the directories, until `close()`.
 */
import { cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Log } from '../../membership/environment/environment.ts'
import { silentLog } from '../../membership/environment/system.ts'
import type { NodeOptions } from '../../store/options.ts'
import { createNode, type KillableNode } from '../../store/start-node.ts'

export class Nodes {
  readonly #root: string
  readonly #nodes: KillableNode[] = []
  /** What the nodes of this kit warned of. */
  readonly warnings: string[] = []
  #directories = 0
  readonly #log: Log = { ...silentLog, warn: (_fields, message) => { this.warnings.push(message) } }

  private constructor (root: string) {
    this.#root = root
  }

  static async create (): Promise<Nodes> {
    return new Nodes(await mkdtemp(join(tmpdir(), 'coterie-bad-input-')))
  }

  /** A path that nothing has used yet. */
  directory (): string {
    return join(this.#root, `directory-${this.#directories++}`)
  }

  async copyOf (directory: string): Promise<string> {
    const copy = this.directory()
    await cp(directory, copy, { recursive: true })
    return copy
  }

  /** A node that is not started. */
  create (options: Partial<NodeOptions> = {}): KillableNode {
    const node = createNode({ directory: this.directory(), ...options, membership: { preset: 'test', ...options.membership } }, { log: this.#log })
    this.#nodes.push(node)
    return node
  }

  async start (options: Partial<NodeOptions> = {}): Promise<KillableNode> {
    const node = this.create(options)
    await node.start()
    return node
  }

  /** A founder that takes data at once. */
  found (options: Partial<NodeOptions> = {}): Promise<KillableNode> {
    return this.start({ found: true, partitions: 8, replicas: 1, ...options })
  }

  async close (): Promise<void> {
    await Promise.all(this.#nodes.map(node => node.close()))
    await rm(this.#root, { recursive: true, force: true })
  }
}

/** The code of what a promise rejects with, and the error. @throws when it does not reject, or without a code */
export async function failure (promise: Promise<unknown>): Promise<{ code: string, message: string }> {
  const error: unknown = await promise.then(() => { throw new Error('it succeeded') }, (reason: unknown) => reason)
  const { code, message } = error as { code?: unknown, message: string }
  if (typeof code !== 'string') throw error
  return { code, message }
}
