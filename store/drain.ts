/**
 * Moving everything off a store before it leaves, so that its leaving interrupts nothing.
 *
 * A drained store is a member of weight 0. That is agreed on like any change of a member (rule M13), the placement then gives its
 * seats and its lead to others, and the ordinary handovers carry that out while the old groups serve. A store is drained when no copy
 * is left at it: a copy goes only once every member of the next group has everything (rule S5), so the last one to go proves the
 * whole. The weight lasts until `undrain` or the end of the process; a process that starts joins with its options.
 *
 * Owns nothing; looks at the replicas and changes nothing in them.
 */
import type { StoreId } from '../membership/configuration.ts'
import type { Clock } from '../membership/environment/environment.ts'
import type { Membership } from '../membership/index.ts'
import type { PartitionIndex, Placement } from '../ring/index.ts'
import type { AgreedState } from './agreed-state.ts'
import { StoreError } from './errors.ts'
import type { Replica } from './group/replica.ts'

/** How often a drain looks whether it is over. */
const LOOK_MS = 50

export interface DrainStatus {
  /** `none`: this store takes part. `draining`: it has weight 0, and something is left here. `drained`: nothing is. */
  readonly state: 'none' | 'draining' | 'drained'
  /** Partitions that this store leads, is a member of the group of, and has a copy of, whole or not. */
  readonly leading: number
  readonly members: number
  readonly copies: number
  /** Why it cannot end: what the cluster lacks. Absent where it can. */
  readonly blocked?: string
}

export interface DrainComponents {
  readonly membership: Membership<AgreedState>
  readonly clock: Clock
  readonly self: StoreId
  readonly replicas: ReadonlyMap<number, Replica>
  /** True once the node has stopped. */
  readonly stopped: () => boolean
}

export interface DrainOptions {
  /** Ends the wait. The store stays drained, or goes on draining, until `undrain`. */
  readonly signal?: AbortSignal | undefined
}

/**
 * Why others cannot take all that a store has: there are fewer of them than replicas, and a group never shrinks (rule R2), or has a
 * member that is gone, without which no older copy may go.
 */
function blockedDrain (placement: Placement, self: StoreId): string | undefined {
  const others = placement.stores.filter(store => store !== self && placement.weightOf(store) > 0).length
  if (others >= placement.replicas) return undefined
  return `${others} other stores with weight are in the cluster, too few for ${placement.replicas} replicas; add one, or start one that is missing`
}

/** The partitions that would stand still without this store: no majority of their seats would be in the cluster. */
function neededHere (placement: Placement, self: StoreId): PartitionIndex[] {
  const present = new Set(placement.stores)
  return placement.partitionsOf(self).filter(partition => {
    const seats = placement.seats(partition)
    return 2 * seats.filter(store => store !== self && present.has(store)).length <= seats.length
  })
}

export class Drain {
  readonly #components: DrainComponents
  /**
   * The weight that this store was last asked to have, drains aside; undefined while nobody asked, when it is the configuration's. What was
   * asked for may not be agreed on yet, so the configuration does not tell.
   */
  #weight: number | undefined
  /**
   * Whether the last request was to drain. All changes of a member come from itself and are agreed on in the order in which they were asked
   * for, so the last one counts, however they overlap.
   */
  #draining = false

  constructor (components: DrainComponents) {
    this.#components = components
  }

  get #placement (): Placement | undefined { return this.#components.membership.state.placement }

  status (): DrainStatus {
    const { self, replicas, membership } = this.#components
    let [leading, members, copies] = [0, 0, 0]
    for (const replica of replicas.values()) {
      if (replica.leader !== undefined) leading++
      if (replica.isMember) members++
      if (replica.copy !== undefined || replica.learner.active) copies++
    }
    const seats = this.#placement?.partitionsOf(self).length ?? 0
    const over = leading + members + copies + seats === 0
    const state = this.#placedWithoutWeight(membership.state.placement) ? over ? 'drained' : 'draining' : 'none'
    const blocked = state === 'draining' && this.#placement !== undefined ? blockedDrain(this.#placement, self) : undefined
    return { state, leading, members, copies, ...(blocked === undefined ? {} : { blocked }) }
  }

