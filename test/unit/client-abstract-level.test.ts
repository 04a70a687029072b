/**
 * abstract-level's own test suite on the client, which talks to a node in this process that stores in memory.
 *
 * A database of the suite is a cluster of its own. The suite has many databases, most for one test, and leaves some open; so a new one
 * takes the cluster that was used longest ago, has its database closed and empties it. A few partitions are enough for iterators to
 * merge, and one node is quick; the tests of scans have several.
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

interface Cluster { readonly node: KillableNode, user: ClusterDatabase | undefined }

/** The one that was used last comes last. */
const clusters: Cluster[] = []
/** More than the suite uses at a time. */
const CLUSTERS_MAX = 20

async function startCluster (): Promise<Cluster> {
  const node = await startNode({ directory: 'memory', found: true, partitions: 4 }, { storage, log: silentLog })
  return { node, user: undefined }
}

function use (cluster: Cluster): void {
  const index = clusters.indexOf(cluster)
  if (index === clusters.length - 1 && index >= 0) return
  if (index >= 0) clusters.splice(index, 1)
  clusters.push(cluster)
}

async function takeCluster (user: ClusterDatabase): Promise<Cluster> {
  const known = clusters.length < CLUSTERS_MAX ? undefined : clusters[0]!
  const cluster = known ?? await startCluster()
  use(cluster)
  const before = cluster.user
  cluster.user = user
  await before?.dismiss()
  return cluster
}

afterAll(async () => {
  await Promise.all(clusters.map(({ node }) => node.close()))
})

const clock = createSystemClock()

/** The client finds its cluster when it is opened; a transport that goes to whatever node it was given stands between them. */
class ClusterDatabase extends Client {
  #cluster: Cluster | undefined

  constructor (options: ClientOptions) {
    const transport = (): Transport => {
      const real = createWebSocketTransport({ clock, log: silentLog })
      const send = real.send.bind(real)
      real.send = (to, channel, message) => {
        use(this.#cluster!)
        send(to === SEED ? this.#cluster!.node.address : to, channel, message)
      }
      return real
    }
    super({ transport, clock, random: createSystemRandom(), log: silentLog }, { ...options, deadlineMs: 50_000, seeds: [SEED] })
  }

  override async _open (): Promise<void> {
    const known = this.#cluster
    this.#cluster ??= await takeCluster(this)
    await super._open()
    if (known === undefined) await this._clear({ reverse: false, limit: -1 })
  }

  /** The cluster goes to another database. One that is opened again begins with an empty cluster. */
  async dismiss (): Promise<void> {
    if (this.status === 'open') await this.close()
    this.#cluster = undefined
  }
}

const SEED = 'seed:1'

abstractLevelSuite({ test: tape, factory: (options: ClientOptions = {}) => new ClusterDatabase(options) })
