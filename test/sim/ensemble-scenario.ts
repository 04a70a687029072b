/**
 * A random life of a cluster of voters and agents (rule M13), which follows from one number: processes crash, lose power, come back on
 * their disks (in another role, too), pause, join, leave and update, while links are cut one way and lose messages.
 *
 * In the end the network heals and everybody who is not away for good starts again: then all must agree within a bound, and stay. So much never fails
 * that nobody could decide any more: that is what ensemble-tolerance.ts sees to. The oracles
 * of `membership-harness.ts` and `membership-disks.ts` look on all the time. Where nothing but processes failed, no healthy one may be removed.
 *
 * Owns: the cluster it makes.
 */
import type { SeededRandom } from '../../membership/environment/seeded-random.ts'
import type { MembershipOptions } from '../../membership/options.ts'
import { isVoter, type Role } from '../../membership/configuration.ts'
import { Tolerance } from './ensemble-tolerance.ts'
import { addressOf, MembershipCluster } from './membership-harness.ts'

const FINAL_LIMIT_MS = 180_000
const EVENTS_MAX = 3_000_000
/** How long the agreement of the end must hold. */
const QUIET_MS = 10_000
/** How long what happened before the network healed may have consequences. */
const UNREST_MS = 25_000
const AGENTS_MAX = 40

export interface EnsembleResult {
  readonly epochs: number
  readonly events: number
  /** How often each thing was done. */
  readonly done: Readonly<Record<string, number>>
}

class EnsembleScenario {
  readonly #cluster: MembershipCluster
  readonly #random: SeededRandom
  readonly #durable: boolean
  /** Whether links and clocks behave: then nobody who is healthy may be removed. */
  readonly #calm: boolean
  readonly #roles: Role[] = []
  readonly #paused = new Set<string>()
  readonly #leaving = new Set<string>()
  /** Those that asked to leave, and stopped although nobody agreed to it. */
  readonly #gaveUp = new Set<string>()
  readonly #tolerance: Tolerance
  readonly #done: Record<string, number> = {}

  constructor (seed: number) {
    const cluster = new MembershipCluster({ seed, replay: `COTERIE_SEED=${seed} npx vitest run test/sim/membership-ensemble.test.ts` })
    const { random } = cluster.simulation
    this.#cluster = cluster
    this.#random = random
    const [roles, leaving] = [this.#roles, this.#leaving]
    this.#tolerance = new Tolerance(cluster, {
      roleAt: address => this.#roleAt(address),
      isLeaving: address => leaving.has(address),
      get addresses () { return roles.map((_, index) => addressOf(index)) }
    })
    this.#durable = random.chance(0.65)
    this.#calm = random.chance(0.4)
    const voters = 1 + random.below(5)
    const agents = random.chance(0.2) ? 3 + random.below(AGENTS_MAX - 2) : 3 + random.below(7)
    for (let i = 0; i < voters + agents; i++) this.#roles.push(i < voters ? 'voter' : 'agent')
    if (this.#durable) cluster.watchDisks()
    if (!this.#calm && random.chance(0.5)) {
      const faults = { lossProbability: random.below(5) * 0.01, duplicateProbability: 0.05, reorderProbability: 0.05 }
      cluster.simulation.network.faults.setEverywhere(faults)
    }
  }

