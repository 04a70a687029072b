/**
 * What befalls single nodes in a random life of a store: they crash, lose their power, restart, pause, join, leave and drain, and their
 * disks are slow, full or fail for a moment.
 *
 * Owns: who is hindered by what, and that it ends.
 */
import { MembershipError } from '../../membership/errors.ts'
import type { StoreNode } from '../../store/node.ts'
import { StoreError } from '../../store/errors.ts'
import type { Disk } from './disk.ts'
import { addressOf, type StoreCluster } from './store-cluster.ts'

/** The others removed this member before they agreed on what it asked for. */
const takenForDead = (error: unknown): boolean =>
  error instanceof MembershipError && (error.code === 'MEMBERSHIP_REMOVED' || error.code === 'MEMBERSHIP_NOT_STARTED')

export class Victims {
  readonly #cluster: StoreCluster
  readonly #counts: Record<string, number> = {}
  readonly #paused = new Set<number>()
  /** Nodes that are down and will come back. */
  readonly #down = new Set<number>()
  /** Nodes that lost their power, and may not have everything again that they had acknowledged. */
  readonly #weak = new Set<number>()
  /** Nodes whose next write fails. */
  readonly #failing = new Set<number>()
  /** Nodes whose disk is slow for a while. */
  readonly #slow = new Set<number>()
  /** Drains that will be taken back, by the node that drains. */
  readonly #draining = new Map<number, StoreNode>()
  /** Nodes that are on their way in or out, or that somebody else keeps busy. */
  readonly busy = new Set<number>()
  #next: number
  #healed = false
  /** What went wrong with a drain that may not. */
  unexpected: Error | undefined