  /** The configuration in which this store has no weight is in effect here. */
  #placedWithoutWeight (placement: Placement | undefined): boolean {
    const { self, membership } = this.#components
    if (placement !== undefined) return placement.stores.includes(self) && placement.weightOf(self) === 0
    return membership.configuration.members.some(member => member.storeId === self && member.metadata.weight === 0)
  }

  /**
   * Takes the weight off this store. Resolves when that is agreed on; the data moves afterwards.
   * @throws {StoreError} STORE_TOO_FEW_STORES, definite: nothing was changed
   */
  async begin ({ signal }: DrainOptions = {}): Promise<void> {
    const { self } = this.#components
    const placement = this.#placement
    const blocked = placement === undefined || placement.partitionsOf(self).length === 0 ? undefined : blockedDrain(placement, self)
    if (blocked !== undefined) throw new StoreError('STORE_TOO_FEW_STORES', `this store cannot be drained: ${blocked}`)
    await this.#unweigh(signal)
  }

  async #unweigh (signal: AbortSignal | undefined): Promise<void> {
    const { membership } = this.#components
    this.#draining = true
    this.#weight ??= membership.self.metadata.weight
    await membership.update({ weight: 0 }, signal === undefined ? {} : { signal })
  }

  /** Resolves when nothing is left here. @throws {StoreError} as `StoreNode.drain` */
  async end ({ signal }: DrainOptions = {}): Promise<void> {
    await this.#until(({ state, blocked }) => {
      if (blocked !== undefined) throw new StoreError('STORE_TOO_FEW_STORES', `the drain stands still: ${blocked}`, { definite: false })
      return state === 'drained'
    }, signal)
  }

  /**
   * What comes before leaving: drains; where the others are too few to take this store's seats, at least the lead moves.
   * @throws {StoreError} STORE_TOO_FEW_STORES where partitions would stand still without this store
   */
  async beforeLeaving (options: DrainOptions): Promise<void> {
    const { self, membership } = this.#components
    const placement = this.#placement
    if (placement === undefined || membership.configuration.members.length === 1) return
    if (blockedDrain(placement, self) === undefined) {
      await this.begin(options)
      await this.end(options)
      return
    }
    const needed = neededHere(placement, self).length
    if (needed > 0) {
      throw new StoreError('STORE_TOO_FEW_STORES', `${needed} partitions would stand still without this store; leave({ drain: false }) leaves all the same`)
    }
    await this.#unweigh(options.signal)
    await this.#until(({ leading }) => leading === 0, options.signal)
  }

  /** Looks again and again until `over`, which also throws. */
  async #until (over: (status: DrainStatus) => boolean, signal: AbortSignal | undefined): Promise<void> {
    const { clock, stopped } = this.#components
    for (;;) {
      if (signal?.aborted === true) {
        throw new StoreError('STORE_ABORTED', 'the wait for the drain was aborted; it goes on', { definite: false, cause: signal.reason })
      }
      if (stopped()) throw new StoreError('STORE_CLOSED', 'the node stopped before it was drained', { definite: false })
      const status = this.status()
      if (status.state === 'none') throw new StoreError('STORE_ABORTED', 'the drain was taken back', { definite: false })
      if (over(status)) return
      await new Promise<void>(resolve => { clock.setTimer(LOOK_MS, resolve) })
    }
  }

  /**
   * Another weight is asked for. While a drain lasts, it is the one that `undo` will give.
   * @returns false where there is no drain, or it was taken back: the weight is to be asked for at once
   */
  keep (weight: number): boolean {
    this.#weight = weight
    return this.#draining
  }

  /** Gives the store its weight back. Resolves when that is agreed on. */
  async undo ({ signal }: DrainOptions = {}): Promise<void> {
    this.#draining = false
    if (this.#weight === undefined) return
    await this.#components.membership.update({ weight: this.#weight }, signal === undefined ? {} : { signal })
  }
}
