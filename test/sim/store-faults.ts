/**
 * Which fault befalls a cluster of stores next, of all that the simulator knows, drawn by chance among those that the cluster can bear.
 */
import { LeaderHunt } from './leader-hunt.ts'
import { addressOf, type StoreCluster } from './store-cluster.ts'
import { Victims } from './store-victims.ts'

export class StoreFaults {
  readonly #cluster: StoreCluster
  readonly #hunt: LeaderHunt
  /** Joins bring a cluster to so many nodes at most, and so many at once. */
  readonly #sizeMax: number
  readonly #joinersMax: number
  readonly victims: Victims

  constructor (cluster: StoreCluster) {
    const { size } = cluster.options
    this.#cluster = cluster
    this.#sizeMax = Math.max(9, size + 5)
    this.#joinersMax = size < 10 ? 2 : 5
    this.victims = new Victims(cluster)
    this.#hunt = new LeaderHunt(cluster, this.victims)
  }

  /** Lets one fault happen, if the one that was drawn can happen now. */
  disturb (): void {
    const cluster = this.#cluster
    const { victims } = this
    const { random } = cluster.simulation
    const { spare, up } = victims
    const choice = random.below(18)
    const victim = up.length > 0 ? random.pick(up) : undefined
    const mayFail = victim !== undefined && spare > 0 && victims.affordable(victim)
    if (choice <= 1 && mayFail) {
      const silent = random.chance(0.3)
      victims.count(silent ? 'power loss' : 'crash')
      victims.crash(victim, silent)
    } else if (choice <= 3 && victims.down.length > 0) {
      victims.restart(random.pick(victims.down))
    } else if (choice === 4 && cluster.nodes.size < this.#sizeMax) {
      const joiners = 1 + random.below(this.#joinersMax)
      for (let i = 0; i < joiners; i++) victims.join()
    } else if (choice === 5 && victim !== undefined && victims.away === 0 && cluster.nodes.size > 4 && cluster.unrest() === undefined) {
      victims.leave(victim)
    } else if (choice === 6 && mayFail) {
      victims.pause(victim, random.chance(0.3), random.between(100, random.chance(0.3) ? 10_000 : 4000))
    } else if (choice === 9) {
      this.#hunt.lurk()
    } else if (choice === 12 && mayFail) {
      victims.breakDisk(victim, 'failing write')
    } else if (choice === 13 && mayFail) {
      victims.slowDisk(victim, random.between(20, 500), random.between(1000, 5000))
    } else if (choice === 14 && mayFail) {
      victims.breakDisk(victim, 'full disk')
    } else if (choice === 15 && victim !== undefined) {
      victims.drain(victim, random.between(0, 5000))
    } else if (choice >= 16 && spare > 1) {
      this.#hunt.hunt(random.below(cluster.options.partitions))
    } else if (victim !== undefined) this.#disturbLinks(choice, victim, mayFail)
  }

  #disturbLinks (choice: number, victim: number, mayFail: boolean): void {
    const { victims } = this
    const { simulation, nodes } = this.#cluster
    const { random, network: { faults } } = simulation
    const address = addressOf(victim)
    if (choice === 7 && mayFail) {
      const others = [...nodes.keys()].filter(index => index !== victim).map(addressOf)
      const oneWay = random.chance(0.5)
      victims.count(oneWay ? 'one-way partition' : 'partition')
      if (oneWay) faults.block([address], others)
      else faults.partition([address], others)
      victims.later(random.between(100, 4000), () => {
        for (const other of others) {
          faults.setLink(address, other, {})
          faults.setLink(other, address, {})
        }
      })
    } else if (choice === 8) {
      victims.count('reset')
      simulation.host(address).breakLinks()
    } else if (choice === 10) {
      victims.count('wall clock set')
      simulation.host(address).setWallClock(random.between(-600_000, 600_000))
    } else if (choice === 11 && mayFail) {
      // What it hears is old: an answer says less about the present than it seems to.
      victims.count('slow ingress')
      faults.setIngress(address, { latencyMs: random.between(100, 2000) })
      victims.later(random.between(1000, 5000), () => { faults.setIngress(address, {}) })
    }
  }

  /** Ends all faults. */
  heal (): void {
    this.#cluster.simulation.network.faults.heal()
    this.victims.heal()
  }
}