  constructor (cluster: StoreCluster) {
    this.#cluster = cluster
    this.#next = cluster.options.size
    cluster.onFailure = index => { this.#failed(index) }
  }

  /** How often each fault happened. */
  get counts (): Readonly<Record<string, number>> {
    return this.#counts
  }

  /** True when everything is over and nothing new may begin. */
  get healed (): boolean {
    return this.#healed
  }

  count (fault: string): void {
    this.#counts[fault] = (this.#counts[fault] ?? 0) + 1
    this.#cluster.simulation.trace('test', fault)
  }

  later (delayMs: number, run: () => void): void {
    this.#cluster.simulation.schedule(delayMs, undefined, run)
  }

  /** Nodes that nothing hinders. */
  get up (): number[] {
    const hindered = [this.#paused, this.busy, this.#failing, this.#slow]
    return [...this.#cluster.nodes.keys()].filter(index => !hindered.some(some => some.has(index)))
  }

  get down (): readonly number[] {
    return [...this.#down]
  }

  /** Nodes that something hinders. */
  get away (): number {
    return this.#down.size + this.#paused.size + this.busy.size + this.#failing.size + this.#slow.size
  }

  /** How many more may be hindered so that a majority of the members stays: without one nothing is decided, and that is another test. */
  get spare (): number {
    return Math.ceil((this.#cluster.nodes.size + this.#down.size) / 2) - 1 - this.away
  }

  /** True when a majority of the configuration that a node knows is up without it. */
  affordable (index: number): boolean {
    const { nodes } = this.#cluster
    const { configuration } = nodes.get(index)!.membership
    const up = new Set(this.up.filter(other => other !== index).map(other => nodes.get(other)!.membership.self.id))
    return configuration !== undefined && configuration.members.filter(({ id }) => up.has(id)).length > configuration.members.length / 2
  }

  /**
   * Ends a process. Where everything that was acknowledged is synced, its machine may lose its power with it; else only if no other store has
   * to be brought up to date after that.
   */
  crash (index: number, silent = false): void {
    const cluster = this.#cluster
    this.#down.add(index)
    for (const weak of this.#weak) {
      const node = cluster.nodes.get(weak)
      if (node !== undefined && !this.busy.has(weak) && ![...node.replicas.values()].some(({ doubted }) => doubted)) this.#weak.delete(weak)
    }
    const affordable = cluster.options.durability === 'sync' || this.#weak.size === 0 || (this.#weak.size === 1 && this.#weak.has(index))
    if (affordable) this.#weak.add(index)
    if (affordable && cluster.options.durability === 'os') this.count('loss of what was not synced')
    cluster.crash(index, silent, { losesUnsynced: affordable })
  }

  restart (index: number): void {
    this.count('restart')
    this.#down.delete(index)
    this.#cluster.start(index)
    this.#whileStarting(index)
  }

  join (): void {
    this.count('join')
    const index = this.#next++
    this.#cluster.start(index)
    this.#whileStarting(index)
  }

  #whileStarting (index: number): void {
    this.busy.add(index)
    const done = (): void => { this.busy.delete(index) }
    this.#cluster.starts.get(index)!.then(done, done)
  }

  leave (index: number): void {
    this.count('leave')
    const cluster = this.#cluster
    this.busy.add(index)
    const node = cluster.nodes.get(index)!
    const done = (): void => {
      this.busy.delete(index)
      cluster.nodes.delete(index)
      cluster.simulation.host(addressOf(index)).crash()
    }
    // Most drain first, under whatever goes on meanwhile; what cannot be drained crashes.
    node.leave({ deadlineMs: 60_000, drain: index % 4 !== 0 || cluster.options.durability === 'os' }).then(done, (error: unknown) => {
      cluster.simulation.trace(addressOf(index), `leave failed: ${String(error)}`)
      done()
    })
  }

  /** The process stands still; with its clock, if it is suspended. */
  pause (index: number, suspended: boolean, forMs: number): void {
    this.count(suspended ? 'suspend' : 'pause')
    this.#paused.add(index)
    const host = this.#cluster.simulation.host(addressOf(index))
    if (suspended) host.suspend()
    else host.pause()
    this.later(forMs, () => { this.#resume(index) })
  }

  #resume (index: number): void {
    if (this.#paused.delete(index)) this.#cluster.simulation.host(addressOf(index)).resume()
  }

  /** Drains a node for a while, as far as it gets: it may stop meanwhile, and the others may be too few. */
  drain (index: number, forMs: number): void {
    if (this.#draining.has(index)) return
    this.count('drain')
    const node = this.#cluster.nodes.get(index)!
    this.#draining.set(index, node)
    node.drain().catch((error: unknown) => { this.#expectEnd(index, node, 'drain', error) })
    this.later(forMs, () => { this.#undrain(index) })
  }

  #undrain (index: number): void {
    const node = this.#draining.get(index)
    this.#draining.delete(index)
    if (node === undefined || this.#cluster.nodes.get(index) !== node) return
    node.undrain().catch((error: unknown) => {
      this.#expectEnd(index, node, 'undrain', error)
      // Taken for dead before it was agreed on, it joins again, without weight: whoever asked for it asks again.
      if (!takenForDead(error) || this.#cluster.nodes.get(index) !== node) return
      this.#draining.set(index, node)
      this.later(500, () => { this.#undrain(index) })
    })
  }

  /** A drain may be refused, stand still, be taken back, or end with its process or its membership; anything else ends the simulation. */
  #expectEnd (index: number, node: StoreNode, what: string, error: unknown): void {
    this.#cluster.simulation.trace(addressOf(index), `${what} failed: ${String(error)}`)
    if (error instanceof StoreError && ['STORE_TOO_FEW_STORES', 'STORE_ABORTED', 'STORE_CLOSED'].includes(error.code)) return
    if (takenForDead(error)) return
    // Its process is gone, or is about to go.
    if (this.#cluster.nodes.get(index) !== node || this.busy.has(index) || this.#failing.has(index)) return
    this.unexpected ??= new Error(`${what} at ${addressOf(index)} failed: ${String(error)}`, { cause: error })
  }

  #disk (index: number): Disk {
    return this.#cluster.simulation.host(addressOf(index)).disk('data')
  }

  slowDisk (index: number, slowness: number, forMs: number): void {
    this.count('slow disk')
    this.#slow.add(index)
    this.#disk(index).slowness = slowness
    this.later(forMs, () => { this.#mendDisk(index) })
  }

  #mendDisk (index: number): void {
    if (this.#slow.delete(index)) this.#disk(index).slowness = 1
  }

  /** The store stops at its next write. Somebody has mended the disk, or made room, by the time its process ends. */
  breakDisk (index: number, how: 'failing write' | 'full disk'): void {
    this.count(how)
    this.#failing.add(index)
    this.#cluster.mayFail.add(index)
    if (how === 'full disk') this.#disk(index).full = true
    else this.#disk(index).failNextWrite()
  }

  /** A write failed, and the store has stopped; its process ends a little later. */
  #failed (index: number): void {
    this.later(this.#cluster.simulation.random.between(0, 50), () => {
      if (!this.#failing.delete(index)) return
      this.#disk(index).full = false
      this.crash(index)
    })
  }

  /** Ends all of it; whoever is down comes back. */
  heal (): void {
    this.#healed = true
    for (const index of [...this.#paused]) this.#resume(index)
    for (const index of [...this.#slow]) this.#mendDisk(index)
    for (const index of [...this.#draining.keys()]) this.#undrain(index)
    for (const index of [...this.#failing]) {
      this.#failing.delete(index)
      this.#disk(index).full = false
      this.#cluster.mayFail.delete(index)
      this.crash(index)
    }
    for (const index of [...this.#down]) this.restart(index)
  }
}
