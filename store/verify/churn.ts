/**
 * What happens to a cluster of processes while it is verified: nodes are killed and started again, stopped and continued, join, and are
 * lost for good. One thing at a time, and each ends with a cluster at rest, so that a majority of every group has always a chance.
 *
 * Owns nothing; which thing comes next is drawn from the seed.
 */
import type { Random } from '../../membership/environment/environment.ts'
import type { Client } from '../client/client.ts'
import { pause } from './eventually.ts'
import type { ProcessCluster } from './process-cluster.ts'

export type ChurnEvent = 'kill' | 'killTwo' | 'replace' | 'pause' | 'join' | 'lose'

const EVENTS: readonly ChurnEvent[] = ['kill', 'killTwo', 'replace', 'pause', 'join', 'lose']
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
  /** Nodes of the cluster as it was begun; it never has fewer members for longer than one event. */
  readonly #least: number
  /** The nodes that run, by index. */
  readonly #alive: number[]
  readonly #counts: Record<ChurnEvent, number> = { kill: 0, killTwo: 0, replace: 0, pause: 0, join: 0, lose: 0 }

  constructor (components: ChurnComponents) {
    this.#components = components
    this.#alive = Array.from({ length: components.cluster.size }, (_, index) => index)
    this.#least = this.#alive.length
  }

  get alive (): readonly number[] { return this.#alive }
  get counts (): Readonly<Record<ChurnEvent, number>> { return this.#counts }

  /** Lets one thing happen, and waits until the cluster is at rest again. @throws when it does not come to rest */
  async step (): Promise<void> {
    const { cluster, client, random, progress } = this.#components
    const possible = EVENTS.filter(event => event === 'lose' ? this.#alive.length > this.#least : event !== 'join' || this.#alive.length < this.#least + 2)
    const event = possible[Math.floor(random.next() * possible.length)]!
    const victims = [...this.#alive].sort(() => random.next() - 0.5)
    const [victim, second] = victims as [number, number]
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
        await cluster.grow(1)
        break
      case 'lose':
        progress(`kill node ${victim} for good`)
        await cluster.node(victim).kill()
        this.#alive.splice(this.#alive.indexOf(victim), 1)
        break
    }
    await cluster.settled(client, this.#alive)
  }

  async #restart (index: number, afterMs: number): Promise<void> {
    const { cluster } = this.#components
    await cluster.node(index).kill()
    await pause(afterMs)
    await cluster.restart(index).event('ready')
  }
}
