/**
 * Where a client sends a request: to the store that leads the key's partition, as far as is known, else to those that may.
 *
 * Combines the placement that the whole cluster agrees on with what answers taught: who really leads, and who did not answer.
 * The placement names the stores that should hold a partition; while a handover is under way the former holders still serve,
 * so they are the last candidates.
 *
 * Pure.
 */
import type { Address } from '../../membership/environment/environment.ts'
import type { StoreId } from '../../membership/configuration.ts'
import { isPartitionCount, partitionOf, routingKey, type PartitionIndex, type Placement } from '../../ring/index.ts'
import { decodeAgreedState } from '../agreed-state.ts'
import type { ClusterView } from '../client-protocol.ts'
import { StoreError } from '../errors.ts'
import { commonPrefix, type KeyRange } from '../scan-range.ts'

/** A node to which no connection came about is not tried again for so many milliseconds. */
export const REDIAL_PAUSE_MS = 100
/** So many of these are remembered. */
const UNREACHED_MAX = 10_000

export class Router {
  #view: ClusterView | undefined
  /** Undefined until the genesis epoch (rule S1): before it no key lives anywhere. */
  #placement: Placement | undefined
  #partitions = 0
  /** The addresses of the view, in the order of their store ids. */
  #members: readonly Address[] = []
  #memberSet: ReadonlySet<Address> = new Set()
  /** Who was last known to lead, by partition. Better than the placement, which says who should. */
  readonly #leaders = new Map<number, Address>()
  /** Addresses that let an attempt run out or lost a connection, and have not answered since. They are asked last. */
  readonly #suspects = new Set<Address>()
  /** When the last attempt to connect to an address failed, where none has succeeded since: of seeds, too, and of nodes that may come back. */
  readonly #unreached = new Map<Address, number>()

  /** The newest view that was installed. */
  get view (): ClusterView | undefined {
    return this.#view
  }

  get members (): readonly Address[] {
    return this.#members
  }

  /** True once the cluster has a placement: requests can be routed. */
  get ready (): boolean {
    return this.#placement !== undefined
  }

  /**
   * Replaces the view by a newer one; an older one is ignored.
   * @returns true when the view is newer than the one before.
   * @throws {StoreError} STORE_INVALID_MESSAGE when it belongs to another cluster, or its state cannot be decoded.
   */
  install (view: ClusterView): boolean {
    const before = this.#view
    if (before !== undefined && view.clusterId !== before.clusterId) {
      throw new StoreError('STORE_INVALID_MESSAGE', `a view of cluster ${view.clusterId}, but this client belongs to ${before.clusterId}`)
    }
    if (before !== undefined && view.epoch <= before.epoch) return false
    const state = decodeAgreedState(view.state)
    if (!isPartitionCount(state.partitions)) throw new StoreError('STORE_INVALID_MESSAGE', `a view with ${state.partitions} partitions`)
    if (before !== undefined && state.partitions !== this.#partitions) {
      throw new StoreError('STORE_INVALID_MESSAGE', `a view with ${state.partitions} partitions, but this cluster has ${this.#partitions}`)
    }
    this.#view = view
    this.#placement = state.placement
    this.#partitions = state.partitions
    this.#members = Object.keys(view.addresses).sort().map(storeId => view.addresses[storeId]!)
    this.#memberSet = new Set(this.#members)
    for (const [partition, leader] of this.#leaders) if (!this.#memberSet.has(leader)) this.#leaders.delete(partition)
    for (const suspect of this.#suspects) if (!this.#memberSet.has(suspect)) this.#suspects.delete(suspect)
    return true
  }

  isMember (address: Address): boolean {
    return this.#memberSet.has(address)
  }

  /** Expects an installed view. */
  partitionOf (key: Uint8Array): number {
    return partitionOf(key, this.#partitions)
  }

  /** The partitions that may have keys of a range: one where the range fixes the `{tag}`, else all. Expects an installed view. */
  partitionsOf (range: KeyRange): number[] {
    return this.partitionsOfPrefix(commonPrefix(range))
  }

  /** The same for all keys with a prefix. */
  partitionsOfPrefix (prefix: Uint8Array): number[] {
    // Whatever follows a prefix that has a whole tag is routed by that tag.
    if (routingKey(prefix) !== prefix) return [this.partitionOf(prefix)]
    return Array.from({ length: this.#partitions }, (_, partition) => partition)
  }

  /** The best guess: what the first attempt of nearly every request needs. Builds no list where a leader is known. */
  first (partition: number): Address | undefined {
    const leader = this.#leaders.get(partition)
    if (leader !== undefined && !this.#suspects.has(leader)) return leader
    return this.candidates(partition)[0]
  }

  /** Everyone worth asking, best first, suspects last, each once. */
  candidates (partition: number): Address[] {
    const found = new Set<Address>()
    const leader = this.#leaders.get(partition)
    if (leader !== undefined) found.add(leader)
    for (const storeId of this.#holders(partition)) {
      const address = this.#view?.addresses[storeId]
      if (address !== undefined) found.add(address)
    }
    if (this.#suspects.size === 0) return [...found]
    const all = [...found]
    return [...all.filter(address => !this.#suspects.has(address)), ...all.filter(address => this.#suspects.has(address))]
  }

  /** The stores with a seat in this partition that are in the cluster, and not suspects. */
  replicas (partition: number): Address[] {
    if (this.#placement === undefined) return []
    return this.#placement.seats(partition as PartitionIndex).flatMap(storeId => {
      const address = this.#view?.addresses[storeId]
      return address === undefined || this.#suspects.has(address) ? [] : [address]
    })
  }

  /** The stores with a seat in this partition that are not in the cluster. */
  missing (partition: number): StoreId[] {
    if (this.#placement === undefined) return []
    return this.#placement.seats(partition as PartitionIndex).filter(storeId => this.#view?.addresses[storeId] === undefined)
  }

  * #holders (partition: number): Generator<StoreId> {
    if (this.#placement === undefined) return
    yield* this.#placement.seats(partition as PartitionIndex)
    yield* this.#placement.formerHolders(partition as PartitionIndex)
  }

  /** This store answered as the leader, or another one named it. */
  learnLeader (partition: number, address: Address): void {
    if (this.#leaders.get(partition) !== address) this.#leaders.set(partition, address)
  }

  /** This store does not lead the partition, or cannot be reached. */
  forgetLeader (partition: number, address: Address): void {
    if (this.#leaders.get(partition) === address) this.#leaders.delete(partition)
  }

  isSuspect (address: Address): boolean {
    return this.#suspects.has(address)
  }

  /** An attempt to connect to an address succeeded, or failed. */
  reached (address: Address): void {
    this.#unreached.delete(address)
  }

  notReached (now: number, address: Address): void {
    if (this.#unreached.size >= UNREACHED_MAX) this.#unreached.clear()
    this.#unreached.set(address, now)
  }

  /** True where no connection came about last time: what is sent is lost without a word while the transport pauses, unless it is told to try. */
  isUnreached (address: Address): boolean {
    return this.#unreached.has(address)
  }

  /** True where that was only just. */
  isPausing (now: number, address: Address): boolean {
    const failedAt = this.#unreached.get(address)
    return failedAt !== undefined && now - failedAt < REDIAL_PAUSE_MS
  }

  suspect (address: Address): void {
    if (this.#memberSet.has(address)) this.#suspects.add(address)
  }

  trust (address: Address): void {
    if (this.#suspects.size > 0) this.#suspects.delete(address)
  }
}