  async run (): Promise<EnsembleResult> {
    const { simulation } = this.#cluster
    const size = this.#roles.length
    for (let i = 0; i < size; i++) this.#start(i, i === 0 ? { found: true, expect: size, expectDeadlineMs: 5000 } : {})
    await simulation.runFor(this.#random.below(4000))
    const steps = 3 + this.#random.below(10)
    for (let step = 0; step < steps; step++) {
      await this.#step()
      await simulation.runFor(this.#random.chance(0.3) ? 0 : this.#random.below(this.#random.chance(0.5) ? 1000 : 6000))
    }
    await this.#settle()
    this.#cluster.finish()
    return { epochs: this.#cluster.epoch, events: simulation.eventCount, done: this.#done }
  }

  async #step (): Promise<void> {
    const random = this.#random
    const steps: [weight: number, name: string, run: () => void | Promise<void>][] = [
      [3, 'crash', () => { this.#crash(this.#pick()) }],
      [2, 'crash at once', () => { for (let n = 1 + random.below(4); n > 0; n--) this.#crash(this.#pick()) }],
      [4, 'start', () => { this.#startAgain(this.#pick()) }],
      [2, 'start in any role', () => { this.#startAgain(this.#pick(), true) }],
      [1, 'start all', () => { this.#roles.forEach((_, index) => { this.#startAgain(index) }) }],
      [2, 'join', () => { this.#join() }],
      [2, 'leave', () => { this.#leave(this.#pick()) }],
      [3, 'update', () => { this.#update(this.#pick()) }],
      [this.#durable ? 1 : 0, 'power loss', () => { this.#roles.forEach((_, index) => { this.#crash(index, true) }) }],
      [this.#durable ? 2 : 0, 'power loss amid agreement', () => this.#loseVotersAmidAgreement()],
      [this.#calm ? 0 : 2, 'pause', () => { this.#pause(this.#pick()) }],
      [this.#calm ? 0 : 2, 'one-way cut', () => { this.#cutOneWay() }],
      [this.#calm ? 0 : 2, 'heal', () => { this.#heal() }]
    ]
    let lot = random.below(steps.reduce((sum, [weight]) => sum + weight, 0))
    for (const [weight, name, run] of steps) {
      lot -= weight
      if (lot >= 0) continue
      this.#done[name] = (this.#done[name] ?? 0) + 1
      await run()
      return
    }
  }

  #pick (): number {
    // Voters are few, and what happens to them matters most.
    const voters = this.#roles.flatMap((role, index) => role === 'voter' ? [index] : [])
    return this.#random.chance(0.4) && voters.length > 0 ? this.#random.pick(voters) : this.#random.below(this.#roles.length)
  }

  #start (index: number, options: Partial<MembershipOptions> = {}): void {
    const seeds = this.#roles.map((_, i) => addressOf(i)).slice(0, 50)
    const role = this.#roles[index]!
    this.#cluster.start(addressOf(index), { seeds, role, joinTimeoutMs: 36_000_000, restartDeadlineMs: 3000, ...options }, this.#durable)
  }

  #startAgain (index: number, otherRole = false): void {
    const address = addressOf(index)
    if (this.#cluster.processes.has(address) || this.#leaving.has(address)) return
    // The first store stays a voter, so that there is one whatever happens.
    if (otherRole && index > 0 && this.#tolerance.mayChangeRole(address)) this.#roles[index] = this.#roles[index] === 'voter' ? 'agent' : 'voter'
    this.#start(index)
  }

  #crash (index: number, silent = this.#random.chance(0.5)): void {
    const address = addressOf(index)
    if (!this.#cluster.processes.has(address) || !this.#mayCrash(address)) return
    this.#paused.delete(address)
    this.#leaving.delete(address)
    this.#cluster.crash(address, silent)
  }

  /** Without disks a lost majority is final. */
  #mayCrash (address: string): boolean {
    return this.#durable || this.#tolerance.mayFail(address)
  }

  /** True when these processes are slow, or cut off, until then. */
  #disturb (addresses: readonly string[], untilMs: number): boolean {
    if (!this.#durable && !this.#tolerance.mayDisturb(addresses)) return false
    this.#tolerance.disturb(addresses, untilMs + UNREST_MS)
    return true
  }

  #heal (): void {
    const { simulation } = this.#cluster
    simulation.network.faults.heal()
    this.#tolerance.leaveAlone(simulation.nowMs + UNREST_MS)
  }

  #join (): void {
    if (this.#roles.length > AGENTS_MAX + 10) return
    for (let n = 1 + this.#random.below(3); n > 0; n--) {
      this.#roles.push(this.#random.chance(0.3) ? 'voter' : 'agent')
      this.#start(this.#roles.length - 1)
    }
  }

  #leave (index: number): void {
    const address = addressOf(index)
    const process = this.#cluster.processes.get(address)
    if (index === 0 || process === undefined || this.#leaving.has(address) || !this.#mayCrash(address)) return
    this.#leaving.add(address)
    const gone = (): void => {
      if (this.#cluster.processes.get(address) === process) this.#cluster.crash(address)
      this.#leaving.delete(address)
    }
    process.membership.leave({ deadlineMs: 30_000 }).catch((error: unknown) => {
      this.#cluster.expectCode('leave', error)
      this.#gaveUp.add(address)
    }).finally(gone)
  }

  #update (index: number): void {
    this.#cluster.processes.get(addressOf(index))?.membership.update({ weight: 1 + this.#random.below(9) })
      .catch((error: unknown) => { this.#cluster.expectCode('update', error) })
  }

  #pause (index: number): void {
    const address = addressOf(index)
    const { simulation } = this.#cluster
    if (!this.#cluster.processes.has(address)) return
    const pauseMs = this.#random.below(8000)
    if (!this.#disturb([address], simulation.nowMs + pauseMs)) return
    const host = simulation.host(address)
    host.pause()
    this.#paused.add(address)
    simulation.schedule(pauseMs, undefined, () => {
      if (this.#paused.delete(address)) host.resume()
    })
  }

  #cutOneWay (): void {
    const some = (): string[] => Array.from({ length: 1 + this.#random.below(4) }, () => addressOf(this.#pick()))
    const everybody = this.#roles.map((_, index) => addressOf(index))
    const [from, to] = this.#random.chance(0.5) ? [some(), everybody] : [everybody, some()]
    const target = this.#random.chance(0.5) ? to : some()
    if (!this.#disturb([from, target].flatMap(side => side === everybody ? [] : side), Infinity)) return
    this.#cluster.simulation.network.faults.block(from, target)
  }

  /** The worst moment: while something is being decided. */
  async #loseVotersAmidAgreement (): Promise<void> {
    const { simulation } = this.#cluster
    const count = this.#cluster.consensusMessages + 1 + this.#random.below(20)
    if (this.#random.chance(0.5)) this.#crash(this.#pick())
    else this.#join()
    await simulation.run({ untilMs: simulation.nowMs + 4000, until: () => this.#cluster.consensusMessages >= count, everyMs: 0 })
    this.#roles.forEach((role, index) => { if (role === 'voter' || this.#random.chance(0.2)) this.#crash(index) })
  }

  /** Everything heals, and all come back but some, of which the voters are a minority: those that are there must agree. */
  async #settle (): Promise<void> {
    const { simulation } = this.#cluster
    if (this.#random.chance(0.5)) await this.#departures()
    for (const address of this.#paused) simulation.host(address).resume()
    this.#paused.clear()
    this.#heal()
    const away = this.#random.chance(0.4) ? this.#thoseAway() : new Set<string>()
    for (const [index] of this.#roles.entries()) if (!away.has(addressOf(index))) this.#startAgain(index)
    // Those that leave stay away. Those that could not leave are needed.
    this.#gaveUp.clear()
    if (this.#leaving.size > 0) await this.#departures()
    for (const [index] of this.#roles.entries()) if (this.#gaveUp.has(addressOf(index))) this.#startAgain(index)
    await this.#agree()
    // What was suspected before the end, and updates that were asked for, may still be decided.
    await simulation.runFor(UNREST_MS)
    await this.#agree()
    const { epoch } = this.#cluster
    await simulation.runFor(QUIET_MS)
    if (!this.#cluster.converged() || this.#cluster.epoch !== epoch) this.#fail('the agreement of the end did not last')
    for (const { address, membership, removals } of this.#cluster.live) {
      if (membership.self.role !== (this.#roleAt(address) === 'agent' ? 'agent' : undefined)) this.#fail(`${address} has another role than it asked for`)
      if (this.#calm && removals > 0) this.#fail(`${address} was healthy and was removed`)
    }
  }

  async #agree (): Promise<void> {
    const { simulation } = this.#cluster
    const untilMs = simulation.nowMs + FINAL_LIMIT_MS
    const end = await simulation.run({ untilMs, until: () => this.#cluster.converged(), everyMs: 50, maxEvents: EVENTS_MAX })
    if (end !== 'condition') this.#fail(`no agreement within ${FINAL_LIMIT_MS} ms`)
  }

  /** Waits until those that asked to leave have left, or given up. */
  async #departures (): Promise<void> {
    const { simulation } = this.#cluster
    await simulation.run({ untilMs: simulation.nowMs + 31_000, until: () => this.#leaving.size === 0, everyMs: 100, maxEvents: EVENTS_MAX })
  }

  /** Some that are down and stay so. */
  #thoseAway (): Set<string> {
    const away = new Set<string>()
    for (const index of this.#roles.keys()) {
      const address = addressOf(index)
      if (index === 0 || this.#cluster.processes.has(address) || this.#random.chance(0.5)) continue
      if (this.#tolerance.mayStayAway(new Set([...away, address]))) away.add(address)
    }
    return away
  }

  #roleAt (address: string): Role {
    return this.#roles[this.#roles.findIndex((_, index) => addressOf(index) === address)]!
  }

  #fail (what: string): never {
    const places = this.#cluster.live.map(({ address, membership, changes }) => {
      const { configuration } = changes.at(-1) ?? {}
      const members = configuration?.members.map(member => `${member.address}${isVoter(member) ? '' : '(agent)'} ${member.id}`).join(', ')
      return `${address} ${this.#roleAt(address)} ${membership.status} ${membership.self.id} epoch ${configuration?.epoch ?? 0}: ${members ?? ''}`
    })
    throw new Error(`${what} (${this.#durable ? 'with' : 'without'} disks, ${this.#calm ? 'calm' : 'disturbed'}, ${JSON.stringify(this.#done)})\n` +
      `${places.join('\n')}\n${this.#cluster.simulation.failureReport()}`)
  }
}

/** @throws {Error} when something does not hold that must. */
export async function runEnsembleScenario (seed: number): Promise<EnsembleResult> {
  return await new EnsembleScenario(seed).run()
}
