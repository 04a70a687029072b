/**
 * abstract-level's own test suite on the client, which talks to three nodes in this process that store in memory.
 *
 * A database of the suite is a cluster of its own while it is open; a cluster that is free again is emptied for the next one. A few
 * partitions are enough for iterators to merge, and keep the suite quick.
 */
import { MemoryLevel } from 'memory-level'
import { createRequire } from 'node:module'
import { afterAll } from 'vitest'
import type { Database } from '../../membership/environment/environment.ts'
import { createSystemClock, createSystemRandom, silentLog } from '../../membership/environment/system.ts'
import { createWebSocketTransport } from '../../membership/transport/websocket.ts'
import type { Transport } from '../../membership/environment/environment.ts'
import { Client, type ClientOptions } from '../../store/client/client.ts'
import { type KillableNode, startNode } from '../../store/index.ts'
import { type Tape, tape } from '../conformance/tape.ts'

const abstractLevelSuite = createRequire(import.meta.url)('abstract-level/test') as (options: { test: Tape, factory: (options?: object) => unknown }) => void

const storage = (): Database => new MemoryLevel({ storeEncoding: 'view', keyEncoding: 'view', valueEncoding: 'view' }) as unknown as Database

interface Cluster { readonly nodes: readonly KillableNode[], user: ClusterDatabase | undefined }

const clusters: Cluster[] = []

async function startCluster (): Promise<Cluster> {
  const parts = { storage, log: silentLog }
  const founder = await startNode({ directory: 'a', found: true, expect: 3, partitions: 4 }, parts)
  const others = await Promise.all(['b', 'c'].map(directory => startNode({ directory, seeds: [founder.address] }, parts)))
  const cluster = { nodes: [founder, ...others], user: undefined }
  clusters.push(cluster)
  return cluster
}

afterAll(async () => {
  await Promise.all(clusters.flatMap(({ nodes }) => nodes).map(node => node.close()))
})

const clock = createSystemClock()

/** The client finds its cluster when it is opened; a transport that goes to whatever node it was given stands between them. */
class ClusterDatabase extends Client {
  #cluster: Cluster | undefined

  constructor (options: ClientOptions) {
    const transport = (): Transport => {
      const real = createWebSocketTransport({ clock, log: silentLog })
      const send = real.send.bind(real)
      real.send = (to, channel, message) => { send(to === SEED ? this.#cluster!.nodes[0]!.address : to, channel, message) }
      return real
    }
    super({ transport, clock, random: createSystemRandom(), log: silentLog }, { ...options, deadlineMs: 50_000, seeds: [SEED] })
  }

  override async _open (): Promise<void> {
    const known = this.#cluster
    const cluster = this.#cluster ??= clusters.find(({ user }) => user === undefined) ?? await startCluster()
    cluster.user = this
    await super._open()
    if (known === undefined) await this._clear({ reverse: false, limit: -1 })
  }

  override async _close (): Promise<void> {
    await super._close()
    if (this.#cluster?.user === this) this.#cluster.user = undefined
  }
}

const SEED = 'seed:1'

abstractLevelSuite({ test: tape, factory: (options: ClientOptions = {}) => new ClusterDatabase(options) })
