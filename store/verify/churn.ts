/**
 * What happens to a cluster of processes while it is verified: nodes are killed and started again, stopped and continued, join, leave, and
 * are lost for good. One thing at a time, and each begins with a cluster at rest, so that a majority of every group has always a chance. But
 * one node is killed at any moment after all members were there, such as while the copies that a join asks for are on their way.
 *
 * Owns nothing; which thing comes next is drawn from the seed.
 */
import type { Random } from '../../membership/environment/environment.ts'
import type { Client } from '../client/client.ts'
import { pause } from './eventually.ts'
import type { ProcessCluster } from './process-cluster.ts'

export type ChurnEvent = 'kill' | 'killTwo' | 'replace' | 'pause' | 'join' | 'leave' | 'lose'

const EVENTS: readonly ChurnEvent[] = ['kill', 'killTwo', 'replace', 'pause', 'join', 'leave', 'lose']
/** What one node is killed by that comes back. */
const KILLS: ReadonlySet<ChurnEvent> = new Set(['kill', 'replace'])
/** When these are over all members are there and run, though the cluster is not at rest yet: one may be killed right away. */
const COMPLETE: ReadonlySet<ChurnEvent> = new Set(['kill', 'replace', 'join', 'leave'])
/** How long after such an event the next node is killed, at most, in milliseconds. */
const MOMENT_MS_MAX = 3000
/** Fewer stores than a partition has replicas are not asked to let one go. */
const STORES_MIN = 3
/** The longest that a node is stopped, in milliseconds: longer than it takes to remove it, so that some are and some are not. */
const PAUSE_MS_MAX = 8000
/** How long a node that is replaced stays away, at most. */
const ABSENCE_MS_MAX = 3000

export interface ChurnComponents {
  readonly cluster: ProcessCluster
  readonly client: Pick<Client, 'nodeStatus'>
  readonly random: Random
  readonly progress: (line: string) => void
}

export class Churn {
  readonly #components: ChurnComponents
  /** Nodes of the cluster as it was begun. Where one has left it has one fewer; none is lost for good then. */
  readonly #least: number
  /** The nodes that run, by index. */
  readonly #alive: number[]
  /** The nodes that have left in order. */
  readonly #departed: number[] = []
  readonly #counts: Record<ChurnEvent, number> = { kill: 0, killTwo: 0, replace: 0, pause: 0, join: 0, leave: 0, lose: 0 }
  #last: ChurnEvent | undefined

  constructor (components: ChurnComponents) {
    this.#components = components
    this.#alive = Array.from({ length: components.cluster.size }, (_, index) => index)
    this.#least = this.#alive.length
  }

  get alive (): readonly number[] { return this.#alive }
  get departed (): readonly number[] { return this.#departed }
  get counts (): Readonly<Record<ChurnEvent, number>> { return this.#counts }

  /** Lets one thing happen, when the cluster has come to rest or, for a kill, perhaps before. @throws when it does not come to rest */
  async step (): Promise<void> {
    const { cluster, client, random, progress } = this.#components
    const possible = EVENTS.filter(event => this.#possible(event))
    const event = possible[Math.floor(random.next() * possible.length)]!
    const victims = [...this.#alive].sort(() => random.next() - 0.5)
    const [victim, second] = victims as [number, number]
    if (KILLS.has(event) && this.#last !== undefined && COMPLETE.has(this.#last)) await pause(random.next() * MOMENT_MS_MAX)
    else await cluster.settled(client, this.#alive)
    this.#last = event
    this.#counts[event]++
    switch (event) {
      case 'kill':
        progress(`kill node ${victim} and start it again`)
        await this.#restart(victim, 0)
        break
      case 'killTwo':
        progress(`kill nodes ${victim} and ${second} at once and start them again`)
        await Promise.all([this.#restart(victim, 0), this.#restart(second, 0)])
        break
      case 'replace':
        progress(`kill node ${victim} and start it again later`)
        await this.#restart(victim, random.next() * ABSENCE_MS_MAX)
        break
      case 'pause':
        progress(`stop node ${victim}, and let it continue`)
        cluster.node(victim).signal('SIGSTOP')
        await pause(random.next() * PAUSE_MS_MAX)
        cluster.node(victim).signal('SIGCONT')
        break
      case 'join':
        progress('one more node joins')
        this.#alive.push(cluster.size)
        await cluster.grow(1, cluster.address(victim))
        break
      case 'leave':
        progress(`node ${victim} leaves`)
        await cluster.leave(victim)
        this.#departed.push(victim)
        this.#remove(victim)
        break
      case 'lose':
        progress(`kill node ${victim} for good`)
        await cluster.node(victim).kill()
        this.#remove(victim)
        break
    }
  }

  #possible (event: ChurnEvent): boolean {
    const alive = this.#alive.length
    switch (event) {
      case 'join': return alive < this.#least + 2
      case 'leave': return alive > STORES_MIN && alive >= this.#least
      case 'lose': return alive > this.#least
      default: return true
    }
  }

  #remove (index: number): void {
    this.#alive.splice(this.#alive.indexOf(index), 1)
  }

  async #restart (index: number, afterMs: number): Promise<void> {
    const { cluster } = this.#components
    await cluster.node(index).kill()
    await pause(afterMs)
    await cluster.restart(index).event('ready')
  }
}
