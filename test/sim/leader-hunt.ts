/**
 * Crashes of leaders at the worst moments: what elections by the end of a history, and stop signs that the next leader proposes again, are
 * for (rule S3). Chance alone seldom meets them.
 */
import type { GroupMessage } from '../../store/group/messages.ts'
import { addressOf, type StoreCluster } from './store-cluster.ts'
import type { Victims } from './store-victims.ts'

export class LeaderHunt {
  readonly #cluster: StoreCluster
  readonly #victims: Victims
  /** The next leader that proposes a stop sign crashes on it. */
  #lurking = false

  constructor (cluster: StoreCluster, victims: Victims) {
    this.#cluster = cluster
    this.#victims = victims
    cluster.onMessage = (index, message) => { this.#ambush(index, message) }
  }

  /**
   * Isolates a partition's leader, waits until another one takes over, and has that one crash while it does, just when the first
   * comes back with entries that nobody else has.
   */
  hunt (partition: number): void {
    const victims = this.#victims
    const { simulation, nodes } = this.#cluster
    const first = this.#leaderOf(partition)
    if (first === undefined || !victims.up.includes(first) || !victims.affordable(first)) return
    const others = [...nodes.keys()].filter(index => index !== first).map(addressOf)
    victims.count('hunted leader')
    // Clients still reach it, and go on writing for a while.
    simulation.network.faults.partition([addressOf(first)], others)
    victims.busy.add(first)
    // Half of the time both lead for a while, as far as they know, and only the second may answer anybody.
    const grace = simulation.random.chance(0.5) ? simulation.random.between(0, 30) : simulation.random.between(300, 2000)
    const end = simulation.nowMs + 5000
    const look = (): void => {
      const second = this.#leaderOf(partition, first)
      if (second === undefined && simulation.nowMs < end) { victims.later(5, look); return }
      victims.later(grace, () => {
        victims.busy.delete(first)
        for (const other of others) {
          simulation.network.faults.setLink(addressOf(first), other, {})
          simulation.network.faults.setLink(other, addressOf(first), {})
        }
        if (second === undefined || victims.healed || !victims.up.includes(second) || !victims.affordable(second)) return
        victims.crash(second)
      })
    }
    look()
  }

  /** From now on the first leader that proposes a stop sign crashes about when that reaches the first follower. */
  lurk (): void {
    this.#lurking = true
  }

  #ambush (index: number, message: GroupMessage): void {
    if (!this.#lurking || message.kind !== 'append' || message.entries.at(-1)?.body.kind !== 'stop') return
    this.#lurking = false
    const victims = this.#victims
    victims.later(this.#cluster.simulation.random.between(0, 3), () => {
      if (victims.healed || !victims.up.includes(index) || !victims.affordable(index)) return
      victims.count('crash at a stop sign')
      victims.crash(index)
    })
  }

  /** The node that leads a partition, or is about to, if any does besides `except`. */
  #leaderOf (partition: number, except?: number): number | undefined {
    for (const [index, node] of this.#cluster.nodes) {
      if (index === except) continue
      const phase = node.replicas.get(partition)?.leader?.phase
      if (phase !== undefined && phase !== 'sealing' && phase !== 'deferring') return index
    }
    return undefined
  }
}
