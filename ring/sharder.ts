/**
 * Shards any service (a cache, actors, scheduled jobs) over a cluster: tells one process which partitions are its own.
 *
 * Fed with every configuration in order, it calls back exactly once for each partition that this process gets or gives up. It keeps
 * no data and waits for nobody: a process that was cut off may still hold what another was told to acquire, so whoever needs
 * mutual exclusion must fence by epoch, or use the store. Pure, apart from the callbacks it makes before it returns.
 */
import type { StoreId } from '../membership/configuration.ts'
import { RingError } from './errors.ts'
import { foldPlacement, type FoldState } from './fold-placement.ts'
import type { PartitionIndex } from './partition.ts'
import type { Placement, PlacementOptions, PlacementStrategy, Roster } from './placement.ts'
import { type Move, plan } from './plan.ts'

export interface SharderComponents {
  /** The store id of this process. */
  readonly self: StoreId
  /** This process now has a seat in `partition`, in place of `from` (undefined when nobody had it). */
  acquire (partition: PartitionIndex, from: StoreId | undefined): void
  /** This process no longer has its seat; `to` has it (undefined when nobody does, or this process was removed meanwhile). */
  release (partition: PartitionIndex, to: StoreId | undefined): void
}

export interface SharderOptions<S extends Placement> extends PlacementOptions {
  /** How many processes share a partition. @default 1 */
  readonly replicas?: number
  /** @default foldPlacement */
  readonly strategy?: PlacementStrategy<S>
}

export class Sharder<S extends Placement = FoldState> {
  readonly #components: SharderComponents
  readonly #strategy: PlacementStrategy<S>
  readonly #options: PlacementOptions
  #placement: S | undefined
  /** Invariant: acquired and not released since. */
  #held: ReadonlySet<PartitionIndex> = new Set()

  constructor (components: SharderComponents, options: SharderOptions<S> = {}) {
    const { strategy, ...placementOptions } = options
    this.#components = components
    // Without a strategy S is FoldState, its default.
    this.#strategy = strategy ?? foldPlacement as unknown as PlacementStrategy<S>
    this.#options = { replicas: 1, ...placementOptions }
  }

  /** Where everything is in the last configuration applied; undefined before the first. */
  get placement (): S | undefined { return this.#placement }

  /** The partitions this process holds. */
  get held (): ReadonlySet<PartitionIndex> { return this.#held }

  /**
   * Begins from a placement that others have reached: a process that joins decodes it from what the cluster hands it.
   * @throws {RingError} RING_OUT_OF_ORDER when there is a placement of the same or a later epoch already; RING_CALLBACK_FAILED.
   */
  restore (placement: S): void {
    if (this.#placement !== undefined && placement.epoch <= this.#placement.epoch) {
      throw new RingError('RING_OUT_OF_ORDER', `the placement of epoch ${placement.epoch} is no later than that of epoch ${this.#placement.epoch}`)
    }
    this.#move(placement)
  }

  /**
   * Takes the next configuration, or the first. One that was applied before is ignored.
   * Releases are called before acquisitions, each by partition. A callback that throws keeps no other from being called.
   * @returns false when it was ignored.
   * @throws {RingError} RING_OUT_OF_ORDER when configurations in between are missing; RING_INVALID_CONFIGURATION;
   * RING_INVALID_OPTIONS; RING_CALLBACK_FAILED once the configuration is applied.
   */
  apply (configuration: Roster): boolean {
    if (this.#placement !== undefined && configuration.epoch <= this.#placement.epoch) return false
    this.#move(this.#placement === undefined
      ? this.#strategy.first(configuration, this.#options)
      : this.#strategy.next(this.#placement, configuration))
    return true
  }

  #move (after: S): void {
    const { self } = this.#components
    const before = this.#placement
    const moves = before === undefined ? [] : plan(before, after).moves
    const isMember = after.stores.includes(self)
    const held = new Set(isMember ? after.partitionsOf(self) : [])
    const released = [...this.#held].filter(partition => !held.has(partition)).sort((a, b) => a - b)
    const acquired = [...held].filter(partition => !this.#held.has(partition))
    this.#placement = after
    this.#held = held

    const failures: unknown[] = []
    type Callback = (partition: PartitionIndex, move: Move | undefined) => void
    const call = (partitions: PartitionIndex[], mine: (move: Move) => boolean, callback: Callback): void => {
      const byPartition = new Map(moves.filter(mine).map(move => [move.partition, move]))
      for (const partition of partitions) {
        try {
          callback(partition, byPartition.get(partition))
        } catch (error) {
          failures.push(error)
        }
      }
    }
    call(released, move => move.from === self, (partition, move) => this.#components.release(partition, move?.to))
    call(acquired, move => move.to === self, (partition, move) => this.#components.acquire(partition, move?.from))
    if (failures.length > 0) {
      throw new RingError('RING_CALLBACK_FAILED', `${failures.length} callbacks failed while applying epoch ${after.epoch}`, { cause: new AggregateError(failures) })
    }
  }
}
