/**
 * Untangles what greedy choices left over: moves chains of seats so that every count meets its target.
 *
 * A placement is a flow: each partition sends one unit per replica to zones (at most `depth` each) and on to stores (at most one
 * each), and each store's count is what arrives. A free seat, or a store with too much, is a unit that has not arrived where it
 * should; an augmenting path in the residual network brings it to a store with too little (Ford and Fulkerson 1956). As the
 * targets can be met (see `shares`), such a path always exists. The path taken is one that gives up the fewest seats held since
 * before, found by a breadth-first search with edges of cost 0 and 1. Pure.
 */
import type { Draft } from './draft.ts'
import { RingError } from './errors.ts'

/** What a path is made of: one seat given up, and then another taken. */
interface Change { readonly drops: number[], readonly adds: { readonly partition: number, readonly slot: number }[] }

/**
 * One search. A node is a store (it has one too many), a seat of a zone in a partition (someone of that zone is to take it), or
 * a partition (someone is to take a seat in it). Nodes are numbered: stores, then partitions, then seats.
 */
class Search {
  readonly #draft: Draft
  readonly #targets: Int32Array
  readonly #zoneCount: number
  /** Node to the node it was reached from; a source to itself. */
  readonly #parents = new Map<number, number>()
  /** Per zone, the stores not reached yet. */
  readonly #unreached = new Map<number, number[]>()
  readonly #queue: number[] = []
  /** Reached at the price of one more seat given up: pairs of seat and store. */
  #dearer: (readonly [node: number, parent: number])[] = []

  constructor (draft: Draft, targets: Int32Array) {
    this.#draft = draft
    this.#targets = targets
    this.#zoneCount = draft.shares.zoneLimit.length
    for (let slot = 0; slot < targets.length; slot++) {
      if (targets[slot] === 0) continue
      const zone = draft.zones[slot]!
      const slots = this.#unreached.get(zone)
      if (slots === undefined) this.#unreached.set(zone, [slot])
      else slots.push(slot)
    }
  }

  fromStore (slot: number): Change | undefined {
    return this.#run(slot)
  }

  fromPartition (partition: number): Change | undefined {
    return this.#run(this.#targets.length + partition)
  }

  #run (source: number): Change | undefined {
    this.#reach(source, source)
    for (;;) {
      for (let node = this.#queue.shift(); node !== undefined; node = this.#queue.shift()) {
        const end = this.#expand(node)
        if (end !== undefined) return this.#trace(end)
      }
      if (this.#dearer.length === 0) return undefined
      const dearer = this.#dearer
      this.#dearer = []
      for (const [node, parent] of dearer) this.#reach(node, parent)
    }
  }

  #reach (node: number, parent: number): void {
    if (this.#parents.has(node)) return
    this.#parents.set(node, parent)
    this.#queue.push(node)
  }

  /** Reaches the neighbours of a node. Returns the store where the search ends, if it is one of them. */
  #expand (node: number): number | undefined {
    const stores = this.#targets.length
    if (node < stores) return this.#expandStore(node)
    const partition = node - stores
    if (partition >= this.#draft.partitions) return this.#expandSeat(node)
    for (const zone of this.#unreached.keys()) {
      if (this.#draft.zoneSeats(partition, zone) < this.#draft.shares.depth) this.#reach(this.#seat(partition, zone), node)
    }
    return undefined
  }

  #expandStore (slot: number): undefined {
    for (const cell of this.#draft.cellsOf(slot)) {
      const partition = this.#draft.partitionOfCell(cell)
      const seat = this.#seat(partition, this.#draft.zones[slot]!)
      if (this.#draft.seatEpoch(partition, slot) === 0) this.#reach(seat, slot)
      else this.#dearer.push([seat, slot])
    }
    return undefined
  }

  #expandSeat (node: number): number | undefined {
    const { partition, zone } = this.#seatOf(node)
    const unreached = this.#unreached.get(zone) ?? []
    const left: number[] = []
    for (const slot of unreached) {
      if (this.#draft.holds(partition, slot)) {
        left.push(slot)
        continue
      }
      this.#reach(slot, node)
      if (this.#draft.counts[slot]! < this.#targets[slot]!) return slot
    }
    if (left.length === 0) this.#unreached.delete(zone)
    else this.#unreached.set(zone, left)
    if (this.#draft.zoneSeats(partition, zone) > 0) this.#reach(this.#targets.length + partition, node)
    return undefined
  }

  #seat (partition: number, zone: number): number {
    return this.#targets.length + this.#draft.partitions + partition * this.#zoneCount + zone
  }

  #seatOf (node: number): { partition: number, zone: number } {
    const index = node - this.#targets.length - this.#draft.partitions
    const zone = index % this.#zoneCount
    return { partition: (index - zone) / this.#zoneCount, zone }
  }

  #trace (end: number): Change {
    const stores = this.#targets.length
    const seats = stores + this.#draft.partitions
    const change: Change = { drops: [], adds: [] }
    for (let node = end; ;) {
      const parent = this.#parents.get(node)!
      if (parent === node) return change
      if (node < stores) change.adds.push({ partition: this.#seatOf(parent).partition, slot: node })
      else if (node >= seats && parent < stores) {
        const { partition } = this.#seatOf(node)
        change.drops.push(this.#draft.cellsOf(parent).find(cell => this.#draft.partitionOfCell(cell) === partition)!)
      }
      node = parent
    }
  }
}

/** Gives every row its full length and every store its target. */
export function repair (draft: Draft, targets: Int32Array): void {
  for (let partition = 0; partition < draft.partitions; partition++) {
    while (draft.held[partition]! < draft.shares.replicas) apply(draft, new Search(draft, targets).fromPartition(partition))
  }
  for (let slot = 0; slot < targets.length; slot++) {
    while (draft.counts[slot]! > targets[slot]!) apply(draft, new Search(draft, targets).fromStore(slot))
  }
}

function apply (draft: Draft, change: Change | undefined): void {
  if (change === undefined) throw new RingError('RING_INVARIANT', 'no augmenting path: the targets contradict each other')
  // Highest cells first: freeing a seat moves the last seat of its row, which then is none that is still to be freed.
  for (const cell of change.drops.sort((a, b) => b - a)) draft.remove(cell)
  for (const { partition, slot } of change.adds) draft.add(partition, slot)
}
